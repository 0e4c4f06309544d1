"""Grows the float graph while an importer walks through a TFLite model.

TFLite's tensors are NHWC as the graph's values are, so that each of them is one value of the graph
in another shape at most, and reshapes cost nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tflite
from numpy.typing import NDArray

from shiftwork.errors import ModelError
from shiftwork.quant.graph import Clip, Graph, Grid, Layout, Node, Padding, Reshape, Shape
from shiftwork.quant.source_checks import Budget, check_constant, check_size
from shiftwork.quant.tflite_file import TfliteModel, TfliteNode

MAX_INTEGERS = 1 << 12
NO_PADDING: Padding = (0, 0, 0, 0)
BOUNDS = {
    tflite.ActivationFunctionType.RELU: (0.0, np.inf),
    tflite.ActivationFunctionType.RELU_N1_TO_1: (-1.0, 1.0),
    tflite.ActivationFunctionType.RELU6: (0.0, 6.0),
}


@dataclass(frozen=True)
class View:
    """A TFLite tensor as a value of the graph.

    Attributes:
        value: name of the value.
        shape: the tensor's, batch included, and with ``padding``.
        padding: rows and columns of zeros around the value, which the next layer has to add.
    """

    value: str
    shape: tuple[int, ...]
    padding: Padding = NO_PADDING


class Importer:
    """The graph so far, a view of it for every tensor that is computed, and the constants.

    Args:
        model: where the tensors are.
    """

    def __init__(self, model: TfliteModel) -> None:
        self.shapes: dict[str, Shape] = {}
        self.nodes: list[Node] = []
        self.views: dict[int, View] = {}
        self.constants: dict[int, NDArray[Any]] = {}
        self.budget = Budget()
        self._model = model
        self._grids: dict[str, Grid] = {}
        self._names = {tensor.name for tensor in model.tensors}
        self._reshaped: dict[tuple[str, Shape], str] = {}
        source = model.tensors[model.input]
        _check_input(source.name, source.shape, source.open_dims)
        self.batch = source.shape[0]
        self._input = source.name
        self._input_is_read = False
        self.add_view(model.input, View(source.name, source.shape))
        sample = source.shape[1:]
        self.shapes[source.name] = sample if len(sample) == 3 else (1, 1, int(np.prod(sample)))

    # Reading

    def is_constant(self, index: int) -> bool:
        """Whether the tensor ``index`` is a constant."""
        return index in self.constants or (
            index >= 0 and index not in self.views and self._model.tensors[index].data is not None
        )

    def real(self, node: TfliteNode, index: int, role: str) -> NDArray[np.float64]:
        """Input ``index`` of ``node``, a constant, as real numbers."""
        tensor = self._constant(node, index, role)
        if tensor in self.constants:
            return self.constants[tensor].astype(np.float64)
        source = self._model.tensors[tensor]
        check_constant(source.size, f"the {role} of node '{node.name}' ({node.op})")
        return source.real()

    def integers(self, node: TfliteNode, index: int, role: str) -> NDArray[np.int64]:
        """Input ``index`` of ``node``, a constant of integers such as a shape or axes."""
        tensor = self._constant(node, index, role)
        if tensor in self.constants:
            return self.constants[tensor].astype(np.int64)
        size = self._model.tensors[tensor].size
        if size > MAX_INTEGERS:
            raise node.error(f"has {size} numbers as its {role}; {MAX_INTEGERS} at most make sense")
        stored = self._model.tensors[tensor].stored()
        if not np.issubdtype(stored.dtype, np.integer):
            raise node.error(f"has {stored.dtype} numbers as its {role}; they must be integers")
        return stored.astype(np.int64)

    def _constant(self, node: TfliteNode, index: int, role: str) -> int:
        tensor = node.input(index)
        if tensor < 0:
            raise node.error(f"lacks its {role}")
        if not self.is_constant(tensor):
            name = self._model.tensors[tensor].name
            raise node.error(f"needs a constant as its {role}, but '{name}' is computed")
        return tensor

    def padded_view(self, node: TfliteNode, index: int = 0) -> View:
        """Input ``index`` of ``node``, which may have a border of zeros."""
        tensor = node.input(index)
        if tensor not in self.views:
            name = self._model.tensors[tensor].name if tensor >= 0 else "nothing"
            raise node.error(f"reads '{name}', which does not depend on the network's input")
        return self.views[tensor]

    def view(self, node: TfliteNode, index: int = 0) -> View:
        """Input ``index`` of ``node``, for an op that cannot add a border of zeros."""
        view = self.padded_view(node, index)
        if any(view.padding):
            raise node.error(
                f"reads '{view.value}' after a PAD; padding is supported only right before a "
                "convolution or pooling, which does it"
            )
        return view

    def feature_map(self, node: TfliteNode) -> tuple[str, Shape, Padding]:
        """The first input as a value of shape ``(H, W, C)``, and the border to be added."""
        view = self.padded_view(node)
        if len(view.shape) != 4 or view.shape[0] != self.batch:
            raise node.error(
                f"reads a tensor of shape {list(view.shape)}; only feature maps of four "
                "dimensions (batch, height, width, channels) are supported"
            )
        top, left, bottom, right = view.padding
        height, width, channels = view.shape[1:]
        shape = (height - top - bottom, width - left - right, channels)
        return self.arranged(view, shape), shape, view.padding

    def arranged(self, view: View, shape: Shape) -> str:
        """The value that holds ``view`` in ``shape``."""
        value = view.value
        if value == self._input and not self._input_is_read:
            self.shapes[value] = shape
        self._input_is_read = self._input_is_read or value == self._input
        if self.shapes[value] == shape:
            return value
        if (value, shape) not in self._reshaped:
            output = self._unique(f"{value}_as_{'x'.join(map(str, shape))}")
            self.nodes.append(Reshape(name=output, input=value, output=output))
            self.shapes[output] = shape
            self._reshaped[value, shape] = output
        return self._reshaped[value, shape]

    def as_it_is(self, view: View) -> str:
        """The value of ``view`` in whatever shape it has."""
        return self.arranged(view, self.shapes[view.value])

    # Writing

    def add(
        self,
        node: TfliteNode,
        layer: Node,
        *,
        shape: Shape,
        view_shape: Sequence[int],
        activation: int = tflite.ActivationFunctionType.NONE,
    ) -> None:
        """Appends ``layer``, whose output has ``shape``, and the activation fused with it.

        The first output of ``node``, of which the last of them has the name, is of
        ``view_shape``.
        """
        check_size(shape, f"the output of node '{node.name}' ({node.op})")
        self.budget.take_layer(layer, shape)
        layers = [layer]
        if activation != tflite.ActivationFunctionType.NONE:
            lo, hi = self._bounds(node, activation)
            inner = self._unique(f"{node.name}_before_activation")
            name = self._unique(f"{node.name}_activation")
            clip = Clip(name=name, input=inner, output=node.name, lo=lo, hi=hi)
            layers = [replace(layer, output=inner), clip]
        for item in layers:
            self.nodes.append(item)
            self.shapes[item.output] = shape
        self.add_view(node.outputs[0], View(node.name, tuple(int(dim) for dim in view_shape)))

    def add_view(self, tensor: int, view: View) -> None:
        """Says that ``tensor`` is ``view``; the first grid of a value is the one it is made in."""
        grid = self._model.tensors[tensor].grid()
        if grid is not None:
            self._grids.setdefault(view.value, grid)
        self.views[tensor] = view

    def _bounds(self, node: TfliteNode, activation: int) -> tuple[float, float]:
        if activation not in BOUNDS:
            kinds = {
                code: name
                for name, code in vars(tflite.ActivationFunctionType).items()
                if name.isupper()
            }
            raise node.error(
                f"has the fused activation {kinds.get(activation, activation)}; supported are "
                f"NONE, {', '.join(kinds[code] for code in BOUNDS)}"
            )
        return BOUNDS[activation]

    def _unique(self, name: str) -> str:
        while name in self._names:
            name += "_"
        self._names.add(name)
        return name

    def finish(self, name: str, output: int, dropped: tuple[str, ...]) -> Graph:
        """The verified graph whose output is the tensor ``output``."""
        source = self._model.tensors[self._model.input]
        label = self._model.tensors[output].name
        if output not in self.views or not self.nodes:
            raise ModelError(
                f"the model holds no layer between its input '{source.name}' and its output "
                f"'{label}'"
            )
        view = self.views[output]
        if any(view.padding):
            raise ModelError(f"the output '{label}' is that of a PAD; leave it to the host")
        counts_samples = len(view.shape) > 1 and view.shape[0] == self.batch
        if not counts_samples and self.batch != 1:
            raise ModelError(
                f"the output '{label}' of shape {list(view.shape)} does not count the samples in "
                "its first axis"
            )
        values = {self._input, *(node.output for node in self.nodes)}
        graph = Graph(
            name=name,
            input=self._input,
            output=view.value,
            shapes=self.shapes,
            nodes=tuple(self.nodes),
            input_layout=Layout.identity(source.shape[1:]),
            output_layout=Layout.identity(view.shape[1:] if counts_samples else view.shape),
            dropped=dropped,
            source=self._model.source,
            grids={value: grid for value, grid in self._grids.items() if value in values},
        )
        graph.verify()
        return graph


Handler = Callable[[TfliteNode, Importer], None]


def _check_input(name: str, shape: tuple[int, ...], open_dims: tuple[int, ...]) -> None:
    what = f"the input '{name}'"
    if len(shape) < 2:
        raise ModelError(
            f"{what} has {len(shape)} dimensions; at least two are needed, the first of which "
            "counts the samples of a batch"
        )
    if any(axis > 0 for axis in open_dims):
        raise ModelError(
            f"{what} has the dynamic axes {list(open_dims)}; only the first, the batch, may be "
            "dynamic: export the model with a fixed input size"
        )
    if min(shape) < 1:
        raise ModelError(f"{what} has the shape {list(shape)}; its dimensions must be positive")
    check_size(shape, what)
