"""How to quantize: the choices that a user has."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from shiftwork.errors import DataError
from shiftwork.quant.scales import Method

Weights = Literal["int8", "int4", "shared16", "pow2"]
CHOICES = (
    ("scales", ("mse", "max", "percentile", "kl")),
    ("activations", ("unsigned", "signed")),
    ("rounding", ("compensated", "nearest")),
    ("weights", ("int8", "int4", "shared16", "pow2")),
)


@dataclass(frozen=True, kw_only=True)
class QuantizerOptions:
    """How to quantize.

    Attributes:
        scales: the power of two with the least mean squared error (``mse``), or the finest one
            that saturates nothing (``max``); or, for activations, the finest one that holds
            99.99 % of the magnitudes (``percentile``) or reaches the threshold with the least
            Kullback-Leibler divergence (``kl``), with weights as of ``max``.
        per_channel: one weight exponent an output channel, or one a layer.
        activations: store what is never negative as 0..255 (``unsigned``), or everything inside
            -128..127 (``signed``).
        accumulators: return the 32-bit accumulators of the last layer if it is a Conv without
            bounds.
        bias_correction: take the mean error that quantization leaves in a channel off its bias.
        equalization: scale the channels of a tensor toward a common range.
        range_fill: scale whole tensors so that a power of two suits them.
        headroom: how much larger than on the calibration samples activations are taken to be; 2
            for samples that are few, or much alike.
        rounding: choose the weights of a row together, so that their errors cancel over the
            calibration inputs (``compensated``), or each on its own (``nearest``).
        weights: what weights become: any ``int8``; -8 to 7 (``int4``); 16 values that suit the
            network's weights (``shared16``); 0 and signed powers of two (``pow2``). All but the
            first give the program a codebook.
        sums: names of layers whose weights are each the sum of two of the codebook's values: more
            exact, at twice the bytes and twice the cycles. Not for depthwise ones.
        wide: names of layers whose weights have 16 bits rather than 8: 256 times finer, at twice
            the bytes and twice the cycles; ``("all",)`` for every layer. Only with weights of
            int8.
        wide_activations: names of layers whose outputs have 16 bits rather than 8, at twice the
            cycles of the layers that read them; ``("all",)`` for every one that may. What a
            maximum is taken of has 8 bits, and the network's output.
        softmax: end in a byte for each class that the host makes a probability of, in place of the
            scores (:mod:`shiftwork.quant.softmax`).
        input_scale, input_zero_point: the real step and the zero point of the input's int8 grid,
            if it is to be other than what the source model or the samples say.

    Raises:
        DataError: if an option has an unknown or impossible value.
    """

    scales: Method = "mse"
    per_channel: bool = True
    activations: Literal["unsigned", "signed"] = "unsigned"
    accumulators: bool = True
    bias_correction: bool = True
    equalization: bool = True
    range_fill: bool = True
    headroom: float = 1.25
    rounding: Literal["compensated", "nearest"] = "compensated"
    weights: Weights = "int8"
    sums: tuple[str, ...] = ()
    wide: tuple[str, ...] = ()
    wide_activations: tuple[str, ...] = ()
    softmax: bool = False
    input_scale: float | None = None
    input_zero_point: int = 0

    def __post_init__(self) -> None:
        for name, allowed in CHOICES:
            value = getattr(self, name)
            if value not in allowed:
                raise DataError(f"option {name} must be {' or '.join(allowed)}, not {value!r}")
        if not 1.0 <= self.headroom < np.inf:
            raise DataError(f"option headroom must be a finite factor from 1, not {self.headroom}")
        if self.sums and self.weights == "int8":
            raise DataError(
                "option sums adds up values of few, which weights of int8 are not: choose other "
                "weights, such as shared16"
            )
        if self.wide and self.weights != "int8":
            raise DataError(
                f"option wide gives layers 16 bits among those of int8, and weights are "
                f"{self.weights}: leave one of them out"
            )
        if self.input_scale is not None and not 0.0 < self.input_scale < np.inf:
            raise DataError(f"option input_scale must be positive, not {self.input_scale}")
        if not -128 <= self.input_zero_point <= 127:
            raise DataError(
                f"option input_zero_point must be in -128..127, not {self.input_zero_point}"
            )
