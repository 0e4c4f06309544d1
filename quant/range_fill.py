"""Scales whole tensors so that the best power of two for them is also their best free scale."""

import numpy as np

from shiftwork.quant import float_executor
from shiftwork.quant.graph import FloatArray, Graph
from shiftwork.quant.options import QuantizerOptions
from shiftwork.quant.scales import FloatArray as Doubles
from shiftwork.quant.scales import choose_exponent, squared_error
from shiftwork.quant.scaling import Factors, few_samples, scale_groups, stored_values
from shiftwork.quant.unary_passes import unscaled_values

STEPS = 16
"""Factors that are tried: so many steps of a power of two."""
MAX_STATISTICS = 1 << 17


def range_fill(graph: Graph, samples: FloatArray, options: QuantizerOptions) -> Factors:
    """Factors with which the hidden tensors lose less when they are quantized.

    Each tensor, or all that an Add or a pool ties together, is multiplied by the factor from 1 to
    2 with the least sum of relative squared errors over ``samples[N, H, W, C]``.

    Args:
        graph: the network.
        samples: inputs of the network.
        options: how tensors will be quantized.
    """
    values = float_executor.trace(graph, few_samples(graph, samples))
    groups = scale_groups(graph)
    for value in graph.shapes:
        groups.join_all(value)
    fixed = groups.of(unscaled_values(graph))
    factors = np.ones(groups.count)
    members = dict[int, list[str]]()
    for value in stored_values(graph):
        members.setdefault(int(groups.labels(value)[0]), []).append(value)
    for group, names in members.items():
        if group not in fixed:
            tensors = [_thinned(values[name]) for name in names]
            factors[group] = _best_factor(tensors, options)
    return {value: factors[groups.labels(value)] for value in graph.shapes}


def _best_factor(tensors: list[Doubles], options: QuantizerOptions) -> float:
    trials = 2.0 ** (np.arange(STEPS) / STEPS)
    errors = [sum(_relative_error(x * factor, options) for x in tensors) for factor in trials]
    return float(trials[int(np.argmin(errors))])


def _relative_error(values: Doubles, options: QuantizerOptions) -> float:
    signed = options.activations == "signed" or values.min() < 0
    lo, hi = (-128, 127) if signed else (0, 255)
    energy = float(np.square(values, dtype=np.float64).sum())
    exponent = choose_exponent(values, lo, hi, options.scales, options.headroom)
    return squared_error(values, exponent, lo, hi) / max(energy, np.finfo(float).tiny)


def _thinned(values: FloatArray) -> Doubles:
    """At most about 131,000 of the values, and both extremes."""
    flat = values.reshape(-1).astype(np.float64)
    step = -(-flat.size // MAX_STATISTICS)
    return flat if step <= 1 else np.concatenate([flat[::step], [flat.min(), flat.max()]])
