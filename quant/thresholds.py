"""Which magnitude a scale should reach: the thresholds of four calibration methods.

The divergence threshold is that of S. Migacz, "8-bit Inference with TensorRT", GPU Technology
Conference 2017, session S7310, "Entropy calibration".
"""

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntegerArray = NDArray[np.int64]

DIVERGENCE_BINS = 2048
PERCENTILE = 99.99


def percentile_threshold(values: FloatArray, counts: IntegerArray, percent: float) -> float:
    """The least magnitude that ``percent`` of the values do not exceed.

    Args:
        values, counts: a histogram: values, and how often each occurs.
        percent: above 0, at most 100.
    """
    order = np.argsort(np.abs(values), kind="stable")
    reached = np.cumsum(counts[order])
    index = int(np.searchsorted(reached, percent / 100.0 * reached[-1]))
    return float(np.abs(values)[order][min(index, len(order) - 1)])


def divergence_threshold(values: FloatArray, counts: IntegerArray, levels: int) -> float:
    """The threshold with the least Kullback-Leibler divergence, as TensorRT chooses it.

    The magnitudes are counted in 2048 equal bins. For each number of bins from ``levels`` on, P is
    what lies in them, with everything beyond added to the last; Q is the same without what lies
    beyond, each of ``levels`` equal parts replaced by its mean over the bins that are not empty.
    The least divergence of P from Q counts, of equal ones the last. Zeros, which every scale
    holds, should be left out of the histogram.

    Args:
        values, counts: a histogram of at least one value other than 0.
        levels: how many magnitudes the type has; from 2048 on nothing is clipped.
    """
    peak = float(np.abs(values).max())
    edges = np.linspace(0.0, peak, DIVERGENCE_BINS + 1)
    bins, _ = np.histogram(np.abs(values), bins=edges, weights=counts.astype(np.float64))
    kept = range(min(levels, DIVERGENCE_BINS), DIVERGENCE_BINS + 1)
    divergences = np.array([_divergence(bins, count, levels) for count in kept])
    best = len(kept) - 1 - int(divergences[::-1].argmin())
    return peak * kept[best] / DIVERGENCE_BINS


def _divergence(bins: FloatArray, kept: int, levels: int) -> float:
    """Of the first ``kept`` bins, quantized to ``levels``, from all of them clipped to these."""
    inside, beyond = bins[:kept], float(bins[kept:].sum())
    used = inside > 0.0
    if not used[-1] and (beyond or not used.any()):
        return float(np.inf)
    starts = -(-np.arange(min(levels, kept)) * kept // min(levels, kept))
    sums = np.add.reduceat(inside, starts)
    means = sums / np.maximum(np.add.reduceat(used, starts, dtype=np.int64), 1)
    quantized = np.repeat(means, np.diff(starts, append=kept))[used]
    reference = inside[used]
    reference[-1] += beyond
    p, q = reference / reference.sum(), quantized / quantized.sum()
    return float((p * np.log(p / q)).sum())
