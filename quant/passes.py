"""Passes that bring a float graph into the form that the quantizer expects.

Each rule looks at one node, and returns a smaller or simpler graph that computes the same, or None
if it does not apply. :func:`simplify` applies them until none does.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from shiftwork.errors import ModelError
from shiftwork.quant.graph import (
    Add,
    Affine,
    AveragePool,
    Clip,
    Conv,
    FloatArray,
    Graph,
    Grid,
    MaxPool,
    Node,
    Reshape,
    Shape,
)
from shiftwork.quant.regridding import contains, is_free, rounds_anew

Rule = Callable[[Graph, Node], Graph | None]


def simplify(graph: Graph, rules: tuple[Rule, ...] = ()) -> Graph:
    """An equivalent graph without :class:`Affine` nodes and without nodes that do nothing.

    An affine node is folded into the convolution before it if that has no other reader, or else
    into the convolutions after it; one that cannot fold becomes a depthwise 1x1 convolution. Clips
    move in front of maximum pools and reshapes, and successive ones become one. A convolution's
    groups are 1, or its input channels, which are its output channels then.

    Args:
        graph: any graph.
        rules: further ones.

    Raises:
        ModelError: if an affine node that differs from pixel to pixel cannot be folded.
    """
    graph = _without_unread(graph)
    for chosen in ((*FOLDING, *rules), (_to_depthwise,), (*FOLDING, *rules)):
        graph = _apply(graph, chosen)
    return graph


def _apply(graph: Graph, rules: Iterable[Rule]) -> Graph:
    while (changed := _first_change(graph, rules)) is not None:
        graph = changed
    return graph


def _first_change(graph: Graph, rules: Iterable[Rule]) -> Graph | None:
    for rule in rules:
        for node in graph.nodes:
            if (changed := rule(graph, node)) is not None:
                return changed
    return None


def _without_unread(graph: Graph) -> Graph:
    """Without the nodes that the output does not depend on."""
    read, kept = {graph.output}, []
    for node in reversed(graph.nodes):
        if node.output in read:
            read.update(node.inputs)
            kept.append(node)
    return _rebuilt(graph, kept[::-1])


def _rebuilt(graph: Graph, nodes: Iterable[Node], **changes: object) -> Graph:
    """With other nodes; values that none of them has are forgotten."""
    nodes = tuple(nodes)
    shapes = changes.pop("shapes", graph.shapes)
    assert isinstance(shapes, dict)
    names = {graph.input, *(node.output for node in nodes)}
    kept = {name: shape for name, shape in shapes.items() if name in names}
    grids = changes.pop("grids", graph.grids)
    assert isinstance(grids, dict)
    grids = {name: grid for name, grid in grids.items() if name in names}
    return graph.with_nodes(nodes, shapes=kept, grids=grids, **changes)


def regridded(graph: Graph, value: str, like: str) -> dict[str, Grid]:
    """The grids, but that ``value``, which becomes another one, has that of ``like``."""
    grids = {name: grid for name, grid in graph.grids.items() if name != value}
    return grids | ({value: graph.grids[like]} if like in graph.grids else {})


def replaced(graph: Graph, old: Iterable[Node], new: Iterable[Node], **changes: object) -> Graph:
    """With the nodes ``new`` where the first of the nodes ``old`` was, and without the others."""
    replaced, nodes = {id(node) for node in old}, list[Node]()
    for node in graph.nodes:
        if id(node) not in replaced:
            nodes.append(node)
        elif new:
            nodes.extend(new)
            new = ()
    return _rebuilt(graph, nodes, **changes)


def _without(graph: Graph, node: Node) -> Graph:
    """Without ``node``; its readers read its input."""
    nodes = [reading(other, node.output, node.input) for other in graph.nodes if other is not node]
    output = node.input if graph.output == node.output else graph.output
    grids = graph.grids
    if node.input not in grids:
        grids = regridded(graph, node.input, node.output)
    return _rebuilt(graph, nodes, output=output, grids=grids)


def reading(node: Node, old: str, new: str) -> Node:
    """``node`` with the value ``new`` wherever it reads ``old``."""
    if node.input == old:
        node = replace(node, input=new)
    if isinstance(node, Add) and node.other == old:
        node = replace(node, other=new)
    return node


def sole_producer(graph: Graph, node: Node) -> Node | None:
    """The node that writes the input of ``node``, if nothing else reads that."""
    if node.input == graph.output or len(graph.consumers(node.input)) != 1:
        return None
    return graph.producer(node.input)


def _drop_no_op(graph: Graph, node: Node) -> Graph | None:
    match node:
        case Reshape():
            idle = graph.shapes[node.input] == graph.shapes[node.output]
        case Clip():
            idle = node.lo == -np.inf and node.hi == np.inf
        case Affine():
            idle = bool((node.scale == 1).all() and (node.offset == 0).all())
        case MaxPool() | AveragePool():
            idle = node.kernel == (1, 1) and node.stride == (1, 1) and not any(node.padding)
        case _:
            idle = False
    return _without(graph, node) if idle else None


def _merge_clips(graph: Graph, node: Node) -> Graph | None:
    previous = sole_producer(graph, node)
    if not (isinstance(node, Clip) and isinstance(previous, Clip)):
        return None
    grids = graph.grids
    before, after = grids.get(previous.output), grids.get(node.output)
    if rounds_anew(before, after):
        return None
    if (after is None and contains(before, node.lo, node.hi)) or is_free(before):
        grids = regridded(graph, node.output, previous.output)
    lo, hi = (min(max(bound, node.lo), node.hi) for bound in (previous.lo, previous.hi))
    merged = replace(node, input=previous.input, lo=lo, hi=hi)
    return replaced(graph, [previous, node], [merged], grids=grids)


def _swap_clip(graph: Graph, node: Node) -> Graph | None:
    """A clip after a maximum pool or reshape moves in front of it, toward the layer before."""
    previous = sole_producer(graph, node)
    if not (isinstance(node, Clip) and isinstance(previous, MaxPool | Reshape)):
        return None
    return swapped(graph, previous, node)


def swapped(graph: Graph, previous: Node, node: Node) -> Graph:
    """``node``, which works on each element alone, in front of ``previous``, whose reader it is."""
    first = replace(node, input=previous.input, output=previous.output)
    second = replace(previous, input=first.output, output=node.output)
    shapes = graph.shapes | {first.output: graph.shapes[first.input]}
    grids = regridded(graph, first.output, node.output)
    return replaced(graph, [previous, node], [first, second], shapes=shapes, grids=grids)


def _merge_affines(graph: Graph, node: Node) -> Graph | None:
    previous = sole_producer(graph, node)
    if not (isinstance(node, Affine) and isinstance(previous, Affine)):
        return None
    scale = node.scale.astype(np.float64)
    merged = replace(
        node,
        input=previous.input,
        scale=_as_float32(scale * previous.scale),
        offset=_as_float32(scale * previous.offset + node.offset),
    )
    return replaced(graph, [previous, node], [merged])


def _fold_into_previous(graph: Graph, node: Node) -> Graph | None:
    previous = sole_producer(graph, node)
    if not (isinstance(node, Affine) and isinstance(previous, Conv) and _per_channel(node)):
        return None
    scale = node.scale.reshape(-1).astype(np.float64)
    folded = replace(
        previous,
        output=node.output,
        weights=_as_float32(previous.weights * scale[:, None, None, None]),
        bias=_as_float32(previous.bias * scale + node.offset.reshape(-1)),
    )
    return replaced(graph, [previous, node], [folded])


def _fold_into_next(graph: Graph, node: Node) -> Graph | None:
    readers = graph.consumers(node.output)
    if not isinstance(node, Affine) or node.output == graph.output:
        return None
    convs = [reader for reader in readers if isinstance(reader, Conv)]
    shape = graph.shapes[node.output]
    if len(convs) < len(readers) or not all(_takes(conv, node, shape) for conv in convs):
        return None
    folded = {id(conv): with_affine_input(conv, node) for conv in convs}
    nodes = [folded.get(id(other), other) for other in graph.nodes if other is not node]
    return _rebuilt(graph, nodes)


def _takes(conv: Conv, affine: Affine, shape: Shape) -> bool:
    """Whether ``conv`` can do the work of ``affine``, which is before it."""
    if any(conv.padding):
        return _per_channel(affine) and not affine.offset.any()
    return _per_channel(affine) or (conv.kernel == shape[:2] and conv.dilation == (1, 1))


def with_affine_input(conv: Conv, affine: Affine) -> Conv:
    """``conv`` for what ``affine`` reads; a border of zeros stays one."""
    weights = conv.weights.astype(np.float64)
    bias = conv.bias + (weights * _per_weight(conv, affine.offset)).sum(axis=(1, 2, 3))
    return replace(
        conv,
        input=affine.input,
        weights=_as_float32(weights * _per_weight(conv, affine.scale)),
        bias=_as_float32(bias),
    )


def _per_weight(conv: Conv, array: FloatArray) -> np.ndarray:
    """For each weight of ``conv``, the element of ``array`` for the input that it multiplies."""
    outputs, rows, columns, depth = conv.weights.shape
    inputs = np.broadcast_to(array, (rows, columns, conv.groups * depth))
    grouped = np.moveaxis(inputs.reshape(rows, columns, conv.groups, depth), 2, 0)
    return np.repeat(grouped.astype(np.float64), outputs // conv.groups, axis=0)


def _push_through_reshape(graph: Graph, node: Node) -> Graph | None:
    """An affine in front of a reshape moves behind it, toward the dense layer it may fold into."""
    affine = sole_producer(graph, node)
    if not (isinstance(node, Reshape) and isinstance(affine, Affine)):
        return None
    before, after = graph.shapes[node.input], graph.shapes[node.output]
    first = replace(node, input=affine.input, output=affine.output)
    scale, offset = (
        np.broadcast_to(array, before).reshape(after) for array in (affine.scale, affine.offset)
    )
    second = replace(affine, input=first.output, output=node.output, scale=scale, offset=offset)
    shapes = graph.shapes | {first.output: after}
    grids = regridded(graph, first.output, affine.input)
    return replaced(graph, [affine, node], [first, second], shapes=shapes, grids=grids)


def _double(graph: Graph, node: Node) -> Graph | None:
    """A value that is added to itself is multiplied by two."""
    if not (isinstance(node, Add) and node.input == node.other):
        return None
    two = Affine(
        name=node.name,
        input=node.input,
        output=node.output,
        scale=np.full(1, 2, np.float32),
        offset=np.zeros(1, np.float32),
    )
    return replaced(graph, [node], [two])


def _to_dense(graph: Graph, node: Node) -> Graph | None:
    """A grouped convolution that is not depthwise becomes a dense one, with zeros as weights.

    Depthwise means here that there are as many groups as channels, of the input and the output.
    """
    if not isinstance(node, Conv) or node.groups == 1:
        return None
    outputs, rows, columns, depth = node.weights.shape
    if depth == 1 and node.groups == outputs:
        return None
    groups, per_group = node.groups, outputs // node.groups
    weights = np.zeros((groups, per_group, rows, columns, groups, depth), np.float32)
    group = np.arange(groups)
    weights[group, ..., group, :] = node.weights.reshape(groups, per_group, rows, columns, depth)
    dense = weights.reshape(outputs, rows, columns, groups * depth)
    return replaced(graph, [node], [replace(node, weights=dense, groups=1)])


def _to_depthwise(graph: Graph, node: Node) -> Graph | None:
    if not isinstance(node, Affine):
        return None
    if not _per_channel(node):
        raise ModelError(
            f"node '{node.name}' adds or multiplies by constants that differ from pixel to pixel, "
            f"on a feature map of shape {list(graph.shapes[node.output])}; that is supported only "
            "right before a dense layer: use one constant for each channel, or prepare the input "
            "outside of the network"
        )
    channels = graph.shapes[node.output][2]
    shape = (channels,)
    layer = Conv(
        name=node.name,
        input=node.input,
        output=node.output,
        weights=_broadcast(node.scale, shape).reshape(-1, 1, 1, 1),
        bias=_broadcast(node.offset, shape),
        groups=channels,
    )
    return replaced(graph, [node], [layer])


def _broadcast(array: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    return np.array(np.broadcast_to(array.reshape(-1), shape), np.float32)


def _per_channel(node: Affine) -> bool:
    """Whether all pixels have the same constants, so that they are ``[C]`` or ``[1, 1, C]``."""
    return all(array.size == array.shape[-1] for array in (node.scale, node.offset))


def _as_float32(array: np.ndarray) -> FloatArray:
    """Values beyond float32 become infinite, which the graph's own check reports by name."""
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array, dtype=np.float32)


FOLDING: tuple[Rule, ...] = (
    _drop_no_op,
    _merge_clips,
    _swap_clip,
    _merge_affines,
    _fold_into_previous,
    _fold_into_next,
    _push_through_reshape,
    _double,
    _to_dense,
)
