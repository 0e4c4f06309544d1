"""What power-of-two scales do to one tensor: shares lost, errors, and recommendations.

A tensor is read twice: once for its statistics, from which the candidates follow; and once to
measure all candidates together.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from shiftwork.errors import DataError
from shiftwork.quant import thresholds
from shiftwork.quant.fixed_point import LEAST_BITS, MOST_BITS
from shiftwork.quant.scales import (
    FINER_STEPS,
    FloatArray,
    IntegerArray,
    Method,
    largest_exponent,
    reaching,
    to_integers,
)
from shiftwork.quant.value_statistics import BIAS, ValueStatistics

METHODS: tuple[Method, ...] = ("max", "mse", "percentile", "kl")
Kind = Literal["weights", "input", "activation"]
Histogram = tuple[tuple[int, int], ...]

BLOCK = 1 << 16
PLAIN_EXPONENT = 120
"""Up to here a scale and its product with a float32 are normal numbers."""
SYMMETRIC_BITS = 0.25
COARSER, FINER = 1, 3


@dataclass(frozen=True, kw_only=True)
class AnalysisOptions:
    """What to analyze for.

    Attributes:
        bits: width of the integers, 2..16.
        percentile: of the magnitudes, in percent, that the method ``percentile`` holds.

    Raises:
        DataError: if an option has an impossible value.
    """

    bits: int = 8
    percentile: float = thresholds.PERCENTILE

    def __post_init__(self) -> None:
        if not LEAST_BITS <= self.bits <= MOST_BITS:
            raise DataError(f"bits must be in {LEAST_BITS}..{MOST_BITS}, not {self.bits}")
        if not 50.0 <= self.percentile <= 100.0:
            raise DataError(f"percentile must be in 50..100, not {self.percentile:g}")


@dataclass(frozen=True, kw_only=True)
class ScaleAnalysis:
    """What the integers ``lo..hi`` at one exponent make of a tensor.

    Attributes:
        exponent: a step is ``2.0 ** -exponent``.
        below_precision: share of the values, other than 0, that are less than half a step.
        out_of_range: share of the values that saturate.
        largest_error: largest difference, in real units.
        sqnr_db: signal to quantization noise ratio; None without noise.
        errors: ``(e, n)``: n differences have a magnitude from ``2**e`` to below ``2**(e + 1)``,
            in real units; the exact ones are left out.
    """

    exponent: int
    below_precision: float
    out_of_range: float
    largest_error: float
    sqnr_db: float | None
    errors: Histogram


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """The scale that a method chooses.

    Attributes:
        exponent: of the scale.
        threshold: the magnitude that it was to reach; None for ``mse``, which has none.
    """

    exponent: int
    threshold: float | None


@dataclass(frozen=True, kw_only=True)
class TensorAnalysis:
    """A tensor, and what quantization would do to it.

    Attributes:
        name: of the node that has the weights, or makes the value.
        kind: ``weights``, the network's ``input``, or an ``activation``.
        shape: of the weights, or of one sample.
        count: values seen, over all samples.
        lo, hi: the integers that it is analyzed for.
        least, greatest, mean, rms: of the values.
        zeros, negatives: shares of the values.
        unique: number of different values; None if more than 65,536.
        zero_point_bits: what a zero point, which Shiftwork has only at the input, would gain:
            0 for a range that is symmetric about 0, 1 for one that is all on one side, and signed.
        symmetric: whether that is less than a quarter of a bit.
        binades: ``(e, n)``: n values have a magnitude from ``2**e`` to below ``2**(e + 1)``.
        scales: the candidates, the coarsest first.
        recommended: by method.
    """

    name: str
    kind: Kind
    shape: tuple[int, ...]
    count: int
    lo: int
    hi: int
    least: float
    greatest: float
    mean: float
    rms: float
    zeros: float
    negatives: float
    unique: int | None
    zero_point_bits: float
    symmetric: bool
    binades: Histogram
    scales: tuple[ScaleAnalysis, ...]
    recommended: dict[Method, Recommendation]

    def scale(self, exponent: int) -> ScaleAnalysis:
        """The candidate with that exponent."""
        return next(scale for scale in self.scales if scale.exponent == exponent)


class TensorAnalyzer:
    """Analyzes a tensor whose values come in pieces.

    Parameters:
        name, kind, shape: as of :class:`TensorAnalysis`.
        options: what to analyze for.

    ``see`` takes every piece first, and then, after ``choose``, ``measure`` every piece again.
    """

    def __init__(
        self, *, name: str, kind: Kind, shape: tuple[int, ...], options: AnalysisOptions
    ) -> None:
        self.name, self.kind, self.shape, self.options = name, kind, shape, options
        self._statistics = ValueStatistics(name)
        self._grid = (0, 0)
        self._recommended: dict[Method, Recommendation] = {}
        self._tallies: list[_Tally] = []

    def see(self, chunk: NDArray[np.float32]) -> None:
        """The first time: statistics of ``chunk[N]``."""
        self._statistics.add(chunk)

    def choose(self) -> None:
        """Chooses the candidates. Values that are never negative get an unsigned type.

        Weights are signed whatever they are, as the hardware's multiplier is.
        """
        seen, bits = self._statistics, self.options.bits
        signed = self.kind == "weights" or seen.negatives > 0
        self._grid = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
        self._recommended = recommend(seen, *self._grid, self.options.percentile)
        exponents = [found.exponent for found in self._recommended.values()]
        first, last = min(exponents) - COARSER, max(min(exponents) + FINER, max(exponents) + 1)
        candidates = [0] if seen.negligible else range(first, last + 1)
        self._tallies = [_Tally(exponent, *self._grid) for exponent in candidates]

    def measure(self, chunk: NDArray[np.float32]) -> None:
        """The second time: what every candidate makes of ``chunk[N]``."""
        for start in range(0, chunk.size, BLOCK):
            block = chunk[start : start + BLOCK]
            for tally in self._tallies:
                tally.add(block)

    def result(self) -> TensorAnalysis:
        """The analysis. The ``mse`` scale is the one whose measured error is the least."""
        seen, (lo, hi) = self._statistics, self._grid
        best = min(self._tallies, key=lambda tally: tally.noise).exponent
        recommended = dict(self._recommended)
        recommended["mse"] = Recommendation(exponent=best, threshold=None)
        width = max(seen.greatest, 0.0) - min(seen.least, 0.0)
        gain = float(np.log2(2.0 * seen.peak / width)) if width and lo < 0 else 0.0
        return TensorAnalysis(
            name=self.name,
            kind=self.kind,
            shape=self.shape,
            count=seen.count,
            lo=lo,
            hi=hi,
            least=seen.least,
            greatest=seen.greatest,
            mean=seen.total / seen.count,
            rms=float(np.sqrt(seen.squares / seen.count)),
            zeros=seen.zeros / seen.count,
            negatives=seen.negatives / seen.count,
            unique=seen.unique,
            zero_point_bits=gain,
            symmetric=lo < 0 and gain < SYMMETRIC_BITS,
            binades=seen.binades,
            scales=tuple(tally.result(seen) for tally in self._tallies),
            recommended=recommended,
        )


def analyze_tensor(
    analyzer: TensorAnalyzer, pieces: Iterable[NDArray[np.float32]]
) -> TensorAnalysis:
    """The analysis of a tensor whose ``pieces`` can be iterated over twice."""
    for piece in pieces:
        analyzer.see(piece)
    analyzer.choose()
    for piece in pieces:
        analyzer.measure(piece)
    return analyzer.result()


def recommend(
    seen: ValueStatistics, lo: int, hi: int, percentile: float
) -> dict[Method, Recommendation]:
    """The scale of each method, for the integers ``lo..hi``.

    The threshold of a method becomes the finest power of two that reaches it. ``mse`` takes the
    least squared error in the fine histogram.
    """
    if seen.negligible:
        return {method: Recommendation(exponent=0, threshold=None) for method in METHODS}
    values, counts = seen.bins
    first = largest_exponent(np.array([seen.least, seen.greatest]), lo, hi)
    exponents = range(first - COARSER, first + FINER_STEPS + 1)
    errors = squared_errors(values, counts, exponents, lo, hi)
    found: dict[Method, float] = {
        "percentile": thresholds.percentile_threshold(
            *_with_zeros(values, counts, seen.zeros), percentile
        ),
        "kl": thresholds.divergence_threshold(values, counts, hi + 1),
    }
    chosen: dict[Method, Recommendation] = {
        "max": Recommendation(exponent=first, threshold=seen.peak),
        "mse": Recommendation(exponent=exponents[int(errors.argmin())], threshold=None),
    }
    for method, threshold in found.items():
        exponent = reaching(threshold, first, lo, hi)
        chosen[method] = Recommendation(exponent=exponent, threshold=threshold)
    return chosen


def squared_errors(
    values: FloatArray, counts: IntegerArray, exponents: range, lo: int, hi: int
) -> FloatArray:
    """The sum of squares of what each exponent changes in the values of a histogram."""
    errors = []
    for exponent in exponents:
        restored = np.ldexp(to_integers(values, exponent, lo, hi), -exponent)
        errors.append(float(counts @ np.square(restored - values)))
    return np.array(errors)


def _with_zeros(values: NDArray, counts: NDArray, zeros: int) -> tuple[NDArray, NDArray]:
    return np.append(values, 0.0), np.append(counts, zeros)


class _Tally:
    """What one exponent does to the values that are added."""

    def __init__(self, exponent: int, lo: int, hi: int) -> None:
        self.exponent, self._lo, self._hi = exponent, lo, hi
        self._squares = self._largest = 0.0
        self._outside = 0
        self._binades = np.zeros(256, np.int64)
        self._steps, self._rounded = (np.empty(BLOCK, np.float32) for _ in range(2))

    @property
    def noise(self) -> float:
        """The sum of squared errors, in real units."""
        return float(np.ldexp(self._squares, -2 * self.exponent))

    def add(self, block: NDArray[np.float32]) -> None:
        """Rounds half up, as :func:`shiftwork.quant.scales.to_integers` does, in float32."""
        steps, rounded = self._steps[: block.size], self._rounded[: block.size]
        if abs(self.exponent) <= PLAIN_EXPONENT:
            np.multiply(block, np.float32(2.0**self.exponent), out=steps)
        else:
            np.ldexp(block, self.exponent, out=steps)
        np.add(steps, np.float32(0.5), out=rounded)
        np.floor(rounded, out=rounded)
        self._outside += int(np.count_nonzero(rounded > self._hi))
        self._outside += int(np.count_nonzero(rounded < self._lo))
        np.clip(rounded, np.float32(self._lo), np.float32(self._hi), out=rounded)
        np.subtract(rounded, steps, out=rounded)
        self._squares += float(np.dot(rounded, rounded))
        np.abs(rounded, out=rounded)
        self._largest = max(self._largest, float(rounded.max()))
        self._binades += np.bincount(rounded.view(np.uint32) >> np.uint32(23), minlength=256)

    def result(self, seen: ValueStatistics) -> ScaleAnalysis:
        noise = self.noise
        tiny = np.finfo(np.float64).tiny
        return ScaleAnalysis(
            exponent=self.exponent,
            below_precision=seen.below(-self.exponent - 1) / seen.count,
            out_of_range=self._outside / seen.count,
            largest_error=float(np.ldexp(self._largest, -self.exponent)),
            sqnr_db=float(10.0 * np.log10(max(seen.squares, tiny) / noise)) if noise else None,
            errors=tuple(
                (int(index) - BIAS - self.exponent, int(self._binades[index]))
                for index in np.flatnonzero(self._binades)
                if index
            ),
        )
