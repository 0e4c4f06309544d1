"""TFLite ops that leave the elements of a tensor as they are: reshapes, borders, number formats."""

from collections.abc import Sequence

import numpy as np
import tflite

from shiftwork.quant.source_checks import check_size
from shiftwork.quant.tflite_context import Handler, Importer, View
from shiftwork.quant.tflite_file import TfliteNode


def _reshape(node: TfliteNode, importer: Importer) -> None:
    view = importer.view(node)
    if importer.is_constant(node.input(1)):
        target = importer.integers(node, 1, "shape").ravel().tolist()
    elif node.input(1) < 0:
        options = node.options(tflite.ReshapeOptions)
        target = options.NewShapeAsNumpy().tolist() if options.NewShapeLength() else []
    else:
        raise node.error("computes its shape from features; only constant shapes are supported")
    size = int(np.prod(view.shape))
    known = int(np.prod([dim for dim in target if dim != -1], dtype=object))
    if target.count(-1) == 1 and known > 0 and size % known == 0:
        target[target.index(-1)] = known = size // known
        known = size
    if known != size or min(target, default=1) < 1:
        raise node.error(f"cannot reshape {list(view.shape)} to {target}")
    _reshaped(node, importer, view, target)


def _squeeze(node: TfliteNode, importer: Importer) -> None:
    view = importer.view(node)
    options = node.options(tflite.SqueezeOptions)
    rank = len(view.shape)
    given = options.SqueezeDimsAsNumpy().tolist() if options.SqueezeDimsLength() else []
    axes = {axis + rank if axis < 0 else axis for axis in given}
    axes = axes or {axis for axis, dim in enumerate(view.shape) if dim == 1}
    if any(not 0 <= axis < rank or view.shape[axis] != 1 for axis in axes):
        raise node.error(f"cannot leave out the axes {given} of the shape {list(view.shape)}")
    kept = [dim for axis, dim in enumerate(view.shape) if axis not in axes]
    _reshaped(node, importer, view, kept)


def _expand_dims(node: TfliteNode, importer: Importer) -> None:
    view = importer.view(node)
    axis = int(importer.integers(node, 1, "axis").ravel()[0])
    _reshaped(node, importer, view, np.expand_dims(np.empty(view.shape, np.bool_), axis).shape)


def _reshaped(node: TfliteNode, importer: Importer, view: View, shape: Sequence[int]) -> None:
    if importer.batch != 1 and tuple(shape[:1]) != (importer.batch,):
        raise node.error(
            f"makes the shape {list(shape)}; the first axis must stay the batch of {importer.batch}"
        )
    importer.add_view(node.outputs[0], View(view.value, tuple(shape)))


def _identity(node: TfliteNode, importer: Importer) -> None:
    """A change of the number format: the graph computes in real numbers throughout."""
    if importer.is_constant(node.input(0)):
        constant = importer.real(node, 0, "input")
        importer.budget.take_constants(constant.size)
        importer.constants[node.outputs[0]] = constant
    else:
        importer.add_view(node.outputs[0], importer.padded_view(node))


def _pad(node: TfliteNode, importer: Importer) -> None:
    view = importer.padded_view(node)
    widths = importer.integers(node, 1, "padding")
    if widths.shape != (len(view.shape), 2) or widths.min() < 0:
        raise node.error(
            f"has the padding {widths.tolist()} for a tensor of shape {list(view.shape)}; two "
            "numbers of 0 or more are needed for each axis"
        )
    if node.input(2) >= 0 and np.any(importer.real(node, 2, "value")):
        raise node.error("pads with another number than 0; only zeros are supported")
    if len(view.shape) != 4 or widths[0].any() or widths[3].any():
        raise node.error(
            f"has the padding {widths.tolist()}; only height and width, the axes 1 and 2 of four, "
            "can be padded"
        )
    shape = tuple(int(dim) for dim in np.array(view.shape) + widths.sum(axis=1))
    check_size(shape, f"the output of node '{node.name}' ({node.op})")
    top, left, bottom, right = (
        int(old + new) for old, new in zip(view.padding, widths[1:3].T.ravel(), strict=True)
    )
    importer.add_view(node.outputs[0], View(view.value, shape, (top, left, bottom, right)))


def _shape(node: TfliteNode, importer: Importer) -> None:
    importer.constants[node.outputs[0]] = np.array(importer.padded_view(node).shape, np.int64)


def _strided_slice(node: TfliteNode, importer: Importer) -> None:
    """Takes a part of a constant, as models with an open batch do with a tensor's shape."""
    data = importer.integers(node, 0, "input").ravel()
    begin, end, step = (
        importer.integers(node, place, role).ravel()
        for place, role in ((1, "begin"), (2, "end"), (3, "strides"))
    )
    options = node.options(tflite.StridedSliceOptions)
    if {begin.size, end.size, step.size} != {1} or options.NewAxisMask() or options.EllipsisMask():
        raise node.error("slices a constant of several dimensions; only lists are supported")
    if options.ShrinkAxisMask() & 1:
        result = data[int(begin[0])]
    else:
        first = None if options.BeginMask() & 1 else int(begin[0])
        last = None if options.EndMask() & 1 else int(end[0])
        result = data[first : last : int(step[0])]
    importer.constants[node.outputs[0]] = np.asarray(result)


def _pack(node: TfliteNode, importer: Importer) -> None:
    """Joins constant numbers to a list, as models with an open batch do to make a shape."""
    parts = [importer.integers(node, place, "input") for place in range(len(node.inputs))]
    importer.constants[node.outputs[0]] = np.stack(parts, node.options(tflite.PackOptions).Axis())


MOVES: dict[str, Handler] = {
    "DEQUANTIZE": _identity,
    "EXPAND_DIMS": _expand_dims,
    "QUANTIZE": _identity,
    "RESHAPE": _reshape,
    "SQUEEZE": _squeeze,
}
SHAPES: dict[str, Handler] = {
    "PACK": _pack,
    "PAD": _pad,
    "PADV2": _pad,
    "SHAPE": _shape,
    "STRIDED_SLICE": _strided_slice,
}
