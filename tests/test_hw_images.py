"""ROM contents against the golden model and the program's own arrays."""

import numpy as np
import pytest

from shiftwork.hw.config import ArrayShape
from shiftwork.hw.images import (
    pool_range,
    requantized_range,
    shifts,
    stored_bias,
    weight_columns,
)
from shiftwork.hw.layouts import descriptor_words, pack_descriptor
from shiftwork.hw.schedule import make_schedule
from shiftwork.quant.program import AveragePool, Conv, MaxPool, Reshape
from shiftwork.sim import golden
from shiftwork.sim.example_programs import dense_net, random_inputs, random_program, small_cnn

SHAPES = [
    ArrayShape(rows=2, columns=1),
    ArrayShape(rows=1, columns=4, lanes=2),
    ArrayShape(rows=3, columns=8, lanes=4),
]
SEEDS = range(25)


def _hardware_ops(program):
    return [op for op in program.ops if not isinstance(op, Reshape)]


def _signed(value, bits):
    return value - (1 << bits) if value >> (bits - 1) else value


def _stored_windows(program, op, x):
    """The stored bytes of every window of a convolution or average, ``[N, H, W, taps, C]``."""
    padded = golden.pad(x.astype(np.int64), op.padding, op.pad_value)
    dilation = op.dilation if isinstance(op, Conv) else (1, 1)
    patches = golden.windows(padded, op.kernel, op.stride, dilation)
    stored = patches - program.tensor(op.input).stored_offset
    assert stored.min() >= -128
    assert stored.max() <= 127
    return stored.reshape(*stored.shape[:3], -1, stored.shape[-1])


def _biased_sums(program, op, x):
    """What enters the shifter, computed as the hardware does: from stored bytes."""
    stored = _stored_windows(program, op, x)
    if isinstance(op, AveragePool):
        return stored.sum(axis=3) + stored_bias(program, op)
    weights = op.weights.reshape(len(op.weights), -1).astype(np.int64)
    return stored.reshape(*stored.shape[:3], -1) @ weights.T + stored_bias(program, op)


@pytest.mark.parametrize("seed", SEEDS)
def test_bias_and_shift_give_the_golden_result(seed):
    rng = np.random.default_rng(seed)
    program = random_program(rng)
    values = golden.trace(program, random_inputs(program, rng, count=2))
    for op in program.ops:
        if isinstance(op, Reshape | MaxPool):
            continue
        sums = _biased_sums(program, op, values[op.input])
        lo, hi = requantized_range(program, op)
        assert lo <= sums.min() <= sums.max() <= hi
        if not (isinstance(op, Conv) and op.accumulators):
            sums = np.clip(sums >> shifts(op), op.lo, op.hi)
        np.testing.assert_array_equal(sums, values[op.output])


@pytest.mark.parametrize("seed", SEEDS)
def test_ranges_are_tight(seed):
    """The worst input of every op reaches both ends of its range."""
    program = random_program(np.random.default_rng(seed))
    for op in _hardware_ops(program):
        source = program.tensor(op.input)
        if isinstance(op, MaxPool):
            assert requantized_range(program, op) == pool_range(op) == (-128, 127)
            assert (stored_bias(program, op).tolist(), shifts(op).tolist()) == ([0], [0])
            continue
        least, greatest = min(source.lo, op.pad_value), max(source.hi, op.pad_value)
        if isinstance(op, AveragePool):
            taps = np.ones((1, op.kernel[0] * op.kernel[1]), dtype=np.int64)
            assert pool_range(op) == (-128 * taps.size, 127 * taps.size)
        else:
            taps = op.weights.reshape(len(op.weights), -1).astype(np.int64)
            assert pool_range(op) == (0, 0)
        bias = stored_bias(program, op) - source.stored_offset * taps.sum(axis=1)
        low = np.where(taps > 0, taps * least, taps * greatest).sum(axis=1) + bias
        high = np.where(taps > 0, taps * greatest, taps * least).sum(axis=1) + bias
        assert requantized_range(program, op) == (low.min(), high.max())


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape.columns}x{shape.lanes}")
@pytest.mark.parametrize("seed", range(8))
def test_weight_of_every_channel(shape, seed):
    """Channel j * lanes + q of a group lies in column q * (columns / lanes) + j."""
    program = random_program(np.random.default_rng(seed))
    ops = _hardware_ops(program)
    columns = [
        np.array(column, dtype=np.uint8).view(np.int8) for column in weight_columns(ops, shape)
    ]
    assert len(columns) == shape.columns
    span, base = shape.columns // shape.lanes, 0
    for op in ops:
        if not isinstance(op, Conv):
            continue
        size = op.weights[0].size
        groups = -(-len(op.weights) // shape.columns)
        for channel in range(groups * shape.columns):
            group, within = divmod(channel, shape.columns)
            column = within % shape.lanes * span + within // shape.lanes
            start = base + group * size
            exists = channel < len(op.weights)
            expected = op.weights[channel].reshape(-1) if exists else np.zeros(size)
            np.testing.assert_array_equal(columns[column][start : start + size], expected)
        base += groups * size
    assert {len(column) for column in columns} == {base}


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape.columns}x{shape.lanes}")
@pytest.mark.parametrize("seed", range(8))
def test_parameters_of_every_channel(shape, seed):
    program = random_program(np.random.default_rng(seed))
    schedule = make_schedule(program, shape)
    config, words = schedule.config, schedule.images.parameters
    assert len(words) == config.parameter_depth
    bits = config.accumulator_bits
    lane_bits = bits + config.shift_bits

    def lane(word, q):
        value = word >> (q * lane_bits) & ((1 << lane_bits) - 1)
        return _signed(value & ((1 << bits) - 1), bits), value >> bits

    base = 0
    for op in _hardware_ops(program):
        bias, shift = stored_bias(program, op), shifts(op)
        if isinstance(op, Conv):
            for channel in range(len(bias)):
                got = lane(words[base + channel // shape.lanes], channel % shape.lanes)
                runtime = 0 if op.accumulators else shift[channel] - config.shift_base
                assert got == (bias[channel], runtime)
            base += -(-len(bias) // shape.columns) * (shape.columns // shape.lanes)
        else:
            expected = (bias[0] << config.shift_base, shift[0])
            assert [lane(words[base], q) for q in range(shape.lanes)] == [expected] * shape.lanes
            base += 1
    assert base == len(words)


@pytest.mark.parametrize("program", [small_cnn(), dense_net()], ids=lambda program: program.name)
def test_program_is_the_header_and_a_descriptor_for_each_layer(program):
    schedule = make_schedule(program, ArrayShape(rows=2, columns=4, lanes=2))
    config, words = schedule.config, schedule.images.program
    header = descriptor_words(config.header_fields)
    assert words[:header] == pack_descriptor(config.header_fields, schedule.header)
    size = descriptor_words(config.fields)
    for layer in schedule.layers:
        start = header + layer.index * size
        assert words[start : start + size] == pack_descriptor(config.fields, layer.descriptor)
    assert len(words) == header + len(schedule.layers) * size == config.program_depth
