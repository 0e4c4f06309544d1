import numpy as np
import pytest

from shiftwork.quant.thresholds import (
    DIVERGENCE_BINS,
    divergence_threshold,
    percentile_threshold,
)


def by_definition(magnitudes, levels):
    """TensorRT's entropy calibration, step by step as its presentation has it."""
    peak = magnitudes.max()
    bins, _ = np.histogram(magnitudes, bins=DIVERGENCE_BINS, range=(0, peak))
    best, threshold = np.inf, peak
    for kept in range(levels, DIVERGENCE_BINS + 1):
        p = bins[:kept].astype(float)
        p[-1] += bins[kept:].sum()
        q = np.zeros(kept)
        level = np.arange(kept) * levels // kept
        for number in range(levels):
            inside = (level == number) & (bins[:kept] > 0)
            if inside.any():
                q[inside] = bins[:kept][inside].sum() / inside.sum()
        if not q.sum() or (p[q == 0] > 0).any():
            continue
        p, q = p[q > 0] / p.sum(), q[q > 0] / q.sum()
        divergence = float((p * np.log(p / q)).sum())
        if divergence <= best:
            best, threshold = divergence, peak * kept / DIVERGENCE_BINS
    return threshold


@pytest.mark.parametrize("levels", [8, 128])
@pytest.mark.parametrize("kind", ["normal", "laplace", "outlier"])
def test_divergence_is_that_of_the_definition(kind, levels):
    rng = np.random.default_rng(3)
    x = rng.laplace(size=4000) if kind == "laplace" else rng.normal(size=4000)
    if kind == "outlier":
        x[0] = 40.0
    threshold = divergence_threshold(x, np.ones(len(x), np.int64), levels)
    assert threshold == pytest.approx(by_definition(np.abs(x), levels))
    assert threshold <= np.abs(x).max()


def test_divergence_cuts_off_an_outlier():
    x = np.append(np.random.default_rng(3).normal(size=20000), 40.0)
    assert divergence_threshold(x, np.ones(len(x), np.int64), 128) < 10.0


def test_divergence_keeps_few_levels_whole():
    assert divergence_threshold(np.array([0.1, -1.0]), np.array([5, 3]), 128) == 1.0
    assert divergence_threshold(np.array([2.5]), np.array([7]), 128) == 2.5


def test_more_levels_than_bins_clip_nothing():
    x = np.random.default_rng(3).normal(size=1000)
    ones = np.ones(1000, np.int64)
    assert divergence_threshold(x, ones, 32768) == pytest.approx(np.abs(x).max())


def test_percentile_counts_magnitudes():
    values, counts = np.array([3.0, -1.0, -9.0]), np.array([5, 90, 5])
    assert percentile_threshold(values, counts, 90.0) == 1.0
    assert percentile_threshold(values, counts, 95.0) == 3.0
    assert percentile_threshold(values, counts, 100.0) == 9.0
