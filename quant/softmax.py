"""Softmax, divided between the chip and the host.

The last layer's table makes a byte of each score: the exponential of ``(score - reference) /
power``, at most 1. The host raises the bytes to that power, and divides each by their sum. Without
the power a byte would reach over 5.5 units of the score alone, and the greatest scores of different
inputs lie further apart; with it a byte reaches ``power`` times as far.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from shiftwork.errors import DataError
from shiftwork.quant.graph import Graph, Unary
from shiftwork.quant.unary_functions import Function, affine, clip, function

POWERS = (1, 2, 4, 8)
"""A byte to the power of 8 is a number of 64 bits, the most that small hosts multiply at ease."""


@dataclass(frozen=True, kw_only=True)
class Softmax:
    """How a program's output becomes probabilities.

    Attributes:
        power: what the host raises the outputs to; one of :data:`POWERS`.
        reference: the score whose exponential is 1; greater ones do not differ.

    Raises:
        DataError: if one of them is impossible.
    """

    power: int
    reference: float

    def __post_init__(self) -> None:
        if self.power not in POWERS:
            raise DataError(f"the power of a softmax must be one of {POWERS}, not {self.power}")
        if not np.isfinite(self.reference):
            raise DataError(f"the reference of a softmax must be finite, not {self.reference}")

    @property
    def function(self) -> Function:
        """What the table of the last layer stands for."""
        scale = 1.0 / self.power
        return clip(0.0, 1.0).of(function("exp").of(affine(scale, -self.reference * scale)))

    def probabilities(self, outputs: NDArray) -> NDArray[np.float64]:
        """The probabilities of all classes, ``[N, classes]``, for outputs of that shape.

        They are the network's outputs in any unit, that is integers too. Where all are 0 nothing is
        known, and all classes are equally likely.
        """
        raised = np.asarray(outputs, np.float64).reshape(len(outputs), -1) ** self.power
        total = raised.sum(axis=1, keepdims=True)
        return np.divide(
            raised, total, out=np.full(raised.shape, 1.0 / raised.shape[1]), where=total > 0.0
        )


def probabilities(scores: NDArray) -> NDArray[np.float64]:
    """Softmax of real scores ``[N, classes]``."""
    raised = np.exp(scores - scores.max(axis=1, keepdims=True), dtype=np.float64)
    return raised / raised.sum(axis=1, keepdims=True)


def with_exponentials(graph: Graph, softmax: Softmax | None) -> Graph:
    """``graph`` with the function of ``softmax`` at its end; unchanged without one."""
    if softmax is None:
        return graph
    taken = graph.shapes.keys() | {node.name for node in graph.nodes}
    output = f"{graph.output}_exp"
    while output in taken:
        output += "_"
    node = Unary(name=output, input=graph.output, output=output, function=softmax.function)
    return replace(
        graph,
        nodes=(*graph.nodes, node),
        shapes=graph.shapes | {output: graph.shapes[graph.output]},
        output=output,
    )
