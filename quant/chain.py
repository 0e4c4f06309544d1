"""The canonical form that the quantizer works on: one chain, every bound beside what it limits."""

from dataclasses import replace

from shiftwork.errors import ModelError
from shiftwork.quant.graph import AveragePool, Clip, Conv, Graph, MaxPool, Node, Reshape
from shiftwork.quant.passes import simplify

KINDS = (Conv, Clip, MaxPool, AveragePool, Reshape)


def canonical(graph: Graph) -> Graph:
    """An equivalent chain of Conv, Clip, MaxPool, AveragePool and Reshape.

    A Clip stands directly behind the input, a Conv or an AveragePool, so that it becomes the range
    of an integer tensor: clipping is monotone, hence it commutes with MaxPool and Reshape. Average
    pools have no border that counts differently from the rest. Reshapes at the end are left out:
    the output layout does their work.

    Raises:
        ModelError: naming the node that has no integer form, and the way out.
    """
    graph = simplify(graph)
    nodes = [_resolved(graph, node) for node in graph.nodes]
    while nodes and isinstance(nodes[-1], Reshape):
        nodes.pop()
    output = nodes[-1].output if nodes else graph.input
    names = {graph.input, *(node.output for node in nodes)}
    shapes = {name: graph.shapes[name] for name in names}
    return graph.with_nodes(nodes, shapes=shapes, output=output)


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
