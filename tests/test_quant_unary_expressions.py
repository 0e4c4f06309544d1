"""Products of a value and what is computed of it."""

import numpy as np
import pytest

from shiftwork.quant.graph import Affine, Clip, MaxPool, Unary
from shiftwork.quant.unary_expressions import common_product, elementwise
from shiftwork.quant.unary_functions import X, affine, clip, function, product

SIGMOID = function("sigmoid")


def unary(source, target, of=SIGMOID):
    return Unary(name=target, input=source, output=target, function=of)


def constants(source, target, scale, offset):
    scale, offset = np.float32(scale), np.float32(offset)
    return Affine(name=target, input=source, output=target, scale=scale, offset=offset)


def test_a_value_times_its_sigmoid():
    assert common_product([unary("x", "s")], "x", "s") == ("x", product(X, SIGMOID))


def test_a_value_times_itself():
    value, square = common_product([], "x", "x")
    assert value == "x" and str(square) == "x*x"


def test_the_nearest_common_value_is_taken():
    nodes = [unary("x", "a"), unary("a", "b", function("tanh")), unary("a", "c")]
    value, found = common_product(nodes, "c", "b")
    assert (value, str(found)) == ("a", "sigmoid(x)*tanh(x)")


def test_constants_and_bounds_are_part_of_it():
    """Gelu as PyTorch exports it."""
    nodes = [
        constants("x", "scaled", np.full(3, 0.7071), np.zeros(1)),
        unary("scaled", "erf", function("erf")),
        constants("erf", "more", np.ones(1), np.ones(3)),
        Clip(name="c", input="more", output="limited", lo=0.0, hi=2.0),
    ]
    value, found = common_product(nodes, "x", "limited")
    assert (value, str(found)) == ("x", "x*clip((erf((x*0.7071+0))+1), 0, 2)")


@pytest.mark.parametrize(
    "node",
    [
        constants("x", "s", np.array([1.0, 2.0]), np.zeros(1)),
        MaxPool(name="s", input="x", output="s", kernel=(2, 2), stride=(1, 1)),
    ],
)
def test_other_values_have_no_such_product(node):
    assert elementwise(node) is None
    assert common_product([node], "x", "s") is None


def test_endless_products_are_not_followed():
    """A tree of products doubles with every step: it ends before it fills the memory."""
    nodes, value = [], "x"
    for number in range(40):
        found = common_product(nodes, value, value)
        if found is None:
            break
        nodes.append(unary(found[0], f"y{number}", found[1]))
        value = f"y{number}"
    long = [unary(f"y{n}", f"y{n + 1}") for n in range(200)]
    assert common_product(long, "y0", "y200") is None
    assert common_product(long, "y0", "y20") is not None


def test_what_nodes_do_to_every_element():
    assert elementwise(Clip(name="c", input="x", output="c", lo=0.0, hi=6.0)) == clip(0.0, 6.0)
    assert elementwise(constants("x", "a", np.full((1, 1, 2), 3.0), np.zeros(2))) == affine(
        3.0, 0.0
    )
    assert elementwise(None) is None
