"""The descriptors: the numbers that the hardware reads for each layer and for the streams."""

from amaranth.utils import ceil_log2, exact_log2

from shiftwork.hw.activation_table import table_fields
from shiftwork.hw.config import ArrayConfig, ArrayShape
from shiftwork.hw.layer_work import Work
from shiftwork.hw.memory_map import MemoryMap, last_reader
from shiftwork.hw.segments import Kind
from shiftwork.quant.program import Program
from shiftwork.quant.program_ops import Conv, MaxPool, signed_bits, table_of

Fields = tuple[tuple[str, int, bool], ...]
SIGNED_FIELDS = frozenset({"x_first", "y_first", "lo", "hi"})
OPTIONAL_FIELDS = frozenset({"taps", "phases", "phase_step", "blocks", "tile_lines"})
"""Fields that take no bits where they are 0 in every layer; their hardware vanishes."""


def make_descriptors(
    program: Program,
    works: list[Work],
    shape: ArrayShape,
    memory: MemoryMap,
    engine: ArrayConfig | None,
) -> list[dict[str, int]]:
    """Each layer's fields by name, without the idle cycles.

    Args:
        engine: the configuration that they are for, if it is given: its fields that the network
            itself would not need are there too.
    """
    weight_base = parameter_base = 0
    copied = memory.size
    address_bits = address_width(works, shape, memory, engine)
    frees = last_reader(program)
    result = []
    most = max(len(work.walks) for work in works)
    scaled, output_bits = is_scaled(works), widest_output(works)
    if engine is not None:
        most, scaled = max(most, engine.segments), scaled or engine.scaled
        output_bits = max(output_bits, engine.output_bits)
    for work in works:
        descriptor = {
            "pool": int(work.pool),
            "tiles": work.tiles - 1,
            "groups": work.groups - 1,
            **({"segments": len(work.walks) - 1} if most > 1 else {}),
            "frees_input": int(program.ops[frees] is work.op and work.final),
            **_drain_fields(program, work, shape, memory),
            **({"wide": int(work.wide)} if output_bits > 8 else {}),
            "weight_base": 0 if shape.column_bytes else weight_base,
            "parameter_base": parameter_base,
        }
        if shape.column_bytes:
            words = work.copy_words(shape)
            descriptor |= {
                "copies": int(words > 0),
                "copy_source": copied,
                "copy_words": words,
            }
            copied += words * shape.word_bytes
        for index in range(most):
            fields = _segment_fields(program, work, index, memory, address_bits)
            if scaled:
                fields["scale"] = int(index < len(work.walks) and work.walks[index].segment.scale)
            descriptor |= {f"{name}_{index}": value for name, value in fields.items()}
        weight_base += work.weight_bytes
        parameter_base += work.parameters(shape)
        result.append(descriptor)
    return result


def _segment_fields(
    program: Program, work: Work, index: int, memory: MemoryMap, address_bits: int
) -> dict[str, int]:
    """A segment's fields; those of the first one where the layer has no such segment."""
    number = index if index < len(work.walks) else 0
    walk = work.walks[number]
    name, fields = walk.segment.source.name, walk.fields()
    top = walk.segment.padding[0] * fields["row_bytes"]
    channel = work.first_channel if walk.segment.kind is Kind.CHANNELS else 0
    return {
        "reads_input": int(memory.base[name] == memory.base[program.input]),
        "input_base": (memory.base[name] + walk.segment.plane + channel - top)
        % (1 << address_bits),
        **fields,
    }


def _drain_fields(
    program: Program, work: Work, shape: ArrayShape, memory: MemoryMap
) -> dict[str, int]:
    op = work.op
    target = program.tensor(op.output)
    channels = target.shape[2]
    raw = isinstance(op, Conv) and op.accumulators
    copies = isinstance(op, MaxPool)
    tabled = table_of(op) is not None
    lo, hi = (-128, 127) if copies or raw else (op.lo, op.hi)  # type: ignore[attr-defined]
    return {
        "writes_output": int(memory.base[op.output] == memory.base[program.output]),
        "output_base": memory.base[op.output] + work.first_channel,
        "pixel_step": channels,
        "line_tiles": work.line_tiles - 1,
        "tile_lines": work.tile_lines - 1,
        "tile_step": work.rows * channels,
        "line_end_step": work.last_rows * channels,
        "last_rows": work.last_rows - 1,
        "last_channels": work.last_channels,
        "last_place": -(-work.last_channels // shape.lanes) - 1,
        "raw": int(raw),
        # A table's bytes are stored as they come out of it.
        "flip": int(work.wide or not (copies or raw or target.signed or tabled)),
        "plane_step": target.size if raw or work.wide else 0,
        "lo": lo,
        "hi": hi,
        **table_fields(program, op),
    }


def make_header(program: Program, memory: MemoryMap, layers: int) -> dict[str, int]:
    """The fields of the network's streams, by name."""
    source, target, top = program.tensor(program.input), program.scores, program.top_score
    raw = target.bits == 32
    fields = {
        "input_first": memory.base[source.name],
        "input_pitch": memory.input_second - memory.base[source.name],
        "input_last": source.bytes - 1,
        "input_flip": int(not source.signed),
        "output_first": memory.base[target.name],
        "output_pitch": memory.output_second - memory.base[target.name],
        "output_last": target.size - 1,
        "output_raw": int(raw),
        "output_flip": int(not raw and not target.signed),
        "output_plane_step": target.size if raw else 0,
        "layers_last": layers - 1,
    }
    return fields if top is None or top.threshold is None else fields | {"threshold": top.threshold}


def _field_bits(name: str, values: list[int]) -> int:
    if name.rstrip("_0123456789") in SIGNED_FIELDS:
        return signed_bits(min(values), max(values))
    least = 0 if name.rstrip("_0123456789") in OPTIONAL_FIELDS else 1
    return max(least, max(values).bit_length())


def common_fields(descriptors: list[dict[str, int]]) -> Fields:
    """Name, width and signedness of each field, wide enough for all layers."""
    return tuple(
        (
            name,
            _field_bits(name, [d[name] for d in descriptors]),
            name.rstrip("_0123456789") in SIGNED_FIELDS,
        )
        for name in descriptors[0]
    )


def even_segments(fields: Fields) -> tuple[Fields, Fields]:
    """The fields with those of all segments equally wide, and those of one segment."""
    widths: dict[str, int] = {}
    for name, width, _ in fields:
        stem, _, number = name.rpartition("_")
        if number.isdecimal():
            widths[stem] = max(width, widths.get(stem, 0))
    evened = tuple(
        (name, widths[name.rpartition("_")[0]] if name[-1].isdecimal() else width, sign)
        for name, width, sign in fields
    )
    one = tuple((name, width, name in SIGNED_FIELDS) for name, width in widths.items())
    return evened, one


def is_scaled(works: list[Work]) -> bool:
    """Whether any accumulator is scaled between two segments."""
    return any(walk.segment.scale for work in works for walk in work.walks)


def widest_output(works: list[Work]) -> int:
    """Of the widest values that are requantized."""
    return 16 if any(work.wide for work in works) else 8


def used_bytes(works: list[Work], shape: ArrayShape, memory: MemoryMap) -> int:
    """Bytes of activation memory: feature maps, and the weights that are copied from it."""
    words = sum(work.copy_words(shape) for work in works) if shape.column_bytes else 0
    return memory.size + words * shape.word_bytes


def address_width(
    works: list[Work], shape: ArrayShape, memory: MemoryMap, engine: ArrayConfig | None
) -> int:
    """Bits of an activation byte address; at least those of the engine."""
    depth = -(-used_bytes(works, shape, memory) // shape.word_bytes)
    least = max(1, ceil_log2(depth)) + exact_log2(shape.word_bytes)
    return least if engine is None else max(least, engine.address_bits)
