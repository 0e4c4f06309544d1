"""The memory map: no feature map is overwritten as long as somebody needs it."""

import numpy as np
import pytest

from shiftwork.hw.memory_map import BUFFERS, allocate, last_reader
from shiftwork.quant.program_ops import Reshape
from shiftwork.sim.example_programs import ProgramBuilder, random_program, small_cnn

SEEDS = range(60)


def _random(seed):
    return random_program(np.random.default_rng(seed), depth=6)


@pytest.mark.parametrize("alignment", [1, 8])
@pytest.mark.parametrize("input_buffers", [1, 2])
@pytest.mark.parametrize("seed", SEEDS)
def test_every_op_reads_what_was_written(seed, alignment, input_buffers):
    """Memory holds the name of each byte's owner; the streams' other buffers are always taken.

    An op reads all its inputs, however long ago they were written: a residual's stays alive.
    """
    program = _random(seed)
    memory = allocate(program, alignment=alignment, input_buffers=input_buffers)
    owner = np.full(memory.size, "", dtype=object)

    def span(tensor, start=None):
        first = memory.base[tensor.name] if start is None else start
        assert first % alignment == 0
        assert 0 <= first <= first + tensor.bytes <= memory.size
        return slice(first, first + tensor.bytes)

    source, result = program.tensor(program.input), program.tensor(program.output)
    if input_buffers == BUFFERS:
        owner[span(source, memory.input_second)] = "second input"
    else:
        assert memory.input_second == memory.base[source.name]
    owner[span(source)] = source.name
    owner[span(result, memory.output_second)] = "second output"
    for op in program.ops:
        target = program.tensor(op.output)
        for name in op.inputs:
            assert (owner[span(program.tensor(name))] == owner_of(program, name)).all()
        if isinstance(op, Reshape):
            assert memory.base[op.input] == memory.base[op.output]
            continue
        taken = set(owner[span(target)])
        assert not taken & {owner_of(program, name) for name in op.inputs}
        assert not taken & {"second input", "second output", source.name}
        owner[span(target)] = target.name
    assert (owner[span(result)] == owner_of(program, result.name)).all()
    assert (owner[span(result, memory.output_second)] == "second output").all()


def owner_of(program, name):
    """The tensor whose bytes those of ``name`` are."""
    for op in reversed(program.ops):
        if isinstance(op, Reshape) and op.output == name:
            name = op.input
    return name


@pytest.mark.parametrize("input_buffers", [1, 2])
@pytest.mark.parametrize("seed", SEEDS)
def test_streams_lie_first_and_apart(seed, input_buffers):
    program = _random(seed)
    memory = allocate(program, input_buffers=input_buffers)
    source, result = program.tensor(program.input), program.tensor(program.output)
    starts = [memory.base[source.name], memory.input_second][:input_buffers]
    starts += [memory.base[result.name], memory.output_second]
    lengths = [source.bytes] * input_buffers + [result.bytes] * BUFFERS
    ends = [start + length for start, length in zip(starts, lengths, strict=True)]
    assert starts == [0, *ends[:-1]]
    streams = {alias for alias in memory.base if memory.base[alias] in starts}
    for tensor in program.tensors:
        assert tensor.name in streams or memory.base[tensor.name] >= ends[-1]


@pytest.mark.parametrize("alignment", [2, 16])
def test_alignment_rounds_sizes_up(alignment):
    program = small_cnn()
    memory = allocate(program, alignment=alignment)
    starts = {*memory.base.values(), memory.input_second, memory.output_second}
    assert all(start % alignment == 0 for start in starts)
    assert memory.size % alignment == 0
    assert memory.size >= allocate(program).size


def test_a_tensor_lives_until_its_last_reader():
    """``a`` is added to ``d``: it outlives ``b`` and ``c``, which take turns at another place."""
    builder = ProgramBuilder("late", (4, 4, 3), np.random.default_rng(0))
    for name in ("a", "b", "c", "d"):
        builder.conv(3, (1, 1), name=name)
    builder.residual("a").conv(3, (1, 1), name="e").dense(2)
    pixels = 48
    memory = allocate(builder.build())
    assert memory.size == 2 * pixels + 2 * 2 + 3 * pixels
    places = [memory.base[name] for name in "abcd"]
    assert len({places[0], places[1], places[2]}) == 3
    assert places[3] == places[1]
    assert memory.base["e"] in (places[0], places[1], places[2])


def test_the_largest_tensors_are_placed_first():
    """18, 18 and 36 KiB one after the other need no more than the greatest neighbours do."""
    builder = ProgramBuilder("chain", (48, 48, 1), np.random.default_rng(0))
    builder.conv(8, (1, 1)).depthwise((1, 1)).conv(16, (1, 1)).max_pool((48, 48), (48, 48))
    streams = 2 * 48 * 48 + 2 * 16
    assert allocate(builder.build()).size == streams + 48 * 48 * (8 + 16)


@pytest.mark.parametrize(
    ("late", "index"), [(None, 1), ("input", 3), ("flat", 3), ("unread reshape", 1)]
)
def test_last_reader_of_the_input(late, index):
    """Whoever reads it or a reshape of it last."""
    builder = ProgramBuilder("readers", (1, 2, 3), np.random.default_rng(0))
    builder.reshape((1, 1, 6), name="flat").conv(6, (1, 1)).conv(6, (1, 1)).conv(6, (1, 1))
    if late == "flat":
        builder.residual("flat")
    elif late == "input":
        builder.shortcut("input", (1, 2))
    elif late == "unread reshape":
        last = builder.last.name
        builder.at("input").reshape((2, 3, 1))
        builder.at(last)
    builder.dense(2)
    assert last_reader(builder.build()) == index


def test_dead_feature_maps_make_room():
    builder = ProgramBuilder("chain", (4, 4, 3), np.random.default_rng(0))
    for _ in range(5):
        builder.conv(3, (1, 1))
    program = builder.build()
    pixels = 48
    assert allocate(program).size == 2 * pixels + 2 * pixels + 2 * pixels


def test_reshaped_tensor_shares_its_bytes():
    program = small_cnn()
    memory = allocate(program)
    reshapes = [op for op in program.ops if isinstance(op, Reshape)]
    assert reshapes
    for op in reshapes:
        assert memory.base[op.input] == memory.base[op.output]


def test_accumulators_take_four_bytes():
    builder = ProgramBuilder("wide", (1, 1, 6), np.random.default_rng(0))
    program = builder.dense(5, accumulators=True).build()
    memory = allocate(program)
    assert (memory.base["input"], memory.input_second) == (0, 6)
    assert memory.output_second - memory.base[program.output] == 20
    assert memory.size == 2 * 6 + 2 * 20
