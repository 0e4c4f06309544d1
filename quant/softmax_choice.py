"""Which power and which reference a Softmax of the host gets, by the calibration samples."""

import numpy as np
from numpy.typing import NDArray

from shiftwork.errors import ModelError
from shiftwork.quant import float_executor
from shiftwork.quant.graph import Graph
from shiftwork.quant.options import QuantizerOptions
from shiftwork.quant.scales import FloatArray
from shiftwork.quant.softmax import POWERS, Softmax, probabilities
from shiftwork.quant.table_grids import MARGIN, choose_grid, index_exponents, make_table

REFERENCE_STEP = 0.25
"""Of the reference: a whole number of them, which is the same on every machine."""
MOST_ERROR = 0.05
"""Of the probabilities, in the mean: beyond it they are worse than the class alone."""
REFERENCES = 8
"""That are tried."""
OTHER_ENDS = frozenset({"Sigmoid", "LOGISTIC"})


def choose_softmax(graph: Graph, samples: NDArray, options: QuantizerOptions) -> Softmax:
    """The power and the reference with the least mean error of the probabilities on the samples.

    The error of a sample is that of the class whose probability is most off.

    Args:
        graph: a classifier, one score a class.
        samples: ``[N, H, W, C]``, for calibration.

    Raises:
        ModelError: if its output is none of scores, or they lie so far apart that no power makes
            probabilities of bytes.
    """
    _check_scores(graph)
    scores = float_executor.run(graph, samples).reshape(len(samples), -1).astype(np.float64)
    exact = probabilities(scores)
    best, least = None, np.inf
    for power in POWERS:
        for reference in _references(scores, options.headroom):
            softmax = Softmax(power=power, reference=reference)
            made = softmax.probabilities(_bytes(softmax, scores, options))
            error = float(np.abs(made - exact).max(axis=1).mean())
            if best is None or error < least * (1.0 - MARGIN):
                best, least = softmax, error
    assert best is not None
    if least > MOST_ERROR:
        raise ModelError(
            f"a byte of a class does not reach as far as the scores of '{graph.name}', of which "
            f"the greatest are {scores.max(axis=1).min():g} to {scores.max():g}: its probabilities "
            f"would be {100 * least:.0f} % off in the mean of the calibration samples; leave out "
            "the softmax"
        )
    return best


def _references(scores: FloatArray, headroom: float) -> tuple[float, ...]:
    """From the greatest score with headroom down to the median of the samples' greatest ones.

    A lower reference leaves more of the byte to most samples, and lets the scores of some that are
    certain saturate, which tells two classes of one sample apart no more.
    """
    greatest = scores.max(axis=1)
    high, low = float(greatest.max()), float(np.median(greatest))
    high = high * headroom if high > 0.0 else high
    steps = np.ceil(np.linspace(high, low, REFERENCES) / REFERENCE_STEP)
    return tuple(dict.fromkeys((steps * REFERENCE_STEP).tolist()))


def _bytes(softmax: Softmax, scores: FloatArray, options: QuantizerOptions) -> NDArray[np.int32]:
    """What the table makes of the scores, if nothing before it is rounded."""
    grid = choose_grid(
        softmax.function,
        scores,
        name="softmax",
        exponents=index_exponents(scores, options.headroom),
        outputs=options.activations,
        headroom=options.headroom,
    )
    table, _ = make_table(softmax.function, grid, "softmax", (1, 1, scores.shape[1]))
    return table.lookup(grid.index(scores).astype(np.int64))


def _check_scores(graph: Graph) -> None:
    height, width, classes = graph.shapes[graph.output]
    if (height, width) != (1, 1):
        raise ModelError(
            f"a softmax needs one score a class: the output '{graph.output}' of '{graph.name}' is "
            f"a map of {height} x {width} pixels; end the network with a dense layer or a global "
            "pool, or leave out the softmax"
        )
    if classes < 2:
        raise ModelError(
            f"a softmax needs two classes or more, and '{graph.name}' has one output; leave out "
            "the softmax"
        )
    for name in graph.dropped:
        if name in OTHER_ENDS:
            raise ModelError(
                f"the network '{graph.name}' ends with {name}, whose outputs are no probabilities "
                "of classes that exclude each other; leave out the softmax"
            )
