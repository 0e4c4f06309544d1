"""An engine: one configuration that several networks share, each as other contents of its ROMs.

Of each width and depth it has the greatest that any of its networks needs, then head room for those
that come later. What a network needs is found on the engine itself, whose addresses and shifts its
fields count from.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from amaranth.utils import ceil_log2, exact_log2

from shiftwork.errors import CapacityError
from shiftwork.hw.config import ArrayConfig, ArrayShape
from shiftwork.hw.layouts import descriptor_words
from shiftwork.quant.program import Program
from shiftwork.quant.program_ops import table_of

Fields = tuple[tuple[str, int, bool], ...]

MOST_ACCUMULATOR_BITS = 32
ACCUMULATOR_ROOM = 2
SHIFT_ROOM = 2
"""Shifts less and more than those of the networks given."""
BASE_ROOM = 2
"""Bits of the addresses of weights and parameters, on top of what the networks given need."""
FIELD_ROOM, SMALL_FIELD_ROOM, SMALL_FIELD = 1, 2, 3
"""Bits more of a field, and of one of few bits."""
BORDER_ROOM = 4
"""The same for the border in bytes, which grows with the channels."""
MOST_MISFITS = 3
"""As many are told of; the others follow from them more often than not."""
FLAGS = frozenset(
    (
        *("pool", "frees_input", "writes_output", "raw", "flip", "broadcast", "hold"),
        *("reads_input", "input_flip", "output_raw", "output_flip", "scale", "wide"),
    )
)
ADDRESSES = frozenset(["input_base", "output_base", "input_first", "output_first"])
DISTANCES = frozenset(
    (
        *("input_pitch", "output_pitch", "input_last", "output_last", "output_plane_step"),
        *("plane_step", "pixel_step", "tile_step", "line_end_step"),
    )
)
"""Fields that no feature map in the activation memory makes wider than an address."""


def merged(configs: Sequence[ArrayConfig]) -> ArrayConfig:
    """The least configuration on which all networks run that need ``configs``.

    Args:
        configs: of one shape, with as many segments, and with one width of addresses and one least
            shift, as :class:`shiftwork.hw.schedule.Outline` finds them for an engine.
    """
    first = configs[0]
    fields = _widest([config.fields for config in configs])
    header = _widest([config.header_fields for config in configs])
    layers = max(layer_capacity(config) for config in configs)
    return replace(
        first,
        **{
            name: max(getattr(config, name) for config in configs)
            for name in (
                "accumulator_bits",
                "shift_bits",
                "pooling",
                "depthwise",
                "segments",
                "scaled",
                "output_bits",
                "x_bits",
                "y_bits",
                "bank_depth",
                "weight_depth",
                "parameter_depth",
            )
        },
        fields=fields,
        segment_fields=_widest([config.segment_fields for config in configs]),
        header_fields=header,
        overtakes=True,
        program_depth=descriptor_words(header) + layers * descriptor_words(fields),
        codebook=(),
    )


def common_ground(configs: Sequence[ArrayConfig]) -> ArrayConfig:
    """What fields count from on an engine for networks that need ``configs`` on their own.

    Raises:
        CapacityError: if they give answers of different kinds.
    """
    kinds = list(dict.fromkeys(answer_kind(config) for config in configs))
    if len(kinds) > 1:
        raise CapacityError(
            f"an engine gives one kind of answer, but these networks give {' and '.join(kinds)}; "
            "quantize all of them with the same --top-score and --threshold, or make two engines"
        )
    return replace(
        configs[0],
        segments=max(config.segments for config in configs),
        scaled=any(config.scaled for config in configs),
        output_bits=max(config.output_bits for config in configs),
        address_bits=max(config.address_bits for config in configs),
        shift_base=min(config.shift_base for config in configs),
    )


def check_tables(program: Program) -> None:
    """That a network needs no tables behind the requantizer: an engine has none.

    Raises:
        CapacityError: naming the network, an op with a table, and the way out.
    """
    for op in program.ops:
        if table_of(op) is not None:
            raise CapacityError(
                f"'{program.name}' looks up the outputs of '{op.name}' in a table, and an engine "
                "for several networks has no tables; make a bitstream of its own ('shiftwork "
                "build')"
            )


def answer_kind(config: ArrayConfig) -> str:
    """What leaves the core, in words."""
    if not config.class_bytes:
        return "all scores"
    limited = any(name == "threshold" for name, _, _ in config.header_fields)
    return (
        f"a class of {config.class_bytes} bytes and a score of {config.score_bytes}"
        f"{' with a threshold' if limited else ''}"
    )


def layer_capacity(config: ArrayConfig) -> int:
    """Layers, passes counted one by one, that the program ROM has room for."""
    words = config.program_depth - descriptor_words(config.header_fields)
    return words // descriptor_words(config.fields)


def with_room(config: ArrayConfig, *, bank_depth: int) -> ArrayConfig:
    """The configuration with wider fields, for networks that come later; ROMs stay as deep.

    Fields that the shape bounds get all they can need, the others a bit more; those of no bits
    stay so, and with them what has no hardware.

    Args:
        bank_depth: words of each bank of activation memory, at least those of ``config``.
    """
    top = config.shift_base + (1 << config.shift_bits) - 1
    base = max(0, config.shift_base - SHIFT_ROOM)
    address_bits = ceil_log2(bank_depth) + exact_log2(config.shape.word_bytes)
    widened = replace(
        config,
        accumulator_bits=min(MOST_ACCUMULATOR_BITS, config.accumulator_bits + ACCUMULATOR_ROOM),
        shift_base=base,
        shift_bits=(top - base).bit_length(),
        x_bits=config.x_bits + 1,
        y_bits=config.y_bits + 1,
        bank_depth=bank_depth,
        address_bits=address_bits,
    )
    fields = _roomy(widened, config.fields)
    header = _roomy(widened, config.header_fields)
    words = descriptor_words(header) + layer_capacity(config) * descriptor_words(fields)
    return replace(
        widened,
        fields=fields,
        segment_fields=_roomy(widened, config.segment_fields),
        header_fields=header,
        program_depth=words,
    )


def greatest_depth(config: ArrayConfig, field: str) -> int:
    """Words of a ROM that the field with the address of its first one reaches."""
    return 1 << next(width for name, width, _ in config.fields if name == field)


def _roomy(config: ArrayConfig, fields: Fields) -> Fields:
    return tuple((name, _width(config, name, width), sign) for name, width, sign in fields)


def _width(config: ArrayConfig, name: str, width: int) -> int:
    """The width of a field with head room."""
    stem = name.rstrip("_0123456789")
    fixed = _shape_widths(config.shape) | {
        "weight_base": ceil_log2(config.weight_depth) + BASE_ROOM,
        "parameter_base": ceil_log2(config.parameter_depth) + BASE_ROOM,
        "segments": width,
        "layers_last": 8,
        "border": 8,
        "lo": 9,
        "hi": 9,
    }
    if stem in FLAGS:
        return 1
    if stem in ADDRESSES:
        return config.address_bits
    if stem in DISTANCES:
        return max(width, min(width + 1, config.address_bits))
    if stem in fixed:
        return max(width, fixed[stem])
    if stem == "x_first":
        return width + BORDER_ROOM
    room = FIELD_ROOM if width > SMALL_FIELD else SMALL_FIELD_ROOM
    return width + room if width else 0


def _shape_widths(shape: ArrayShape) -> dict[str, int]:
    """Widths of the fields that are bounded by the array."""
    most = max(shape.columns, shape.word_bytes)
    return {
        "last_rows": (shape.rows - 1).bit_length(),
        "last_channels": most.bit_length(),
        "last_place": (most // shape.lanes - 1).bit_length(),
        "last_bytes": shape.word_bytes.bit_length(),
        "last_cycles": (shape.full_word_cycles - 1).bit_length(),
        "group_step": most.bit_length(),
    }


def check_fit(need: ArrayConfig, engine: ArrayConfig, *, network: str) -> None:
    """That a network fits an engine.

    Args:
        need: what the network needs of an engine with its addresses and shifts.
        engine: what there is.
        network: its name.

    Raises:
        CapacityError: naming what the network needs too much of, what the engine has, and the way
            out.
    """
    misfits = list(_misfits(need, engine))
    if not misfits:
        return
    more = len(misfits) - MOST_MISFITS
    told = "; ".join(misfits[:MOST_MISFITS]) + (f"; and {more} more" if more > 0 else "")
    raise CapacityError(
        f"'{network}' does not fit the engine: {told}; place and route an engine for this network "
        "too (name it in 'shiftwork engine'), or make a bitstream of its own"
    )


def _misfits(need: ArrayConfig, engine: ArrayConfig) -> Iterator[str]:
    if answer_kind(need) != answer_kind(engine):
        yield f"answer: {answer_kind(need)}, the engine gives {answer_kind(engine)}"
        return
    columns = "a column" if need.shape.columns > 1 else "in the column"
    yield from _more("weights", f"bytes {columns}", need.weight_depth, engine.weight_depth)
    yield from _more("parameters", "words", need.parameter_depth, engine.parameter_depth)
    yield from _more("program", "layers", layer_capacity(need), layer_capacity(engine))
    yield from _more(
        "feature maps",
        "bytes of activation memory",
        need.activation_bytes,
        engine.activation_bytes,
    )
    yield from _more("accumulators", "bits", need.accumulator_bits, engine.accumulator_bits)
    if need.shift_base < engine.shift_base:
        yield f"least shift: {need.shift_base}, the engine's is {engine.shift_base}"
    elif need.shift_bits > engine.shift_bits:
        top = engine.shift_base + (1 << engine.shift_bits) - 1
        yield f"greatest shift: more than {top}, the engine's greatest"
    if need.pooling and not engine.pooling:
        yield "pooling: the engine has no pooling unit"
    if need.depthwise and not engine.depthwise:
        yield "layers with a channel each (depthwise, average, residual): the engine runs none"
    if need.scaled and not engine.scaled:
        yield "weights or feature maps of 16 bits: the engine's accumulators do not scale"
        return
    if need.output_bits > engine.output_bits:
        yield "feature maps of 16 bits: the engine writes bytes"
        return
    if need.segments > engine.segments:
        yield from _more("terms of a layer", "inputs", need.segments, engine.segments)
        return
    yield from _more("positions in a line", "bits", need.x_bits, engine.x_bits)
    yield from _more("line numbers", "bits", need.y_bits, engine.y_bits)
    yield from _narrow("streams", need.header_fields, engine.header_fields)
    yield from _narrow("a layer", need.fields, engine.fields)


def _more(noun: str, unit: str, need: int, there: int) -> Iterator[str]:
    if need > there:
        yield f"{noun}: {need:,} {unit}, the engine holds {there:,}"


def _narrow(what: str, need: Fields, there: Fields) -> Iterator[str]:
    widths = {name: width for name, width, _ in there}
    for name, width, _ in need:
        if width > widths[name]:
            yield f"'{name}' of {what}: {width} bits, the engine has {widths[name]}"


def _widest(fields: Sequence[Fields]) -> Fields:
    """Field by field the greatest width."""
    return tuple(
        (parts[0][0], max(width for _, width, _ in parts), parts[0][2])
        for parts in zip(*fields, strict=True)
    )
