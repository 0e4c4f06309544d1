"""Functions of one variable that a table can stand for: a registry, and expressions of its entries.

Each function is written once, over an arithmetic of its own choice: float64 arrays, fast; or
decimal numbers, whose results are the same on every machine to the last of their 50 digits, so that
no table depends on how a library rounds its exponentials.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Context, Decimal, localcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

DIGITS = 50
MOST_TERMS = 64
"""Of an expression."""
FARTHEST = Decimal(10_000)
"""What exponentials are taken of at most, in decimal numbers: far beyond any type's range."""
FARTHEST_ERF = Decimal(12)
"""From here on erf is 1 to 60 digits."""
SQRT_HALF, SQRT_2_OVER_PI = math.sqrt(0.5), math.sqrt(2.0 / math.pi)
SELU_ALPHA, SELU_GAMMA = 1.67326319217681884765625, 1.05070102214813232421875


@dataclass(frozen=True)
class Function:
    """An expression of one variable.

    Attributes:
        name: an entry of :data:`REGISTRY`, or ``x``, the variable.
        parameters: constants that the entry takes.
        arguments: what the entry is applied to.
    """

    name: str
    parameters: tuple[float, ...] = ()
    arguments: tuple["Function", ...] = ()

    def __str__(self) -> str:
        if self.name == "x":
            return "x"
        if self.name == "affine" and self.parameters[0] == 1.0:
            return f"({self.arguments[0]}{self.parameters[1]:+g})"
        return REGISTRY[self.name].text.format(*self.arguments, *self.parameters)

    @property
    def terms(self) -> int:
        """How many entries it has, the variable included."""
        return 1 + sum(argument.terms for argument in self.arguments)

    @property
    def monotone(self) -> bool:
        """Whether it is known to be nowhere falling."""
        if self.name == "x":
            return True
        signs = REGISTRY[self.name].signs
        if signs is None or any(self.parameters[place] < 0.0 for place in signs):
            return False
        return all(argument.monotone for argument in self.arguments)

    def of(self, inner: "Function") -> "Function":
        """The composition: this one with ``inner`` in the place of the variable."""
        if self.name == "x":
            return inner
        arguments = tuple(argument.of(inner) for argument in self.arguments)
        return Function(self.name, self.parameters, arguments)

    def __call__(self, x: NDArray) -> NDArray[np.float32]:
        """The values for an array, of its shape; infinite where float32 is too small."""
        with np.errstate(all="ignore"):
            return self.real(x).astype(np.float32)

    def real(self, x: NDArray) -> NDArray[np.float64]:
        """The values for an array, of its shape, in float64."""
        with np.errstate(all="ignore"):
            return np.asarray(self._evaluate(np.asarray(x, np.float64), _Floats()))

    def exact(self, x: Decimal) -> Decimal:
        """The value at ``x``, with about 50 digits."""
        with localcontext(Context(prec=DIGITS)):
            return Decimal(self._evaluate(x, _Decimals()))

    def _evaluate(self, x: Any, arithmetic: Any) -> Any:
        if self.name == "x":
            return x
        values = [argument._evaluate(x, arithmetic) for argument in self.arguments]
        constants = [arithmetic.number(parameter) for parameter in self.parameters]
        return REGISTRY[self.name].compute(arithmetic, *values, *constants)


X = Function("x")


class _Floats:
    """Float64 arrays."""

    number = staticmethod(np.float64)
    exp = staticmethod(np.exp)
    tanh = staticmethod(np.tanh)
    maximum = staticmethod(np.maximum)
    minimum = staticmethod(np.minimum)

    @staticmethod
    def softplus(x: Any) -> Any:
        return np.logaddexp(0.0, x)

    @staticmethod
    def erf(x: Any) -> Any:
        return np.asarray(np.frompyfunc(math.erf, 1, 1)(x), np.float64)


class _Decimals:
    """Decimal numbers, in the context that is set."""

    number = staticmethod(Decimal)
    maximum = staticmethod(max)
    minimum = staticmethod(min)

    @staticmethod
    def exp(x: Decimal) -> Decimal:
        return max(min(x, FARTHEST), -FARTHEST).exp()

    def tanh(self, x: Decimal) -> Decimal:
        falling = self.exp(-2 * abs(x))
        return ((1 - falling) / (1 + falling)).copy_sign(x)

    def softplus(self, x: Decimal) -> Decimal:
        return max(x, Decimal(0)) + (1 + self.exp(-abs(x))).ln()

    @staticmethod
    def erf(x: Decimal) -> Decimal:
        """Taylor's series times ``exp(-x * x)``, whose terms are all of one sign."""
        if abs(x) > FARTHEST_ERF:
            return Decimal(1).copy_sign(x)
        total = term = x
        divisor = 1
        while abs(term) > abs(total).scaleb(-DIGITS):
            divisor += 2
            term = term * 2 * x * x / divisor
            total += term
        return 2 * total * (-x * x).exp() / PI.sqrt()


PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494")


def _sigmoid(a: Any, x: Any) -> Any:
    return 1 / (1 + a.exp(-x))


def _elu(a: Any, x: Any, alpha: Any) -> Any:
    zero = a.number(0)
    return a.maximum(x, zero) + alpha * (a.exp(a.minimum(x, zero)) - 1)


def _leaky_relu(a: Any, x: Any, alpha: Any) -> Any:
    zero = a.number(0)
    return a.maximum(x, zero) + alpha * a.minimum(x, zero)


def _gelu(a: Any, x: Any) -> Any:
    return x * (1 + a.erf(x * a.number(SQRT_HALF))) * a.number(0.5)


def _gelu_tanh(a: Any, x: Any) -> Any:
    inner = a.number(SQRT_2_OVER_PI) * (x + a.number(0.044715) * x * x * x)
    return x * (1 + a.tanh(inner)) * a.number(0.5)


@dataclass(frozen=True)
class Entry:
    """A function of the registry.

    Attributes:
        compute: takes the arithmetic, the arguments and the parameters.
        text: with places for the arguments and the parameters.
        signs: the parameters that must not be negative for it to be nowhere falling; None if it
            falls in any case.
    """

    compute: Callable[..., Any]
    text: str
    signs: tuple[int, ...] | None = ()


REGISTRY: dict[str, Entry] = {
    "abs": Entry(lambda _, x: abs(x), "abs({})", None),
    "affine": Entry(lambda _, x, scale, offset: x * scale + offset, "({}*{:g}{:+g})", (0,)),
    "celu": Entry(lambda a, x, alpha: _elu(a, x / alpha, a.number(1)) * alpha, "celu({}, {:g})"),
    "clip": Entry(lambda a, x, lo, hi: a.minimum(a.maximum(x, lo), hi), "clip({}, {:g}, {:g})"),
    "elu": Entry(_elu, "elu({}, {:g})", (0,)),
    "erf": Entry(lambda a, x: a.erf(x), "erf({})"),
    "exp": Entry(lambda a, x: a.exp(x), "exp({})"),
    "gelu": Entry(_gelu, "gelu({})", None),
    "gelu_tanh": Entry(_gelu_tanh, "gelu_tanh({})", None),
    "leaky_relu": Entry(_leaky_relu, "leaky_relu({}, {:g})", (0,)),
    "multiply": Entry(lambda _, x, y: x * y, "{}*{}", None),
    "selu": Entry(
        lambda a, x, alpha, gamma: _elu(a, x, alpha) * gamma, "selu({}, {:g}, {:g})", (0, 1)
    ),
    "sigmoid": Entry(_sigmoid, "sigmoid({})"),
    "softplus": Entry(lambda a, x: a.softplus(x), "softplus({})"),
    "softsign": Entry(lambda _, x: x / (1 + abs(x)), "softsign({})"),
    "tanh": Entry(lambda a, x: a.tanh(x), "tanh({})"),
}


def function(name: str, *parameters: float) -> Function:
    """An entry of the registry, of the variable."""
    return Function(name, parameters, (X,))


def affine(scale: float, offset: float) -> Function:
    """``x * scale + offset``."""
    return function("affine", scale, offset)


def clip(lo: float, hi: float) -> Function:
    """``min(max(x, lo), hi)``."""
    return function("clip", lo, hi)


def product(first: Function, second: Function) -> Function:
    """The product of two functions of the same variable."""
    return Function("multiply", (), (first, second))


SWISH = product(X, function("sigmoid"))
MISH = product(X, function("tanh").of(function("softplus")))
HARD_SWISH = product(X, clip(0.0, 1.0).of(affine(1.0 / 6.0, 0.5)))
