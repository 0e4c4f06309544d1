"""TFLite's functions of one variable, and products of a value with what is computed of it."""

from collections.abc import Callable

import numpy as np
import tflite

from shiftwork.quant.graph import Unary
from shiftwork.quant.tflite_context import Handler, Importer, View
from shiftwork.quant.tflite_file import TfliteNode
from shiftwork.quant.unary_expressions import common_product
from shiftwork.quant.unary_functions import HARD_SWISH, Function, function

Maker = Callable[[TfliteNode], Function] | Function


def multiply_computed(node: TfliteNode, importer: Importer, activation: int) -> bool:
    """Imports a product of two values that are functions of one; tells whether it is one."""
    if any(importer.is_constant(node.input(place)) for place in (0, 1)):
        return False
    first, second = importer.view(node, 0), importer.view(node, 1)
    if first.shape != second.shape:
        return False
    values = importer.as_it_is(first), importer.as_it_is(second)
    found = common_product(importer.nodes, *values)
    if found is None:
        return False
    value, computed = found
    if not importer.shapes[value] == importer.shapes[values[0]] == importer.shapes[values[1]]:
        return False
    _append(node, importer, View(value, first.shape), computed, activation)
    return True


def _append(
    node: TfliteNode,
    importer: Importer,
    view: View,
    computed: Function,
    activation: int = tflite.ActivationFunctionType.NONE,
) -> None:
    layer = Unary(name=node.name, input=view.value, output=node.name, function=computed)
    shape = importer.shapes[view.value]
    importer.add(node, layer, shape=shape, view_shape=view.shape, activation=activation)


def _handler(make: Maker) -> Handler:
    def handle(node: TfliteNode, importer: Importer) -> None:
        view = importer.view(node)
        _append(
            node,
            importer,
            View(importer.as_it_is(view), view.shape),
            make if isinstance(make, Function) else make(node),
        )

    return handle


def _leaky_relu(node: TfliteNode) -> Function:
    alpha = float(node.options(tflite.LeakyReluOptions).Alpha())
    if not np.isfinite(alpha):
        raise node.error(f"has the alpha {alpha}; it must be a finite number")
    return function("leaky_relu", alpha)


def _gelu(node: TfliteNode) -> Function:
    approximate = node.options(tflite.GeluOptions).Approximate()
    return function("gelu_tanh" if approximate else "gelu")


FUNCTIONS: dict[str, Maker] = {
    "ABS": function("abs"),
    "ELU": function("elu", 1.0),
    "EXP": function("exp"),
    "GELU": _gelu,
    "HARD_SWISH": HARD_SWISH,
    "LEAKY_RELU": _leaky_relu,
    "LOGISTIC": function("sigmoid"),
    "TANH": function("tanh"),
}
UNARY: dict[str, Handler] = {op: _handler(make) for op, make in FUNCTIONS.items()}
