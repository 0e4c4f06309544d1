"""Rounds rows of weights to integers so that errors cancel over the inputs that occur.

Error compensation is that of GPTQ (Frantar et al., 2022): each column is rounded in turn, and its
error is distributed over the columns still to come. Coordinate descent then moves single weights
to other levels as long as that lowers the error of the dot products.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from shiftwork.quant.levels import Levels
from shiftwork.quant.scales import FloatArray, IntegerArray

DAMPING = 0.01
PASSES = 6
ALL = Levels()


@dataclass(frozen=True, eq=False, kw_only=True)
class Compensation:
    """Rounding for inputs with the moments ``moments[K, K]``, or ``[O, K, K]`` a row.

    Use :meth:`of`.

    Attributes:
        moments: damped, so that they are positive definite.
        spread: upper triangular, ``spread.T @ spread`` the inverse of ``moments``, both with the
            columns in ``order``.
        order: the columns, those with the greatest moments first.
        levels: the integers that weights may become.
    """

    moments: FloatArray
    spread: FloatArray
    order: IntegerArray
    levels: Levels = ALL

    @classmethod
    def of(cls, moments: FloatArray, levels: Levels = ALL) -> "Compensation":
        """From the moments of the inputs, :func:`shiftwork.quant.moments.moments`."""
        count = moments.shape[-1]
        diagonal = np.einsum("...kk->...k", moments)
        floor = np.maximum(DAMPING * diagonal.mean(axis=-1, keepdims=True), np.finfo(float).tiny)
        floor = np.where(diagonal.any(axis=-1, keepdims=True), floor, 1.0)
        damped = moments + floor[..., None] * np.eye(count)
        order = np.argsort(-diagonal.reshape(-1, count).sum(axis=0), kind="stable")
        sorted_moments = damped[..., order, :][..., :, order]
        lower = np.linalg.cholesky(np.linalg.inv(sorted_moments))
        return cls(moments=damped, spread=np.swapaxes(lower, -1, -2), order=order, levels=levels)

    def only(self, rows: NDArray[np.bool_]) -> "Compensation":
        """For some of the rows."""
        if self.moments.ndim == 2:
            return self
        return replace(self, moments=self.moments[rows], spread=self.spread[rows])

    def round(self, weights: FloatArray) -> FloatArray:
        """``weights[O, K]``, in steps, as integers of the levels.

        The descent begins at the compensated weights and at the nearest ones; the better of the
        two ends counts, row by row.
        """
        starts = (self._compensated(weights), Nearest(self.levels).round(weights))
        ends = [self._descended(weights, start) for start in starts]
        first, second = (self.error(weights, end) for end in ends)
        return np.where((first <= second)[:, None], *ends)

    def error(self, weights: FloatArray, rounded: FloatArray) -> FloatArray:
        """``[O]``: the mean square of what rounding changes in the dot product, in steps."""
        difference = rounded - weights
        return (self._times_moments(difference) * difference).sum(axis=1)

    def _compensated(self, weights: FloatArray) -> FloatArray:
        left = weights[:, self.order].copy()
        rounded = np.empty_like(left)
        for column in range(left.shape[1]):
            rounded[:, column] = self.levels.nearest(left[:, column])
            spread = self.spread[..., column, column:]
            error = (left[:, column] - rounded[:, column]) / spread[..., 0]
            left[:, column:] -= error[:, None] * spread
        result = np.empty_like(rounded)
        result[:, self.order] = rounded
        return result

    def _descended(self, weights: FloatArray, rounded: FloatArray) -> FloatArray:
        rounded = rounded.copy()
        gradient = self._times_moments(rounded - weights)
        for _ in range(PASSES):
            moved = False
            for column in range(weights.shape[1]):
                moments = self.moments[..., column, :]
                best = rounded[:, column] - gradient[:, column] / moments[..., column]
                step = self.levels.nearest(best) - rounded[:, column]
                rows = np.flatnonzero(step)
                if rows.size:
                    moved = True
                    rounded[rows, column] += step[rows]
                    shared = moments if moments.ndim == 1 else moments[rows]
                    gradient[rows] += step[rows, None] * shared
            if not moved:
                break
        return rounded

    def _times_moments(self, difference: FloatArray) -> FloatArray:
        if self.moments.ndim == 2:
            return difference @ self.moments
        return np.einsum("ok,okj->oj", difference, self.moments)


@dataclass(frozen=True, eq=False)
class Nearest:
    """Rounding of each weight on its own.

    Attributes:
        levels: the integers that weights may become.
    """

    levels: Levels = ALL

    def only(self, rows: NDArray[np.bool_]) -> "Nearest":
        """For some of the rows."""
        del rows
        return self

    def round(self, weights: FloatArray) -> FloatArray:
        """``weights[O, K]``, in steps, as integers of the levels, halves up."""
        return self.levels.nearest(weights)

    def error(self, weights: FloatArray, rounded: FloatArray) -> FloatArray:
        """``[O]``: the sum of squares of what rounding changes, in steps."""
        return np.square(rounded - weights).sum(axis=1)


Rounding = Compensation | Nearest
