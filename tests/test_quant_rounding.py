import numpy as np
import pytest

from shiftwork.quant.codebook import INT4
from shiftwork.quant.levels import POWERS, Levels
from shiftwork.quant.rounding import Compensation, Nearest


def moments_of(rng, columns, rank=None):
    factors = rng.normal(size=(rank or 3 * columns, columns)) @ rng.normal(size=(columns, columns))
    return factors.T @ factors / len(factors)


@pytest.mark.parametrize("seed", range(6))
def test_errors_that_cancel_beat_small_errors(seed):
    rng = np.random.default_rng(seed)
    moments = moments_of(rng, 30)
    rounding, weights = Compensation.of(moments), 20 * rng.normal(size=(8, 30))
    rounded = rounding.round(weights)
    nearest = Nearest().round(weights)
    np.testing.assert_array_equal(rounded, np.rint(rounded))
    assert rounding.error(weights, rounded).sum() < 0.5 * rounding.error(weights, nearest).sum()
    assert Nearest().error(weights, rounded).sum() > Nearest().error(weights, nearest).sum()


def test_no_single_step_improves_the_result():
    rng = np.random.default_rng(0)
    rounding, weights = Compensation.of(moments_of(rng, 12)), 20 * rng.normal(size=(5, 12))
    rounded = rounding.round(weights)
    error = rounding.error(weights, rounded)
    for column in range(12):
        for step in (-1.0, 1.0):
            other = rounded.copy()
            other[:, column] += step
            assert (rounding.error(weights, other) >= error - 1e-9).all()


def test_independent_inputs_round_to_the_nearest():
    weights = np.random.default_rng(0).normal(size=(4, 9)) * 50
    rounding = Compensation.of(np.diag(np.arange(1.0, 10.0)))
    np.testing.assert_array_equal(rounding.round(weights), np.floor(weights + 0.5))


def test_rows_with_moments_of_their_own():
    rng = np.random.default_rng(0)
    moments = np.array([moments_of(rng, 9) for _ in range(4)])
    weights = 20 * rng.normal(size=(4, 9))
    together = Compensation.of(moments)
    chosen = np.array([True, False, True, True])
    np.testing.assert_array_equal(
        together.only(chosen).round(weights[chosen]), together.round(weights)[chosen]
    )
    nearest = Nearest().round(weights)
    assert (
        together.error(weights, together.round(weights)) <= together.error(weights, nearest)
    ).all()
    assert together.only(chosen).moments.shape == (3, 9, 9)


def test_moments_of_rank_one_or_none():
    rng = np.random.default_rng(0)
    weights = 20 * rng.normal(size=(3, 6))
    for moments in (np.ones((6, 6)), np.zeros((6, 6)), np.diag([1.0, 0, 0, 0, 0, 0])):
        rounded = Compensation.of(moments).round(weights)
        assert np.isfinite(rounded).all()
        assert np.abs(rounded - weights).max() < 4


def test_the_range_of_int8_is_kept():
    rng = np.random.default_rng(0)
    rounding = Compensation.of(moments_of(rng, 20))
    rounded = rounding.round(200 * rng.normal(size=(10, 20)))
    assert (rounded.min(), rounded.max()) == (-128, 127)


def test_saturated_weights_are_made_good_by_others():
    rng = np.random.default_rng(0)
    rounding, weights = Compensation.of(moments_of(rng, 20)), 60 * rng.normal(size=(6, 20))
    weights[:, 3] = 150.0
    nearest = Nearest().round(weights)
    error = rounding.error(weights, rounding.round(weights))
    assert (error < rounding.error(weights, nearest)).all()


@pytest.mark.parametrize("codebook", [INT4, POWERS, (-100, -7, 0, 1, 60)])
@pytest.mark.parametrize("seed", range(3))
def test_weights_of_a_codebook(codebook, seed):
    """All are of it, and no single change of one improves the result."""
    rng, levels = np.random.default_rng(seed), Levels(codebook)
    rounding = Compensation.of(moments_of(rng, 12), levels)
    weights = 0.4 * codebook[-1] * rng.normal(size=(5, 12))
    rounded = rounding.round(weights)
    error = rounding.error(weights, rounded)
    assert np.isin(rounded, codebook).all()
    assert (error <= rounding.error(weights, Nearest(levels).round(weights))).all()
    for column in range(12):
        for value in codebook:
            other = rounded.copy()
            other[:, column] = value
            assert (rounding.error(weights, other) >= error - 1e-9).all()
