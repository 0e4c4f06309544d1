"""ONNX's elementwise ops with a constant, its activations and its normalization."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from shiftwork.quant.graph import Add, Affine, Clip, FloatArray, Shape
from shiftwork.quant.onnx_context import Handler, Importer
from shiftwork.quant.onnx_file import OnnxNode
from shiftwork.quant.onnx_unary import multiply_computed
from shiftwork.quant.onnx_views import Indices, View
from shiftwork.quant.source_checks import as_float32

FLOAT_MAX = float(np.finfo(np.float32).max)


def _add(node: OnnxNode, importer: Importer) -> None:
    if any(name in importer.constants for name in node.inputs):
        _add_constant(node, importer)
        return
    builder, (first, second) = importer.builder, node.inputs
    value, other = builder.same_order(node, first, second)
    layer = Add(name=node.name, input=value, other=other, output=node.outputs[0])
    view = View(layer.output, builder.view(node, first).order)
    builder.add(layer, builder.shapes[value], view, layer.output)


def _add_constant(node: OnnxNode, importer: Importer) -> None:
    data, constant = _operands(node, importer, "adds two feature maps")
    _affine(node, importer, data, np.float64(1), constant)


def _subtract(node: OnnxNode, importer: Importer) -> None:
    data, constant = _operands(
        node, importer, "subtracts two feature maps; only constants can be subtracted"
    )
    if data == node.input(0):
        _affine(node, importer, data, np.float64(1), -constant)
    else:
        _affine(node, importer, data, np.float64(-1), constant)


def _multiply(node: OnnxNode, importer: Importer) -> None:
    if multiply_computed(node, importer):
        return
    data, constant = _operands(
        node, importer, "multiplies two feature maps; only constants can be multiplied with"
    )
    _affine(node, importer, data, constant, np.float64(0))


def _divide(node: OnnxNode, importer: Importer) -> None:
    data, constant = _operands(
        node, importer, "divides two feature maps; only constants can be divided by"
    )
    if data != node.input(0):
        raise node.error("divides a constant by a feature map; only the opposite is supported")
    with np.errstate(all="ignore"):
        _affine(node, importer, data, 1 / constant, np.float64(0))


def _operands(
    node: OnnxNode, importer: Importer, complaint: str
) -> tuple[str, NDArray[np.float64]]:
    """The name of the operand that is computed, and the constant one."""
    first, second = node.inputs
    if first not in importer.constants and second not in importer.constants:
        raise node.error(complaint)
    if first in importer.constants:
        return second, importer.float_constant(node, 0, "operand")
    return first, importer.float_constant(node, 1, "operand")


def _batch_normalization(node: OnnxNode, importer: Importer) -> None:
    if node.attributes.get("training_mode", 0):
        raise node.error("is in training mode; export the model for inference")
    if not node.attributes.get("spatial", 1):
        raise node.error("normalizes each pixel by itself (spatial = 0), which is not supported")
    gamma, beta, mean, variance = (
        importer.float_constant(node, index, role)
        for index, role in enumerate(("scale", "bias", "mean", "variance"), 1)
    )
    with np.errstate(all="ignore"):
        scale = gamma / np.sqrt(variance + node.attributes.get("epsilon", 1e-5))
        offset = beta - mean * scale
    rank = importer.builder.view(node, node.input(0)).order.ndim
    per_channel = (-1, *(1,) * (rank - 2))
    _affine(node, importer, node.input(0), scale.reshape(per_channel), offset.reshape(per_channel))


def _affine(
    node: OnnxNode,
    importer: Importer,
    data: str,
    scale: NDArray[np.float64] | np.float64,
    offset: NDArray[np.float64] | np.float64,
) -> None:
    builder = importer.builder
    view = builder.elementwise(node, data)
    try:
        shape = np.broadcast_shapes(view.order.shape, np.shape(scale), np.shape(offset))
    except ValueError:
        given = np.shape(scale) or np.shape(offset)
        raise node.error(
            f"has a constant of shape {list(given)}, which does not fit '{data}' of shape "
            f"{list(view.order.shape)}"
        ) from None
    if np.prod(shape, dtype=object) != view.order.size:
        raise node.error(
            f"would enlarge '{data}' of shape {list(view.order.shape)} to {list(shape)}; a "
            "constant must fit the feature map"
        )
    order = view.order.reshape(shape)
    target = builder.shapes[view.value]
    layer = Affine(
        name=node.name,
        input=view.value,
        output=node.outputs[0],
        scale=_per_element(node, scale, order, target),
        offset=_per_element(node, offset, order, target),
    )
    builder.add(layer, target, View(layer.output, order), node.outputs[0])


def _per_element(
    node: OnnxNode, constant: NDArray[np.float64] | np.float64, order: Indices, target: Shape
) -> FloatArray:
    """A broadcast constant in NHWC order: ``[C]`` if every pixel has the same, or ``[H, W, C]``."""
    full = np.empty(order.size)
    full[order] = constant
    samples = full.reshape(-1, *target)
    if not np.array_equal(samples, np.broadcast_to(samples[0], samples.shape), equal_nan=True):
        raise node.error("has a constant that varies along the batch")
    pixels = samples[0].reshape(-1, target[2])
    same = np.array_equal(pixels, np.broadcast_to(pixels[0], pixels.shape), equal_nan=True)
    return as_float32(pixels[0] if same else samples[0])


def _relu(node: OnnxNode, importer: Importer) -> None:
    _bounded(node, importer, 0.0, np.inf)


def _clip(node: OnnxNode, importer: Importer) -> None:
    lo, hi = (
        _bound(node, importer, key, index, default)
        for index, (key, default) in enumerate((("min", -np.inf), ("max", np.inf)), 1)
    )
    _bounded(node, importer, min(lo, hi), hi)


def _bound(node: OnnxNode, importer: Importer, key: str, index: int, default: float) -> float:
    """A bound from an attribute (before opset 11) or a constant; infinite if it is no bound."""
    value = float(node.attributes.get(key, default))
    if node.input(index):
        constant = importer.float_constant(node, index, f"{key} bound")
        if constant.size != 1:
            raise node.error(f"has {constant.size} values as its {key} bound; one is needed")
        value = float(constant.item())
    if np.isnan(value):
        raise node.error(f"has NaN as its {key} bound; it must be a number")
    return value if abs(value) < FLOAT_MAX else float(np.copysign(np.inf, value))


def _bounded(node: OnnxNode, importer: Importer, lo: float, hi: float) -> None:
    """The bounds of integers between QuantizeLinear and DequantizeLinear count steps."""
    grid = importer.builder.integers.get(node.input(0))
    if grid is not None:
        least, most = max(lo, grid.lo), min(hi, grid.hi)
        if least > most:
            raise node.error(f"leaves nothing of the integers {grid.lo} to {grid.hi}")
        grid = replace(grid, lo=int(least), hi=int(most))
        lo, hi = ((bound - grid.zero_point) * grid.scale for bound in (grid.lo, grid.hi))
        importer.builder.integers[node.outputs[0]] = grid
        importer.builder.grids[node.outputs[0]] = [grid]
    view = importer.builder.elementwise(node, node.input(0))
    layer = Clip(name=node.name, input=view.value, output=node.outputs[0], lo=lo, hi=hi)
    importer.builder.add(
        layer,
        importer.builder.shapes[view.value],
        View(layer.output, view.order),
        node.outputs[0],
    )


ELEMENTWISE: dict[str, Handler] = {
    "Add": _add,
    "BatchNormalization": _batch_normalization,
    "Clip": _clip,
    "Div": _divide,
    "Mul": _multiply,
    "Relu": _relu,
    "Sub": _subtract,
}
