"""The canonical form that the quantizer works on: every bound beside what it limits."""

from dataclasses import replace

import numpy as np

from shiftwork.errors import ModelError
from shiftwork.quant.dead_channels import remove_dead_channels
from shiftwork.quant.graph import (
    Add,
    AveragePool,
    Clip,
    Conv,
    Graph,
    MaxPool,
    Node,
    Reshape,
    Unary,
)
from shiftwork.quant.passes import simplify
from shiftwork.quant.regridding import grid_of, rounds_anew
from shiftwork.quant.unary_passes import UNARY_RULES

KINDS = (Conv, Add, Clip, Unary, MaxPool, AveragePool, Reshape)


def canonical(graph: Graph) -> Graph:
    """An equivalent graph of Conv, Add, Clip, Unary, MaxPool, AveragePool and Reshape.

    A Clip stands directly behind the input, a Conv, an Add or an AveragePool, and is the only
    reader of what it limits, so that it becomes the range of an integer tensor: clipping is
    monotone, hence it commutes with MaxPool and Reshape. A Unary stands in the same places, but for
    the input, so that it becomes a table. Average pools have no border that counts differently from
    the rest. Nothing reads the output. The summands of an Add are at a power of
    two. Where the network is not like that, a 1x1 depthwise convolution with the weight 1 is put
    in between. Reshapes at the end are left out: the output layout does their work. Dead channels
    are gone.

    Raises:
        ModelError: naming the node that has no integer form, and the way out.
    """
    graph = simplify(graph, UNARY_RULES)
    nodes = [_resolved(graph, node) for node in graph.nodes]
    while nodes and isinstance(nodes[-1], Reshape):
        nodes.pop()
    output = nodes[-1].output if nodes else graph.input
    names = {graph.input, *(node.output for node in nodes)}
    # In the graph's order: the quantizer's sums follow it, to the last bit.
    shapes = {name: shape for name, shape in graph.shapes.items() if name in names}
    graph = graph.with_nodes(nodes, shapes=shapes, output=output)
    return remove_dead_channels(_with_own_clips(_with_plain_summands(graph)))


def _resolved(graph: Graph, node: Node) -> Node:
    """``node`` itself, or an average pool without the padding that none of its windows reaches."""
    if not isinstance(node, KINDS):
        raise ModelError(
            f"node '{node.name}' is of the kind {type(node).__name__}, which has no integer form; "
            f"supported are {', '.join(kind.__name__ for kind in KINDS)}"
        )
    if not isinstance(node, AveragePool) or node.count_include_pad or not any(node.padding):
        return node
    if _reaches_border(graph, node):
        raise ModelError(
            f"node '{node.name}' averages over a border that does not count "
            "(count_include_pad = 0), so that its divisor varies over the map; set "
            "count_include_pad = 1, or pool without padding"
        )
    return replace(node, padding=(0, 0, 0, 0))


def _reaches_border(graph: Graph, node: AveragePool) -> bool:
    """Whether a window covers an element outside of the feature map."""
    (height, width, _), (rows, columns, _) = graph.shapes[node.input], graph.shapes[node.output]
    top, left, _, _ = node.padding
    bottom_edge = (rows - 1) * node.stride[0] + node.kernel[0] - top
    right_edge = (columns - 1) * node.stride[1] + node.kernel[1] - left
    return top > 0 or left > 0 or bottom_edge > height or right_edge > width


def _with_own_clips(graph: Graph) -> Graph:
    """Every Clip alone behind a node that has bounds, and nothing behind the output."""
    nodes, shapes = list[Node](), dict(graph.shapes)
    for node in graph.nodes:
        if isinstance(node, Clip | Unary) and not _has_bounds(graph, node):
            copy = _identity(graph, node.input, f"{node.name}_input")
            shapes[copy.output] = shapes[node.input]
            nodes.append(copy)
            node = replace(node, input=copy.output)
        nodes.append(node)
    output = graph.output
    if graph.consumers(output):
        copy = _identity(graph, output, f"{output}_copy")
        shapes[copy.output], output = shapes[output], copy.output
        nodes.append(copy)
    return graph.with_nodes(nodes, shapes=shapes, output=output)


def _has_bounds(graph: Graph, node: Clip | Unary) -> bool:
    """Whether ``node`` can become the bounds, or the table, of what writes its input."""
    value = node.input
    before = grid_of(graph.nodes, graph.grids, value)
    if isinstance(node, Clip) and rounds_anew(before, graph.grids.get(node.output)):
        return False
    producer = graph.producer(value)
    bounded = isinstance(producer, Conv | Add | AveragePool)
    if producer is None:
        bounded = isinstance(node, Clip)
    return bounded and len(graph.consumers(value)) == 1 and value != graph.output


def _with_plain_summands(graph: Graph) -> Graph:
    """Without an Add that reads a value whose step is no power of two."""
    nodes, shapes = list[Node](), dict(graph.shapes)
    for node in graph.nodes:
        if isinstance(node, Add):
            names = []
            for number, value in enumerate(node.inputs):
                if _has_gain(graph, value):
                    copy = _identity(graph, value, f"{node.name}_input{number}")
                    shapes[copy.output] = shapes[value]
                    nodes.append(copy)
                    value = copy.output
                names.append(value)
            node = replace(node, input=names[0], other=names[1])
        nodes.append(node)
    return graph.with_nodes(nodes, shapes=shapes)


def _has_gain(graph: Graph, value: str) -> bool:
    """Whether a value's step may be other than a power of two: the input's, or an average's."""
    match graph.producer(value):
        case None:
            return True
        case AveragePool(kernel=(rows, columns)) as node:
            taps = rows * columns
            return bool(taps & (taps - 1)) or _has_gain(graph, node.input)
        case (Clip() | MaxPool() | Reshape()) as node:
            return _has_gain(graph, node.input)
        case _:
            return False


def _identity(graph: Graph, value: str, name: str) -> Conv:
    """A convolution that copies ``value`` to the new value ``name``."""
    channels = graph.shapes[value][2]
    return Conv(
        name=name,
        input=value,
        output=name,
        weights=np.ones((channels, 1, 1, 1), np.float32),
        bias=np.zeros(channels, np.float32),
        groups=channels,
    )
