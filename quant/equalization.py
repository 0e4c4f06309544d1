"""Scales the channels of each tensor toward a common range, so that one exponent suits them all.

Cross-layer equalization (Nagel et al., 2019), for activations, and guarded: a channel whose range
is below a 16th of its tensor's counts as a 16th, so that what is nearly dead is not blown up.
"""

import numpy as np

from shiftwork.quant import float_executor
from shiftwork.quant.graph import FloatArray, Graph
from shiftwork.quant.scaling import Factors, few_samples, scale_groups, stored_values
from shiftwork.quant.unary_passes import unscaled_values

GUARD = 1 / 16


def equalization(graph: Graph, samples: FloatArray) -> Factors:
    """Factors with which the channels of a tensor differ less in range.

    A channel's factor is ``sqrt(M / max(r, M / 16))``, ``r`` its range over ``samples[N, H, W,
    C]`` and ``M`` that of its tensor. The root leaves small channels room: inputs beyond the
    samples may well exceed a range that few of them reach. Channels that an Add or a pool ties
    together share a factor; those of a tensor with an upper bound, such as ReLU6, keep theirs in
    common.
    """
    values = float_executor.trace(graph, few_samples(graph, samples))
    groups = scale_groups(graph)
    ratios = np.full(groups.count, GUARD)
    for value in stored_values(graph):
        labels, ranges = groups.labels(value), np.abs(values[value]).max(axis=(0, 1, 2))
        np.maximum.at(ratios, labels, ranges / max(float(ranges.max()), np.finfo(float).tiny))
    factors = 1.0 / np.sqrt(ratios)
    factors[list(groups.of(unscaled_values(graph)))] = 1.0
    return {value: factors[groups.labels(value)] for value in graph.shapes}
