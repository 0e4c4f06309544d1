"""Fixed-point number types: integers of 2 to 16 bits that stand for real numbers.

A stored integer ``q`` of a type with the exponent ``f`` and the bias ``b`` is the real number
``q * 2**-f + b``. Which integer a real number becomes is decided as if by exact arithmetic, for
every float64 and every rounding mode. ``docs/fixed_point.md`` shows the use.
"""

from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shiftwork.errors import DataError
from shiftwork.quant.scales import FloatArray

Rounding = Literal["nearest", "convergent", "half_away", "floor", "ceiling", "zero"]
Overflow = Literal["saturate", "wrap"]
StoredArray = NDArray[np.int32]

LEAST_BITS, MOST_BITS = 2, 16
MAX_EXPONENT = 1000
MAX_WRAPPED = 2.0**52
"""Steps from which on float64 holds no fractions: larger numbers are not wrapped."""


@dataclass(frozen=True, kw_only=True)
class FixedPoint:
    """A fixed-point type: ``real = stored * 2.0 ** -exponent + bias``.

    Attributes:
        bits: width of the stored integer, 2..16.
        exponent: of the power of two, -1000..1000. Inside 0..bits it counts the bits behind the
            binary point.
        signed: two's complement, or from 0 on.
        bias: the real number that the stored 0 stands for.
        rounding: which integer a real number between two of them becomes: the nearer one, of two
            the upper one (``nearest``), the even one (``convergent``) or the one farther from 0
            (``half_away``); or always the lower one (``floor``), the upper one (``ceiling``), or
            the one nearer to 0 (``zero``). 0 is here the stored 0.
        overflow: beyond the range the last integer (``saturate``), or the integer modulo
            ``2**bits`` (``wrap``).

    Raises:
        DataError: if an attribute has an unknown or impossible value.
    """

    bits: int = 8
    exponent: int = 0
    signed: bool = True
    bias: float = 0.0
    rounding: Rounding = "nearest"
    overflow: Overflow = "saturate"

    def __post_init__(self) -> None:
        if not LEAST_BITS <= self.bits <= MOST_BITS:
            raise DataError(f"bits must be in {LEAST_BITS}..{MOST_BITS}, not {self.bits}")
        if not -MAX_EXPONENT <= self.exponent <= MAX_EXPONENT:
            raise DataError(
                f"exponent must be in {-MAX_EXPONENT}..{MAX_EXPONENT}, not {self.exponent}"
            )
        if not np.isfinite(self.bias):
            raise DataError(f"bias must be finite, not {self.bias}")
        for name, allowed in (("rounding", Rounding), ("overflow", Overflow)):
            value = getattr(self, name)
            if value not in get_args(allowed):
                choices = ", ".join(get_args(allowed))
                raise DataError(f"{name} must be one of {choices}, not {value!r}")

    @classmethod
    def best_precision(
        cls,
        values: ArrayLike,
        *,
        bits: int = 8,
        signed: bool = True,
        bias: float = 0.0,
        rounding: Rounding = "nearest",
        overflow: Overflow = "saturate",
    ) -> "FixedPoint":
        """The type with the finest resolution in which no value overflows.

        Args:
            values: a real number, or an array of any shape. If all of them equal ``bias``, the
                exponent is 0.
            bits, signed, bias, rounding, overflow: attributes of the type.

        Raises:
            DataError: if a value is not finite, or is below ``bias`` and the type unsigned, or
                needs an exponent outside of -1000..1000.
        """
        x = _finite(values)
        kind = cls(bits=bits, signed=signed, bias=bias, rounding=rounding, overflow=overflow)
        extremes = np.array([x.min(initial=np.inf), x.max(initial=-np.inf)])
        if not x.size or (extremes == bias).all():
            return kind
        if not signed and extremes[0] < bias:
            raise DataError(
                f"values of an unsigned type must be at least its bias {bias:g}, not "
                f"{extremes[0]:g}; use a signed one, or a lower bias"
            )
        magnitude = int(np.frexp(extremes - bias)[1].max())
        exponent = min(max(bits - magnitude, -MAX_EXPONENT), MAX_EXPONENT)
        while exponent < MAX_EXPONENT and not kind._at(exponent + 1).overflows(extremes).any():
            exponent += 1
        while exponent > -MAX_EXPONENT and kind._at(exponent).overflows(extremes).any():
            exponent -= 1
        best = kind._at(exponent)
        if best.overflows(extremes).any():
            raise DataError(f"values must be below {best.greatest:g}, not {abs(extremes).max():g}")
        return best

    @property
    def lo(self) -> int:
        """The least stored integer."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def hi(self) -> int:
        """The greatest stored integer."""
        return (1 << (self.bits - 1 if self.signed else self.bits)) - 1

    @property
    def resolution(self) -> float:
        """The real distance of two neighbours: ``2.0 ** -exponent``."""
        return float(np.ldexp(1.0, -self.exponent))

    @property
    def least(self) -> float:
        """The least real number of the type."""
        return float(self.to_real(self.lo))

    @property
    def greatest(self) -> float:
        """The greatest real number of the type."""
        return float(self.to_real(self.hi))

    def to_stored(self, values: ArrayLike) -> StoredArray:
        """Real numbers of any shape as stored integers, rounded and limited as the type says.

        The result is that of exact arithmetic on the float64 numbers given.

        Raises:
            DataError: if a value is NaN; or, where the type wraps, is infinite or 2**52 steps or
                more away from the bias.
        """
        whole = self._whole(values)
        if self.overflow == "saturate":
            return np.clip(whole, self.lo, self.hi).astype(np.int32)
        if not (np.abs(whole) < MAX_WRAPPED).all():
            raise DataError(
                f"values to be wrapped must be within 2**52 steps of {self.resolution:g}; "
                "use overflow='saturate'"
            )
        turn = 1 << self.bits
        return ((whole.astype(np.int64) - self.lo) % turn + self.lo).astype(np.int32)

    def to_real(self, stored: ArrayLike) -> FloatArray:
        """The real numbers that stored integers of any shape stand for; exact without a bias.

        Raises:
            DataError: if there is an integer that the type does not hold.
        """
        return np.ldexp(self._checked(stored), -self.exponent) + self.bias

    def rounded(self, values: ArrayLike) -> FloatArray:
        """The numbers of the type that ``values`` become."""
        return self.to_real(self.to_stored(values))

    def error(self, values: ArrayLike) -> FloatArray:
        """What quantization adds to ``values``: ``rounded(values) - values``."""
        return self.rounded(values) - np.asarray(values, dtype=np.float64)

    def overflows(self, values: ArrayLike) -> NDArray[np.bool_]:
        """Where ``values``, once rounded to a whole number of steps, leave the type's range."""
        whole = self._whole(values)
        return (whole < self.lo) | (whole > self.hi)

    def convert(self, stored: ArrayLike, target: "FixedPoint") -> StoredArray:
        """Stored integers of this type as those of ``target``, by the target's rules.

        Exact if both types have the same bias; else the real number is rounded to float64 first.

        Raises:
            DataError: if there is an integer that the type does not hold.
        """
        if self.bias == target.bias:
            return replace(target, bias=0.0).to_stored(replace(self, bias=0.0).to_real(stored))
        return target.to_stored(self.to_real(stored))

    def bit_pattern(self, stored: int) -> str:
        """The bits of a stored integer, the most significant first, in two's complement."""
        self._checked(stored)
        return format(int(stored) % (1 << self.bits), f"0{self.bits}b")

    def from_bit_pattern(self, pattern: str) -> int:
        """The stored integer with that :meth:`bit_pattern`.

        Raises:
            DataError: if ``pattern`` is not one 0 or 1 for each bit.
        """
        if len(pattern) != self.bits or not set(pattern) <= {"0", "1"}:
            raise DataError(f"a bit pattern must be {self.bits} digits 0 or 1, not {pattern!r}")
        return (int(pattern, 2) - self.lo) % (1 << self.bits) + self.lo

    def __str__(self) -> str:
        kind = "signed" if self.signed else "unsigned"
        bias = f" + {self.bias:g}" if self.bias else ""
        return f"{kind} {self.bits} bit, q * 2**{-self.exponent}{bias}"

    def _at(self, exponent: int) -> "FixedPoint":
        return replace(self, exponent=exponent)

    def _checked(self, stored: ArrayLike) -> FloatArray:
        q = np.asarray(stored)
        if q.dtype.kind not in "iu":
            raise DataError(f"stored values must be integers, not {q.dtype}")
        if q.size and (q.min() < self.lo or q.max() > self.hi):
            raise DataError(
                f"stored values must lie in {self.lo}..{self.hi}, not {q.min()}..{q.max()}"
            )
        return q.astype(np.float64)

    def _whole(self, values: ArrayLike) -> FloatArray:
        """``values`` as whole numbers of steps, not limited; those beyond float64 are infinite."""
        x = np.asarray(values, dtype=np.float64)
        if np.isnan(x).any():
            raise DataError(f"values must be numbers, but {int(np.isnan(x).sum())} are NaN")
        high, low = _difference(x, self.bias)
        with np.errstate(over="ignore", under="ignore"):
            return _round(_scaled(high, self.exponent), _scaled(low, self.exponent), self.rounding)


def _finite(values: ArrayLike) -> FloatArray:
    x = np.asarray(values, dtype=np.float64)
    if not np.isfinite(x).all():
        raise DataError(f"values must be finite, but {int((~np.isfinite(x)).sum())} are not")
    return x


def _difference(x: FloatArray, bias: float) -> tuple[FloatArray, FloatArray]:
    """``x - bias`` as the nearest float64, and what that lacks: Knuth's TwoSum, exact."""
    if bias == 0.0:
        return x, np.zeros_like(x)
    with np.errstate(over="ignore", invalid="ignore"):
        high = x - bias
        part = high - x
        low = (x - (high - part)) - (bias + part)
    return high, np.where(np.isfinite(high), low, 0.0)


def _scaled(x: FloatArray, exponent: int) -> FloatArray:
    """``x * 2**exponent``; what is too small for float64 keeps its sign, as the least number."""
    scaled = np.ldexp(x, exponent)
    least = np.copysign(np.finfo(np.float64).smallest_subnormal, x)
    return np.where((scaled == 0.0) & (x != 0.0), least, scaled)


def _round(high: FloatArray, low: FloatArray, mode: Rounding) -> FloatArray:
    """``high + low`` rounded to whole numbers; ``|low|`` is at most half a unit of ``high``.

    ``low`` counts where ``high`` is a whole number, or midway between two, and nowhere else.
    """
    below = np.floor(high)
    with np.errstate(invalid="ignore"):
        fraction = high - below
        odd = below % 2.0 == 1.0
    above_half = np.sign(fraction - 0.5)
    exact = (fraction == 0.0) & (low == 0.0)
    short = (fraction == 0.0) & (low < 0.0)
    below = below - short
    above_half = np.where(short, 1.0, np.where(above_half == 0.0, np.sign(low), above_half))
    match mode:
        case "nearest":
            up = above_half >= 0.0
        case "convergent":
            up = (above_half > 0.0) | ((above_half == 0.0) & odd)
        case "half_away":
            up = (above_half > 0.0) | ((above_half == 0.0) & (below >= 0.0))
        case "floor":
            up = np.zeros(below.shape, bool)
        case "ceiling":
            up = ~exact
        case "zero":
            up = (below < 0.0) & ~exact
    return np.where(np.isfinite(below) & ~exact, below + up, below)
