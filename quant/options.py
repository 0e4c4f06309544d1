"""How to quantize: the choices that a user has."""

from dataclasses import dataclass
from typing import Literal

from shiftwork.errors import DataError
from shiftwork.quant.scales import Method


@dataclass(frozen=True, kw_only=True)
class QuantizerOptions:
    """How to quantize.

    Attributes:
        scales: the power of two with the least mean squared error (``mse``), or the finest one
            that saturates nothing (``max``).
        per_channel: one weight exponent an output channel, or one a layer.
        activations: store what is never negative as 0..255 (``unsigned``), or everything inside
            -128..127 (``signed``).
        accumulators: return the 32-bit accumulators of the last layer if it is a Conv without
            bounds.
        bias_correction: take the mean error that quantization leaves in a channel off its bias.

    Raises:
        DataError: if an option has an unknown value.
    """

    scales: Method = "mse"
    per_channel: bool = True
    activations: Literal["unsigned", "signed"] = "unsigned"
    accumulators: bool = True
    bias_correction: bool = True

    def __post_init__(self) -> None:
        for name, allowed in (("scales", ("mse", "max")), ("activations", ("unsigned", "signed"))):
            value = getattr(self, name)
            if value not in allowed:
                raise DataError(f"option {name} must be {' or '.join(allowed)}, not {value!r}")
