"""ROM contents against the golden model and the program's own arrays."""

import numpy as np
import pytest

from shiftwork.hw.config import ArrayShape
from shiftwork.hw.images import (
    MAX_POOL_SHIFT,
    least_conv_shift,
    requantized_range,
    rounding,
    shifts,
    stored_bias,
    weight_columns,
)
from shiftwork.hw.layouts import descriptor_words, pack_descriptor
from shiftwork.hw.schedule import make_schedule
from shiftwork.hw.segments import Kind, average_scale, segments
from shiftwork.quant.program_ops import AveragePool, Conv, MaxPool, Product, Reshape
from shiftwork.sim import golden
from shiftwork.sim.example_programs import (
    ProgramBuilder,
    dense_net,
    depthwise_net,
    random_inputs,
    random_program,
    residual_net,
    small_cnn,
)

SHAPES = [
    ArrayShape(rows=2, columns=1),
    ArrayShape(rows=1, columns=4, lanes=2),
    ArrayShape(rows=3, columns=8, lanes=4),
]
SEEDS = range(40)


def _hardware_ops(program):
    return [op for op in program.ops if not isinstance(op, Reshape)]


def _signed(value, bits):
    return value - (1 << bits) if value >> (bits - 1) else value


def _stored_sums(segment, x):
    """What the array sums up of a segment: stored bytes, border included, times weights."""
    stored = x.astype(np.int64) - segment.source.stored_offset
    assert -128 <= stored.min() <= stored.max() <= 127
    weights = segment.weights.astype(np.int64)
    if segment.repeats:
        return stored * weights.sum(axis=(1, 2, 3))
    border = _signed(segment.border, 8)
    padded = golden.pad(stored, segment.padding, border)
    patches = golden.windows(padded, segment.kernel, segment.stride, segment.dilation)
    letters = "nhwyxc,cyx->nhwc" if segment.kind is Kind.CHANNELS else "nhwyxi,oyxi->nhwo"
    factors = weights[..., 0] if segment.kind is Kind.CHANNELS else weights
    return np.einsum(letters, patches, factors)


def _biased_sums(program, op, values, least):
    """What enters the shifter, computed as the hardware does."""
    parts = segments(program, op, least_shift=least)
    sums = [_stored_sums(part, values[name]) for part, name in zip(parts, op.inputs, strict=True)]
    return sum(sums) + stored_bias(program, op, least)


def _golden_sums(program, op, values, least):
    """The golden model's accumulators; an average's are scaled by its weight."""
    if isinstance(op, Conv):
        return golden.accumulate(op, program.sources(op), [values[name] for name in op.inputs])
    x = golden.pad(values[op.input].astype(np.int64), op.padding, op.pad_value)
    sums = golden.windows(x, op.kernel, op.stride).sum(axis=(3, 4))
    return sums << average_scale(program, op, least)


@pytest.mark.parametrize("seed", SEEDS)
def test_stored_bytes_and_bias_give_the_golden_accumulators(seed):
    rng = np.random.default_rng(seed)
    program = random_program(rng)
    least = least_conv_shift(_hardware_ops(program))
    values = golden.trace(program, random_inputs(program, rng, count=2))
    for op in _hardware_ops(program):
        if isinstance(op, MaxPool):
            continue
        sums = _biased_sums(program, op, values, least)
        half = rounding(program, op, least)
        np.testing.assert_array_equal(sums, _golden_sums(program, op, values, least) + half)
        lo, hi = requantized_range(program, op, least)
        assert lo <= sums.min() <= sums.max() <= hi
        if not (isinstance(op, Conv) and op.accumulators):
            sums = np.clip(sums >> shifts(program, op, least), op.lo, op.hi)
        np.testing.assert_array_equal(sums, values[op.output])


def _taps(op, tensor, scale):
    """For each input of ``op`` its factors ``[O, n]``, and the value outside of it, if any."""
    if isinstance(op, AveragePool):
        taps = np.full((tensor.shape[2], op.kernel[0] * op.kernel[1]), 1 << scale, np.int64)
        return [(taps, op.pad_value)]
    found = [(op.weights.reshape(len(op.weights), -1).astype(np.int64), op.pad_value)]
    for term in op.terms:
        if isinstance(term, Product):
            flat = term.weights.reshape(len(term.weights), -1).astype(np.int64)
            found.append((flat, term.pad_value))
        else:
            found.append((np.int64(1) << term.shift[:, None], None))
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_ranges_are_tight(seed):
    """The worst input of every op reaches both ends of its range."""
    program = random_program(np.random.default_rng(seed))
    least = least_conv_shift(_hardware_ops(program))
    for op in _hardware_ops(program):
        if isinstance(op, MaxPool):
            continue
        low = high = rounding(program, op, least) + (op.bias if isinstance(op, Conv) else 0)
        scale = average_scale(program, op, least) if isinstance(op, AveragePool) else 0
        found = _taps(op, program.tensor(op.input), scale)
        for (taps, border), source in zip(found, program.sources(op), strict=True):
            ends = {source.lo, source.hi} | ({border} if border is not None else set())
            worst = np.stack([taps * min(ends), taps * max(ends)])
            low = low + worst.min(axis=0).sum(axis=1)
            high = high + worst.max(axis=0).sum(axis=1)
        assert requantized_range(program, op, least) == (low.min(), high.max())


def test_a_maximum_passes_as_it_is():
    program = ProgramBuilder("max", (4, 4, 3), np.random.default_rng(0)).max_pool().build()
    (op,) = program.ops
    assert requantized_range(program, op, 5) == (-128, 127)
    assert stored_bias(program, op, 5).tolist() == [0]
    assert shifts(program, op, 5).tolist() == [MAX_POOL_SHIFT] == [0]


@pytest.mark.parametrize(
    ("finer", "least", "shift"), [(0, 0, 3), (0, 3, 3), (0, 7, 7), (0, 20, 9), (3, 2, 2)]
)
def test_an_average_is_shifted_as_far_as_the_convolutions(finer, least, shift):
    """Its weight is as large a power of two, up to 64."""
    builder = ProgramBuilder("average", (2, 3, 2), np.random.default_rng(0))
    program = builder.average_pool((2, 3), (1, 1), finer=finer).build()
    (op,) = program.ops
    assert shifts(program, op, least).tolist() == [shift]
    assert rounding(program, op, least).tolist() == [1 << shift >> 1]


def test_least_shift_is_that_of_the_requantized_convolutions():
    builder = ProgramBuilder("shifts", (4, 4, 2), np.random.default_rng(0))
    builder.conv(3, (1, 1), shift=6).average_pool().conv(4, (1, 1), shift=4)
    assert least_conv_shift(list(builder.build().ops)) == 4
    builder.dense(2, accumulators=True)
    assert least_conv_shift(list(builder.build().ops)) == 4
    assert least_conv_shift([]) == 0


def _random_schedule(seed, shape):
    return make_schedule(random_program(np.random.default_rng(seed)), shape)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape.columns}x{shape.lanes}")
@pytest.mark.parametrize("seed", range(12))
def test_columns_hold_the_layers_in_walking_order(shape, seed):
    """Layer by layer, group by group, the weights of one segment behind those of the other."""
    schedule = _random_schedule(seed, shape)
    images = schedule.images.weights
    assert images == weight_columns([layer.walks for layer in schedule.layers], shape)
    place = 0
    for layer in schedule.layers:
        assert layer.kind == "MaxPool" or layer.descriptor["weight_base"] == place
        for group in range(layer.groups):
            for walk in layer.walks:
                if walk.segment.weights is None:
                    continue
                part = slice(place, place + walk.weight_bytes)
                got = [np.frombuffer(column[part], np.uint8) for column in images]
                np.testing.assert_array_equal(got, walk.columns()[group])
                place = part.stop
    assert {len(column) for column in images} == {place}
    assert schedule.config.weight_depth == max(place, 1)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape.columns}x{shape.lanes}")
@pytest.mark.parametrize("seed", range(8))
def test_weight_of_every_channel_of_a_dense_dot_product(shape, seed):
    """Channel j * lanes + q of a group lies in column q * (columns / lanes) + j."""
    kinds = frozenset({"conv", "max_pool"})
    program = random_program(np.random.default_rng(seed), kinds=kinds)
    schedule = make_schedule(program, shape)
    columns = [np.frombuffer(column, np.int8) for column in schedule.images.weights]
    span, base = shape.columns // shape.lanes, 0
    for op in _hardware_ops(program):
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


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape.columns}x{shape.lanes}")
@pytest.mark.parametrize("seed", range(12))
def test_parameters_of_every_channel(shape, seed):
    schedule = _random_schedule(seed, shape)
    program = schedule.program
    ops = _hardware_ops(program)
    least = least_conv_shift(ops)
    config, words = schedule.config, schedule.images.parameters
    assert len(words) == config.parameter_depth
    bits = config.accumulator_bits
    lane_bits = bits + config.shift_bits

    def lane(word, q):
        value = word >> (q * lane_bits) & ((1 << lane_bits) - 1)
        return _signed(value & ((1 << bits) - 1), bits), value >> bits

    base = 0
    for op, layer in zip(ops, schedule.layers, strict=True):
        assert layer.descriptor["parameter_base"] == base
        if isinstance(op, MaxPool):
            assert [lane(words[base], q) for q in range(shape.lanes)] == [(0, 0)] * shape.lanes
            base += 1
            continue
        bias = stored_bias(program, op, least)
        shift = np.broadcast_to(shifts(program, op, least), bias.shape)
        raw = isinstance(op, Conv) and op.accumulators
        for channel in range(len(bias)):
            got = lane(words[base + channel // shape.lanes], channel % shape.lanes)
            assert got == (bias[channel], 0 if raw else shift[channel] - config.shift_base)
        base += -(-len(bias) // shape.columns) * (shape.columns // shape.lanes)
    assert base == len(words)


@pytest.mark.parametrize(
    "program",
    [small_cnn(), dense_net(), depthwise_net(), residual_net()],
    ids=lambda program: program.name,
)
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


def test_the_offset_of_unsigned_bytes_counts_every_digit_at_its_power():
    """Those of an unsigned map, and of the low plane of a map of 16 bits."""
    builder = ProgramBuilder("wide", (1, 1, 2), signed=False)
    builder.conv(1, (1, 1), weights=[300, 77], bias=[5], shift=1, wide=True, wide_output=True)
    program = builder.conv(1, (1, 1), weights=[-500], bias=[9], shift=0, wide=True).build()
    first, second = program.ops
    assert stored_bias(program, first, 0).tolist() == [128 * 377 + 5 + 1]
    assert stored_bias(program, second, 0).tolist() == [128 * -500 + 9]
