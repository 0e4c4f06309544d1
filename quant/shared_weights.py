"""Chooses the few values that all weights of a network share.

It is k-means in one dimension, weighted by how much each weight matters, and solved exactly by
dynamic programming. Rows are free up to a power of two: that of each row and the values are chosen
in turn, as long as it helps.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shiftwork.quant.codebook import LARGEST_POWER, MAX_VALUES
from shiftwork.quant.levels import Levels
from shiftwork.quant.scales import FloatArray, row_peaks

LARGEST_VALUE = 127
ROUNDS = 8
STEPS = (-1, 0, 1, 2)
"""Powers of two by which a row may leave the one at which its largest weight just fits."""


@dataclass(frozen=True, eq=False)
class WeightedRows:
    """The weights of a layer, a row for each output channel.

    Attributes:
        weights: ``[O, K]``, reals.
        importance: ``[O, K]``, the mean square of what each weight is multiplied with.
    """

    weights: FloatArray
    importance: FloatArray


def shared_codebook(
    layers: Sequence[WeightedRows], *, residuals: bool, averages: bool
) -> tuple[int, ...]:
    """At most 16 values of int8 for the weights of all ``layers``, in ascending order.

    The noise of every row counts relative to its signal, and that of every layer alike.

    Args:
        layers: at least one.
        residuals, averages: whether the network has any, which then need certain values.
    """
    needs = [(0, 1)] if residuals else [(0,)]
    if averages and not residuals:
        needs = [(0, 1 << exponent) for exponent in range(LARGEST_POWER + 1)]
    peaks = [row_peaks(rows.weights, -LARGEST_VALUE, LARGEST_VALUE) for rows in layers]
    exponents = peaks
    best: tuple[int, ...] = (0,)
    least = np.inf
    for _ in range(ROUNDS):
        error, values = _best_values(layers, exponents, needs)
        if not error < least:
            break
        best, least = values, error
        exponents = [
            _best_exponents(rows, peak, values) for rows, peak in zip(layers, peaks, strict=True)
        ]
    return best


def _best_values(
    layers: Sequence[WeightedRows],
    exponents: Sequence[NDArray[np.int64]],
    needs: Sequence[Collection[int]],
) -> tuple[float, tuple[int, ...]]:
    """The noise, and the values with the least, at the rows' ``exponents``."""
    values, counts = zip(
        *(_scaled(rows, e) for rows, e in zip(layers, exponents, strict=True)), strict=True
    )
    points, weights = np.concatenate(values), np.concatenate(counts)
    order = np.argsort(points, kind="stable")
    costs = _Costs.of(points[order], weights[order])
    return min(_fewest(costs, needed) for needed in needs)


def _scaled(rows: WeightedRows, exponents: NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
    """The weights of a layer in steps, and how much the square of an error counts in each."""
    steps = np.ldexp(rows.weights, exponents[:, None])
    signal = (rows.importance * np.square(steps)).sum(axis=1, keepdims=True)
    share = rows.importance / np.where(signal > 0.0, signal, np.inf) / len(steps)
    return steps.reshape(-1), share.reshape(-1)


def _best_exponents(
    rows: WeightedRows, peaks: NDArray[np.int64], codebook: tuple[int, ...]
) -> NDArray[np.int64]:
    """For each row the exponent with the least noise."""
    levels, errors = Levels(codebook), []
    for step in STEPS:
        scaled = np.ldexp(rows.weights, (peaks + step)[:, None])
        noise = rows.importance * np.square(levels.nearest(scaled) - scaled)
        errors.append(np.ldexp(noise.sum(axis=1), -2 * (peaks + step)))
    return peaks + np.array(STEPS)[np.argmin(errors, axis=0)]


@dataclass(frozen=True, eq=False)
class _Costs:
    """The noise of neighbouring values, each at its place ``value + LARGEST_VALUE``.

    Attributes:
        between: ``[a, b]``, of the points between two values, each rounded to the nearer one.
        below, above: of the points beyond the least and the greatest value.
    """

    between: FloatArray
    below: FloatArray
    above: FloatArray

    @classmethod
    def of(cls, points: FloatArray, weights: FloatArray) -> "_Costs":
        """From ascending ``points`` and their weights."""
        values = np.arange(-LARGEST_VALUE, LARGEST_VALUE + 1, dtype=np.float64)
        halves = np.searchsorted(points, np.arange(2 * values[0], 2 * values[-1] + 1) / 2)
        powers = weights * np.power(points, np.arange(3)[:, None])
        sums = np.concatenate([np.zeros((3, 1)), np.cumsum(powers, axis=1)], axis=1)
        at, total = sums[:, halves], sums[:, -1:]

        def noise(part: FloatArray, value: FloatArray) -> FloatArray:
            return np.asarray(part[2] - 2 * value * part[1] + value * value * part[0])

        first, second = np.indices((len(values), len(values)))
        middle, lower, upper = at[:, first + second], at[:, 2 * first], at[:, 2 * second]
        between = noise(middle - lower, values[first]) + noise(upper - middle, values[second])
        return cls(
            between=np.where(first < second, between, np.inf),
            below=noise(at[:, ::2], values),
            above=noise(total - at[:, ::2], values),
        )


def _fewest(costs: _Costs, needed: Collection[int]) -> tuple[float, tuple[int, ...]]:
    """The least noise of 16 values, ``needed`` among them, and the values."""
    places = np.arange(len(costs.below))
    between, below, above = costs.between.copy(), costs.below.copy(), costs.above.copy()
    for place in (value + LARGEST_VALUE for value in needed):
        between[np.ix_(places < place, places > place)] = np.inf
        below[places > place] = np.inf
        above[places < place] = np.inf
    least, before = below, []
    for _ in range(MAX_VALUES - 1):
        totals = least[:, None] + between
        before.append(np.argmin(totals, axis=0))
        least = totals.min(axis=0)
    chosen = [int(np.argmin(least + above))]
    for origin in reversed(before):
        chosen.append(int(origin[chosen[-1]]))
    values = tuple(place - LARGEST_VALUE for place in reversed(chosen))
    return float((least + above).min()), values
