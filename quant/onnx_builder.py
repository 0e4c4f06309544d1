"""Grows the float graph while an importer walks through an ONNX model."""

from collections.abc import Sequence

import numpy as np

from shiftwork.errors import ModelError
from shiftwork.quant.graph import Graph, Grid, Layout, Node, Padding, Reshape, Shape
from shiftwork.quant.onnx_file import OnnxInput, OnnxNode
from shiftwork.quant.onnx_views import Indices, View, batched, is_batched
from shiftwork.quant.source_checks import Budget, check_size, known_bounds

CHANNELS_LAST_OF_NCHW = (1, 2, 0)
NO_PADDING: Padding = (0, 0, 0, 0)
PADDING_OPS = frozenset({"AveragePool", "Conv", "DequantizeLinear", "MaxPool", "QuantizeLinear"})


class LayoutError(ModelError):
    """The elements of a tensor do not lie in the order that an op needs."""


class GraphBuilder:
    """The graph so far, and a view of it for every ONNX tensor.

    The order of the input's elements is left open until the first layer reads it. ``paddings`` are
    borders of zeros around a tensor, which the next layer has to add, and ``grids`` the integers
    that a value is rounded to; the first are those that it is made in. ``integers`` are the tensors
    between a QuantizeLinear and its DequantizeLinear, and the grid that each is counted on.

    Args:
        source: the ONNX model's input.
        batch: number of samples that views are followed with.
        channels_last: how the input lies if the first layer is elementwise and does not tell:
            NHWC, or else NCHW.
    """

    def __init__(self, source: OnnxInput, *, batch: int, channels_last: bool) -> None:
        self.batch = batch
        self.shapes: dict[str, Shape] = {}
        self.nodes: list[Node] = []
        self.views: dict[str, View] = {}
        self.paddings: dict[str, Padding] = {}
        self.grids: dict[str, list[Grid]] = {}
        self.integers: dict[str, Grid] = {}
        self.budget = Budget()
        self._source = source
        self._channels_last = channels_last
        self._input_layout: Layout | None = None
        self._reshaped: dict[tuple[str, Shape], str] = {}
        size = check_size(source.sample_shape, f"the input '{source.name}'")
        natural = np.arange(size, dtype=np.int64).reshape(source.sample_shape)
        self.views[source.name] = View(source.name, batched(natural, batch))

    def view(self, node: OnnxNode, name: str) -> View:
        """The tensor ``name`` that ``node`` reads."""
        if name not in self.views:
            raise node.error(f"reads '{name}', which is not an output that is supported")
        if name in self.paddings and node.op not in PADDING_OPS:
            raise node.error(
                f"reads '{name}' after a Pad; padding is supported only right before a "
                "convolution or pooling, which does it"
            )
        return self.views[name]

    def sample(self, node: OnnxNode, name: str) -> Indices:
        """One sample's order; its shape is the tensor's without the batch."""
        order = self.view(node, name).order
        if not is_batched(order, self.batch):
            raise node.error(
                f"reads '{name}' of shape {list(order.shape)}, whose first axis does not count the "
                "samples; reshapes and transposes must keep the first axis, the batch, apart"
            )
        return order[0]

    def arrange(self, node: OnnxNode, name: str, axes: Sequence[int]) -> str:
        """The value that holds ``name`` with its sample's axes permuted to height, width, channels.

        Raises:
            LayoutError: if that needs a data move.
        """
        return self._lay(node, name, self.sample(node, name).transpose(axes))

    def rows(self, node: OnnxNode, name: str) -> str:
        """The value that holds ``name`` as ``(1, rows, features)``, features being the last axis.

        Raises:
            LayoutError: if that needs a data move.
        """
        sample = self.sample(node, name)
        return self._lay(node, name, sample.reshape(1, -1, sample.shape[-1]))

    def vector(self, node: OnnxNode, name: str) -> tuple[str, Indices]:
        """The value that holds ``name`` as ``(1, 1, N)``, and each element's place in it."""
        sample = self.sample(node, name)
        if self._is_open(name):
            self._bind(sample.reshape(1, 1, -1))
        return self._reshape(name, (1, 1, sample.size)), self.sample(node, name).ravel()

    def elementwise(self, node: OnnxNode, name: str) -> View:
        """The tensor ``name`` for an op that does not mind the order."""
        if self._is_open(name):
            sample = self.sample(node, name)
            if sample.ndim == 3:
                self._bind(sample if self._channels_last else sample.transpose(1, 2, 0))
            else:
                self._bind(sample.reshape(*sample.shape, 1) if sample.ndim == 2 else _flat(sample))
        return self.view(node, name)

    def add(self, layer: Node, shape: Shape, view: View, name: str) -> None:
        """Appends ``layer``; its output has ``shape``, and the ONNX tensor ``name`` is ``view``."""
        self.budget.take_layer(layer, shape)
        self.nodes.append(layer)
        self.shapes[layer.output] = shape
        self.views[name] = view

    def same_order(self, node: OnnxNode, first: str, second: str) -> tuple[str, str]:
        """The values that hold two tensors, in one shape and with their elements in one order.

        Raises:
            LayoutError: if that needs a data move.
        """
        view, other = self.elementwise(node, first), self.elementwise(node, second)
        if view.order.shape != other.order.shape:
            raise node.error(
                f"adds tensors of the shapes {list(view.order.shape)} and "
                f"{list(other.order.shape)}; two feature maps must be of the same shape"
            )
        if not np.array_equal(view.order, other.order):
            raise LayoutError(
                f"node '{node.name}' ({node.op}) reads '{first}' and '{second}', whose elements "
                "lie in different orders; reshapes and transposes must treat both alike"
            )
        return view.value, self._reshape(second, self.shapes[view.value])

    def bounds(self, value: str) -> tuple[float, float]:
        """A range that ``value`` is known to keep."""
        return known_bounds(self.nodes, value)

    def is_input(self, value: str) -> bool:
        """Whether ``value`` is the network's input."""
        return value == self._source.name

    def finish(
        self, name: str, output: str, dropped: tuple[str, ...], source: dict[str, str]
    ) -> Graph:
        """The verified graph whose output is the ONNX tensor ``output``."""
        if self._input_layout is None or not self.nodes:
            raise ModelError("the model holds no layer between its input and its output")
        if output not in self.views:
            raise ModelError(f"the output '{output}' does not depend on the input")
        if output in self.paddings:
            raise ModelError(f"the output '{output}' is that of a Pad; leave it to the host")
        view = self.views[output]
        order = view.order[0] if is_batched(view.order, self.batch) else view.order
        if order is view.order and self.batch != 1:
            raise ModelError(
                f"the output '{output}' of shape {list(order.shape)} does not count the samples in "
                "its first axis"
            )
        graph = Graph(
            name=name,
            input=self._source.name,
            output=view.value,
            shapes=self.shapes,
            nodes=tuple(self.nodes),
            input_layout=self._input_layout,
            output_layout=Layout(order.shape, np.argsort(order.ravel())),
            dropped=dropped,
            source=source,
            grids={value: grids[0] for value, grids in self.grids.items()},
        )
        graph.verify()
        return graph

    def _is_open(self, name: str) -> bool:
        return self._input_layout is None and self.views[name].value == self._source.name

    def _lay(self, node: OnnxNode, name: str, arranged: Indices) -> str:
        if self._is_open(name):
            self._bind(arranged)
        elif not np.array_equal(arranged.ravel(), np.arange(arranged.size)):
            raise LayoutError(
                f"node '{node.name}' ({node.op}) reads '{name}', whose elements would have to be "
                "moved in memory first; a reshape or transpose before a convolution or pooling "
                "must keep rows, columns and channels in their order"
            )
        height, width, channels = arranged.shape
        return self._reshape(name, (height, width, channels))

    def _bind(self, arranged: Indices) -> None:
        """Decides the input's layout: ``arranged`` holds the source's indices as (H, W, C)."""
        height, width, channels = arranged.shape
        self.shapes[self._source.name] = (height, width, channels)
        self._input_layout = Layout(self._source.sample_shape, arranged.ravel())
        place = np.argsort(arranged.ravel())
        for name, view in self.views.items():
            self.budget.take_features(view.order.size // self.batch)
            sample, index = np.divmod(view.order, place.size)
            self.views[name] = View(view.value, sample * place.size + place[index])

    def _reshape(self, name: str, shape: Shape) -> str:
        value = self.views[name].value
        if self.shapes[value] == shape:
            return value
        if (value, shape) not in self._reshaped:
            output = f"{value}_as_{'x'.join(map(str, shape))}"
            while output in self.shapes:
                output += "_"
            self.nodes.append(Reshape(name=output, input=value, output=output))
            self.shapes[output] = shape
            self._reshaped[value, shape] = output
        return self._reshaped[value, shape]


def _flat(sample: Indices) -> Indices:
    return sample.reshape(1, 1, -1)
