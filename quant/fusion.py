"""The layers of the integer program: which nodes of the float graph become one op.

A Clip becomes the bounds of what it limits, a Unary its table. An Add becomes part of a
convolution: the sum of a convolution's output and other values is formed in its accumulator, so
that it is rounded once.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from shiftwork.quant import graph
from shiftwork.quant.graph import Add, Clip, Conv, Graph, Shape, Unary
from shiftwork.quant.unary_functions import Function


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What the Clip behind a value limits it to, or the Unary makes of it.

    Attributes:
        output: the limited value; the value itself if there is no Clip and no Unary.
        lo, hi: real bounds, infinite without a Clip.
        function: of a Unary.
    """

    output: str
    lo: float = -np.inf
    hi: float = np.inf
    function: Function | None = None

    @property
    def present(self) -> bool:
        """Whether there is anything to limit or to look up."""
        limited = np.isfinite(self.lo) or np.isfinite(self.hi)
        return bool(limited or self.function is not None)

    def apply(self, real: NDArray) -> NDArray[np.float32]:
        """``real``, limited, or what the function makes of it."""
        if self.function is not None:
            return self.function(real)
        return np.clip(real, self.lo, self.hi).astype(np.float32)


@dataclass(frozen=True, eq=False, kw_only=True)
class Layer:
    """What becomes one op: a node, what is added to its output, and the Clip or Unary behind that.

    Attributes:
        node: any but a Clip, a Unary or an Add.
        products: further convolutions whose outputs are added.
        residuals: further values that are added.
        bounds: of its output.
        shape: ``(H, W, C)`` of its output.
        last: whether it writes the network's output.
    """

    node: graph.Node
    bounds: Bounds
    shape: Shape
    last: bool
    products: tuple[Conv, ...] = ()
    residuals: tuple[str, ...] = ()

    @property
    def output(self) -> str:
        """The value that the layer writes, after its bounds."""
        return self.bounds.output

    @property
    def inputs(self) -> tuple[str, ...]:
        """The values that the layer reads, in the order of the op's inputs."""
        return (self.node.input, *(node.input for node in self.products), *self.residuals)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Sum:
    """The summands of an Add: convolutions that nothing else reads, and values."""

    convs: tuple[Conv, ...] = ()
    values: tuple[str, ...] = ()

    def __add__(self, other: "_Sum") -> "_Sum":
        return _Sum(convs=self.convs + other.convs, values=self.values + other.values)


def layers(network: Graph, *, rounded: Collection[str] = ()) -> tuple[Layer, ...]:
    """The layers of a canonical graph, in execution order.

    The values ``rounded`` are rounded on their own, so that they do not become part of a sum.
    """
    sums = {node.output: _summands(network, node, rounded) for node in _outermost(network, rounded)}
    fused = {conv.output for terms in sums.values() for conv in terms.convs}
    return tuple(_layers(network, sums, fused))


def bounds_of(network: Graph, value: str) -> Bounds:
    """The bounds of ``value``, by the Clip or the Unary that reads it."""
    for node in network.consumers(value):
        if isinstance(node, Clip):
            return Bounds(output=node.output, lo=node.lo, hi=node.hi)
        if isinstance(node, Unary):
            return Bounds(output=node.output, function=node.function)
    return Bounds(output=value)


def _layers(network: Graph, sums: dict[str, _Sum], fused: set[str]) -> Iterator[Layer]:
    for node in network.nodes:
        absorbed = isinstance(node, Add) and node.output not in sums
        if isinstance(node, Clip | Unary) or node.output in fused or absorbed:
            continue
        bounds = bounds_of(network, node.output)
        layer = Layer(
            node=node,
            bounds=bounds,
            shape=network.shapes[node.output],
            last=bounds.output == network.output,
        )
        if isinstance(node, Add):
            layer = _with_sum(layer, node, sums[node.output])
        yield layer


def _outermost(network: Graph, rounded: Collection[str]) -> Iterator[Add]:
    """The Adds that are not a summand of another one's sum."""
    for node in network.nodes:
        if isinstance(node, Add) and not _only_added(network, node.output, rounded):
            yield node


def _only_added(network: Graph, value: str, rounded: Collection[str]) -> bool:
    """Whether nothing but one Add reads ``value``, once, and as it is."""
    readers = network.consumers(value)
    if len(readers) != 1 or value == network.output or value in rounded:
        return False
    return isinstance(readers[0], Add) and readers[0].inputs.count(value) == 1


def _summands(network: Graph, node: Add, rounded: Collection[str]) -> _Sum:
    """All that ``node`` adds up, through Adds whose sums nothing else reads.

    A depthwise convolution can only be the first of the sum's convolutions, and alone; otherwise
    its output stays a value.
    """
    terms = sum((_terms(network, value, rounded) for value in node.inputs), _Sum())
    dense = tuple(conv for conv in terms.convs if conv.groups == 1)
    kept = dense or terms.convs[:1]
    values = tuple(conv.output for conv in terms.convs if conv not in kept)
    return _Sum(convs=kept, values=terms.values + values)


def _terms(network: Graph, value: str, rounded: Collection[str]) -> _Sum:
    producer = network.producer(value)
    if _only_added(network, value, rounded):
        if isinstance(producer, Conv):
            return _Sum(convs=(producer,))
        if isinstance(producer, Add):
            return _summands(network, producer, rounded)
    return _Sum(values=(value,))


def _with_sum(layer: Layer, node: Add, terms: _Sum) -> Layer:
    """A sum's layer: the convolution with the largest window does the work, or a copy."""
    convs = sorted(terms.convs, key=lambda conv: -conv.kernel[0] * conv.kernel[1])
    if not convs:
        channels = layer.shape[2]
        copy = Conv(
            name=node.name,
            input=terms.values[0],
            output=node.output,
            weights=np.ones((channels, 1, 1, 1), np.float32),
            bias=np.zeros(channels, np.float32),
            groups=channels,
        )
        return replace(layer, node=copy, residuals=terms.values[1:])
    return replace(layer, node=convs[0], products=tuple(convs[1:]), residuals=terms.values)
