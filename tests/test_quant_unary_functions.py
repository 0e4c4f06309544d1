"""Functions of one variable: two arithmetics that agree, and expressions of them."""

import math
from decimal import Context, Decimal, localcontext
from itertools import pairwise

import numpy as np
import pytest

from shiftwork.quant.unary_functions import (
    HARD_SWISH,
    MISH,
    REGISTRY,
    SWISH,
    X,
    affine,
    clip,
    function,
    product,
)

PLACES = [*np.linspace(-12, 12, 97).tolist(), 1e-6, -1e-6, 40.0, -40.0]
PARAMETERS = {
    "affine": (0.75, -2.0),
    "celu": (1.5,),
    "clip": (-1.25, 3.5),
    "elu": (1.0,),
    "leaky_relu": (0.125,),
    "selu": (1.6732632423543772, 1.0507009873554805),
}
FUNCTIONS = {
    **{name: function(name, *PARAMETERS.get(name, ())) for name in REGISTRY if name != "multiply"},
    "swish": SWISH,
    "mish": MISH,
    "hard_swish": HARD_SWISH,
}
PLAIN = {
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "tanh": math.tanh,
    "erf": math.erf,
    "exp": math.exp,
    "softplus": lambda x: math.log1p(math.exp(x)) if x < 30 else x,
    "softsign": lambda x: x / (1 + abs(x)),
    "elu": lambda x: x if x > 0 else math.expm1(x),
    "celu": lambda x: x if x > 0 else 1.5 * math.expm1(x / 1.5),
    "leaky_relu": lambda x: x if x > 0 else 0.125 * x,
    "gelu": lambda x: 0.5 * x * math.erfc(-x / math.sqrt(2)),
    "swish": lambda x: x / (1 + math.exp(-x)),
    "hard_swish": lambda x: x * min(max(x / 6 + 0.5, 0), 1),
    "mish": lambda x: x * math.tanh(math.log1p(math.exp(x)) if x < 30 else x),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_both_arithmetics_agree(name):
    real = FUNCTIONS[name].real(np.array(PLACES))
    exact = [float(FUNCTIONS[name].exact(Decimal(x))) for x in PLACES]
    np.testing.assert_allclose(real, exact, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", PLAIN)
def test_values_are_those_of_the_math_module(name):
    expected = [PLAIN[name](x) for x in PLACES]
    found = FUNCTIONS[name].real(np.array(PLACES))
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


def test_decimal_values_have_40_digits():
    """Of functions that constants of 60 digits are known for."""
    one = Decimal(1)
    found = [function("erf").exact(one), function("tanh").exact(one), one]
    erf = Decimal("0.842700792949714869341220635082609259296066997966302908459937")
    tanh = Decimal("0.761594155955764888119458282604793590412768597257936551596810")
    with localcontext(Context(prec=60)):
        found[2] = function("sigmoid").exact(2 * one) * 2 - 1
        errors = [abs(value - right) for value, right in zip(found, (erf, tanh, tanh), strict=True)]
    assert max(errors) < Decimal("1e-40")


@pytest.mark.parametrize("x", [-1e9, 1e9, 0.0])
@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - {"exp"}))
def test_far_arguments_have_values(name, x):
    assert FUNCTIONS[name].exact(Decimal(x)).is_finite()
    assert np.isfinite(FUNCTIONS[name].real(np.array(x)))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_is_called_monotone_never_falls(name):
    values = [float(FUNCTIONS[name].exact(Decimal(x))) for x in sorted(PLACES)]
    falls = any(later < earlier for earlier, later in pairwise(values))
    assert FUNCTIONS[name].monotone == (not falls)


@pytest.mark.parametrize("fallen", [affine(-1.0, 0.0), function("leaky_relu", -0.5), SWISH])
def test_parameters_decide_whether_a_function_falls(fallen):
    assert not fallen.monotone
    assert not function("tanh").of(fallen).monotone


def test_compositions():
    inner = affine(2.0, 1.0)
    outer = product(X, function("sigmoid")).of(inner)
    x = np.linspace(-3, 3, 7)
    np.testing.assert_allclose(outer.real(x), (2 * x + 1) / (1 + np.exp(-2 * x - 1)))
    assert X.of(outer) == outer and outer.of(X) == outer
    assert outer.terms == 6


def test_expressions_read_like_formulas():
    assert str(SWISH) == "x*sigmoid(x)"
    assert str(clip(0.0, 6.0).of(affine(1.0, 3.0))) == "clip((x+3), 0, 6)"
    assert str(function("leaky_relu", 0.1).of(affine(0.5, -2.0))) == "leaky_relu((x*0.5-2), 0.1)"


def test_values_beyond_float32_are_infinite():
    assert function("exp")(np.array([200.0], np.float32)).tolist() == [np.inf]
    assert function("tanh")(np.array([200.0], np.float32)).dtype == np.float32
