"""The schedule: what every layer does, and for exactly how many cycles.

A pure function of the program and the array's shape. ``docs/hardware.md`` explains it; the
formulas name the constants of the blocks whose latencies they count.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from itertools import groupby

from amaranth.utils import ceil_log2, exact_log2

from shiftwork.errors import CapacityError, ProgramError
from shiftwork.hw import fetch, layouts, pooling, weight_copier, window_walker
from shiftwork.hw.activation_table import table_bytes, table_fields, table_images
from shiftwork.hw.array import SUM_LATENCY
from shiftwork.hw.coded_rom import CODE_BITS
from shiftwork.hw.config import ArrayConfig, ArrayShape
from shiftwork.hw.drain import CHUNK_GAP, write_latency
from shiftwork.hw.drain_timing import (
    DrainWork,
    Pipeline,
    Reads,
    drain_work,
    empty,
    last_write,
    run_interval,
)
from shiftwork.hw.engine import check_fit, check_tables
from shiftwork.hw.flash_image import weight_words
from shiftwork.hw.images import (
    RomImages,
    least_conv_shift,
    parameter_words,
    requantized_range,
    shifts,
    weight_columns,
)
from shiftwork.hw.memory_map import MemoryMap, allocate, last_reader
from shiftwork.hw.segments import Kind, Walk, check, segments
from shiftwork.hw.sequencer import DONE_LATENCY, LOAD_OVERHEAD
from shiftwork.hw.shift_product import exponents_of
from shiftwork.quant.program import Program
from shiftwork.quant.program_ops import Conv, MaxPool, Op, Reshape, TopScore, signed_bits, table_of

MAX_LAYERS = 256
CHUNK_PAD_LIMIT = 1 << 14

Fields = tuple[tuple[str, int, bool], ...]
SIGNED_FIELDS = frozenset({"x_first", "y_first", "lo", "hi"})
OPTIONAL_FIELDS = frozenset({"taps", "phases", "phase_step", "blocks", "tile_lines"})
"""Fields that take no bits where they are 0 in every layer; their hardware vanishes."""


@dataclass(frozen=True, kw_only=True)
class LayerPlan:
    """A layer as the hardware runs it: an op, or a pass over some of its channel groups.

    Attributes:
        index: position in the hardware's order.
        name, kind, output: the program's op, its kind and its output tensor.
        first_channel, channels: what of the output tensor it computes; all but for a pass.
        descriptor: field values of the layer's line in the program ROM.
        walks: how the fetch unit walks each segment.
        tiles, groups: of output pixels and of output channels.
        chunk_cycles: cycles of the fetch unit for one tile and group.
        chunk_pad: idle ones among them.
        load: cycles before the fetch unit starts.
        cycles: of the whole layer.
        macs: useful multiply-accumulates.
    """

    index: int
    name: str
    kind: str
    output: str
    first_channel: int
    channels: int
    descriptor: dict[str, int]
    walks: tuple[Walk, ...]
    tiles: int
    groups: int
    chunk_cycles: int
    chunk_pad: int
    load: int
    cycles: int
    macs: int

    @property
    def weight_bytes(self) -> int:
        """Bytes of a column's weights."""
        return self.groups * sum(walk.weight_bytes for walk in self.walks)

    @property
    def idle_until(self) -> int:
        """The cycle of the last chunk's last idle one, counted from the fetch unit's start."""
        return self.tiles * self.groups * self.chunk_cycles


@dataclass(frozen=True)
class OpPlan:
    """An op of the program as the hardware runs it.

    Attributes:
        passes: in order; more than one where its weights are more than the columns hold.
    """

    passes: tuple[LayerPlan, ...]

    @property
    def name(self) -> str:
        """Of the op."""
        return self.passes[0].name

    @property
    def kind(self) -> str:
        """Of the op."""
        return self.passes[0].kind

    @property
    def output(self) -> str:
        """Its output tensor."""
        return self.passes[0].output

    @property
    def cycles(self) -> int:
        """Of all passes."""
        return sum(part.cycles for part in self.passes)

    @property
    def macs(self) -> int:
        """Useful multiply-accumulates."""
        return sum(part.macs for part in self.passes)

    @property
    def weight_bytes(self) -> int:
        """Bytes of a column's weights, all passes."""
        return sum(part.weight_bytes for part in self.passes)


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """What the accelerator does for a frame.

    Attributes:
        program: the network.
        config: widths and depths.
        layers: in execution order.
        header: field values of the streams' descriptor.
        memory: where the feature maps lie.
        shared: the configuration is that of an engine for several networks.
    """

    program: Program
    config: ArrayConfig
    layers: tuple[LayerPlan, ...]
    header: dict[str, int]
    memory: MemoryMap
    shared: bool = False

    @cached_property
    def images(self) -> RomImages:
        """Contents of the ROMs; those of an engine are filled up with zeros."""
        ops = _hardware_ops(self.program)
        words = layouts.pack_descriptor(self.config.header_fields, self.header)
        for layer in self.layers:
            words += layouts.pack_descriptor(self.config.fields, layer.descriptor)
        images = RomImages(
            weight_columns([layer.walks for layer in self.layers], self.config.shape),
            parameter_words(self.program, ops, self.config),
            words,
            b"".join(table_images(self.program)),
        )
        return images.filled(self.config) if self.shared else images

    @cached_property
    def ops(self) -> tuple[OpPlan, ...]:
        """The layers by op: what counts for a user of the network."""
        return tuple(
            OpPlan(tuple(parts)) for _, parts in groupby(self.layers, lambda layer: layer.output)
        )

    @property
    def split(self) -> bool:
        """Whether an op takes several passes."""
        return len(self.layers) > len(self.ops)

    @property
    def cycles(self) -> int:
        """Clock cycles of a frame, from ``busy`` to its end."""
        return sum(layer.cycles for layer in self.layers)

    @property
    def input_held_cycles(self) -> int:
        """Cycles of a frame before its only input buffer takes the next one; 0 with two buffers."""
        if self.config.shape.input_buffers > 1:
            return 0
        last = max(layer.index for layer in self.layers if layer.descriptor["frees_input"])
        return sum(layer.cycles for layer in self.layers[: last + 1])

    @property
    def macs(self) -> int:
        """Useful multiply-accumulates of a frame."""
        return sum(layer.macs for layer in self.layers)

    @property
    def utilization(self) -> float:
        """Useful multiply-accumulates as a share of what the array could do in the time."""
        return self.macs / (self.cycles * self.config.shape.elements)

    @property
    def weight_bytes(self) -> int:
        """Bytes of weight ROM, all columns."""
        weights = self.config.weight_depth * self.config.shape.columns
        return -(-weights * CODE_BITS // 8) if self.config.codebook else weights

    @property
    def rom_bytes(self) -> int:
        """Bytes of all ROMs."""
        config = self.config
        parameter_bits = config.shape.lanes * (config.accumulator_bits + config.shift_bits)
        bits = parameter_bits * self.config.parameter_depth
        bits += layouts.PROGRAM_WORD_BITS * self.config.program_depth
        tables = config.shape.lanes * table_bytes(config.tables)
        return self.weight_bytes + -(-bits // 8) + tables

    @property
    def activation_bytes(self) -> int:
        """Bytes of activation memory in use, weights that are copied from it included."""
        return self.memory.size + self.config.payload_bytes

    @cached_property
    def payload(self) -> bytes:
        """What the flash loader copies into activation memory; empty without one."""
        if not self.config.copies_weights:
            return b""
        parts, shape = [], self.config.shape
        for layer in self.layers:
            columns = [list(column) for column in weight_columns([layer.walks], shape)]
            parts.append(weight_words(columns, word_bytes=shape.word_bytes))
        return b"".join(parts)


def make_schedule(
    program: Program, shape: ArrayShape, engine: ArrayConfig | None = None
) -> Schedule:
    """The schedule of ``program`` on an array of ``shape``, or on an engine that is there.

    Raises:
        ProgramError: if the program holds what the array cannot run.
        CapacityError: if it is too large for the engine's formats, or not for this shape.
    """
    return Outline(program, shape, engine).schedule()


class Outline:
    """What of a schedule is known without its timing: sizes, and a bound of the cycles.

    Found at a fraction of the schedule's cost, so that many shapes can be compared.

    Parameters:
        program: the network.
        shape: of the array.
        engine: the configuration of an engine of that shape, to run the network on.

    Attributes:
        memory: where the feature maps lie.
        config: the widths and depths that the network needs; idle cycles may widen a descriptor's
            field. Those of addresses and shifts count from what the engine has, if any.

    Raises:
        ProgramError, CapacityError: as :func:`make_schedule`.
    """

    def __init__(
        self, program: Program, shape: ArrayShape, engine: ArrayConfig | None = None
    ) -> None:
        ops = _hardware_ops(program)
        if not ops:
            raise ProgramError("the network has no layer that computes anything")
        if engine is not None:
            check_tables(program)
        self.program = program
        self.shape = shape
        self._engine = engine
        self.memory = allocate(
            program, alignment=shape.word_bytes, input_buffers=shape.input_buffers
        )
        self._whole = _works(program, ops, shape)
        self._works = [part for work in self._whole for part in _passes(work, shape)]
        _check_count(self._works, len(ops))
        self._descriptors = [
            descriptor | {"chunk_pad": 0}
            for descriptor in _descriptors(program, self._works, shape, self.memory, engine)
        ]
        self.config = self._config(self._descriptors)

    @property
    def activation_bytes(self) -> int:
        """Bytes of activation memory in use, weights that are copied from it included."""
        return self.memory.size + self.config.payload_bytes

    @property
    def split(self) -> bool:
        """Whether an op takes several passes."""
        return len(self._works) > len(self._whole)

    @property
    def column_need(self) -> int:
        """Bytes of a column's weights in the layer that has most of them."""
        return max(work.weight_bytes for work in self._whole)

    @property
    def group_need(self) -> int:
        """Bytes of a column's weights for one channel group: no less can be copied at a time."""
        return max(work.group_bytes for work in self._whole)

    def pass_need(self, column_bytes: int) -> int:
        """Bytes of a column's weights in the largest pass, if columns hold ``column_bytes``."""
        return max(work.group_bytes * _groups_of_a_pass(work, column_bytes) for work in self._whole)

    @cached_property
    def least_cycles(self) -> int:
        """What the schedule's cycles cannot fall below: the walks alone."""
        return sum(
            (work.tiles * work.groups - 1) * work.cycles + work.last_token for work in self._works
        )

    def schedule(self) -> Schedule:
        """The schedule."""
        program, shape, works = self.program, self.shape, self._works
        still = empty(write_latency(self.config))
        plans = [
            _plan_drain(descriptor, work, shape, still)
            for descriptor, work in zip(self._descriptors, works, strict=True)
        ]
        descriptors = [
            descriptor | {"chunk_pad": drained.pad}
            for descriptor, drained in zip(self._descriptors, plans, strict=True)
        ]
        config = self._config(descriptors)
        if self._engine is not None:
            check_fit(config, self._engine, network=program.name)
            config = self._engine
        load = layouts.descriptor_words(config.fields) + LOAD_OVERHEAD
        layers = tuple(
            _layer(program, index, work, descriptor, drained, shape, load)
            for index, (work, descriptor, drained) in enumerate(
                zip(works, descriptors, plans, strict=True)
            )
        )
        if self._engine is None:
            config = replace(config, overtakes=_overtakes(layers))
        return Schedule(
            program=program,
            config=config,
            layers=layers,
            header=_header(program, self.memory, len(works)),
            memory=self.memory,
            shared=self._engine is not None,
        )

    def _config(self, descriptors: list[dict[str, int]]) -> ArrayConfig:
        config = _config(
            self.program, self._works, self.shape, self.memory, descriptors, self._engine
        )
        if not config.copies_weights:
            return config
        return _with_payload(self.program, config, self._works, self.memory, split=self.split)


@dataclass(frozen=True)
class _Work:
    """An op as the array runs it, or a pass over some of its channel groups.

    Attributes:
        op: of the program.
        walks: one for each segment.
        groups: of output channels.
        first_channel, channels: what of the output it computes.
        final: nothing more of the op follows.
        rows, columns: output pixels and channels of a tile and group.
        line_tiles, tile_lines: tiles of a line of tiles, and how many such lines there are.
        last_rows: output pixels of the last tile of a line.
        wide: its output has 16 bits.
    """

    op: Op
    walks: tuple[Walk, ...]
    groups: int
    first_channel: int
    channels: int
    final: bool
    rows: int
    columns: int
    line_tiles: int
    tile_lines: int
    last_rows: int
    wide: bool

    @property
    def pool(self) -> bool:
        """Whether the pooling unit does it."""
        return self.walks[0].segment.kind is Kind.POOL

    @property
    def tiles(self) -> int:
        """Tiles of the whole output."""
        return self.line_tiles * self.tile_lines

    @property
    def cycles(self) -> int:
        """Cycles of a chunk without padding."""
        return sum(walk.cycles for walk in self.walks)

    @property
    def last_token(self) -> int:
        """Cycle of a chunk's last byte in row 0, counted from its first turn."""
        return self.cycles - self.walks[-1].cycles + self.walks[-1].last_token

    @property
    def group_bytes(self) -> int:
        """Bytes of a column's weights for one group."""
        return sum(walk.weight_bytes for walk in self.walks)

    @property
    def weight_bytes(self) -> int:
        """Bytes of a column's weights, all groups."""
        return self.groups * self.group_bytes

    @property
    def last_channels(self) -> int:
        """Output channels of the last group."""
        return self.channels - (self.groups - 1) * self.columns

    def copy_words(self, shape: ArrayShape) -> int:
        """Words of weights that are copied to the columns before the op."""
        return self.weight_bytes * -(-shape.columns // shape.word_bytes)

    def parameters(self, shape: ArrayShape) -> int:
        """Words of the parameter ROM."""
        return 1 if self.pool else self.groups * (shape.columns // shape.lanes)

    def read_pattern(self) -> list[bool]:
        """For each cycle of a chunk without padding: does the fetch unit take a turn?"""
        return [turn for walk in self.walks for turn in walk.read_pattern()]


def _hardware_ops(program: Program) -> list[Op]:
    """The ops that compute: a reshape is a matter of addresses, a TopScore of the output stream."""
    return [op for op in program.ops if not isinstance(op, Reshape | TopScore)]


def _check_count(works: list[_Work], ops: int) -> None:
    """Refuses more layers and passes than the engine counts."""
    if ops > MAX_LAYERS:
        raise CapacityError(f"the network has {ops} layers; the engine runs {MAX_LAYERS}")
    if len(works) > MAX_LAYERS:
        raise CapacityError(
            f"the network has {ops} layers, which take {len(works)} passes since their weights "
            f"are more than the columns hold; the engine runs {MAX_LAYERS}; use more --columns, a "
            "smaller network, or a board with more block RAM"
        )


def _works(program: Program, ops: list[Op], shape: ArrayShape) -> list[_Work]:
    least = least_conv_shift(ops)
    return [_work(program, op, shape, least) for op in ops]


def _work(program: Program, op: Op, shape: ArrayShape, least_shift: int) -> _Work:
    parts = segments(program, op, least_shift=least_shift)
    height, width, channels = program.tensor(op.output).shape
    pool = parts[0].kind is Kind.POOL
    rows, columns = (1, shape.word_bytes) if pool else (shape.rows, shape.columns)
    by_line = rows > 1 and any(part.kind is Kind.CHANNELS for part in parts)
    line = width if by_line else height * width
    walks = tuple(
        Walk(segment=part, shape=shape, by_line=by_line, out_width=width) for part in parts
    )
    check(op, walks, program.tensor(op.output))
    return _Work(
        op=op,
        walks=walks,
        groups=-(-channels // columns),
        first_channel=0,
        channels=channels,
        final=True,
        rows=rows,
        columns=columns,
        line_tiles=-(-line // rows),
        tile_lines=height if by_line else 1,
        last_rows=(line - 1) % rows + 1,
        wide=program.tensor(op.output).wide,
    )


def _passes(work: _Work, shape: ArrayShape) -> list[_Work]:
    """The op as it is, or in passes of as many channel groups as the columns hold weights for.

    Raises:
        CapacityError: naming the op, the bytes and the way out, if they hold not even one's.
    """
    if not 0 < shape.column_bytes < work.weight_bytes:
        return [work]
    if shape.column_bytes < work.group_bytes:
        raise CapacityError(
            f"op '{work.op.name}' has {work.group_bytes} bytes of weights for a single channel "
            f"group in each of {shape.columns} columns, which hold {shape.column_bytes}; use a "
            "layer of fewer input channels or a smaller kernel, or a board with more block RAM"
        )
    size = _groups_of_a_pass(work, shape.column_bytes)
    return [_part(work, first, size) for first in range(0, work.groups, size)]


def _groups_of_a_pass(work: _Work, column_bytes: int) -> int:
    """Channel groups of a pass: the fewest passes, evenly filled; all groups where they fit."""
    if work.weight_bytes <= column_bytes:
        return work.groups
    passes = -(-work.groups // (column_bytes // work.group_bytes))
    return -(-work.groups // passes)


def _part(work: _Work, first_group: int, most: int) -> _Work:
    """The pass over ``most`` of the groups from ``first_group`` on, or over those that are left."""
    groups = min(most, work.groups - first_group)
    first = first_group * work.columns
    channels = min(groups * work.columns, work.channels - first)
    walks = tuple(replace(walk, segment=walk.segment.part(first, channels)) for walk in work.walks)
    return replace(
        work,
        walks=walks,
        groups=groups,
        first_channel=first,
        channels=channels,
        final=first + channels == work.channels,
    )


def _descriptors(
    program: Program,
    works: list[_Work],
    shape: ArrayShape,
    memory: MemoryMap,
    engine: ArrayConfig | None,
) -> list[dict[str, int]]:
    weight_base = parameter_base = 0
    copied = memory.size
    address_bits = _address_bits(works, shape, memory, engine)
    frees = last_reader(program)
    result = []
    most = max(len(work.walks) for work in works)
    scaled, output_bits = _scaled(works), _output_bits(works)
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


def _with_payload(
    program: Program, config: ArrayConfig, works: list[_Work], memory: MemoryMap, *, split: bool
) -> ArrayConfig:
    """The configuration with the weights behind the feature maps, loaded from a flash."""
    shape = config.shape
    words = sum(work.copy_words(shape) for work in works)
    return replace(
        config,
        weight_depth=shape.column_bytes,
        payload_base=memory.size,
        payload_bytes=words * shape.word_bytes,
        identity=_identity(program, shape, split=split),
    )


def _identity(program: Program, shape: ArrayShape, *, split: bool) -> str:
    """What a flash image and the hardware that reads it must have in common."""
    text = f"{program.digest} {shape.rows} {shape.columns} {shape.lanes} {shape.word_bytes}"
    if split:
        text += f" {shape.column_bytes}"
    return hashlib.sha256(text.encode()).hexdigest()


def _segment_fields(
    program: Program, work: _Work, index: int, memory: MemoryMap, address_bits: int
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
    program: Program, work: _Work, shape: ArrayShape, memory: MemoryMap
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


def _chunk_work(work: _Work, shape: ArrayShape, *, rows: int, channels: int) -> DrainWork:
    return drain_work(
        rows=rows,
        channels=channels,
        places=work.columns // shape.lanes,
        lanes=shape.lanes,
        word_bytes=shape.word_bytes,
        raw=isinstance(work.op, Conv) and work.op.accumulators,
        wide=work.wide,
    )


def _drain_start(work: _Work, shape: ArrayShape) -> int:
    """Cycle of a chunk's first drain step, counted from its first turn."""
    if work.pool:
        return work.last_token + fetch.ROW_LATENCY + pooling.SUM_LATENCY
    address = work.last_token + fetch.TOKEN_LATENCY + 1
    return address + SUM_LATENCY + shape.skew


@dataclass(frozen=True)
class _Drain:
    """How the chunks of a layer drain: idle cycles a chunk needs, and the state before the last."""

    pad: int
    pipeline: Pipeline


def _plan_drain(
    descriptor: dict[str, int], work: _Work, shape: ArrayShape, still: Pipeline
) -> _Drain:
    """The fewest idle cycles a chunk needs, so that the one before has left the drain in time.

    Args:
        still: the drain's pipeline without a word.
    """
    if work.tiles * work.groups == 1:
        return _Drain(0, still)
    last_channels = descriptor["last_channels"]
    kinds = {
        (rows, channels): _chunk_work(work, shape, rows=rows, channels=channels)
        for rows in {work.rows if work.line_tiles > 1 else work.last_rows, work.last_rows}
        for channels in {work.columns if work.groups > 1 else last_channels, last_channels}
    }
    # The first element of the drain chain takes its next sum this much before the chain is full.
    lead = max(CHUNK_GAP, 0 if work.pool else shape.skew)
    # Row 0's last byte of a chunk comes before the chunk's end, by the same span in every chunk.
    longest = max(kind.steps for kind in kinds.values())
    least = max(0, longest + lead - work.cycles)
    if not shape.single_port:
        return _Drain(least, still)
    for pad in range(least, least + CHUNK_PAD_LIMIT):
        pipeline = _settle(kinds, work, shape, pad, lead, still, last_channels=last_channels)
        if pipeline is not None:
            return _Drain(pad, pipeline)
    raise CapacityError(
        f"op '{work.op.name}': a tile does not drain in time; use an array of more rows or columns"
    )


def _settle(
    kinds: dict[tuple[int, int], DrainWork],
    work: _Work,
    shape: ArrayShape,
    pad: int,
    lead: int,
    still: Pipeline,
    *,
    last_channels: int,
) -> Pipeline | None:
    """The pipeline's state before the last chunk; None if a chunk before is late."""
    length = work.cycles + pad
    start = _drain_start(work, shape)
    tiles_and_groups = work.line_tiles * work.groups
    chunks = work.tile_lines * tiles_and_groups

    def settled(kind: tuple[int, int], pipeline: Pipeline | None, reads: Reads) -> Pipeline | None:
        if pipeline is None:
            return None
        interval = run_interval(kinds[kind], pipeline, start, length, reads)
        if interval.last_step is None or interval.last_step >= start + length - lead:
            return None
        return interval.pipeline

    endless = _reads(work, pad, chunks=None)

    @cache
    def chunk(kind: tuple[int, int], pipeline: Pipeline | None) -> Pipeline | None:
        return settled(kind, pipeline, endless)

    def groups(rows: int, pipeline: Pipeline | None, count: int) -> Pipeline | None:
        return _repeated(partial(chunk, (rows, work.columns)), pipeline, count)

    def tile(rows: int, pipeline: Pipeline | None) -> Pipeline | None:
        return chunk((rows, last_channels), groups(rows, pipeline, work.groups - 1))

    def tiles(pipeline: Pipeline | None, count: int) -> Pipeline | None:
        return _repeated(partial(tile, work.rows), pipeline, count)

    def line(pipeline: Pipeline | None) -> Pipeline | None:
        return tile(work.last_rows, tiles(pipeline, work.line_tiles - 1))

    def place(index: int) -> tuple[int, int, int, int]:
        """Whole lines and tiles before a chunk, rows of its tile, number of its group."""
        lines, rest = divmod(index, tiles_and_groups)
        before, group = divmod(rest, work.groups)
        return lines, before, work.last_rows if before == work.line_tiles - 1 else work.rows, group

    # While the last chunks but one drain, the fetch unit has come to its end.
    steady = max(0, chunks - 1 - _ending_chunks(start, length))
    lines, before, rows, group = place(steady)
    pipeline = groups(rows, tiles(_repeated(line, still, lines), before), group)
    for index in range(steady, chunks - 1):
        _, _, rows, group = place(index)
        kind = (rows, last_channels if group == work.groups - 1 else work.columns)
        pipeline = settled(kind, pipeline, _reads(work, pad, chunks=chunks - index))
    return pipeline


def _ending_chunks(start: int, length: int) -> int:
    """How many chunks before the last one still drain when the fetch unit no longer reads.

    A chunk that ``n - 1`` others follow sees reads up to ``n`` chunks from its first turn on.

    Args:
        start: cycle of a chunk's first drain step, counted from its first turn.
        length: cycles of a chunk.
    """
    return max(0, (start + length - window_walker.ADDRESS_STAGES - 1) // length - 1)


def _repeated(
    step: Callable[[Pipeline | None], Pipeline | None], state: Pipeline | None, count: int
) -> Pipeline | None:
    """The state after ``count`` steps; one that a step leaves as it is stays."""
    for _ in range(count):
        before, state = state, step(state)
        if state == before:
            break
    return state


def _reads(work: _Work, pad: int, chunks: int | None) -> Reads:
    """Whether a cycle, counted from the first turn of a chunk, reads the memory.

    Args:
        chunks: how many chunks follow, this one included; None for no end.
    """
    pattern = work.read_pattern() + [False] * pad

    def reads(cycle: int) -> bool:
        turn = cycle - window_walker.ADDRESS_STAGES
        if turn < 0 or (chunks is not None and turn >= chunks * len(pattern)):
            return False
        return pattern[turn % len(pattern)]

    return reads


def _layer(
    program: Program,
    index: int,
    work: _Work,
    descriptor: dict[str, int],
    drained: _Drain,
    shape: ArrayShape,
    load: int,
) -> LayerPlan:
    op, pad = work.op, drained.pad
    length = work.cycles + pad
    last = _chunk_work(work, shape, rows=work.last_rows, channels=descriptor["last_channels"])
    if shape.column_bytes and descriptor["copies"]:
        load += descriptor["copy_words"] + weight_copier.LATENCY
    reads = _reads(work, pad, chunks=1) if shape.single_port else None
    end = last_write(last, drained.pipeline, _drain_start(work, shape), reads)
    target = program.tensor(op.output)
    outputs = target.size // target.shape[2] * work.channels
    return LayerPlan(
        index=index,
        name=op.name,
        kind=type(op).__name__,
        output=op.output,
        first_channel=work.first_channel,
        channels=work.channels,
        descriptor=descriptor,
        walks=work.walks,
        tiles=work.tiles,
        groups=work.groups,
        chunk_cycles=length,
        chunk_pad=pad,
        load=load,
        cycles=load + (work.tiles * work.groups - 1) * length + end + 1 + DONE_LATENCY,
        macs=outputs * op.macs_per_output if isinstance(op, Conv) else 0,
    )


def _overtakes(layers: Sequence[LayerPlan]) -> bool:
    """Whether a layer with idle cycles begins while those of the one before still count.

    What is in the drain last may be less than what they are for. The first layer follows the last
    one, of the frame before.
    """
    return any(
        following.chunk_pad and layer.idle_until >= layer.cycles - layer.load + following.load
        for layer, following in zip(layers, (*layers[1:], layers[0]), strict=True)
    )


def _field_bits(name: str, values: list[int]) -> int:
    if name.rstrip("_0123456789") in SIGNED_FIELDS:
        return signed_bits(min(values), max(values))
    least = 0 if name.rstrip("_0123456789") in OPTIONAL_FIELDS else 1
    return max(least, max(values).bit_length())


def _fields(descriptors: list[dict[str, int]]) -> Fields:
    """Name, width and signedness of each field, wide enough for all layers."""
    return tuple(
        (
            name,
            _field_bits(name, [d[name] for d in descriptors]),
            name.rstrip("_0123456789") in SIGNED_FIELDS,
        )
        for name in descriptors[0]
    )


def _segment_layout(fields: Fields) -> tuple[Fields, Fields]:
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


def _header(program: Program, memory: MemoryMap, layers: int) -> dict[str, int]:
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


def _config(
    program: Program,
    works: list[_Work],
    shape: ArrayShape,
    memory: MemoryMap,
    descriptors: list[dict[str, int]],
    engine: ArrayConfig | None,
) -> ArrayConfig:
    ops = [work.op for work in works if work.final]
    address_bits = _address_bits(works, shape, memory, engine)
    least = least_conv_shift(ops)
    dots = [op for op in ops if not isinstance(op, MaxPool)]
    dot_shifts = [
        shifts(program, op, least) for op in dots if not (isinstance(op, Conv) and op.accumulators)
    ]
    shift_base = int(min((shift.min() for shift in dot_shifts), default=0))
    if engine is not None:
        shift_base = min(shift_base, engine.shift_base) if dot_shifts else engine.shift_base
    runtime = [int(shift.max()) - shift_base for shift in dot_shifts]
    ranges = [requantized_range(program, op, least) for op in dots]
    if len(dots) < len(ops):
        ranges.append((-128 << shift_base, 127 << shift_base))
    header = _header(program, memory, len(works))
    header_fields = tuple(
        (name, signed_bits(value, value), True)
        if name == "threshold"
        else (name, max(1, value.bit_length()), False)
        for name, value in header.items()
    )
    answer = program.tensor(program.output).widths or (0, 0)
    most = max(len(work.walks) for work in works)
    fields, segment_fields = _segment_layout(_fields(descriptors))
    reach = [_reach(walk) for work in works for walk in work.walks]
    lines = [_line_reach(walk) for work in works for walk in work.walks]
    program_words = layouts.descriptor_words(header_fields)
    program_words += len(works) * layouts.descriptor_words(fields)
    return ArrayConfig(
        shape=shape,
        accumulator_bits=max(signed_bits(lo, hi) for lo, hi in ranges),
        shift_base=shift_base,
        shift_bits=max(1, max(runtime, default=0).bit_length()),
        pooling=any(work.pool for work in works),
        depthwise=any(w.segment.kind is Kind.CHANNELS for work in works for w in work.walks),
        segments=most,
        scaled=_scaled(works) or (engine is not None and engine.scaled),
        output_bits=max(_output_bits(works), engine.output_bits if engine is not None else 0),
        address_bits=address_bits,
        x_bits=signed_bits(min(lo for lo, _ in reach), max(hi for _, hi in reach)),
        y_bits=signed_bits(min(lo for lo, _ in lines), max(hi for _, hi in lines)),
        bank_depth=-(-_used_bytes(works, shape, memory) // shape.word_bytes),
        weight_depth=max(sum(work.weight_bytes for work in works), 1),
        parameter_depth=sum(work.parameters(shape) for work in works),
        fields=fields,
        segment_fields=segment_fields,
        header_fields=header_fields,
        program_depth=program_words,
        codebook=() if shape.column_bytes or engine is not None else program.codebook or (),
        class_bytes=answer[0],
        score_bytes=answer[1],
        tables=len(table_images(program)),
        exponents=exponents_of(
            program.codebook, products=shape.products, name=program.name, wide=program.wide
        ),
    )


def _scaled(works: list[_Work]) -> bool:
    """Whether any accumulator is scaled between two segments."""
    return any(walk.segment.scale for work in works for walk in work.walks)


def _output_bits(works: list[_Work]) -> int:
    """Of the widest values that are requantized."""
    return 16 if any(work.wide for work in works) else 8


def _reach(walk: Walk) -> tuple[int, int]:
    """Least and greatest byte position within a line that the fetch unit computes."""
    segment, fields = walk.segment, walk.fields()
    _, width, channels = segment.source.shape
    pixels = fields["x_step"] * (fields["out_width"] + 2)
    window = fields["run_step"] * (walk.runs_x + 1) + fields["phase_step"] * (walk.phases + 1)
    channel_end = channels + fields["group_step"] + (walk.blocks + 2) * walk.shape.word_bytes
    run = walk.words * walk.shape.word_bytes
    furthest = pixels + window + channel_end + run
    return -segment.padding[1] * channels - 1, max(furthest, width * channels)


def _used_bytes(works: list[_Work], shape: ArrayShape, memory: MemoryMap) -> int:
    """Bytes of activation memory: feature maps, and the weights that are copied from it."""
    words = sum(work.copy_words(shape) for work in works) if shape.column_bytes else 0
    return memory.size + words * shape.word_bytes


def _address_bits(
    works: list[_Work], shape: ArrayShape, memory: MemoryMap, engine: ArrayConfig | None
) -> int:
    depth = -(-_used_bytes(works, shape, memory) // shape.word_bytes)
    least = max(1, ceil_log2(depth)) + exact_log2(shape.word_bytes)
    return least if engine is None else max(least, engine.address_bits)


def _line_reach(walk: Walk) -> tuple[int, int]:
    """Least and greatest line number that the fetch unit computes."""
    segment, fields = walk.segment, walk.fields()
    height = segment.source.shape[0]
    lines = (height + sum(segment.padding[::2])) // segment.stride[0] + 2
    furthest = lines * segment.stride[0] + fields["y_run_step"] * walk.runs_y
    return -segment.padding[0], max(furthest, height)
