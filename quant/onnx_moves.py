"""ONNX ops that leave the values of a tensor as they are, and only rearrange or name them anew."""

import numpy as np

from shiftwork.quant import onnx_views as views
from shiftwork.quant.onnx_context import Handler, Importer, feature_map
from shiftwork.quant.onnx_file import FLOAT_TYPES, OnnxNode
from shiftwork.quant.onnx_views import Indices, View


def _move(node: OnnxNode, importer: Importer, order: Indices) -> None:
    view = importer.builder.view(node, node.input(0))
    if not np.may_share_memory(order, view.order):
        importer.builder.budget.take_features(order.size // importer.builder.batch)
    importer.builder.views[node.outputs[0]] = View(view.value, order)


def _order(node: OnnxNode, importer: Importer) -> Indices:
    return importer.builder.view(node, node.input(0)).order


def _identity(node: OnnxNode, importer: Importer) -> None:
    _move(node, importer, _order(node, importer))


def _dropout(node: OnnxNode, importer: Importer) -> None:
    if node.input(2) and np.any(importer.constant(node, 2, "training_mode")):
        raise node.error("is in training mode; export the model for inference")
    _identity(node, importer)


def _cast(node: OnnxNode, importer: Importer) -> None:
    if node.attributes.get("to") not in FLOAT_TYPES:
        raise node.error("casts features to integers; only casts to a float type are supported")
    _identity(node, importer)


def _reshape(node: OnnxNode, importer: Importer) -> None:
    order = _order(node, importer)
    target = [int(dim) for dim in importer.constant(node, 1, "shape").ravel()]
    # Models exported for one batch size name it here; it stands for any number of samples.
    if importer.builder.batch != 1 and target[:1] in ([1], [importer.declared_batch]):
        target[0] = importer.builder.batch
    try:
        result = views.reshape(order, target, allow_zero=bool(node.attributes.get("allowzero", 0)))
    except (ValueError, IndexError):
        raise node.error(
            f"cannot reshape {list(order.shape)} to {target}; the first axis must stay the batch"
        ) from None
    _move(node, importer, result)


def _flatten(node: OnnxNode, importer: Importer) -> None:
    _move(node, importer, views.flatten(_order(node, importer), node.attributes.get("axis", 1)))


def _squeeze(node: OnnxNode, importer: Importer) -> None:
    axes = importer.integers(node, "axes", 1)
    _move(node, importer, views.squeeze(_order(node, importer), axes))


def _unsqueeze(node: OnnxNode, importer: Importer) -> None:
    axes = importer.integers(node, "axes", 1)
    if axes is None:
        raise node.error("lacks its axes")
    _move(node, importer, views.unsqueeze(_order(node, importer), axes))


def _transpose(node: OnnxNode, importer: Importer) -> None:
    _move(node, importer, views.transpose(_order(node, importer), node.attributes.get("perm")))


def _shape(node: OnnxNode, importer: Importer) -> None:
    """The shape becomes a constant; that of the batch is the number of samples views have."""
    shape = _order(node, importer).shape
    start, end = node.attributes.get("start", 0), node.attributes.get("end", len(shape))
    importer.constants[node.outputs[0]] = np.array(shape[start:end], np.int64)


def _pad(node: OnnxNode, importer: Importer) -> None:
    """Leaves the border to the convolution or pooling that must follow."""
    mode = node.attributes.get("mode", "constant")
    if mode != "constant":
        raise node.error(f"has the mode {mode}; only constant, with zeros, is supported")
    rank = feature_map(node, importer).ndim + 1
    axes = list(importer.integers(node, "axes", 3) or range(rank))
    pads = importer.integers(node, "pads", 1) or ()
    if len(pads) != 2 * len(axes) or min(pads) < 0:
        raise node.error(
            f"has pads {list(pads)} for {len(axes)} axes; two numbers of 0 or more are needed for "
            "each"
        )
    if _pad_value(node, importer):
        raise node.error("pads with another number than 0; only zeros are supported")
    border = {axis % rank: pads[place :: len(axes)] for place, axis in enumerate(axes)}
    if any(any(widths) for axis, widths in border.items() if axis < 2):
        raise node.error(
            f"has pads {list(pads)}; only the height and width of (batch, channels, height, width) "
            "can be padded"
        )
    (top, bottom), (left, right) = border.get(2, (0, 0)), border.get(3, (0, 0))
    _identity(node, importer)
    if any(pads):
        importer.builder.paddings[node.outputs[0]] = (top, left, bottom, right)


def _pad_value(node: OnnxNode, importer: Importer) -> float:
    if node.input(2):
        return float(np.sum(np.abs(importer.float_constant(node, 2, "constant_value"))))
    return float(node.attributes.get("value", 0.0))


MOVES: dict[str, Handler] = {
    "Cast": _cast,
    "Dropout": _dropout,
    "Flatten": _flatten,
    "Identity": _identity,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
SHAPES: dict[str, Handler] = {"Pad": _pad, "Shape": _shape}
