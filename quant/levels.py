"""The integers that weights may become: all of int8, or the values of a codebook."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shiftwork.quant.scales import FloatArray, half_up

INT8 = (-128, 127)
POWERS = tuple(sorted({0, *(sign << e for e in range(7) for sign in (-1, 1))}))
"""0 and the signed powers of two up to 64."""


@dataclass(frozen=True)
class Levels:
    """The integers that weights may become.

    Attributes:
        codebook: the values in ascending order; None for all of int8.
    """

    codebook: tuple[int, ...] | None = None

    @property
    def bounds(self) -> tuple[int, int]:
        """The least and the greatest."""
        return INT8 if self.codebook is None else (self.codebook[0], self.codebook[-1])

    def nearest(self, values: NDArray) -> FloatArray:
        """The level next to each of ``values``; of two as near the greater one."""
        if self.codebook is None:
            return np.clip(half_up(values), *INT8)
        levels = np.array(self.codebook, np.float64)
        middles = (levels[1:] + levels[:-1]) / 2
        return levels[np.searchsorted(middles, values, side="right")]
