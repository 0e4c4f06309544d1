"""The integers that weights may become: all of 8 or 16 bits, or what a codebook makes up."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftwork.quant.digits import BASE, DIGIT_BITS, split
from shiftwork.quant.program_ops import INT16
from shiftwork.quant.scales import FloatArray, half_up

INT8 = (-128, 127)
POWERS = tuple(sorted({0, *(sign << e for e in range(7) for sign in (-1, 1))}))
"""0 and the signed powers of two up to 64."""


@dataclass(frozen=True)
class Levels:
    """The integers that weights may become.

    Attributes:
        codebook: values in ascending order; None for all of int8.
        sums: a weight is the sum of two of the values, rather than one.
        wide: without a codebook, weights of 16 bits rather than 8.
    """

    codebook: tuple[int, ...] | None = None
    sums: bool = False
    wide: bool = False

    @property
    def widened(self) -> "Levels":
        """Weights of 16 bits."""
        return replace(self, wide=True)

    @property
    def dtype(self) -> type[np.signedinteger[Any]]:
        """What holds a level, or a value of a sum."""
        return np.int16 if self.wide else np.int8

    @property
    def finer_bits(self) -> int:
        """Bits of a weight beyond 8."""
        return DIGIT_BITS if self.wide else 0

    @property
    def summed(self) -> "Levels":
        """The sums of two of the same values."""
        return replace(self, sums=True)

    @property
    def bounds(self) -> tuple[int, int]:
        """The least and the greatest."""
        if self.codebook is None:
            return INT16 if self.wide else INT8
        terms = 2 if self.sums else 1
        return terms * self.codebook[0], terms * self.codebook[-1]

    def nearest(self, values: NDArray) -> FloatArray:
        """The level next to each of ``values``; of two as near the greater one."""
        if self.codebook is None:
            return np.clip(half_up(values), *self.bounds)
        levels = self._levels
        middles = (levels[1:] + levels[:-1]) / 2
        return levels[np.searchsorted(middles, values, side="right")]

    def terms(self, weights: FloatArray) -> FloatArray:
        """``[T, ...]``: the values that ``weights``, which are levels, are the sums of."""
        if not self.sums:
            return weights[None]
        places = np.searchsorted(self._levels, weights)
        return np.array(list(self._pairs.values()), np.float64).T[:, places]

    def digits(self, weights: NDArray) -> tuple[tuple[int, NDArray], ...]:
        """The numbers of 8 bits that make up ``weights``, and what each is multiplied with."""
        if not self.wide:
            return ((1, weights),)
        high, low = split(weights)
        return (BASE, high), (1, low)

    @cached_property
    def _levels(self) -> FloatArray:
        values = self._pairs if self.sums else self.codebook
        return np.array(list(values or ()), np.float64)

    @cached_property
    def _pairs(self) -> dict[int, tuple[int, int]]:
        """For each sum, ascending, the two values that differ least from each other.

        Values of one sign keep the accumulator as narrow as their sum does.
        """
        values, pairs = self.codebook or (), dict[int, tuple[int, int]]()
        choices = [(first, second) for first in values for second in values if first >= second]
        for first, second in sorted(choices, key=lambda pair: pair[0] - pair[1]):
            pairs.setdefault(first + second, (first, second))
        return dict(sorted(pairs.items()))
