"""Power-of-two scales: which exponent a tensor, or a row of weights, is quantized with.

A value ``v`` at the exponent ``f`` becomes the integer ``floor(v * 2**f + 0.5)``, clipped.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from shiftwork.quant.thresholds import (
    PERCENTILE,
    FloatArray,
    IntegerArray,
    divergence_threshold,
    percentile_threshold,
)

__all__ = ["FloatArray", "IntegerArray", "Method"]

Method = Literal["mse", "max", "percentile", "kl"]

SATURATING_STEPS = 2
FINER_STEPS = 12
"""How much finer than that of the maximum the scale of a threshold may be."""
MAX_STATISTICS = 1 << 20


def half_up(values: NDArray | float) -> FloatArray:
    """The nearest integer, the greater one of two; in float64. Infinite values stay."""
    return np.floor(np.asarray(values, dtype=np.float64) + 0.5)


def to_integers(values: NDArray, exponent: NDArray | int, lo: float, hi: float) -> FloatArray:
    """``values`` at ``exponent``, rounded half up and clipped; integers in float64."""
    scaled = np.ldexp(np.asarray(values, dtype=np.float64), exponent)
    return np.clip(half_up(scaled), lo, hi)


def largest_exponent(values: NDArray, lo: int, hi: int) -> int:
    """The greatest exponent at which no value rounds to an integer outside of ``lo..hi``.

    0 if all values are 0.
    """
    ratios = [
        limit / peak
        for limit, peak in (
            (hi + 0.5, float(values.max(initial=0.0))),
            (-lo + 0.5, -float(values.min(initial=0.0))),
        )
        if peak > 0.0
    ]
    if not ratios:
        return 0
    exponent = int(np.floor(np.log2(min(ratios))))
    rounded = to_integers(values, exponent, -np.inf, np.inf)
    return exponent - int(rounded.max() > hi or rounded.min() < lo)


def squared_error(values: NDArray, exponent: int, lo: int, hi: int) -> float:
    """Sum of squares of what rounding and clipping at ``exponent`` change."""
    restored = np.ldexp(to_integers(values, exponent, lo, hi), -exponent)
    return float(((restored - values) ** 2).sum())


def choose_exponent(
    values: NDArray, lo: int, hi: int, method: Method, headroom: float = 1.0
) -> int:
    """The exponent for ``values``, or for values ``headroom`` times as large, in ``lo..hi``.

    ``max`` saturates nothing. ``mse`` tries that one and up to two finer ones, in which the
    largest values saturate, and takes the one with the least squared error. ``percentile`` holds
    99.99 % of the magnitudes, ``kl`` those up to the threshold with the least divergence.
    """
    values = _thinned(np.asarray(values, dtype=np.float64) * headroom)
    first = largest_exponent(values, lo, hi)
    if method == "max":
        return first
    if method != "mse":
        return reaching(_threshold(values, hi + 1, method), first, lo, hi)
    candidates = range(first, first + SATURATING_STEPS + 1)
    return min(candidates, key=lambda e: squared_error(values, e, lo, hi))


def reaching(threshold: float, first: int, lo: int, hi: int) -> int:
    """The finest exponent at which ``lo..hi`` holds the magnitude ``threshold``.

    It is ``first``, the maximum's, or up to 12 steps finer: the side with one integer less may
    hold no value that large. A threshold of 0, of values that are nearly all 0, cuts off nothing.
    """
    if threshold == 0.0:
        return first
    sides = [threshold, -threshold] if lo < 0 else [threshold]
    return min(max(largest_exponent(np.array(sides), lo, hi), first), first + FINER_STEPS)


def _threshold(values: FloatArray, levels: int, method: Method) -> float:
    if method == "percentile":
        return percentile_threshold(values, np.ones(values.size, np.int64), PERCENTILE)
    used = values[values != 0.0]
    if not used.size:
        return 0.0
    return divergence_threshold(used, np.ones(used.size, np.int64), levels)


def row_peaks(rows: FloatArray, lo: int = -128, hi: int = 127) -> IntegerArray:
    """The finest exponent of each row of ``rows[O, K]`` at which no weight leaves ``lo..hi``.

    Rows of zeros take the finest exponent of the others.
    """
    used = np.abs(rows).max(axis=1) > 0.0
    result = np.zeros(len(rows), np.int64)
    result[used] = [largest_exponent(row, lo, hi) for row in rows[used]]
    result[~used] = result[used].max() if used.any() else 0
    return result


def _thinned(values: FloatArray) -> FloatArray:
    """At most about a million of the values, evenly spaced, and both extremes."""
    step = -(-values.size // MAX_STATISTICS)
    if step <= 1:
        return values.reshape(-1)
    flat = values.reshape(-1)
    return np.concatenate([flat[::step], [flat.min(), flat.max()]])
