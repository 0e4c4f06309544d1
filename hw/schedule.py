"""The schedule: what every layer does, and for exactly how many cycles.

A pure function of the program and the array's shape. ``docs/hardware.md`` explains it; the
formulas name the constants of the blocks whose latencies they count.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby

from shiftwork.errors import ProgramError
from shiftwork.hw import layouts, weight_copier
from shiftwork.hw.activation_table import table_bytes, table_images
from shiftwork.hw.coded_rom import CODE_BITS
from shiftwork.hw.config import ArrayConfig, ArrayShape
from shiftwork.hw.descriptors import make_descriptors, make_header
from shiftwork.hw.drain import write_latency
from shiftwork.hw.drain_plan import DrainPlan, chunk_reads, chunk_work, drain_start, plan_drain
from shiftwork.hw.drain_timing import empty, last_write
from shiftwork.hw.engine import check_fit, check_tables
from shiftwork.hw.flash_image import weight_words
from shiftwork.hw.images import RomImages, parameter_words, weight_columns
from shiftwork.hw.layer_work import (
    Work,
    check_count,
    groups_of_a_pass,
    hardware_ops,
    make_works,
    passes,
)
from shiftwork.hw.memory_map import MemoryMap, allocate
from shiftwork.hw.segments import Walk
from shiftwork.hw.sequencer import DONE_LATENCY, LOAD_OVERHEAD
from shiftwork.hw.widths import make_config, with_payload
from shiftwork.quant.program import Program
from shiftwork.quant.program_ops import Conv


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
        ops = hardware_ops(self.program)
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
        ops = hardware_ops(program)
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
        self._whole = make_works(program, ops, shape)
        self._works = [part for work in self._whole for part in passes(work, shape)]
        check_count(self._works, len(ops))
        self._descriptors = [
            descriptor | {"chunk_pad": 0}
            for descriptor in make_descriptors(program, self._works, shape, self.memory, engine)
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
        return max(work.group_bytes * groups_of_a_pass(work, column_bytes) for work in self._whole)

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
            plan_drain(descriptor, work, shape, still)
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
            header=make_header(program, self.memory, len(works)),
            memory=self.memory,
            shared=self._engine is not None,
        )

    def _config(self, descriptors: list[dict[str, int]]) -> ArrayConfig:
        config = make_config(
            self.program, self._works, self.shape, self.memory, descriptors, self._engine
        )
        if not config.copies_weights:
            return config
        return with_payload(self.program, config, self._works, self.memory, split=self.split)


def _layer(
    program: Program,
    index: int,
    work: Work,
    descriptor: dict[str, int],
    drained: DrainPlan,
    shape: ArrayShape,
    load: int,
) -> LayerPlan:
    op, pad = work.op, drained.pad
    length = work.cycles + pad
    last = chunk_work(work, shape, rows=work.last_rows, channels=descriptor["last_channels"])
    if shape.column_bytes and descriptor["copies"]:
        load += descriptor["copy_words"] + weight_copier.LATENCY
    reads = chunk_reads(work, pad, chunks=1) if shape.single_port else None
    end = last_write(last, drained.pipeline, drain_start(work, shape), reads)
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
