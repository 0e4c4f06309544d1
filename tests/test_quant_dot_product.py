import numpy as np
import pytest

from shiftwork.errors import ModelError
from shiftwork.quant.dot_product import Rows, row_exponents
from shiftwork.quant.program import Conv, Tensor, signed_bits


def rows_of(weights, bias, **tensor):
    weights = np.asarray(weights, np.float64)
    source = Tensor(name="x", shape=(1, 1, weights.shape[1]), **tensor)
    return Rows(name="dense", weights=weights, bias=np.asarray(bias, np.float64), source=source)


def test_integers_of_rows():
    rows = rows_of([[0.5, -0.25], [1.0, 0.0]], [0.75, -0.5], exponent=2)
    exponents = np.array([3, 6])
    assert rows.integer_weights(exponents).tolist() == [[4, -2], [64, 0]]
    assert rows.integer_bias(exponents).tolist() == [24, -128]


def test_the_zero_point_goes_into_the_bias():
    rows = rows_of([[0.5, 0.25]], [0.0], zero_point=-10)
    assert rows.integer_bias(np.array([3])).tolist() == [10 * (4 + 2)]


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("zero_point", [0, 5])
def test_reach_is_the_worst_case_of_the_op(signed, zero_point):
    rng = np.random.default_rng(0)
    lo, hi = (-128, 127) if signed else (0, 255)
    tensor = {"lo": lo, "hi": hi, "signed": signed, "zero_point": zero_point}
    rows = rows_of(rng.normal(size=(4, 9)), rng.normal(size=4), **tensor)
    exponents = np.array([3, 4, 5, 6])
    bias = rows.integer_bias(exponents)
    op = Conv(
        name="dense",
        input="x",
        output="y",
        weights=rows.integer_weights(exponents).reshape(4, 1, 1, 9).astype(np.int8),
        bias=bias.astype(np.int64),
        shift=exponents,
        pad_value=zero_point,
    )
    least, greatest = op.accumulator_range(rows.source)
    for output_exponent, half in ((None, 0), (0, 1 << (exponents - 1))):
        reach = rows.reach(exponents, bias, output_exponent)
        np.testing.assert_array_equal(reach, np.maximum(greatest + half + 1, -least))


def bits_of(rows, exponents, output_exponent=None):
    reach = rows.reach(exponents, rows.integer_bias(exponents), output_exponent).max()
    return signed_bits(-int(reach), int(reach) - 1)


def test_wide_sums_lower_the_exponent_by_up_to_two():
    narrow = rows_of(np.full((1, 1000), 127.0), [0.0], lo=0, hi=255, signed=False)
    assert row_exponents(narrow, None, method="max", per_row=True).tolist() == [-2]
    assert bits_of(narrow, np.array([-2])) <= 24
    wide = rows_of(np.full((1, 5000), 127.0), [0.0], lo=0, hi=255, signed=False)
    assert row_exponents(wide, None, method="max", per_row=True).tolist() == [0]
    assert bits_of(wide, np.array([0])) == 29


def test_a_bias_lowers_the_exponent_as_far_as_32_bits_ask():
    rows = rows_of([[1.0]], [2.0**40])
    exponents = row_exponents(rows, None, method="max", per_row=True)
    assert bits_of(rows, exponents) <= 32 < bits_of(rows, exponents + 1)


def test_no_shift_is_larger_than_useful():
    rows = rows_of([[1e-20, 0.0], [1.0, 1.0]], [0.0, 0.0], exponent=4)
    exponents = row_exponents(rows, 3, method="max", per_row=True)
    assert (exponents + 4 - 3).tolist() == [15, 7]


def test_without_channels_the_least_exponent_counts():
    rows = rows_of([[1.0, 0.0], [100.0, 1.0]], [0.0, 0.0])
    assert row_exponents(rows, None, method="max", per_row=False).tolist() == [0, 0]


def test_correction_never_widens_the_accumulator():
    rows = rows_of([[127.0], [1.0]], [0.0, 0.0])
    exponents = np.array([0, 0])
    room = 2**23 - 1 - 127 * 127
    errors = np.array([room + 1.0, 3.0])
    assert rows.corrected_bias(exponents, errors, None).tolist() == [0, 3]
    errors[0] = room - 200.0
    assert rows.corrected_bias(exponents, errors, None).tolist() == [room - 200, 3]


def test_a_bias_that_nothing_holds():
    rows = rows_of([[1.0]], [2.0**400])
    with pytest.raises(ModelError, match=r"node 'dense' has a bias of 2\.58e\+120, which"):
        row_exponents(rows, None, method="max", per_row=True)
