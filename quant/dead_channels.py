"""Removes channels that do not depend on the input; what they add becomes part of a bias.

A convolution's row whose weights vanish beside the layer's largest makes a constant. A constant
stays one through bounds, pools and depthwise convolutions, as far as a border does not show, and
ends in a convolution's bias. All channels that are tied together by such operations go together.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from shiftwork.quant import float_executor
from shiftwork.quant.channel_groups import ChannelGroups
from shiftwork.quant.graph import Conv, FloatArray, Graph, Node, Reshape

VANISHING = 1e-6
CHANNEL_MULTIPLE = 2
Masks = dict[str, NDArray[np.bool_]]


def remove_dead_channels(graph: Graph) -> Graph:
    """An equivalent graph without the channels that are constant wherever they are read.

    Weights below a millionth of their layer's largest count as 0 if all of their row do. A value
    keeps at least one channel, and an even number of them where one more is left: memories deliver
    words of two bytes.
    """
    graph = graph.with_nodes([_without_vanishing_rows(node) for node in graph.nodes])
    values, constant = _constants(graph)
    groups = _tied_channels(graph)
    kept = _kept_groups(graph, groups, values, constant)
    masks = {value: kept[groups.labels(value)] for value in graph.shapes}
    if all(mask.all() for mask in masks.values()):
        return graph
    shapes = {value: _kept_shape(graph, value, masks) for value in graph.shapes}
    return graph.with_nodes([_shrunk(n, masks, values) for n in graph.nodes], shapes=shapes)


def _without_vanishing_rows(node: Node) -> Node:
    if not isinstance(node, Conv):
        return node
    largest = np.abs(node.weights).max(axis=(1, 2, 3), keepdims=True)
    used = largest >= VANISHING * largest.max()
    return replace(node, weights=np.where(used, node.weights, np.float32(0)))


def _constants(graph: Graph) -> tuple[dict[str, FloatArray], Masks]:
    """Every value for an input of zeros, ``[H, W, C]``, and which channels have no other."""
    zeros = np.zeros((1, *graph.shapes[graph.input]), np.float32)
    values = {name: x[0] for name, x in float_executor.trace(graph, zeros).items()}
    constant = {graph.input: np.zeros(graph.shapes[graph.input][2], bool)}
    for node in graph.nodes:
        constant[node.output] = _constant_channels(graph, node, constant)
    return values, constant


def _constant_channels(graph: Graph, node: Node, constant: Masks) -> NDArray[np.bool_]:
    sources = [constant[value] for value in node.inputs]
    match node:
        case Conv():
            dead = ~node.weights.any(axis=(1, 2, 3))
            if node.groups == 1:
                return np.asarray(dead | ~node.weights[..., ~sources[0]].any(axis=(1, 2, 3)))
            return dead | np.repeat(sources[0], len(node.weights) // node.groups)
        case Reshape():
            before, after = graph.shapes[node.input], graph.shapes[node.output]
            elements = np.broadcast_to(sources[0], before).reshape(-1, after[2])
            return np.asarray(elements.all(axis=0))
        case _:
            return np.asarray(np.logical_and.reduce(sources))


def _tied_channels(graph: Graph) -> ChannelGroups:
    groups = ChannelGroups(graph)
    for node in graph.nodes:
        match node:
            case Conv() if node.groups == 1:
                pass
            case Conv() if len(node.weights) != node.groups or node.weights.shape[3] != 1:
                groups.join_all(node.input).join_all(node.output)
            case Reshape():
                groups.join_reshape(node)
            case _:
                for value in node.inputs:
                    groups.join(value, node.output)
    return groups


def _kept_groups(
    graph: Graph, groups: ChannelGroups, values: dict[str, FloatArray], constant: Masks
) -> NDArray[np.bool_]:
    """Whether each group of channels must stay."""
    kept = np.zeros(groups.count, bool)
    kept[list(groups.of((graph.input, graph.output)))] = True
    for value, mask in constant.items():
        kept[groups.labels(value)[~mask]] = True
    for node in graph.nodes:
        if isinstance(node, Conv) and node.groups == 1:
            labels, x = groups.labels(node.input), values[node.input]
            kept[labels[~_foldable(node, x)]] = True
    for value in graph.shapes:
        labels = groups.labels(value)
        gone = np.flatnonzero(~kept[labels])
        if (len(gone) and (len(labels) - len(gone)) % CHANNEL_MULTIPLE) or len(gone) == len(labels):
            size = np.abs(values[value]).max(axis=(0, 1))
            kept[labels[gone[np.argmin(size[gone])]]] = True
    return kept


def _foldable(node: Conv, x: FloatArray) -> NDArray[np.bool_]:
    """Which input channels of ``node``, constants in ``x[H, W, C]``, are a part of its bias."""
    if any(node.padding):
        return np.asarray(~x.any(axis=(0, 1)))
    return np.asarray((x == x[:1, :1]).all(axis=(0, 1)))


def _kept_shape(graph: Graph, value: str, masks: Masks) -> tuple[int, int, int]:
    height, width, _ = graph.shapes[value]
    return height, width, int(masks[value].sum())


def _shrunk(node: Node, masks: Masks, values: dict[str, FloatArray]) -> Node:
    """``node`` without the channels that go."""
    if not isinstance(node, Conv):
        return node
    rows, columns = masks[node.output], masks[node.input]
    if node.groups > 1:
        groups = int(columns.sum())
        return replace(node, weights=node.weights[rows], bias=node.bias[rows], groups=groups)
    gone = np.where(columns, 0.0, values[node.input][0, 0].astype(np.float64))
    bias = node.bias + (node.weights.astype(np.float64) * gone).sum(axis=(1, 2, 3))
    return replace(
        node,
        weights=np.ascontiguousarray(node.weights[rows][..., columns]),
        bias=bias[rows].astype(np.float32),
    )
