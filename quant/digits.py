"""Numbers of 16 bits as two of 8: what an array of 8-bit multipliers sums up in turn."""

import numpy as np
from numpy.typing import NDArray

DIGIT_BITS = 8
BASE = 1 << DIGIT_BITS


def split(weights: NDArray) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """``high`` and ``low``, with ``weights = 256 * high + low``.

    Both are in -128..127: the low digit has a sign too, as multipliers take no unsigned operand.

    Args:
        weights: integers of -32768 to 32639, of any shape.
    """
    whole = np.asarray(weights, np.int64)
    high = (whole + BASE // 2) // BASE
    return high.astype(np.int8), (whole - BASE * high).astype(np.int8)


def split_bytes(values: NDArray) -> tuple[NDArray, NDArray]:
    """``high`` in -128..127 and ``low`` in 0..255, with ``values = 256 * high + low``.

    Args:
        values: integers of 16 bits, in any type, a float one among them.
    """
    high = np.floor_divide(values, BASE)
    return high, values - high * values.dtype.type(BASE)
