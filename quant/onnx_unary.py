"""ONNX's functions of one variable, and products of a value with what is computed of it."""

from collections.abc import Callable

import numpy as np

from shiftwork.quant.graph import Unary
from shiftwork.quant.onnx_context import Handler, Importer
from shiftwork.quant.onnx_file import OnnxNode
from shiftwork.quant.onnx_views import View
from shiftwork.quant.unary_expressions import common_product
from shiftwork.quant.unary_functions import (
    HARD_SWISH,
    MISH,
    SELU_ALPHA,
    SELU_GAMMA,
    Function,
    affine,
    clip,
    function,
)

Maker = Callable[[OnnxNode], Function] | Function


def multiply_computed(node: OnnxNode, importer: Importer) -> bool:
    """Imports a product of two values that are functions of one; tells whether it is one."""
    if len(node.inputs) != 2 or any(name in importer.constants for name in node.inputs):
        return False
    first, second = (importer.builder.elementwise(node, name) for name in node.inputs)
    if first.order.shape != second.order.shape or not np.array_equal(first.order, second.order):
        return False
    found = common_product(importer.builder.nodes, first.value, second.value)
    if found is None:
        return False
    value, computed = found
    if importer.builder.shapes[value] != importer.builder.shapes[first.value]:
        return False
    _append(node, importer, View(value, first.order), computed)
    return True


def _append(node: OnnxNode, importer: Importer, view: View, computed: Function) -> None:
    layer = Unary(name=node.name, input=view.value, output=node.outputs[0], function=computed)
    shape = importer.builder.shapes[view.value]
    importer.builder.add(layer, shape, View(layer.output, view.order), node.outputs[0])


def _handler(make: Maker) -> Handler:
    def handle(node: OnnxNode, importer: Importer) -> None:
        view = importer.builder.elementwise(node, node.input(0))
        _append(node, importer, view, make if isinstance(make, Function) else make(node))

    return handle


def _number(node: OnnxNode, key: str, default: float) -> float:
    value = float(node.attributes.get(key, default))
    if not np.isfinite(value):
        raise node.error(f"has the {key} {value}; it must be a finite number")
    return value


def _celu(node: OnnxNode) -> Function:
    alpha = _number(node, "alpha", 1.0)
    if alpha <= 0.0:
        raise node.error(f"has the alpha {alpha:g}; it must be positive")
    return function("celu", alpha)


def _gelu(node: OnnxNode) -> Function:
    kind = node.attributes.get("approximate", "none")
    if kind not in ("none", "tanh"):
        raise node.error(f"has the approximation '{kind}'; supported are none and tanh")
    return function("gelu" if kind == "none" else "gelu_tanh")


def _hard_sigmoid(node: OnnxNode) -> Function:
    alpha, beta = _number(node, "alpha", 0.2), _number(node, "beta", 0.5)
    return clip(0.0, 1.0).of(affine(alpha, beta))


def _selu(node: OnnxNode) -> Function:
    alpha, gamma = _number(node, "alpha", SELU_ALPHA), _number(node, "gamma", SELU_GAMMA)
    return function("selu", alpha, gamma)


FUNCTIONS: dict[str, Maker] = {
    "Abs": function("abs"),
    "Celu": _celu,
    "Elu": lambda node: function("elu", _number(node, "alpha", 1.0)),
    "Erf": function("erf"),
    "Exp": function("exp"),
    "Gelu": _gelu,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": HARD_SWISH,
    "LeakyRelu": lambda node: function("leaky_relu", _number(node, "alpha", 0.01)),
    "Mish": MISH,
    "Selu": _selu,
    "Sigmoid": function("sigmoid"),
    "Softplus": function("softplus"),
    "Softsign": function("softsign"),
    "Tanh": function("tanh"),
}
UNARY: dict[str, Handler] = {op: _handler(make) for op, make in FUNCTIONS.items()}
