"""TFLite's elementwise ops: activations, sums of two tensors, arithmetic with constants."""

import numpy as np
import tflite
from numpy.typing import NDArray

from shiftwork.quant.graph import Add, Affine, Clip, FloatArray, Shape
from shiftwork.quant.source_checks import as_float32
from shiftwork.quant.tflite_context import BOUNDS, Handler, Importer, View
from shiftwork.quant.tflite_file import TfliteNode
from shiftwork.quant.tflite_unary import multiply_computed

Operand = NDArray[np.float64] | np.float64


def _add(node: TfliteNode, importer: Importer) -> None:
    activation = node.options(tflite.AddOptions).FusedActivationFunction()
    if _constant_operand(node, importer) is None:
        _add_two(node, importer, activation)
    else:
        view, constant = _operands(node, importer, "")
        _affine(node, importer, view, np.float64(1), constant, activation)


def _add_two(node: TfliteNode, importer: Importer, activation: int) -> None:
    first, second = importer.view(node, 0), importer.view(node, 1)
    if first.shape != second.shape:
        raise node.error(
            f"adds tensors of the shapes {list(first.shape)} and {list(second.shape)}; two "
            "feature maps must be of the same shape"
        )
    value = importer.as_it_is(first)
    shape = importer.shapes[value]
    other = importer.arranged(second, shape)
    layer = Add(name=node.name, input=value, other=other, output=node.name)
    importer.add(node, layer, shape=shape, view_shape=first.shape, activation=activation)


def _sub(node: TfliteNode, importer: Importer) -> None:
    activation = node.options(tflite.SubOptions).FusedActivationFunction()
    view, constant = _operands(node, importer, "subtracts two feature maps")
    if _constant_operand(node, importer) == 1:
        _affine(node, importer, view, np.float64(1), -constant, activation)
    else:
        _affine(node, importer, view, np.float64(-1), constant, activation)


def _mul(node: TfliteNode, importer: Importer) -> None:
    activation = node.options(tflite.MulOptions).FusedActivationFunction()
    if multiply_computed(node, importer, activation):
        return
    view, constant = _operands(node, importer, "multiplies two feature maps")
    _affine(node, importer, view, constant, np.float64(0), activation)


def _div(node: TfliteNode, importer: Importer) -> None:
    activation = node.options(tflite.DivOptions).FusedActivationFunction()
    view, constant = _operands(node, importer, "divides two feature maps")
    if _constant_operand(node, importer) != 1:
        raise node.error("divides a constant by a feature map; only the opposite is supported")
    with np.errstate(all="ignore"):
        _affine(node, importer, view, 1 / constant, np.float64(0), activation)


def _constant_operand(node: TfliteNode, importer: Importer) -> int | None:
    """Which of the two inputs is a constant, if one is."""
    return next((place for place in (1, 0) if importer.is_constant(node.input(place))), None)


def _operands(
    node: TfliteNode, importer: Importer, complaint: str
) -> tuple[View, NDArray[np.float64]]:
    """The operand that is computed and the constant one."""
    place = _constant_operand(node, importer)
    if place is None:
        raise node.error(f"{complaint}; one of them must be a constant")
    return importer.view(node, 1 - place), importer.real(node, place, "operand")


def _affine(
    node: TfliteNode,
    importer: Importer,
    view: View,
    scale: Operand,
    offset: Operand,
    activation: int,
) -> None:
    for operand in (scale, offset):
        given = np.shape(operand)
        try:
            fits = np.broadcast_shapes(view.shape, given) == view.shape
        except ValueError:
            fits = False
        if not fits:
            raise node.error(
                f"has a constant of shape {list(given)}, which does not fit '{view.value}' of "
                f"shape {list(view.shape)}"
            )
    value = importer.as_it_is(view)
    shape = importer.shapes[value]
    layer = Affine(
        name=node.name,
        input=value,
        output=node.name,
        scale=_per_element(node, importer, scale, view, shape),
        offset=_per_element(node, importer, offset, view, shape),
    )
    importer.add(node, layer, shape=shape, view_shape=view.shape, activation=activation)


def _per_element(
    node: TfliteNode, importer: Importer, constant: Operand, view: View, shape: Shape
) -> FloatArray:
    """A broadcast constant: ``[C]`` if every pixel has the same, or ``[H, W, C]``."""
    samples = np.broadcast_to(constant, view.shape).reshape(importer.batch, *shape)
    if not np.array_equal(samples, np.broadcast_to(samples[0], samples.shape), equal_nan=True):
        raise node.error("has a constant that varies along the batch")
    pixels = samples[0].reshape(-1, shape[2])
    same = np.array_equal(pixels, np.broadcast_to(pixels[0], pixels.shape), equal_nan=True)
    return as_float32(pixels[0] if same else samples[0])


def _bounded(kind: int) -> Handler:
    lo, hi = BOUNDS[kind]

    def handle(node: TfliteNode, importer: Importer) -> None:
        view = importer.view(node)
        value = importer.as_it_is(view)
        layer = Clip(name=node.name, input=value, output=node.name, lo=lo, hi=hi)
        importer.add(node, layer, shape=importer.shapes[value], view_shape=view.shape)

    return handle


ELEMENTWISE: dict[str, Handler] = {
    "ADD": _add,
    "DIV": _div,
    "MUL": _mul,
    "RELU": _bounded(tflite.ActivationFunctionType.RELU),
    "RELU6": _bounded(tflite.ActivationFunctionType.RELU6),
    "RELU_N1_TO_1": _bounded(tflite.ActivationFunctionType.RELU_N1_TO_1),
    "SUB": _sub,
}
