"""What quantization costs a benchmark's network: float outputs against integer outputs."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftwork.quant import float_executor
from shiftwork.quant.graph import Graph
from shiftwork.quant.program import Program
from shiftwork.sim import golden

RealArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A figure, and the bound that it must keep if there is one.

    Attributes:
        name: what is measured.
        value, unit: the figure.
        least, most: bounds, both inclusive; None where there is none.
    """

    name: str
    value: float
    unit: str
    least: float | None = None
    most: float | None = None

    @property
    def met(self) -> bool:
        """Whether the figure keeps its bounds."""
        above = self.least is None or self.value >= self.least
        return above and (self.most is None or self.value <= self.most)

    @property
    def text(self) -> str:
        """The figure and its bound in words."""
        bounds = [("at least", self.least), ("at most", self.most)]
        wanted = ", ".join(f"{word} {bound:g}" for word, bound in bounds if bound is not None)
        return f"{self.name} {self.value:.2f} {self.unit}" + (f" ({wanted})" if wanted else "")

    def as_dict(self) -> dict[str, Any]:
        """The measure as JSON values."""
        return {**vars(self), "met": self.met}


@dataclass(frozen=True, eq=False)
class Outputs:
    """What both forms of a network answer to the same inputs.

    Attributes:
        real: of the float network, ``[N, ...]``.
        integer: of the program, as the real numbers that its integers stand for.
    """

    real: RealArray
    integer: RealArray

    def __getitem__(self, part: slice) -> "Outputs":
        return Outputs(self.real[part], self.integer[part])


def outputs(graph: Graph, program: Program, x: NDArray) -> Outputs:
    """The outputs of a float network and of its program for samples ``x[N, ...]``.

    Raises:
        DataError: if ``x`` does not hold samples of the network's input.
    """
    samples = graph.input_layout.to_nhwc(x, graph.shapes[graph.input])
    real = graph.output_layout.from_nhwc(float_executor.run(graph, samples))
    integer = program.dequantize_output(golden.run(program, program.quantize_input(x)))
    count = len(x)
    return Outputs(real.reshape(count, -1).astype(np.float64), integer.reshape(count, -1))


def sqnr_db(found: Outputs) -> float:
    """``10 * log10(sum(real**2) / sum((real - integer)**2))``, finite even without noise."""
    least = np.finfo(np.float64).tiny
    noise = max(float(np.square(found.real - found.integer).sum()), least)
    signal = max(float(np.square(found.real).sum()), least)
    return float(10.0 * (np.log10(signal) - np.log10(noise)))


def agreement(found: Outputs) -> float:
    """Percent of the samples whose greatest output is the same."""
    same = found.real.argmax(axis=1) == found.integer.argmax(axis=1)
    return float(100.0 * same.mean())


def accuracy(answers: RealArray, y: NDArray) -> float:
    """Percent of the samples whose greatest output is the label."""
    return float(100.0 * (answers.argmax(axis=1) == y).mean())


def scores(reconstruction: RealArray, x: NDArray, groups: int) -> RealArray:
    """Mean squared error of the windows ``x[N, ...]``, averaged over each of ``groups`` files."""
    errors = np.square(reconstruction - x.reshape(len(x), -1)).mean(axis=1)
    return errors.reshape(groups, -1).mean(axis=1)


def score_error(found: Outputs, x: NDArray, groups: int) -> float:
    """Greatest deviation of a file's score from that of the float network, in percent."""
    real, integer = (scores(answers, x, groups) for answers in (found.real, found.integer))
    return float(100.0 * np.abs(integer / real - 1.0).max())
