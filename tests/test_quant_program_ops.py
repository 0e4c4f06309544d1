"""Tensors and ops of the integer program: values, ranges, widths."""

import numpy as np
import pytest

from shiftwork.quant.program_ops import Conv, Product, Residual, Tensor, signed_bits
from shiftwork.sim import golden
from shiftwork.sim.example_programs import dense_net, random_inputs
from shiftwork.sim.program_builder import ProgramBuilder


@pytest.mark.parametrize(
    ("lo", "hi", "bits"),
    [(0, 0, 1), (-1, 0, 1), (-128, 127, 8), (-129, 0, 9), (0, 128, 9), (-(1 << 31), 0, 32)],
)
def test_signed_bits(lo, hi, bits):
    assert signed_bits(lo, hi) == bits


@pytest.mark.parametrize("seed", range(20))
def test_accumulator_bits_are_enough_for_every_input_and_no_more(seed):
    rng = np.random.default_rng(seed)
    program = dense_net(seed)
    op = program.ops[0]
    lo, hi = op.accumulator_range(program.tensor("input"))
    weights = op.weights.reshape(12, -1).astype(np.int64)
    worst = np.where(weights > 0, 127, -128)
    np.testing.assert_array_equal((weights * worst).sum(axis=1) + op.bias, hi)
    acc = golden.accumulate(op, program.sources(op), [random_inputs(program, rng, 50)])
    assert (acc >= lo).all()
    assert (acc <= hi).all()
    bits = program.accumulator_bits(op)
    assert -(1 << (bits - 1)) <= lo.min()
    assert hi.max() < 1 << (bits - 1)
    assert lo.min() < -(1 << (bits - 2)) or hi.max() >= 1 << (bits - 2)


def test_weights_of_16_bits_count_whole():
    """Not digit by digit: 256 - 1 is no more than 255."""
    builder = ProgramBuilder("wide", (1, 1, 2), bounds=(-10, 20))
    builder.conv(2, (1, 1), weights=[255, -300, 32639, 0], bias=[0, 7], wide=True, shift=0)
    program = builder.build()
    (op,) = program.ops
    assert op.weights.dtype == np.int16
    assert op.wide
    lo, hi = op.accumulator_range(program.tensor("input"))
    assert lo.tolist() == [-10 * 255 - 20 * 300, -10 * 32639 + 7]
    assert hi.tolist() == [20 * 255 + 10 * 300, 20 * 32639 + 7]
    assert op.macs_per_output == 2


def test_tensor_rounds_half_up_and_clips():
    tensor = Tensor(name="t", shape=(1, 1, 1), exponent=1, zero_point=3)
    x = np.array([-0.75, -0.5, -0.25, 0.25, 1000.0, -1000.0])[:, None, None, None]
    q = tensor.quantize(x)
    assert q.ravel().tolist() == [2, 2, 3, 4, 127, -128]
    assert tensor.dequantize(q).ravel().tolist() == [-0.5, -0.5, 0.0, 0.5, 62.0, -65.5]


def test_channel_exponents_scale_each_channel():
    tensor = Tensor(name="t", shape=(1, 1, 2), bits=32, gain=0.5, channel_exponents=(0, 3))
    assert tensor.scales.tolist() == [0.5, 0.0625]
    assert tensor.bytes == 8


def test_terms_and_groups_are_added_up_value_by_value(program_with_terms):
    program = program_with_terms
    depthwise, _, last = program.ops
    assert isinstance(depthwise, Conv)
    assert isinstance(last, Conv)
    q = random_inputs(program, np.random.default_rng(1), 2)
    values = golden.trace(program, q)
    padded = np.pad(q.astype(int), ((0, 0), (1, 1), (1, 1), (0, 0)))
    window = padded[1, 2:5, 3:6, 2]
    acc = int((window * depthwise.weights[2, :, :, 0].astype(int)).sum() + depthwise.bias[2])
    assert values["d"][1, 2, 3, 2] == np.clip((acc + 16) >> 5, 0, 255)

    product, residual = last.terms
    assert isinstance(product, Product)
    assert isinstance(residual, Residual)
    y = np.pad(values["y"].astype(int), ((0, 0), (1, 1), (1, 1), (0, 0)))
    acc = int((y[0, 1:4, 2:5] * last.weights[3].astype(int)).sum())
    acc += int((q[0, 2, 4].astype(int) * product.weights[3, 0, 0].astype(int)).sum())
    acc += int(values["y"][0, 1, 2, 3]) << 8
    assert values["z"][0, 1, 2, 3] == np.clip((acc + 128) >> 8, -128, 127)
    least, greatest = last.accumulator_range(*program.sources(last))
    assert least[3] <= acc <= greatest[3]
