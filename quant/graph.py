"""The float graph: what an importer produces and the quantizer consumes.

Feature maps are NHWC without the batch dimension: every value has a shape ``(H, W, C)``; a plain
vector of N features is ``(1, 1, N)``. A dense layer is a 1x1 convolution on ``(1, 1, N)``.
Reshapes never move data: they keep the order of the NHWC bytes. Whatever the source model's
layout is, :class:`Layout` maps its tensors to and from this order.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from shiftwork.errors import DataError, ModelError
from shiftwork.quant.unary_functions import Function

Shape = tuple[int, int, int]
Pair = tuple[int, int]
Padding = tuple[int, int, int, int]
FloatArray = NDArray[np.float32]


def window_count(
    size: int, kernel: int, stride: int, before: int, after: int, dilation: int
) -> int:
    """Number of window positions along one axis of ``size`` elements (ONNX, floor mode)."""
    return (size + before + after - dilation * (kernel - 1) - 1) // stride + 1


def output_shape(
    shape: Shape,
    channels: int,
    kernel: Pair,
    stride: Pair,
    padding: Padding,
    dilation: Pair = (1, 1),
) -> Shape:
    """Shape ``(H, W, C)`` that a window op makes; padding is top, left, bottom, right."""
    top, left, bottom, right = padding
    return (
        window_count(shape[0], kernel[0], stride[0], top, bottom, dilation[0]),
        window_count(shape[1], kernel[1], stride[1], left, right, dilation[1]),
        channels,
    )


@dataclass(frozen=True, eq=False)
class Layout:
    """How one sample of the source model's tensor maps to NHWC order.

    ``shape`` is the sample's shape in the source model, without the batch dimension;
    ``order[i]`` is the flat index, in the source model's order, of element ``i`` in NHWC order.
    """

    shape: tuple[int, ...]
    order: NDArray[np.int64]

    @classmethod
    def identity(cls, shape: tuple[int, ...]) -> "Layout":
        """The layout of a tensor that is in NHWC order already."""
        return cls(shape, np.arange(int(np.prod(shape)), dtype=np.int64))

    def to_nhwc(self, x: NDArray, shape: Shape, name: str = "input") -> NDArray:
        """Samples ``x[N, ...]`` in the source model's layout as ``[N, H, W, C]``.

        Dimensions of size 1 may be missing or added, and a sample may come flattened.

        Raises:
            DataError: if ``x`` does not hold samples of this layout.
        """
        squeezed = tuple(d for d in x.shape[1:] if d != 1)
        expected = tuple(d for d in self.shape if d != 1)
        flat = (int(np.prod(self.shape)),)
        if x.ndim < 1 or squeezed not in (expected, tuple(d for d in flat if d != 1)):
            raise DataError(
                f"{name}: samples must have the shape {list(self.shape)}, not {list(x.shape[1:])}; "
                f"the array's first axis counts the samples (its shape is {list(x.shape)})"
            )
        return x.reshape(len(x), -1)[:, self.order].reshape(len(x), *shape)

    def from_nhwc(self, x: NDArray) -> NDArray:
        """The inverse of :meth:`to_nhwc`: ``[N, H, W, C]`` in the source model's layout."""
        flat = np.empty((len(x), len(self.order)), x.dtype)
        flat[:, self.order] = x.reshape(len(x), -1)
        return flat.reshape(len(x), *self.shape)


@dataclass(frozen=True, eq=False, kw_only=True)
class Node:
    """An operation with an output and one input, or several; all are named values of the graph."""

    name: str
    input: str
    output: str

    @property
    def inputs(self) -> tuple[str, ...]:
        """The values that the node reads."""
        return (self.input,)


@dataclass(frozen=True, eq=False, kw_only=True)
class Conv(Node):
    """Convolution or dense layer: ``weights[O, kh, kw, I / groups]``, ``bias[O]``.

    With ``groups = I`` it is depthwise: output channel o reads input channel ``o // (O / I)``.
    """

    weights: FloatArray
    bias: FloatArray
    stride: Pair = (1, 1)
    padding: Padding = (0, 0, 0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1

    @property
    def kernel(self) -> Pair:
        """Height and width of the window."""
        return self.weights.shape[1], self.weights.shape[2]


@dataclass(frozen=True, eq=False, kw_only=True)
class Add(Node):
    """``y = x + other``, two values of the same shape."""

    other: str

    @property
    def inputs(self) -> tuple[str, ...]:
        """The two summands."""
        return (self.input, self.other)


@dataclass(frozen=True, eq=False, kw_only=True)
class Affine(Node):
    """``y = x * scale + offset``, each ``[C]`` or ``[H, W, C]`` of the value's shape."""

    scale: FloatArray
    offset: FloatArray


@dataclass(frozen=True, eq=False, kw_only=True)
class Clip(Node):
    """``y = min(max(x, lo), hi)``; ReLU is ``lo = 0, hi = inf``."""

    lo: float
    hi: float


@dataclass(frozen=True, eq=False, kw_only=True)
class Unary(Node):
    """``y = function(x)``, element by element."""

    function: Function


@dataclass(frozen=True, eq=False, kw_only=True)
class MaxPool(Node):
    """Maximum over a window; padding never wins."""

    kernel: Pair
    stride: Pair
    padding: Padding = (0, 0, 0, 0)


@dataclass(frozen=True, eq=False, kw_only=True)
class AveragePool(Node):
    """Mean over a window; ``count_include_pad`` as in ONNX."""

    kernel: Pair
    stride: Pair
    padding: Padding = (0, 0, 0, 0)
    count_include_pad: bool = False


@dataclass(frozen=True, eq=False, kw_only=True)
class Reshape(Node):
    """A new shape for the same NHWC sequence of elements; no data move."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The integers that the source model stores a value in: ``x = (q - zero_point) * scale``.

    Attributes:
        scale: positive real units of one step; one for the whole value.
        zero_point: the integer that stands for 0.
        lo, hi: the smallest and the largest integer, as of their type: -128 and 127 for int8.
    """

    scale: float
    zero_point: int
    lo: int
    hi: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Graph:
    """A chain or DAG of nodes in execution order.

    Attributes:
        name: the model's name.
        input, output: names of the network's input and output values.
        shapes: ``(H, W, C)`` of every value.
        nodes: in execution order.
        input_layout, output_layout: how the source model orders these two.
        dropped: ops at the end that are left to the host, such as ``Softmax``.
        source: where the model comes from: format, file, checksum and the like.
        grids: by value, the integers that the source model rounds it to, where it is a quantized
            one; a value that it rounds several times has the first grid. The graph itself
            computes in real numbers, without rounding, whether there are grids or not.
    """

    name: str
    input: str
    output: str
    shapes: dict[str, Shape]
    nodes: tuple[Node, ...]
    input_layout: Layout
    output_layout: Layout
    dropped: tuple[str, ...] = ()
    source: dict[str, str] = field(default_factory=dict)
    grids: dict[str, Grid] = field(default_factory=dict)

    def consumers(self, value: str) -> list[Node]:
        """The nodes that read ``value``."""
        return [node for node in self.nodes if value in node.inputs]

    def producer(self, value: str) -> Node | None:
        """The node that writes ``value``; None for the network's input."""
        return next((node for node in self.nodes if node.output == value), None)

    def with_nodes(self, nodes: tuple[Node, ...] | list[Node], **changes: object) -> "Graph":
        """A copy with other nodes, verified."""
        graph = replace(self, nodes=tuple(nodes), **changes)  # type: ignore[arg-type]
        graph.verify()
        return graph

    def verify(self) -> None:
        """Checks names, order, shapes and values.

        Raises:
            ModelError: naming the node and the rule that it breaks.
        """
        defined = {self.input}
        for node in self.nodes:
            for value in node.inputs:
                if value not in defined:
                    raise ModelError(f"node '{node.name}' reads '{value}' before it is written")
            if node.output in defined:
                raise ModelError(f"node '{node.name}' writes '{node.output}' a second time")
            self._verify_shape(node)
            defined.add(node.output)
        if self.output not in defined:
            raise ModelError(f"the output '{self.output}' is written by no node")

    def _verify_shape(self, node: Node) -> None:
        got, expected = self.shapes[node.output], self.expected_shape(node)
        if got != expected:
            raise ModelError(f"node '{node.name}' makes the shape {expected}, not {got}")
        if min(got) < 1:
            raise ModelError(f"node '{node.name}' makes an empty tensor of shape {got}")
        for label, array in _arrays(node):
            if not np.isfinite(array).all():
                raise ModelError(
                    f"node '{node.name}': {label} must be finite, but "
                    f"{int((~np.isfinite(array)).sum())} of {array.size} are NaN or infinite"
                )

    def expected_shape(self, node: Node) -> Shape:
        """The shape that ``node`` gives its output; a reshape's is declared, its size checked."""
        shape = self.shapes[node.input]
        match node:
            case Conv():
                if node.weights.shape[3] * node.groups != shape[2]:
                    raise ModelError(
                        f"node '{node.name}' has weights for {node.weights.shape[3]} input "
                        f"channels in {node.groups} group(s), but its input has {shape[2]}"
                    )
                if len(node.weights) % node.groups:
                    raise ModelError(
                        f"node '{node.name}' has {len(node.weights)} output channels, which "
                        f"{node.groups} groups do not divide"
                    )
                return output_shape(
                    shape, len(node.weights), node.kernel, node.stride, node.padding, node.dilation
                )
            case MaxPool() | AveragePool():
                return output_shape(shape, shape[2], node.kernel, node.stride, node.padding)
            case Add():
                if self.shapes[node.other] != shape:
                    raise ModelError(
                        f"node '{node.name}' adds the shapes {shape} and {self.shapes[node.other]}"
                    )
                return shape
            case Reshape():
                declared = self.shapes[node.output]
                if np.prod(declared) != np.prod(shape):
                    raise ModelError(f"node '{node.name}' reshapes {shape} to {declared}")
                return declared
            case _:
                return shape

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference, borders included."""
        return sum(
            int(np.prod(self.shapes[node.output])) * node.weights[0].size
            for node in self.nodes
            if isinstance(node, Conv)
        )


def _arrays(node: Node) -> Iterator[tuple[str, NDArray]]:
    for label in ("weights", "bias", "scale", "offset"):
        array = getattr(node, label, None)
        if array is not None:
            yield label, array
