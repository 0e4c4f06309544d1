"""Statistics of a tensor that is seen piece by piece, in a memory that does not grow with it.

Values are counted by the first 20 bits of their float32 form: sign, exponent and 11 bits behind
the point. That is a histogram whose bins are a power of two apart at most in their 2048ths, from
the smallest values to the largest, and whose edges include the powers of two.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from shiftwork.errors import DataError
from shiftwork.quant.scales import FloatArray, IntegerArray

CHUNK = 1 << 20
UNIQUE_LIMIT = 1 << 16
DROPPED_BITS = 12
MANTISSA_BITS = 23 - DROPPED_BITS
SIGN = 1 << (31 - DROPPED_BITS)
NOT_FINITE = 255 << MANTISSA_BITS
BIAS = 127
LEAST_BINADE = -BIAS
"""Stands for everything below float32's normal numbers."""


def chunks(array: NDArray) -> Iterator[NDArray[np.float32]]:
    """The elements of ``array``, of any shape and real type, about a million at a time."""
    flat = array.reshape(-1)
    for start in range(0, flat.size, CHUNK):
        with np.errstate(over="ignore"):
            yield np.ascontiguousarray(flat[start : start + CHUNK], np.float32)


class ValueStatistics:
    """Counts, extremes, moments and a fine histogram of the values that are added.

    Parameters:
        name: of the tensor, for error messages.

    Attributes:
        count, zeros, negatives: how many values; of them 0, and below 0.
        least, greatest: the extremes; infinite while there is no value.
        total, squares: sums of the values and of their squares.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.count = self.zeros = self.negatives = 0
        self.least, self.greatest = np.inf, -np.inf
        self.total = self.squares = 0.0
        self._codes: IntegerArray = np.zeros(0, np.int64)
        self._counts: IntegerArray = np.zeros(0, np.int64)
        self._unique: NDArray[np.float32] | None = np.zeros(0, np.float32)

    def add(self, chunk: NDArray[np.float32]) -> None:
        """Counts ``chunk[N]``.

        Raises:
            DataError: if a value is NaN or infinite.
        """
        if not chunk.size:
            return
        codes = chunk.view(np.uint32) >> np.uint32(DROPPED_BITS)
        counts = np.bincount(codes, minlength=2 * SIGN)
        bad = int(counts[NOT_FINITE:SIGN].sum() + counts[SIGN + NOT_FINITE :].sum())
        if bad:
            raise DataError(
                f"'{self.name}' must be finite in float32, but {bad} of {chunk.size} values are not"
            )
        counts[self._codes] += self._counts
        self._codes = np.flatnonzero(counts)
        self._counts = counts[self._codes]
        self.count += chunk.size
        self.zeros += chunk.size - int(np.count_nonzero(chunk))
        self.negatives += int(np.count_nonzero(chunk < 0.0))
        self.least = min(self.least, float(chunk.min()))
        self.greatest = max(self.greatest, float(chunk.max()))
        self.total += float(chunk.sum(dtype=np.float64))
        self.squares += float(np.square(chunk, dtype=np.float64).sum())
        self._add_unique(chunk)

    @property
    def peak(self) -> float:
        """The largest magnitude; 0.0 while there is no value."""
        return max(self.greatest, -self.least, 0.0)

    @property
    def negligible(self) -> bool:
        """Whether there is nothing but zeros, and values too small for float32's normal form."""
        return self.peak < float(np.finfo(np.float32).tiny)

    @property
    def unique(self) -> int | None:
        """The number of different values; None if there are more than 65,536."""
        return None if self._unique is None else len(self._unique)

    @property
    def bins(self) -> tuple[FloatArray, IntegerArray]:
        """The middle of each bin that has values, with its sign, and their number.

        0 is left out, and so is what is smaller than ``2**-137``.
        """
        middle = ((self._codes << DROPPED_BITS) + (1 << (DROPPED_BITS - 1))).astype(np.uint32)
        values = np.clip(middle.view(np.float32).astype(np.float64), self.least, self.greatest)
        counts = np.where(self._codes % SIGN, self._counts, 0)
        return values[counts > 0], counts[counts > 0]

    @property
    def binades(self) -> tuple[tuple[int, int], ...]:
        """``(e, n)``: n values have a magnitude from ``2**e`` to below ``2**(e + 1)``."""
        exponents = (self._codes % SIGN) >> MANTISSA_BITS
        counts = np.bincount(exponents, weights=self._counts, minlength=1).astype(np.int64)
        counts[0] -= self.zeros
        return tuple((int(e) - BIAS, int(counts[e])) for e in np.flatnonzero(counts))

    def below(self, exponent: int) -> int:
        """How many values other than 0 have a magnitude below ``2.0 ** exponent``."""
        return sum(count for binade, count in self.binades if binade < exponent)

    def _add_unique(self, chunk: NDArray[np.float32]) -> None:
        if self._unique is None:
            return
        found = np.unique(np.concatenate([self._unique, np.unique(chunk)]))
        self._unique = found if len(found) <= UNIQUE_LIMIT else None
