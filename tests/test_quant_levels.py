import numpy as np
import pytest

from shiftwork.quant.codebook import INT4
from shiftwork.quant.levels import POWERS, Levels

VALUES = np.linspace(-140.0, 140.0, 4481)


def test_int8_is_rounded_half_up_and_clipped():
    assert Levels().bounds == (-128, 127)
    expected = np.clip(np.floor(VALUES + 0.5), -128, 127)
    np.testing.assert_array_equal(Levels().nearest(VALUES), expected)


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
