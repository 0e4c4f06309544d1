"""Scales the hidden values of a graph channel by channel, its output left as it was.

What one convolution's rows are multiplied with, the columns of the next ones are divided by. A
ReLU lets positive factors through; other bounds are scaled along, which needs one factor for all
channels.
"""

from dataclasses import replace

import numpy as np

from shiftwork.quant.channel_groups import ChannelGroups
from shiftwork.quant.fusion import layers
from shiftwork.quant.graph import Clip, Conv, FloatArray, Graph, MaxPool, Node, Reshape, Unary
from shiftwork.quant.scales import FloatArray as Doubles

Factors = dict[str, Doubles]

STATISTICS_ELEMENTS = 1 << 27
"""Elements of all values together that the statistics are taken of; fewer samples, if need be."""


def scale_groups(graph: Graph) -> ChannelGroups:
    """The channels that must share a factor."""
    groups = ChannelGroups(graph)
    for node in graph.nodes:
        if isinstance(node, Conv | Unary):
            continue
        for value in node.inputs:
            if isinstance(node, Reshape):
                groups.join_reshape(node)
            else:
                groups.join(value, node.output)
        if isinstance(node, Clip) and not _is_relu(node):
            groups.join_all(node.output)
    return groups


def stored_values(graph: Graph) -> tuple[str, ...]:
    """The hidden tensors whose range is a choice: what a layer other than a move or copy makes."""
    return tuple(
        layer.output
        for layer in layers(graph)
        if not (layer.last or isinstance(layer.node, MaxPool | Reshape))
    )


def few_samples(graph: Graph, samples: FloatArray) -> FloatArray:
    """As many of ``samples`` as statistics of all values at once leave room for."""
    elements = sum(int(np.prod(shape)) for shape in graph.shapes.values())
    count = max(1, min(len(samples), STATISTICS_ELEMENTS // elements))
    return samples[np.linspace(0, len(samples) - 1, count).astype(np.int64)]


def rescaled(graph: Graph, factors: Factors) -> Graph:
    """``graph`` with each value multiplied by its ``factors[value][C]``."""
    return graph.with_nodes([_rescaled_node(node, factors) for node in graph.nodes])


def _rescaled_node(node: Node, factors: Factors) -> Node:
    before, after = factors[node.input], factors[node.output]
    match node:
        case Conv():
            columns = before if node.groups == 1 else before.repeat(len(after) // len(before))
            shape = (1, 1, 1, -1) if node.groups == 1 else (-1, 1, 1, 1)
            weights = node.weights * after[:, None, None, None] / columns.reshape(shape)
            bias = node.bias * after
            return replace(node, weights=weights.astype(np.float32), bias=bias.astype(np.float32))
        case Clip() if not _is_relu(node):
            return replace(node, lo=node.lo * float(after[0]), hi=node.hi * float(after[0]))
        case _:
            return node


def _is_relu(node: Clip) -> bool:
    """Whether the bounds are 0 and infinities, which no positive factor changes."""
    return node.lo in (0.0, -np.inf) and node.hi == np.inf
