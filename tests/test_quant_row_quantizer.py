import numpy as np
import pytest

from shiftwork.errors import ModelError
from shiftwork.quant.codebook import INT4
from shiftwork.quant.dot_product import Rows
from shiftwork.quant.levels import POWERS, Levels
from shiftwork.quant.program_ops import Tensor, signed_bits
from shiftwork.quant.rounding import Compensation, Nearest
from shiftwork.quant.row_quantizer import quantize_rows


def rows_of(weights, bias, *, lo=-128, hi=127, residuals=()):
    weights = np.asarray(weights, np.float64)
    columns = np.ones(weights.shape[1])
    return Rows(
        name="dense",
        weights=weights,
        bias=np.asarray(bias, np.float64),
        lows=lo * columns,
        highs=hi * columns,
        zero_points=0 * columns,
        residuals=residuals,
    )


def exponents_of(rows, output_exponent=None, *, method="max", per_row=True):
    integers = quantize_rows(rows, Nearest(), output_exponent, method=method, per_row=per_row)
    return integers.exponents.tolist()


def bits_of(rows, exponents):
    weights = np.clip(np.floor(np.ldexp(rows.weights, exponents[:, None]) + 0.5), -128, 127)
    bias = rows.integer_bias(exponents, weights)
    reach = int(rows.reach(exponents, weights, bias, None).max())
    return signed_bits(-reach, reach - 1)


def test_wide_sums_lower_the_exponent_by_up_to_two():
    narrow = rows_of(np.full((1, 1000), 127.0), [0.0], lo=0, hi=255)
    assert exponents_of(narrow) == [-2]
    assert bits_of(narrow, np.array([-2])) <= 24
    wide = rows_of(np.full((1, 5000), 127.0), [0.0], lo=0, hi=255)
    assert exponents_of(wide) == [0]
    assert bits_of(wide, np.array([0])) == 29


def test_a_bias_lowers_the_exponent_as_far_as_32_bits_ask():
    rows = rows_of([[1.0]], [2.0**40])
    (exponent,) = exponents_of(rows)
    assert bits_of(rows, np.array([exponent])) <= 32 < bits_of(rows, np.array([exponent + 1]))


def test_no_shift_is_larger_than_useful():
    rows = rows_of([[1e-20, 0.0], [1.0, 1.0]], [0.0, 0.0])
    assert exponents_of(rows, 3) == [18, 6]


def test_a_residual_limits_its_shift():
    residual = Tensor(name="r", shape=(1, 1, 2), exponent=-6)
    rows = rows_of([[1e-3, 0.0], [1.0, 1.0]], [0.0, 0.0], residuals=(residual,))
    assert exponents_of(rows, 3) == [5, 5]


def test_without_channels_the_least_exponent_counts():
    rows = rows_of([[1.0, 0.0], [100.0, 1.0]], [0.0, 0.0])
    assert exponents_of(rows, per_row=False) == [0, 0]


@pytest.mark.parametrize("per_row", [True, False])
def test_mse_takes_the_least_error(per_row):
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(3, 500))
    weights[1, 0] = 4.1
    rows = rows_of(weights, np.zeros(3))
    coarse = exponents_of(rows, method="max", per_row=per_row)
    fine = exponents_of(rows, method="mse", per_row=per_row)
    assert coarse[1] + (1 if per_row else 0) <= fine[1]
    assert not per_row or fine[1] == coarse[1] + 1


@pytest.mark.parametrize("seed", range(5))
def test_compensation_keeps_every_promise(seed):
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(300, 40)) @ rng.normal(size=(40, 40))
    rounding = Compensation.of(inputs.T @ inputs)
    rows = rows_of(100 * rng.normal(size=(6, 40)), rng.normal(size=6) * 1e4, lo=0, hi=255)
    integers = quantize_rows(rows, rounding, -12, method="mse", per_row=True)
    bias = rows.integer_bias(integers.exponents, integers.weights)
    assert rows.reach(integers.exponents, integers.weights, bias, -12).max() <= 2.0**23
    assert integers.weights.min() >= -128
    assert integers.weights.max() <= 127
    np.testing.assert_array_equal(integers.weights, np.rint(integers.weights))


def test_a_bias_that_nothing_holds():
    rows = rows_of([[1.0]], [2.0**400])
    with pytest.raises(ModelError, match=r"node 'dense' has a bias of 2\.58e\+120, which"):
        exponents_of(rows)


@pytest.mark.parametrize("codebook", [INT4, POWERS])
@pytest.mark.parametrize("seed", range(4))
def test_compensation_of_few_values_is_never_worse_than_the_nearest(codebook, seed):
    """In the mean square of what the dot products of the calibration inputs change by."""
    rng, levels = np.random.default_rng(seed), Levels(codebook)
    inputs = rng.normal(size=(300, 20)) @ rng.normal(size=(20, 20))
    rounding = Compensation.of(inputs.T @ inputs / 300, levels)
    rows = rows_of(100 * rng.normal(size=(6, 20)), rng.normal(size=6))
    losses = []
    for how in (rounding, Nearest(levels)):
        found = quantize_rows(rows, how, None, method="mse", per_row=True)
        assert np.isin(found.weights, codebook).all()
        change = np.ldexp(found.weights, -found.exponents[:, None]) - rows.weights
        losses.append(np.einsum("ok,kj,oj->o", change, rounding.moments, change))
    assert (losses[0] <= losses[1]).all()
