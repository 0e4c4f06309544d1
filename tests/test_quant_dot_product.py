import numpy as np
import pytest

from shiftwork.quant.dot_product import Rows
from shiftwork.quant.graph import Conv
from shiftwork.quant.program_ops import Conv as ConvOp
from shiftwork.quant.program_ops import Product, Residual, Tensor


def conv(weights, bias, name="dense"):
    weights = np.asarray(weights, np.float32)
    weights = weights.reshape(len(weights), 1, 1, -1)
    bias = np.asarray(bias, np.float32)
    return Conv(name=name, input="x", output="y", weights=weights, bias=bias)


def tensor(channels, name="x", **fields):
    return Tensor(name=name, shape=(1, 1, channels), **fields)


def test_rows_are_in_steps_of_their_input():
    rows = Rows.of((conv([[0.5, -0.25]], [1.0]),), (tensor(2, exponent=2, gain=3.0),), ())
    assert rows.weights.tolist() == [[0.375, -0.1875]]
    assert rows.bias.tolist() == [1.0]


def test_rows_of_several_convolutions_are_joined():
    convs = conv([[1.0, 2.0]], [1.0]), conv([[4.0]], [2.0])
    sources = tensor(2, exponent=1), tensor(1, exponent=-1, lo=0, hi=9, signed=False)
    rows = Rows.of(convs, sources, ())
    assert rows.weights.tolist() == [[0.5, 1.0, 8.0]]
    assert rows.bias.tolist() == [3.0]
    assert rows.lows.tolist() == [-128, -128, 0]
    assert rows.highs.tolist() == [127, 127, 9]


def test_the_zero_point_goes_into_the_bias():
    rows = Rows.of((conv([[0.5, 0.25]], [1.0]),), (tensor(2, zero_point=-10),), ())
    assert rows.integer_bias(np.array([3]), np.array([[4.0, 2.0]])).tolist() == [8 + 10 * (4 + 2)]


def test_exponents_that_are_of_use():
    residuals = tensor(2, exponent=4), tensor(2, exponent=2)
    rows = Rows.of((conv([[1.0, 1.0]], [0.0]),), (tensor(2),), residuals)
    assert rows.greatest_exponent(3) == 13
    assert rows.greatest_exponent(-4) == 11
    plain = Rows.of((conv([[1.0, 1.0]], [0.0]),), (tensor(2),), ())
    assert plain.greatest_exponent(3) == 18
    assert plain.greatest_exponent(None) == np.inf


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("zero_point", [0, 5])
def test_reach_is_the_worst_case_of_the_op(signed, zero_point):
    rng = np.random.default_rng(0)
    lo, hi = (-128, 127) if signed else (0, 255)
    source = tensor(9, lo=lo, hi=hi, signed=signed, zero_point=zero_point)
    other, residual = tensor(3, "z", lo=-7, hi=100), tensor(4, "r", exponent=1, lo=-3, hi=50)
    convs = conv(rng.normal(size=(4, 9)), rng.normal(size=4)), conv(np.ones((4, 3)), np.zeros(4))
    rows = Rows.of(convs, (source, other), (residual,))
    exponents = np.array([3, 4, 5, 6])
    weights = np.clip(np.rint(np.ldexp(rows.weights, exponents[:, None])), -128, 127)
    bias = rows.integer_bias(exponents, weights)
    parts = [part.reshape(4, 1, 1, -1).astype(np.int8) for part in np.split(weights, [9], axis=1)]
    op = ConvOp(
        name="dense",
        input="x",
        output="y",
        weights=parts[0],
        bias=bias.astype(np.int64),
        shift=exponents,
        pad_value=zero_point,
        terms=(Product(input="z", weights=parts[1]), Residual(input="r", shift=exponents - 1)),
    )
    least, greatest = op.accumulator_range(source, other, residual)
    for output_exponent, half in ((None, 0), (0, 1 << (exponents - 1))):
        reach = rows.reach(exponents, weights, bias, output_exponent)
        np.testing.assert_array_equal(reach, np.maximum(greatest + half + 1, -least))


def test_correction_never_widens_the_accumulator():
    rows = Rows.of((conv([[127.0], [1.0]], [0.0, 0.0]),), (tensor(1),), ())
    exponents, weights = np.array([0, 0]), np.array([[127.0], [1.0]])
    room = 2**23 - 1 - 127 * 127
    errors = np.array([room + 1.0, 3.0])
    assert rows.corrected_bias(exponents, weights, errors, None).tolist() == [0, 3]
    errors[0] = room - 200.0
    assert rows.corrected_bias(exponents, weights, errors, None).tolist() == [room - 200, 3]


def test_terms_of_opposite_signs_reach_further_than_their_sum():
    rows = Rows.of((conv([[1.0, 1.0]], [0.0]),), (tensor(2),), ())
    terms = np.array([[[100.0, 3.0]], [[-100.0, 4.0]]])
    sums, exponents, bias = terms.sum(axis=0), np.array([0]), np.zeros(1)
    op = ConvOp(
        name="dense",
        input="x",
        output="y",
        weights=terms[0].reshape(1, 1, 1, 2).astype(np.int8),
        bias=np.zeros(1, np.int64),
        shift=exponents,
        terms=(Product(input="x", weights=terms[1].reshape(1, 1, 1, 2).astype(np.int8)),),
    )
    least, greatest = op.accumulator_range(tensor(2), tensor(2))
    reach = rows.reach(exponents, terms, bias, None)
    np.testing.assert_array_equal(reach, np.maximum(greatest + 1, -least))
    assert reach > rows.reach(exponents, sums, bias, None)
    corrected = rows.corrected_bias(exponents, terms, np.array([5.0]), None)
    assert (
        corrected.tolist() == rows.corrected_bias(exponents, sums, np.array([5.0]), None).tolist()
    )
