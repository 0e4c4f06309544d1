"""The dot products of one layer as rows of integers: weights, biases and accumulators."""

from dataclasses import dataclass

import numpy as np

from shiftwork.quant.digits import DIGIT_BITS
from shiftwork.quant.graph import Conv
from shiftwork.quant.program_ops import Tensor
from shiftwork.quant.scales import FloatArray, IntegerArray, to_integers

PREFERRED_ACCUMULATOR_BITS = 24
USEFUL_SHIFT = 15
MAX_RESIDUAL_SHIFT = 11


@dataclass(frozen=True, eq=False, kw_only=True)
class Rows:
    """The dot products of a layer, one row an output channel, over the integers of its inputs.

    ``real = sum(weights * (q - zero_points)) + bias``: scales and gains of the inputs are part of
    the weights, so that a row's exponent is that of its accumulator. Several dot products that are
    added up are one, over the columns of all.

    Attributes:
        name: of the layer.
        weights: ``[O, K]``, reals a step of the input.
        bias: ``[O]``, reals.
        lows, highs, zero_points: ``[K]``, of the integers that the columns read.
        residuals: the tensors that are added.
        finer_bits: bits that weights and inputs have beyond 8: the accumulator may be as much
            finer.
    """

    name: str
    weights: FloatArray
    bias: FloatArray
    lows: FloatArray
    highs: FloatArray
    zero_points: FloatArray
    residuals: tuple[Tensor, ...] = ()
    finer_bits: int = 0

    @classmethod
    def of(
        cls,
        convs: tuple[Conv, ...],
        sources: tuple[Tensor, ...],
        residuals: tuple[Tensor, ...],
        finer_bits: int = 0,
    ) -> "Rows":
        """The rows of ``convs``, which read ``sources``, and of what is added to them."""
        weights, lows, highs, zero_points = [], [], [], []
        for conv, source in zip(convs, sources, strict=True):
            rows = conv.weights.reshape(len(conv.weights), -1).astype(np.float64)
            step = source.gain * 2.0**-source.exponent
            columns = np.ones(rows.shape[1])
            weights.append(rows * step)
            lows.append(columns * min(source.lo, source.zero_point))
            highs.append(columns * max(source.hi, source.zero_point))
            zero_points.append(columns * source.zero_point)
        return cls(
            name=convs[0].name,
            weights=np.concatenate(weights, axis=1),
            bias=np.sum([conv.bias.astype(np.float64) for conv in convs], axis=0),
            lows=np.concatenate(lows),
            highs=np.concatenate(highs),
            zero_points=np.concatenate(zero_points),
            residuals=residuals,
            finer_bits=finer_bits,
        )

    def greatest_exponent(self, output_exponent: int | None) -> float:
        """The greatest exponent of use: for the output's shift, and for those of residuals."""
        limits = [t.exponent + self.least_shift(t) + MAX_RESIDUAL_SHIFT for t in self.residuals]
        if output_exponent is not None:
            limits.append(output_exponent + USEFUL_SHIFT + self.finer_bits)
        return min(limits, default=np.inf)

    def least_shift(self, residual: Tensor) -> int:
        """The least shift of a residual: it goes in front of the last digits of what has 16 bits.

        One that has 16 bits itself goes there with its upper half.
        """
        return max(self.finer_bits - (DIGIT_BITS if residual.wide else 0), 0)

    def integer_bias(
        self, exponents: IntegerArray, weights: FloatArray, bias: FloatArray | None = None
    ) -> FloatArray:
        """``[O]`` at the accumulators' exponents; the zero points of the inputs are absorbed."""
        real = self.bias if bias is None else bias
        return to_integers(real, exponents, -np.inf, np.inf) - weights @ self.zero_points

    def reach(
        self,
        exponents: IntegerArray,
        weights: FloatArray,
        bias: FloatArray,
        output_exponent: int | None,
    ) -> FloatArray:
        """``[O]``: what ``2**(bits - 1)`` must be at least, so that the accumulator fits.

        It covers every input, and the rounding constant of the shift to ``output_exponent``.

        Args:
            weights: ``[O, K]``, or ``[T, O, K]``: the terms that each weight is the sum of. They
                are multiplied apart, by what may be different inputs.
        """
        terms = weights.reshape(-1, *self.weights.shape)
        positive, negative = np.maximum(terms, 0).sum(axis=0), np.minimum(terms, 0).sum(axis=0)
        greatest = bias + positive @ self.highs + negative @ self.lows
        least = bias + positive @ self.lows + negative @ self.highs
        for tensor in self.residuals:
            step = np.exp2(exponents - float(tensor.exponent))
            greatest, least = greatest + tensor.hi * step, least + tensor.lo * step
        if output_exponent is not None:
            shift = np.maximum(exponents - output_exponent, 0)
            greatest = greatest + np.floor(np.exp2(shift - 1.0))
        return np.maximum(greatest + 1, -least)

    def corrected_bias(
        self,
        exponents: IntegerArray,
        weights: FloatArray,
        error: FloatArray,
        output_exponent: int | None,
    ) -> FloatArray:
        """:meth:`integer_bias` plus ``error[O]``, as far as the accumulator gets no wider.

        ``weights`` are those of :meth:`reach`.
        """
        sums = weights.reshape(-1, *self.weights.shape).sum(axis=0)
        plain = self.integer_bias(exponents, sums)
        corrected = self.integer_bias(exponents, sums, self.bias + error)
        reach = self.reach(exponents, weights, plain, output_exponent).max()
        room = 2.0 ** max(PREFERRED_ACCUMULATOR_BITS - 1, np.ceil(np.log2(reach)))
        fits = self.reach(exponents, weights, corrected, output_exponent) <= room
        return np.where(fits, corrected, plain)
