"""The integer grid of the network's own input."""

import numpy as np
from numpy.typing import NDArray

from shiftwork.quant.graph import Grid, Shape
from shiftwork.quant.program_ops import Tensor
from shiftwork.quant.scales import half_up

LEVELS = 256
LEAST_DISTINCT = 16
TOLERANCE = 1e-3


def input_tensor(name: str, shape: Shape, samples: NDArray, *, centred: bool = False) -> Tensor:
    """The integer grid of the network's input.

    Whole numbers inside 0..255 or -128..127 stay as they are. Samples that already lie on a grid
    of at most 256 equal steps keep its step. Anything else gets a real scale and a zero point
    that reach from the least to the greatest sample (and 0); with ``centred`` the zero point is
    0, as average pooling needs it.
    """
    least, greatest = min(float(samples.min()), 0.0), max(float(samples.max()), 0.0)
    if np.array_equal(samples, np.floor(samples)):
        if least >= 0 and greatest <= 255:
            return Tensor(name=name, shape=shape, lo=0, hi=255, signed=False)
        if least >= -128 and greatest <= 127:
            return Tensor(name=name, shape=shape)
    if centred:
        return Tensor(name=name, shape=shape, gain=max(greatest / 127, -least / 128))
    gain = grid_step(samples) or (greatest - least) / (LEVELS - 1)
    middle = half_up((greatest + least) / 2.0 / gain + 0.25)
    zero_point = int(np.clip(-middle, *_zero_points(least / gain, greatest / gain)))
    return Tensor(name=name, shape=shape, gain=gain, zero_point=zero_point)


def tensor_of_grid(name: str, shape: Shape, grid: Grid) -> Tensor:
    """The tensor whose integers are those of ``grid``; a power of two becomes its exponent."""
    mantissa, power = np.frexp(grid.scale)
    exact = mantissa == 0.5
    return Tensor(
        name=name,
        shape=shape,
        lo=grid.lo,
        hi=grid.hi,
        signed=grid.lo < 0,
        exponent=1 - int(power) if exact else 0,
        gain=1.0 if exact else grid.scale,
        zero_point=grid.zero_point,
    )


def _zero_points(least: float, greatest: float) -> tuple[int, int]:
    """The zero points at which ``least..greatest`` steps fit into -128..127."""
    first = int(half_up(-128 - least))
    return first, max(first, 127 - int(half_up(greatest)))


def grid_step(samples: NDArray) -> float | None:
    """The step of the grid of at most 256 levels, 0.0 among them, that all samples lie on.

    None if there is no such grid, or too few different samples to tell.
    """
    levels = np.unique(samples).astype(np.float64)
    if not LEAST_DISTINCT <= len(levels) <= LEVELS:
        return None
    levels = levels[np.argsort(np.abs(levels), kind="stable")]
    step = float(np.diff(np.sort(levels)).min())
    for used in range(2, len(levels) + 1):
        multiples = np.rint(levels[:used] / step)
        if multiples.any():
            step = float((levels[:used] @ multiples) / (multiples @ multiples))
    multiples = np.rint(levels / step)
    exact = np.abs(levels - multiples * step).max() <= TOLERANCE * step
    within = max(multiples.max(), 0) - min(multiples.min(), 0) < LEVELS
    return step if exact and within else None
