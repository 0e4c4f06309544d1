"""The values that weights share, against a search of all and against simpler choices."""

from itertools import combinations

import numpy as np
import pytest

from shiftwork.quant import shared_weights
from shiftwork.quant.codebook import INT4, powers_of_two, verify_values
from shiftwork.quant.levels import Levels
from shiftwork.quant.shared_weights import WeightedRows, shared_codebook


def layer(rng, rows=8, columns=60, scale=1.0):
    weights = scale * rng.normal(size=(rows, columns)) * np.exp2(rng.integers(-4, 5, (rows, 1)))
    return WeightedRows(weights, rng.uniform(0.1, 4.0, size=(rows, columns)))


def noise(layers, codebook):
    """The noise of every row relative to its signal, at the best power of two."""
    levels, total = Levels(codebook), 0.0
    for rows in layers:
        signal = (rows.importance * rows.weights**2).sum(axis=1)
        errors = []
        for exponent in range(-8, 24):
            steps = np.ldexp(rows.weights, exponent)
            error = rows.importance * (levels.nearest(steps) - steps) ** 2
            errors.append(np.ldexp(error.sum(axis=1), -2 * exponent))
        total += float((np.min(errors, axis=0) / signal).mean())
    return total


@pytest.mark.parametrize("seed", range(4))
def test_they_beat_int4_and_even_steps(seed):
    rng = np.random.default_rng(seed)
    layers = [layer(rng), layer(rng, scale=1e-3)]
    values = shared_codebook(layers, residuals=False, averages=False)
    verify_values(values)
    assert len(values) == 16
    assert noise(layers, values) < 0.8 * noise(layers, INT4)
    assert noise(layers, values) < 0.8 * noise(layers, tuple(range(-112, 127, 16)))


@pytest.mark.parametrize(("residuals", "averages"), [(True, True), (True, False), (False, True)])
def test_the_values_that_are_needed_are_there(residuals, averages):
    values = shared_codebook(
        [layer(np.random.default_rng(0))], residuals=residuals, averages=averages
    )
    verify_values(values)
    assert not residuals or 1 in values
    assert not averages or powers_of_two(values)


def test_few_different_weights_are_met_exactly():
    weights = np.array([[3.0, -5.0, 0.0, 7.0] * 3, [1.5, 3.5, -2.5, 0.0] * 3])
    rows = WeightedRows(weights, np.ones_like(weights))
    values = shared_codebook([rows], residuals=False, averages=False)
    assert noise([rows], values) == 0.0


def test_weights_of_zero_alone():
    rows = WeightedRows(np.zeros((2, 3)), np.ones((2, 3)))
    verify_values(shared_codebook([rows], residuals=True, averages=True))


def test_no_other_values_are_better(monkeypatch):
    """Small enough for a search of all: 4 values of -6 to 6."""
    monkeypatch.setattr(shared_weights, "LARGEST_VALUE", 6)
    monkeypatch.setattr(shared_weights, "MAX_VALUES", 4)
    rng = np.random.default_rng(5)
    points, weights = np.sort(rng.normal(scale=4.0, size=30)), rng.uniform(size=30)
    costs = shared_weights._Costs.of(points, weights)
    least, values = shared_weights._fewest(costs, (0, 2))

    def error(chosen):
        return float((weights * (Levels(chosen).nearest(points) - points) ** 2).sum())

    trials = [c for c in combinations(range(-6, 7), 4) if {0, 2} <= set(c)]
    assert least == pytest.approx(min(map(error, trials)))
    assert error(values) == pytest.approx(least)
