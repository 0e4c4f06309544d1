"""The memory map: no feature map is overwritten as long as somebody needs it."""

import numpy as np
import pytest

from shiftwork.hw.memory_map import BUFFERS, allocate
from shiftwork.quant.program import Reshape
from shiftwork.sim.example_programs import ProgramBuilder, random_program, small_cnn

SEEDS = range(60)


def _random(seed):
    return random_program(np.random.default_rng(seed), depth=6)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_op_reads_what_was_written(seed):
    """Memory holds the name of each byte's owner; a stream's two buffers are always taken."""
    program = _random(seed)
    memory = allocate(program)
    owner = np.full(memory.size, "", dtype=object)

    def span(tensor, start=None):
        first = memory.base[tensor.name] if start is None else start
        assert 0 <= first <= first + tensor.bytes <= memory.size
        return slice(first, first + tensor.bytes)

    source, result = program.tensor(program.input), program.tensor(program.output)
    owner[span(source)] = source.name
    owner[span(source, memory.input_second)] = "second input"
    owner[span(result, memory.output_second)] = "second output"
    for op in program.ops:
        target = program.tensor(op.output)
        assert (owner[span(program.tensor(op.input))] == op.input).all()
        taken = set(owner[span(target)])
        assert isinstance(op, Reshape) or op.input not in taken
        assert not taken & {"second input", "second output"}
        assert source.name not in taken or isinstance(op, Reshape)
        owner[span(target)] = target.name
    assert (owner[span(result)] == result.name).all()
    assert (owner[span(result, memory.output_second)] == "second output").all()
    assert (owner[span(source, memory.input_second)] == "second input").all()


@pytest.mark.parametrize("seed", SEEDS)
def test_streams_lie_first_and_apart(seed):
    program = _random(seed)
    memory = allocate(program)
    source, result = program.tensor(program.input), program.tensor(program.output)
    starts = [memory.base[source.name], memory.input_second]
    starts += [memory.base[result.name], memory.output_second]
    lengths = [source.bytes] * BUFFERS + [result.bytes] * BUFFERS
    ends = [start + length for start, length in zip(starts, lengths, strict=True)]
    assert starts == [0, *ends[:-1]]
    streams = {alias for alias in memory.base if memory.base[alias] in starts}
    for tensor in program.tensors:
        assert tensor.name in streams or memory.base[tensor.name] >= ends[-1]


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
