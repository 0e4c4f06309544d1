"""From a trained network to an integer program; and fixed-point number types."""

from shiftwork.quant.fixed_point import FixedPoint

__all__ = ["FixedPoint"]
