import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiftwork.errors import DataError
from shiftwork.quant.value_statistics import ValueStatistics, chunks

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


def seen(*pieces):
    statistics = ValueStatistics("w")
    for piece in pieces:
        statistics.add(np.asarray(piece, np.float32))
    return statistics


@given(st.lists(st.lists(FLOATS, max_size=6), min_size=1, max_size=4))
def test_agrees_with_numpy_however_the_values_are_cut(pieces):
    statistics = seen(*pieces)
    x = np.concatenate([np.asarray(piece, np.float32) for piece in pieces])
    assert statistics.count == x.size
    assert statistics.zeros == (x == 0).sum()
    assert statistics.negatives == (x < 0).sum()
    assert statistics.unique == len(np.unique(x))
    assert statistics.peak == np.abs(x).max(initial=0)
    if x.size:
        assert (statistics.least, statistics.greatest) == (x.min(), x.max())
    normal = x[np.abs(x) >= np.finfo(np.float32).tiny]
    exponents = np.frexp(np.abs(normal))[1] - 1
    expected = dict(zip(*np.unique(exponents, return_counts=True), strict=True))
    subnormal = int((x != 0).sum() - normal.size)
    expected |= {-127: subnormal} if subnormal else {}
    assert dict(statistics.binades) == expected


@given(st.lists(FLOATS, min_size=1, max_size=30))
def test_bins_are_within_a_2048th_of_the_values(values):
    x = np.asarray(values, np.float32)
    x = x[np.abs(x) >= np.finfo(np.float32).tiny]
    middle, counts = seen(x).bins
    near = np.repeat(middle, counts)
    assert len(near) == len(x)
    np.testing.assert_allclose(np.sort(near), np.sort(x), rtol=2.0**-11)


def test_counts_below_a_power_of_two_are_exact():
    x = [0.0, 0.25, -0.25, np.nextafter(np.float32(0.25), 0), -0.1, 3.0]
    assert seen(x).below(-2) == 2


def test_moments():
    x = np.random.default_rng(1).normal(size=3000).astype(np.float32)
    statistics = seen(x[:1000], x[1000:])
    assert statistics.total == pytest.approx(x.astype(np.float64).sum())
    assert statistics.squares == pytest.approx(np.square(x, dtype=np.float64).sum())


def test_too_many_different_values_are_not_counted():
    assert seen(np.arange(65536)).unique == 65536
    assert seen(np.arange(65536), [-1]).unique is None


def test_tiny_values_are_negligible():
    assert seen([0.0, -1e-40]).negligible
    assert not seen([0.0, -1e-30]).negligible


def test_pieces_hold_everything_in_order():
    array = np.arange(3_000_000, dtype=np.float64).reshape(3, -1)
    pieces = list(chunks(array))
    assert [piece.dtype for piece in pieces] == [np.float32] * 3
    np.testing.assert_array_equal(np.concatenate(pieces), array.reshape(-1))


def test_not_finite():
    with pytest.raises(DataError, match="'w' must be finite in float32, but 2 of 3 values are not"):
        seen([1.0, np.nan, -np.inf])
    with pytest.raises(DataError, match="1 of 1 values"):
        seen(*chunks(np.array([1e39])))
