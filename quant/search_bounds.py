"""What a search for a recipe must keep, and what it finds of a recipe."""

from dataclasses import dataclass, field

import numpy as np

from shiftwork.errors import DataError
from shiftwork.quant.options import QuantizerOptions
from shiftwork.quant.program import Program
from shiftwork.quant.program_ops import Conv


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What a recipe must keep; None where there is no bound.

    Attributes:
        weight_bytes: of all weights, as they are stored.
        max_loss: of right answers, in points of a percent; see :class:`Quality`.
        min_sqnr_db: SQNR of the output.

    Raises:
        DataError: if a bound is no such number.
    """

    weight_bytes: int | None = None
    max_loss: float | None = None
    min_sqnr_db: float | None = None

    def __post_init__(self) -> None:
        if self.weight_bytes is not None and self.weight_bytes < 1:
            raise DataError(
                f"the bound of weight bytes must be at least 1, not {self.weight_bytes}"
            )
        if self.max_loss is not None and not 0.0 <= self.max_loss <= 100.0:
            raise DataError(f"the bound of the loss must be 0 to 100 points, not {self.max_loss:g}")
        if self.min_sqnr_db is not None and not np.isfinite(self.min_sqnr_db):
            raise DataError(f"the bound of the SQNR must be a number of dB, not {self.min_sqnr_db}")

    @property
    def of_quality(self) -> bool:
        """Whether any of them is."""
        return self.max_loss is not None or self.min_sqnr_db is not None

    @property
    def text(self) -> str:
        """All of them in words."""
        parts = []
        if self.weight_bytes is not None:
            parts.append(f"at most {self.weight_bytes:,} bytes of weights")
        if self.max_loss is not None:
            parts.append(f"a loss of at most {self.max_loss:g} points")
        if self.min_sqnr_db is not None:
            parts.append(f"an SQNR of at least {self.min_sqnr_db:g} dB")
        return " and ".join(parts) or "no bound"

    def hold(self, weight_bytes: int) -> bool:
        """Whether as many bytes are allowed."""
        return self.weight_bytes is None or weight_bytes <= self.weight_bytes

    def met(self, trial: "Trial") -> bool:
        """Whether a recipe keeps all of them."""
        quality = trial.quality
        kept = self.max_loss is None or quality.loss <= self.max_loss
        good = self.min_sqnr_db is None or quality.sqnr_db >= self.min_sqnr_db
        return self.hold(trial.weight_bytes) and kept and good


@dataclass(frozen=True, kw_only=True)
class Quality:
    """How far a program is from its float network, on samples that did not calibrate it.

    Attributes:
        samples: how many.
        sqnr_db: of the output.
        agreement: percent of the samples with the float network's answer.
        accuracy_float, accuracy: percent of the right answers; None without labels.
    """

    samples: int
    sqnr_db: float
    agreement: float
    accuracy_float: float | None = None
    accuracy: float | None = None

    @property
    def loss(self) -> float:
        """Points of accuracy that are lost; without labels percent of the answers that changed."""
        if self.accuracy is None or self.accuracy_float is None:
            return 100.0 - self.agreement
        return self.accuracy_float - self.accuracy


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A recipe that was tried.

    Attributes:
        weight_bytes: of all weights, as they are stored.
        seconds: that it took; no part of what is found.
    """

    options: QuantizerOptions
    quality: Quality
    weight_bytes: int
    seconds: float = field(default=0.0, compare=False)


def stored_bytes(program: Program) -> int:
    """Bytes of a program's weights, 8 or 16 bits each, or 4 with a codebook; without biases."""
    convs = [op for op in program.ops if isinstance(op, Conv)]
    count = sum(weights.nbytes for op in convs for weights in op.products)
    return count if program.codebook is None else -(-count // 2)
