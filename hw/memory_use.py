"""What activation memory holds while each layer runs: addresses over time."""

from dataclasses import dataclass
from enum import StrEnum

from shiftwork.hw.memory_map import BUFFERS, aliases, last_reader, lifetimes
from shiftwork.hw.schedule import OpPlan, Schedule
from shiftwork.quant.program_ops import Reshape, TopScore


class Use(StrEnum):
    """What a layer does with some bytes."""

    READ = "read"
    WRITTEN = "written"
    KEPT = "kept for a later layer"
    STREAM = "buffer that a stream may fill or empty"
    WEIGHTS = "weights"
    COPIED = "weights that are copied to the columns"


@dataclass(frozen=True, kw_only=True)
class Region:
    """Some bytes of activation memory.

    Attributes:
        name: of the tensor, or what else lies there.
        address: of the first byte.
        bytes: how many.
        uses: for every op of ``Schedule.ops`` what it is used for; None while it is free.
    """

    name: str
    address: int
    bytes: int
    uses: tuple[Use | None, ...]


def memory_use(schedule: Schedule) -> tuple[Region, ...]:
    """All regions by address; those that are used at the same time lie apart.

    A tensor and its reshapes are one region, by the first one's name.
    """
    regions = [*_streams(schedule), *_tensors(schedule), *_weights(schedule)]
    return tuple(sorted(regions, key=lambda region: (region.address, region.name)))


def _op_indices(schedule: Schedule) -> list[int]:
    """Where the ops of the schedule stand in the program."""
    return [
        i for i, op in enumerate(schedule.program.ops) if not isinstance(op, Reshape | TopScore)
    ]


def _streams(schedule: Schedule) -> list[Region]:
    """The buffers of input and output. A frame uses the first ones, as the next one the second."""
    program, memory = schedule.program, schedule.memory
    freed, count = last_reader(program), len(schedule.ops)
    source, target = program.tensor(program.input), program.scores
    readers = _readers(schedule, source.name)
    reads = tuple(
        Use.READ if index in readers else Use.KEPT if index <= freed else Use.STREAM
        for index in _op_indices(schedule)
    )
    alias = aliases(program)
    writer = next(i for i, op in enumerate(program.ops) if alias[op.output] == alias[target.name])
    written = tuple(
        Use.STREAM if index < writer else Use.WRITTEN if index == writer else Use.KEPT
        for index in _op_indices(schedule)
    )
    idle = (Use.STREAM,) * count
    buffers = [
        (source.name, memory.base[source.name], source.bytes, reads),
        (f"{source.name}, next frame", memory.input_second, source.bytes, idle),
        (target.name, memory.base[target.name], target.bytes, written),
        (f"{target.name}, frame before", memory.output_second, target.bytes, idle),
    ]
    if schedule.config.shape.input_buffers < BUFFERS:
        del buffers[1]
    return [
        Region(name=name, address=address, bytes=size, uses=uses)
        for name, address, size, uses in buffers
    ]


def _readers(schedule: Schedule, name: str) -> set[int]:
    """The ops of the program that read a tensor or a reshape of it."""
    alias = aliases(schedule.program)
    return {
        index
        for index in _op_indices(schedule)
        if alias[name] in {alias[source] for source in schedule.program.ops[index].inputs}
    }


def _tensors(schedule: Schedule) -> list[Region]:
    """The feature maps between input and output."""
    program, alias = schedule.program, aliases(schedule.program)
    ends = {alias[program.input], alias[program.output]}
    found = []
    for name, (first, last) in lifetimes(program, alias).items():
        if name in ends:
            continue
        readers = _readers(schedule, name)
        uses = tuple(
            None
            if not first <= index <= last
            else Use.WRITTEN
            if index == first
            else Use.READ
            if index in readers
            else Use.KEPT
            for index in _op_indices(schedule)
        )
        tensor = program.tensor(name)
        found.append(
            Region(name=name, address=schedule.memory.base[name], bytes=tensor.bytes, uses=uses)
        )
    return found


def _weights(schedule: Schedule) -> list[Region]:
    """Those that are copied to the columns, an op's each; none where they are in ROMs."""
    if not schedule.config.copies_weights:
        return []
    found = []
    for index, op in enumerate(schedule.ops):
        words = sum(part.descriptor["copy_words"] for part in op.passes)
        uses = [Use.WEIGHTS] * len(schedule.ops)
        uses[index] = Use.COPIED
        if words:
            found.append(
                Region(
                    name=f"weights of {op.name}",
                    address=_first_word(op),
                    bytes=words * schedule.config.shape.word_bytes,
                    uses=tuple(uses),
                )
            )
    return found


def _first_word(op: OpPlan) -> int:
    return op.passes[0].descriptor["copy_source"]
