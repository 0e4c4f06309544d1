import numpy as np
import pytest

from shiftwork.quant.codebook import INT4
from shiftwork.quant.levels import POWERS, Levels

VALUES = np.linspace(-140.0, 140.0, 4481)


def test_int8_is_rounded_half_up_and_clipped():
    assert Levels().bounds == (-128, 127)
    expected = np.clip(np.floor(VALUES + 0.5), -128, 127)
    np.testing.assert_array_equal(Levels().nearest(VALUES), expected)


def test_a_codebook_of_256_values_is_int8():
    """As docs/compression.md says: there are no other 256 values, and the nearest are the same."""
    values = tuple(sorted(set(np.arange(1000).astype(np.int8).tolist())))
    assert len(values) == 256
    assert Levels(values).bounds == Levels().bounds
    np.testing.assert_array_equal(Levels(values).nearest(VALUES), Levels().nearest(VALUES))


def test_int4_is_rounded_half_up_and_clipped():
    expected = np.clip(np.floor(VALUES + 0.5), -8, 7)
    np.testing.assert_array_equal(Levels(INT4).nearest(VALUES), expected)


@pytest.mark.parametrize("values", [POWERS, (0,), (-100, -3, 0, 50)])
def test_no_value_is_nearer_and_halves_go_up(values):
    found = Levels(values).nearest(VALUES)
    distances = np.abs(VALUES[:, None] - np.array(values))
    greatest = [
        max(v for v, d in zip(values, row, strict=True) if d == row.min()) for row in distances
    ]
    np.testing.assert_array_equal(found, greatest)
    assert Levels(values).bounds == (values[0], values[-1])


def test_powers():
    assert POWERS == (-64, -32, -16, -8, -4, -2, -1, 0, 1, 2, 4, 8, 16, 32, 64)


@pytest.mark.parametrize("values", [INT4, POWERS, (-100, -3, 0, 50)])
def test_sums_of_two_values(values):
    levels = Levels(values).summed
    sums = np.unique(np.add.outer(values, values))
    found = levels.nearest(VALUES)
    np.testing.assert_array_equal(np.unique(levels.nearest(sums)), sums)
    np.testing.assert_array_equal(
        np.abs(found - VALUES), np.abs(VALUES[:, None] - sums).min(axis=1)
    )
    assert levels.bounds == (2 * values[0], 2 * values[-1])
    assert levels.codebook == values


@pytest.mark.parametrize("values", [INT4, POWERS, (-100, -3, 0, 50)])
def test_terms_add_up_and_are_values(values):
    sums = np.unique(np.add.outer(values, values)).astype(np.float64).reshape(1, -1)
    terms = Levels(values).summed.terms(sums)
    assert terms.shape == (2, *sums.shape)
    np.testing.assert_array_equal(terms.sum(axis=0), sums)
    assert set(terms.reshape(-1).tolist()) <= set(values)


def test_terms_differ_as_little_as_they_can():
    """Where two of one sign will do, their magnitudes add up to that of the weight."""
    levels = Levels((-8, 0, 2, 4, 12)).summed
    found = levels.terms(np.array([8.0, 4.0, -6.0, 0.0]))
    assert found.T.tolist() == [[4.0, 4.0], [2.0, 2.0], [2.0, -8.0], [0.0, 0.0]]


def test_a_single_value_is_its_own_term():
    weights = np.array([[3.0, -8.0]])
    np.testing.assert_array_equal(Levels(INT4).terms(weights), weights[None])


def test_levels_of_16_bits():
    levels = Levels().widened
    assert levels.bounds == (-32768, 32639)
    assert (levels.dtype, Levels().dtype) == (np.int16, np.int8)
    values = np.array([-40000.0, -32768.4, -0.5, 300.5, 32639.4, 40000.0])
    assert levels.nearest(values).tolist() == [-32768, -32768, 0, 301, 32639, 32639]
    weights = levels.nearest(np.linspace(-33000, 33000, 999))
    assert sum(factor * digit.astype(int) for factor, digit in levels.digits(weights)).tolist() == (
        weights.tolist()
    )
    np.testing.assert_array_equal(levels.terms(weights), weights[None])
    assert Levels().digits(weights[:3])[0][0] == 1
