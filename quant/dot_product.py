"""Integer weights, biases and shifts of one Conv of the float graph."""

from dataclasses import dataclass

import numpy as np

from shiftwork.errors import ModelError
from shiftwork.quant.graph import Conv
from shiftwork.quant.program import MAX_ACCUMULATOR_BITS, Tensor
from shiftwork.quant.scales import FloatArray, IntegerArray, Method, to_integers, weight_exponents

PREFERRED_ACCUMULATOR_BITS = 24
PREFERENCE_STEPS = 2
USEFUL_SHIFT = 15


@dataclass(frozen=True, eq=False, kw_only=True)
class Rows:
    """The dot products of a Conv, one row an output channel, over the integers of its input.

    ``real = sum(weights * (q - zero_point)) * 2**-f + bias``, ``f`` the input's exponent: the
    input's gain is part of the weights.

    Attributes:
        name: of the Conv.
        weights: ``[O, K]``.
        bias: ``[O]``.
        source: the input tensor.
    """

    name: str
    weights: FloatArray
    bias: FloatArray
    source: Tensor

    @classmethod
    def of(cls, node: Conv, source: Tensor) -> "Rows":
        """The rows of ``node`` when it reads ``source``."""
        weights = node.weights.reshape(len(node.weights), -1).astype(np.float64) * source.gain
        return cls(
            name=node.name, weights=weights, bias=node.bias.astype(np.float64), source=source
        )

    def integer_weights(self, exponents: IntegerArray) -> FloatArray:
        """``[O, K]`` in -128..127, at one exponent a row."""
        return to_integers(self.weights, exponents[:, None], -128, 127)

    def integer_bias(self, exponents: IntegerArray, bias: FloatArray | None = None) -> FloatArray:
        """``[O]`` at the accumulator's exponent; the input's zero point is absorbed."""
        real = self.bias if bias is None else bias
        rounded = to_integers(real, exponents + self.source.exponent, -np.inf, np.inf)
        return rounded - self.source.zero_point * self.integer_weights(exponents).sum(axis=1)

    def reach(
        self, exponents: IntegerArray, bias: FloatArray, output_exponent: int | None
    ) -> FloatArray:
        """``[O]``: what ``2**(bits - 1)`` must be at least, so that the accumulator fits.

        It covers every input, and the rounding constant of the shift to ``output_exponent``.
        """
        weights = self.integer_weights(exponents)
        lo = min(self.source.lo, self.source.zero_point)
        hi = max(self.source.hi, self.source.zero_point)
        positive, negative = np.maximum(weights, 0).sum(axis=1), np.minimum(weights, 0).sum(axis=1)
        greatest = bias + positive * hi + negative * lo
        least = bias + positive * lo + negative * hi
        if output_exponent is not None:
            shift = np.maximum(exponents + self.source.exponent - output_exponent, 0)
            greatest = greatest + np.floor(np.exp2(shift - 1.0))
        return np.maximum(greatest + 1, -least)

    def corrected_bias(
        self, exponents: IntegerArray, error: FloatArray, output_exponent: int | None
    ) -> FloatArray:
        """:meth:`integer_bias` plus ``error[O]``, as far as the accumulator gets no wider."""
        plain = self.integer_bias(exponents)
        corrected = self.integer_bias(exponents, self.bias + error)
        reach = self.reach(exponents, plain, output_exponent).max()
        room = 2.0 ** max(PREFERRED_ACCUMULATOR_BITS - 1, np.ceil(np.log2(reach)))
        return np.where(self.reach(exponents, corrected, output_exponent) <= room, corrected, plain)


def row_exponents(
    rows: Rows, output_exponent: int | None, *, method: Method, per_row: bool
) -> IntegerArray:
    """The weight exponent of each row.

    The accumulator stays within 24 bits if that costs at most two bits of weight, else within 32.
    With an output exponent, no shift is larger than what 24 bits can make use of.

    Raises:
        ModelError: if even 32 bits are too few.
    """
    exponents = weight_exponents(rows.weights, method, per_row=per_row)
    if output_exponent is not None:
        most = output_exponent - rows.source.exponent + USEFUL_SHIFT
        exponents = np.minimum(exponents, most)
    fitted = _fitted(rows, exponents, output_exponent)
    return fitted if per_row else np.full_like(fitted, fitted.min())


def _fitted(rows: Rows, exponents: IntegerArray, output_exponent: int | None) -> IntegerArray:
    """``exponents``, lowered where the accumulator would be too wide."""
    limits = ((PREFERRED_ACCUMULATOR_BITS, PREFERENCE_STEPS), (MAX_ACCUMULATOR_BITS, 256))
    for bits, steps in limits:
        trial = exponents.copy()
        for _ in range(steps + 1):
            reach = rows.reach(trial, rows.integer_bias(trial), output_exponent)
            too_wide = reach > 2.0 ** (bits - 1)
            if not too_wide.any():
                return trial
            trial[too_wide] -= 1
    raise ModelError(
        f"node '{rows.name}' has a bias of {np.abs(rows.bias).max():.3g}, which no 32-bit "
        "accumulator holds beside its weights; retrain it with smaller biases"
    )
