"""Raw bytes as a network's input, and the real numbers that they stand for."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from shiftwork.errors import DataError

RawType = Literal["uint8", "int8"]


@dataclass(frozen=True, kw_only=True)
class RawInput:
    """What a sensor's byte stands for: ``real = raw * scale + offset``.

    Attributes:
        dtype: of the bytes.
        scale, offset: one number, or one a channel; the network's real units.

    Raises:
        DataError: if one of them is impossible.
    """

    dtype: RawType
    scale: tuple[float, ...] = (1.0,)
    offset: tuple[float, ...] = (0.0,)

    def __post_init__(self) -> None:
        if self.dtype not in get_args(RawType):
            raise DataError(f"raw input must be uint8 or int8, not {self.dtype!r:.40}")
        if not self.scale or not all(0.0 < value < np.inf for value in self.scale):
            raise DataError(
                f"the scale of the raw input must be positive and finite, not {_list(self.scale)}"
            )
        if not self.offset or not np.isfinite(self.offset).all():
            raise DataError(f"the offset of the raw input must be finite, not {_list(self.offset)}")

    @property
    def range(self) -> tuple[int, int]:
        """The least and the greatest byte."""
        return (0, 255) if self.dtype == "uint8" else (-128, 127)

    def check_channels(self, channels: int) -> None:
        """Raises DataError unless there is one number, or one a channel."""
        for name, values in (("scale", self.scale), ("offset", self.offset)):
            if len(values) not in (1, channels):
                raise DataError(
                    f"the {name} of the raw input must be one number, or one for each of the "
                    f"{channels} channels, not {len(values)}: {_list(values)}"
                )

    def to_real(self, raw: NDArray) -> NDArray[np.float64]:
        """Bytes ``[..., C]`` as the real numbers that they stand for."""
        return raw * np.array(self.scale) + np.array(self.offset)

    def to_raw(self, x: NDArray) -> NDArray[np.int32]:
        """Samples ``[..., C]`` as bytes: integers are bytes already, real numbers are rounded.

        Raises:
            DataError: if an integer is no byte of this type.
        """
        lo, hi = self.range
        if x.dtype.kind in "biu":
            if x.size and (x.min() < lo or x.max() > hi):
                raise DataError(
                    f"samples of the type {x.dtype} are raw bytes, {lo}..{hi} for {self.dtype}, "
                    f"not {x.min()}..{x.max()}; give real numbers as a floating-point array"
                )
            return x.astype(np.int32)
        raw = np.floor((x - np.array(self.offset)) / np.array(self.scale) + 0.5)
        return np.clip(raw, lo, hi).astype(np.int32)


def _list(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values[:8]) + (" ..." if len(values) > 8 else "")
