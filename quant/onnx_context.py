"""What the handlers of the ONNX ops share: where they read constants and add nodes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftwork.quant.graph import Node, Shape
from shiftwork.quant.onnx_builder import GraphBuilder
from shiftwork.quant.onnx_constants import Constants
from shiftwork.quant.onnx_file import OnnxNode
from shiftwork.quant.onnx_views import Indices, View, batched
from shiftwork.quant.source_checks import check_constant


@dataclass(frozen=True, eq=False)
class Importer:
    """What the ops are imported into, and what they may read.

    Attributes:
        builder: the graph so far.
        constants: all constants so far.
        declared_batch: the batch size that the model fixes; None if it leaves it open.
    """

    builder: GraphBuilder
    constants: Constants
    declared_batch: int | None

    def constant(self, node: OnnxNode, index: int, role: str) -> NDArray[Any]:
        """Input ``index`` of ``node``, which must be a constant."""
        name = node.input(index)
        if not name:
            raise node.error(f"lacks its {role}")
        if name not in self.constants:
            raise node.error(f"needs a constant as its {role}, but '{name}' is computed")
        return self.constants[name]

    def float_constant(self, node: OnnxNode, index: int, role: str) -> NDArray[np.float64]:
        """Input ``index`` of ``node``, which must be a constant, as float64."""
        constant = np.asarray(self.constant(node, index, role))
        check_constant(constant.size, f"the {role} of node '{node.name}' ({node.op})")
        with np.errstate(all="ignore"):
            return constant.astype(np.float64)

    def integers(self, node: OnnxNode, key: str, index: int) -> tuple[int, ...] | None:
        """Integers from the attribute ``key`` (older opsets) or the constant input ``index``."""
        if key in node.attributes:
            return tuple(int(value) for value in node.attributes[key])
        if not node.input(index):
            return None
        return tuple(int(value) for value in self.constant(node, index, key).ravel())


Handler = Callable[[OnnxNode, Importer], None]


def nchw(shape: Shape) -> Indices:
    """The order of a (C, H, W) tensor whose value has ``shape`` (H, W, C)."""
    return np.arange(int(np.prod(shape)), dtype=np.int64).reshape(shape).transpose(2, 0, 1)


def append(node: OnnxNode, importer: Importer, layer: Node, shape: Shape, order: Indices) -> None:
    """Appends ``layer``, whose output the ONNX node's first output views in ``order``."""
    view = View(layer.output, batched(order, importer.builder.batch))
    importer.builder.add(layer, shape, view, node.outputs[0])


def feature_map(node: OnnxNode, importer: Importer) -> Indices:
    """The order of the node's first input, which must be (C, H, W)."""
    sample = importer.builder.sample(node, node.input(0))
    if sample.ndim != 3:
        raise node.error(
            f"reads samples of shape {list(sample.shape)}; only feature maps of three dimensions "
            "(channels, height, width) are supported"
        )
    return sample
