"""The schedule: what every layer does, and for exactly how many cycles.

A pure function of the program and the array's shape. ``docs/hardware.md`` explains it; the
formulas name the constants of the blocks whose latencies they count.
"""

from dataclasses import dataclass
from functools import cached_property

from amaranth.utils import ceil_log2, exact_log2

from shiftwork.errors import CapacityError, ProgramError
from shiftwork.hw import fetch, layouts, pooling
from shiftwork.hw.array import SUM_LATENCY
from shiftwork.hw.config import ArrayConfig, ArrayShape
from shiftwork.hw.drain import CHUNK_GAP
from shiftwork.hw.drain_timing import (
    EMPTY,
    DrainWork,
    Pipeline,
    Reads,
    drain_work,
    last_write,
    run_interval,
)
from shiftwork.hw.images import (
    RomImages,
    parameter_words,
    pool_range,
    requantized_range,
    shifts,
    weight_columns,
)
from shiftwork.hw.memory_map import MemoryMap, allocate
from shiftwork.hw.sequencer import LOAD_OVERHEAD
from shiftwork.quant.program import AveragePool, Conv, MaxPool, Op, Program, Reshape, signed_bits

MAX_LAYERS = 256
CHUNK_PAD_LIMIT = 1 << 14

SIGNED_FIELDS = frozenset({"x_first", "y_first", "lo", "hi"})


@dataclass(frozen=True, kw_only=True)
class LayerPlan:
    """A layer as the hardware runs it.

    Attributes:
        index: position in the hardware's order.
        name, kind, output: the program's op, its kind and its output tensor.
        descriptor: field values of the layer's line in the program ROM.
        tiles, groups: of output pixels and of output channels.
        chunk_cycles: cycles of the fetch unit for one tile and group.
        chunk_pad: idle ones among them.
        cycles: of the whole layer.
        macs: useful multiply-accumulates.
    """

    index: int
    name: str
    kind: str
    output: str
    descriptor: dict[str, int]
    tiles: int
    groups: int
    chunk_cycles: int
    chunk_pad: int
    cycles: int
    macs: int


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """What the accelerator does for a frame.

    Attributes:
        program: the network.
        config: widths and depths.
        layers: in execution order.
        header: field values of the streams' descriptor.
        memory: where the feature maps lie.
    """

    program: Program
    config: ArrayConfig
    layers: tuple[LayerPlan, ...]
    header: dict[str, int]
    memory: MemoryMap

    @cached_property
    def images(self) -> RomImages:
        """Contents of the ROMs."""
        ops = _hardware_ops(self.program)
        words = layouts.pack_descriptor(self.config.header_fields, self.header)
        for layer in self.layers:
            words += layouts.pack_descriptor(self.config.fields, layer.descriptor)
        return RomImages(
            weight_columns(ops, self.config.shape),
            parameter_words(self.program, ops, self.config),
            words,
        )

    @property
    def cycles(self) -> int:
        """Clock cycles of a frame, from ``busy`` to its end."""
        return sum(layer.cycles for layer in self.layers)

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
        return self.config.weight_depth * self.config.shape.columns

    @property
    def rom_bytes(self) -> int:
        """Bytes of all ROMs."""
        config = self.config
        parameter_bits = config.shape.lanes * (config.accumulator_bits + config.shift_bits)
        bits = parameter_bits * self.config.parameter_depth
        bits += layouts.PROGRAM_WORD_BITS * self.config.program_depth
        return self.weight_bytes + -(-bits // 8)

    @property
    def activation_bytes(self) -> int:
        """Bytes of activation memory in use."""
        return self.memory.size


@dataclass(frozen=True)
class _Walk:
    """How the fetch unit walks one tile and channel group."""

    run_bytes: int
    runs_x: int
    runs_y: int
    groups: int
    pool: bool

    def cycles(self, shape: ArrayShape) -> int:
        """Cycles without padding."""
        return self.runs_x * self.runs_y * self._run_cycles(shape)

    def words(self, shape: ArrayShape) -> int:
        """Words of a run."""
        return 1 if self.pool else -(-self.run_bytes // shape.word_bytes)

    def last_bytes(self, shape: ArrayShape) -> int:
        """Bytes of a run's last word that count."""
        return 1 if self.pool else self.run_bytes - (self.words(shape) - 1) * shape.word_bytes

    def last_cycles(self, shape: ArrayShape) -> int:
        """Cycles of a run's last word."""
        return 1 if self.pool else max(shape.rows, self.last_bytes(shape))

    def _run_cycles(self, shape: ArrayShape) -> int:
        return (self.words(shape) - 1) * shape.full_word_cycles + self.last_cycles(shape)

    def last_token(self, shape: ArrayShape) -> int:
        """Cycle of the last byte, counted from the first turn."""
        return self.cycles(shape) - self.last_cycles(shape) + self.last_bytes(shape) - 1

    def read_pattern(self, shape: ArrayShape) -> list[bool]:
        """For each cycle: does the fetch unit take a turn?"""
        turns = 1 if self.pool else shape.rows
        words = [shape.full_word_cycles] * (self.words(shape) - 1) + [self.last_cycles(shape)]
        run = [turn < turns for length in words for turn in range(length)]
        return run * (self.runs_x * self.runs_y)


def make_schedule(program: Program, shape: ArrayShape) -> Schedule:
    """The schedule of ``program`` on an array of ``shape``.

    Raises:
        ProgramError: if the program holds what the array cannot run.
        CapacityError: if it is too large for the engine's formats.
    """
    ops = _hardware_ops(program)
    _check(ops)
    memory = allocate(program)
    descriptors = _descriptors(program, ops, shape, memory)
    plans = []
    for index, (op, (descriptor, walk)) in enumerate(zip(ops, descriptors, strict=True)):
        drained = _plan_drain(descriptor, walk, shape)
        descriptor["chunk_pad"] = drained.pad
        plans.append((index, op, descriptor, walk, drained))
    fields = _fields([descriptor for _, _, descriptor, _, _ in plans])
    header = _header(program, memory, len(ops))
    config = _config(program, ops, shape, memory, fields, header, len(plans))
    load = layouts.descriptor_words(fields) + LOAD_OVERHEAD
    layers = tuple(
        _layer(program, index, op, descriptor, walk, drained, shape, load)
        for index, op, descriptor, walk, drained in plans
    )
    return Schedule(program=program, config=config, layers=layers, header=header, memory=memory)


def _hardware_ops(program: Program) -> list[Op]:
    """The ops that compute; a reshape is a matter of addresses."""
    return [op for op in program.ops if not isinstance(op, Reshape)]


def _check(ops: list[Op]) -> None:
    if not ops:
        raise ProgramError("the network has no layer that computes anything")
    if len(ops) > MAX_LAYERS:
        raise CapacityError(f"the network has {len(ops)} layers; the engine runs {MAX_LAYERS}")


def _walk(program: Program, op: Op, shape: ArrayShape) -> _Walk:
    channels = program.tensor(op.input).shape[2]
    match op:
        case Conv():
            height, width = op.kernel
            groups = -(-len(op.weights) // shape.columns)
            if op.dilation[1] == 1:
                return _Walk(width * channels, 1, height, groups, pool=False)
            return _Walk(channels, width, height, groups, pool=False)
        case MaxPool() | AveragePool():
            height, width = op.kernel
            return _Walk(1, width, height, -(-channels // shape.word_bytes), pool=True)
        case _:
            raise ProgramError(f"op '{op.name}' of kind {type(op).__name__} has no hardware")


def _descriptors(
    program: Program, ops: list[Op], shape: ArrayShape, memory: MemoryMap
) -> list[tuple[dict[str, int], _Walk]]:
    weight_base = parameter_base = 0
    result = []
    for op in ops:
        walk = _walk(program, op, shape)
        descriptor = {
            **_fetch_fields(program, op, shape, memory, walk),
            **_drain_fields(program, op, shape, memory, walk),
            "weight_base": weight_base,
            "parameter_base": parameter_base,
        }
        if isinstance(op, Conv):
            weight_base += walk.groups * op.weights[0].size
            parameter_base += walk.groups * (shape.columns // shape.lanes)
        else:
            parameter_base += 1
        result.append((descriptor, walk))
    return result


def _fetch_fields(
    program: Program, op: Op, shape: ArrayShape, memory: MemoryMap, walk: _Walk
) -> dict[str, int]:
    source, target = program.tensor(op.input), program.tensor(op.output)
    height, width, channels = source.shape
    row_bytes = width * channels
    assert isinstance(op, Conv | MaxPool | AveragePool)
    dilation = op.dilation if isinstance(op, Conv) else (1, 1)
    top, left = op.padding[:2]
    pixels = target.shape[0] * target.shape[1]
    return {
        "pool": int(walk.pool),
        "average": int(isinstance(op, AveragePool)),
        "reads_input": int(memory.base[op.input] == memory.base[program.input]),
        "input_base": (memory.base[op.input] - top * row_bytes)
        % (1 << _address_bits(memory, shape)),
        "row_bytes": row_bytes,
        "height": height,
        "x_first": -left * channels,
        "y_first": -top,
        "x_step": op.stride[1] * channels,
        "y_step": op.stride[0],
        "line_step": op.stride[0] * row_bytes,
        "out_width": target.shape[1] - 1,
        "tiles": -(-pixels // (1 if walk.pool else shape.rows)) - 1,
        "groups": walk.groups - 1,
        "runs_y": walk.runs_y - 1,
        "y_run_step": dilation[0],
        "line_run_step": dilation[0] * row_bytes,
        "runs_x": walk.runs_x - 1,
        "run_step": dilation[1] * channels,
        "run_words": walk.words(shape) - 1,
        "last_bytes": walk.last_bytes(shape),
        "last_cycles": walk.last_cycles(shape) - 1,
        "border": _border(op, source.stored_offset),
    }


def _border(op: Op, stored_offset: int) -> int:
    """The stored byte outside the feature map; for a maximum one that never wins."""
    if isinstance(op, MaxPool):
        return 0x80
    assert isinstance(op, Conv | AveragePool)
    return (op.pad_value - stored_offset) & 0xFF


def _drain_fields(
    program: Program, op: Op, shape: ArrayShape, memory: MemoryMap, walk: _Walk
) -> dict[str, int]:
    target = program.tensor(op.output)
    pixels, channels = target.shape[0] * target.shape[1], target.shape[2]
    rows, columns = (1, shape.word_bytes) if walk.pool else (shape.rows, shape.columns)
    last_channels = channels - (walk.groups - 1) * columns
    raw = isinstance(op, Conv) and op.accumulators
    copies = isinstance(op, MaxPool)
    lo, hi = (-128, 127) if copies or raw else (op.lo, op.hi)  # type: ignore[attr-defined]
    return {
        "writes_output": int(memory.base[op.output] == memory.base[program.output]),
        "output_base": memory.base[op.output],
        "pixel_step": channels,
        "tile_step": rows * channels,
        "last_rows": (pixels - 1) % rows,
        "last_channels": last_channels,
        "last_place": -(-last_channels // shape.lanes) - 1,
        "raw": int(raw),
        "flip": int(not copies and not raw and not target.signed),
        "plane_step": target.size if raw else 0,
        "lo": lo,
        "hi": hi,
    }


def _chunk_work(
    descriptor: dict[str, int], walk: _Walk, shape: ArrayShape, *, rows: int, channels: int
) -> DrainWork:
    return drain_work(
        rows=rows,
        channels=channels,
        places=_columns(walk, shape) // shape.lanes,
        lanes=shape.lanes,
        word_bytes=shape.word_bytes,
        raw=bool(descriptor["raw"]),
    )


def _drain_start(walk: _Walk, shape: ArrayShape) -> int:
    """Cycle of a chunk's first drain step, counted from its first turn."""
    if walk.pool:
        return walk.last_token(shape) + fetch.ROW_LATENCY + pooling.SUM_LATENCY
    address = walk.last_token(shape) + fetch.TOKEN_LATENCY + 1
    return address + SUM_LATENCY + shape.rows + shape.columns - 2


@dataclass(frozen=True)
class _Drain:
    """How the chunks of a layer drain: idle cycles a chunk needs, and the state before the last."""

    pad: int
    pipeline: Pipeline


def _plan_drain(descriptor: dict[str, int], walk: _Walk, shape: ArrayShape) -> _Drain:
    """The fewest idle cycles a chunk needs, so that the one before has left the drain in time."""
    tiles, groups = descriptor["tiles"] + 1, descriptor["groups"] + 1
    chunks = tiles * groups
    if chunks == 1:
        return _Drain(0, EMPTY)
    rows = 1 if walk.pool else shape.rows
    works = {
        last: _chunk_work(
            descriptor,
            walk,
            shape,
            rows=rows if tiles > 1 else descriptor["last_rows"] + 1,
            channels=descriptor["last_channels"] if last else _columns(walk, shape),
        )
        for last in ({True, False} if groups > 1 else {True})
    }
    # The first element of the drain chain takes its next sum this much before the chain is full.
    lead = max(CHUNK_GAP, 0 if walk.pool else shape.rows + shape.columns - 2)
    longest = max(work.steps for work in works.values())
    least = max(0, longest + lead - walk.cycles(shape))
    if not shape.single_port:
        return _Drain(least, EMPTY)
    for pad in range(least, least + CHUNK_PAD_LIMIT):
        pipeline = _settle(works, walk, shape, pad, lead, chunks=chunks, groups=groups)
        if pipeline is not None:
            return _Drain(pad, pipeline)
    raise CapacityError("a tile does not drain in time; use more lanes")


def _settle(
    works: dict[bool, DrainWork],
    walk: _Walk,
    shape: ArrayShape,
    pad: int,
    lead: int,
    *,
    chunks: int,
    groups: int,
) -> Pipeline | None:
    """The pipeline's state before the last chunk; None if a chunk before is late."""
    length = walk.cycles(shape) + pad
    start = _drain_start(walk, shape)
    reads = _reads(walk, shape, pad, chunks=None)
    known: dict[tuple[Pipeline, bool], Pipeline] = {}
    pipeline = EMPTY
    for chunk in range(chunks - 1):
        key = (pipeline, chunk % groups == groups - 1)
        if key not in known:
            interval = run_interval(works[key[1]], pipeline, start, length, reads)
            if interval.last_step is None or interval.last_step >= start + length - lead:
                return None
            known[key] = interval.pipeline
        pipeline = known[key]
    return pipeline


def _columns(walk: _Walk, shape: ArrayShape) -> int:
    """Channels of a full group."""
    return shape.word_bytes if walk.pool else shape.columns


def _reads(walk: _Walk, shape: ArrayShape, pad: int, chunks: int | None) -> Reads:
    """Whether a cycle, counted from the first turn of a chunk, reads the memory.

    Args:
        chunks: how many chunks follow, this one included; None for no end.
    """
    pattern = walk.read_pattern(shape) + [False] * pad

    def reads(cycle: int) -> bool:
        turn = cycle - fetch.ADDRESS_STAGES
        if turn < 0 or (chunks is not None and turn >= chunks * len(pattern)):
            return False
        return pattern[turn % len(pattern)]

    return reads


def _layer(
    program: Program,
    index: int,
    op: Op,
    descriptor: dict[str, int],
    walk: _Walk,
    drained: _Drain,
    shape: ArrayShape,
    load: int,
) -> LayerPlan:
    pad = drained.pad
    tiles, groups = descriptor["tiles"] + 1, descriptor["groups"] + 1
    length = walk.cycles(shape) + pad
    work = _chunk_work(
        descriptor,
        walk,
        shape,
        rows=descriptor["last_rows"] + 1,
        channels=descriptor["last_channels"],
    )
    reads = _reads(walk, shape, pad, chunks=1) if shape.single_port else None
    end = last_write(work, drained.pipeline, _drain_start(walk, shape), reads)
    target = program.tensor(op.output)
    return LayerPlan(
        index=index,
        name=op.name,
        kind=type(op).__name__,
        output=op.output,
        descriptor=descriptor,
        tiles=tiles,
        groups=groups,
        chunk_cycles=length,
        chunk_pad=pad,
        cycles=load + (tiles * groups - 1) * length + end + 1,
        macs=target.size * op.weights[0].size if isinstance(op, Conv) else 0,
    )


def _field_bits(name: str, values: list[int]) -> int:
    if name in SIGNED_FIELDS:
        return signed_bits(min(values), max(values))
    return max(1, max(values).bit_length())


def _fields(descriptors: list[dict[str, int]]) -> tuple[tuple[str, int, bool], ...]:
    """Name, width and signedness of each field, wide enough for all layers."""
    return tuple(
        (name, _field_bits(name, [d[name] for d in descriptors]), name in SIGNED_FIELDS)
        for name in descriptors[0]
    )


def _header(program: Program, memory: MemoryMap, layers: int) -> dict[str, int]:
    source, target = program.tensor(program.input), program.tensor(program.output)
    raw = target.bits == 32
    return {
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


def _config(
    program: Program,
    ops: list[Op],
    shape: ArrayShape,
    memory: MemoryMap,
    fields: tuple[tuple[str, int, bool], ...],
    header: dict[str, int],
    layers: int,
) -> ArrayConfig:
    convs = [op for op in ops if isinstance(op, Conv)]
    scaled = [op.shift for op in convs if not op.accumulators]
    shift_base = int(min((shift.min() for shift in scaled), default=0))
    runtime = [int(shift.max()) - shift_base for shift in scaled]
    runtime += [int(shifts(op).max()) for op in ops if not isinstance(op, Conv)]
    ranges = [requantized_range(program, op) for op in convs]
    pools = [pool_range(op) for op in ops if not isinstance(op, Conv)]
    ranges += [
        (lo << shift_base, hi << shift_base)
        for op in ops
        if not isinstance(op, Conv)
        for lo, hi in (requantized_range(program, op), pool_range(op))
    ]
    header_fields = tuple(
        (name, max(1, value.bit_length()), False) for name, value in header.items()
    )
    reach = [_reach(program, op, shape) for op in ops]
    weight_depth = sum(-(-len(op.weights) // shape.columns) * op.weights[0].size for op in convs)
    program_words = layouts.descriptor_words(header_fields)
    program_words += layers * layouts.descriptor_words(fields)
    parameter_depth = sum(
        -(-len(op.weights) // shape.columns) * (shape.columns // shape.lanes)
        if isinstance(op, Conv)
        else 1
        for op in ops
    )
    return ArrayConfig(
        shape=shape,
        accumulator_bits=max(signed_bits(lo, hi) for lo, hi in ranges),
        shift_base=shift_base,
        shift_bits=max(1, max(runtime, default=0).bit_length()),
        pool_bits=max((signed_bits(lo, hi) for lo, hi in pools), default=0),
        address_bits=_address_bits(memory, shape),
        x_bits=signed_bits(min(lo for lo, _ in reach), max(hi for _, hi in reach)),
        y_bits=signed_bits(*_line_reach(program, ops)),
        bank_depth=_bank_depth(memory, shape),
        weight_depth=max(weight_depth, 1),
        parameter_depth=parameter_depth,
        fields=fields,
        header_fields=header_fields,
        program_depth=program_words,
    )


def _reach(program: Program, op: Op, shape: ArrayShape) -> tuple[int, int]:
    """Least and greatest byte position within a line that the fetch unit computes for ``op``."""
    _, width, channels = program.tensor(op.input).shape
    assert isinstance(op, Conv | MaxPool | AveragePool)
    dilation = op.dilation[1] if isinstance(op, Conv) else 1
    window = (dilation * (op.kernel[1] - 1) + 1) * channels
    out_width = program.tensor(op.output).shape[1]
    furthest = out_width * op.stride[1] * channels + window + channels + 2 * shape.word_bytes
    return -op.padding[1] * channels - 1, max(furthest, width * channels)


def _bank_depth(memory: MemoryMap, shape: ArrayShape) -> int:
    return -(-memory.size // shape.word_bytes)


def _address_bits(memory: MemoryMap, shape: ArrayShape) -> int:
    return max(1, ceil_log2(_bank_depth(memory, shape))) + exact_log2(shape.word_bytes)


def _line_reach(program: Program, ops: list[Op]) -> tuple[int, int]:
    """Least and greatest line number that the fetch unit computes."""
    least, greatest = 0, 0
    for op in ops:
        assert isinstance(op, Conv | MaxPool | AveragePool)
        height = program.tensor(op.input).shape[0]
        lines = program.tensor(op.output).shape[0]
        dilation = op.dilation[0] if isinstance(op, Conv) else 1
        furthest = (lines + 1) * op.stride[0] + dilation * op.kernel[0]
        least = min(least, -op.padding[0])
        greatest = max(greatest, furthest, height)
    return least, greatest
