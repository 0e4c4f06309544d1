"""Chooses the exponent of each row's accumulator, and rounds the row's weights."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shiftwork.errors import ModelError
from shiftwork.quant.dot_product import PREFERRED_ACCUMULATOR_BITS, Rows
from shiftwork.quant.levels import Levels
from shiftwork.quant.program_ops import MAX_ACCUMULATOR_BITS
from shiftwork.quant.rounding import ALL, Nearest, Rounding
from shiftwork.quant.scales import SATURATING_STEPS, FloatArray, IntegerArray, Method, row_peaks

PREFERENCE_STEPS = 2
CODED_STEPS = 1
"""The values of a codebook are not evenly spaced: a row may do better away from the greatest."""
LIMITS = ((PREFERRED_ACCUMULATOR_BITS, PREFERENCE_STEPS), (MAX_ACCUMULATOR_BITS, 256))


@dataclass(frozen=True, eq=False, kw_only=True)
class IntegerRows:
    """Rows in integers.

    Attributes:
        exponents: ``[O]``, of the accumulators.
        weights: ``[O, K]``, integers of the levels.
        levels: what weights may be.
    """

    exponents: IntegerArray
    weights: FloatArray
    levels: Levels = ALL

    @property
    def terms(self) -> FloatArray:
        """``[T, O, K]``: the values that the weights are the sums of."""
        return self.levels.terms(self.weights)


def quantize_rows(
    rows: Rows, rounding: Rounding, output_exponent: int | None, *, method: Method, per_row: bool
) -> IntegerRows:
    """The integers of ``rows``, as exact as its accumulators allow.

    Each row takes its finest exponent at which no weight saturates; ``mse`` also tries up to two
    finer ones, and a coarser one for a codebook, and takes the one with the least error. The
    accumulator stays within 24 bits if that costs at most two bits of weight, else within 32. No
    exponent is larger than what the output, or a residual, can make use of.

    Raises:
        ModelError: if even 32 bits are too few.
    """
    first = row_peaks(rows.weights, *rounding.levels.bounds)
    most = rows.greatest_exponent(output_exponent)
    candidates = []
    coarser = 0 if rounding.levels.codebook is None else CODED_STEPS
    for step in range(-coarser, SATURATING_STEPS + 1) if method == "mse" else range(1):
        exponents = np.minimum(first + step, most).astype(np.int64)
        if not per_row:
            exponents = np.full_like(exponents, exponents.min())
        candidates.append(_fitted(rows, rounding, exponents, output_exponent, per_row=per_row))
    return _best(rows, rounding, candidates, per_row=per_row)


def _best(
    rows: Rows, rounding: Rounding, candidates: list[IntegerRows], *, per_row: bool
) -> IntegerRows:
    """The candidate with the least error, row by row or as a whole."""
    errors = np.array([_error(rows, rounding, candidate) for candidate in candidates])
    if not per_row:
        return candidates[int(errors.sum(axis=1).argmin())]
    choice, index = errors.argmin(axis=0), np.arange(errors.shape[1])
    return IntegerRows(
        exponents=np.array([c.exponents for c in candidates])[choice, index],
        weights=np.array([c.weights for c in candidates])[choice, index],
        levels=rounding.levels,
    )


def _error(rows: Rows, rounding: Rounding, candidate: IntegerRows) -> FloatArray:
    steps = np.ldexp(rows.weights, candidate.exponents[:, None])
    return np.ldexp(rounding.error(steps, candidate.weights), -2 * candidate.exponents)


def _fitted(
    rows: Rows,
    rounding: Rounding,
    exponents: IntegerArray,
    output_exponent: int | None,
    *,
    per_row: bool,
) -> IntegerRows:
    """``exponents``, lowered where the accumulator would be too wide, and the weights at them.

    Rounding to the nearest finds about how far; what the weights really are decides.
    """
    for bits, steps in LIMITS:
        near = _lowered(
            rows, Nearest(rounding.levels), exponents, output_exponent, bits, steps, per_row=per_row
        )
        if near is None:
            continue
        done = steps - int((exponents - near.exponents).max())
        fitted = _lowered(
            rows, rounding, near.exponents, output_exponent, bits, done, per_row=per_row
        )
        if fitted is not None:
            return fitted
    raise ModelError(
        f"node '{rows.name}' has a bias of {np.abs(rows.bias).max():.3g}, which no 32-bit "
        "accumulator holds beside its weights; retrain it with smaller biases"
    )


def _lowered(
    rows: Rows,
    rounding: Rounding,
    exponents: IntegerArray,
    output_exponent: int | None,
    bits: int,
    steps: int,
    *,
    per_row: bool,
) -> IntegerRows | None:
    """Exponents lowered by up to ``steps`` so that accumulators have ``bits``; None if in vain."""
    exponents = exponents.copy()
    weights = np.zeros_like(rows.weights)
    changed = np.ones(len(exponents), bool)
    for _ in range(steps + 1):
        weights[changed] = _rounded(rows, rounding, exponents, changed)
        bias = rows.integer_bias(exponents, weights)
        found = IntegerRows(exponents=exponents, weights=weights, levels=rounding.levels)
        changed = rows.reach(exponents, found.terms, bias, output_exponent) > 2.0 ** (bits - 1)
        if not changed.any():
            return found
        if not per_row:
            changed[:] = True
        exponents[changed] -= 1
    return None


def _rounded(
    rows: Rows, rounding: Rounding, exponents: IntegerArray, chosen: NDArray[np.bool_]
) -> FloatArray:
    steps = np.ldexp(rows.weights[chosen], exponents[chosen, None])
    return rounding.only(chosen).round(steps)
