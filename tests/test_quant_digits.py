import numpy as np
import pytest

from shiftwork.quant.digits import split
from shiftwork.quant.program_ops import INT16


def test_every_weight_of_16_bits_is_two_digits():
    weights = np.arange(INT16[0], INT16[1] + 1).astype(np.int16)
    high, low = split(weights)
    assert high.dtype == low.dtype == np.int8
    np.testing.assert_array_equal(256 * high.astype(int) + low, weights)


@pytest.mark.parametrize(
    ("weight", "digits"),
    [(0, (0, 0)), (127, (0, 127)), (128, (1, -128)), (-129, (-1, 127)), (32639, (127, 127))],
)
def test_the_low_digit_has_a_sign(weight, digits):
    assert tuple(int(digit) for digit in split(np.array(weight))) == digits
