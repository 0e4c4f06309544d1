"""How well an integer program agrees with the float network that it comes from."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from shiftwork.errors import DataError
from shiftwork.quant import float_executor
from shiftwork.quant.calibration import check_samples
from shiftwork.quant.canonical import canonical
from shiftwork.quant.graph import Graph
from shiftwork.quant.program import Program
from shiftwork.quant.program_ops import AveragePool, Conv, Op, Reshape, TopScore, signed_bits
from shiftwork.quant.softmax import probabilities, with_exponentials
from shiftwork.sim import golden

BATCH = 64


@dataclass(frozen=True, kw_only=True)
class LayerEvaluation:
    """One op of the program, and its output against the float network's value.

    Attributes:
        name: of the op.
        op: its kind: ``Conv``, ``MaxPool`` or ``AveragePool``.
        sqnr_db: signal to quantization noise ratio, all errors of earlier layers included:
            ``10 * log10(sum(real**2) / sum((real - integer)**2))``. None if there is no noise, or
            no value to compare: for a copy that only the program has.
        shift_min, shift_max: the right shifts over the channels; 0 where nothing is shifted.
        accumulator_bits: the width of the widest sum in the worst case of the actual weights; that
            of the values themselves where nothing is summed.
    """

    name: str
    op: str
    sqnr_db: float | None
    shift_min: int
    shift_max: int
    accumulator_bits: int


@dataclass(frozen=True, kw_only=True)
class ProbabilityError:
    """How far the probabilities of a program with a softmax are off.

    The error of a sample is that of the class whose probability is most off, in percent.

    Attributes:
        mean, greatest: over the samples.
    """

    mean: float
    greatest: float


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Float network and integer program on the same samples.

    Attributes:
        samples: how many.
        accuracy_float, accuracy_int8: percent of the samples whose greatest output is the label;
            None without labels.
        agreement: percent of the samples whose greatest output is the same in both.
        sqnr_db: signal to quantization noise ratio of the output, or of the scores that a TopScore
            reads. None if there is no noise.
        layers: one entry an op, reshapes and a TopScore left out.
        unclassified: percent of the samples whose greatest score is below the program's threshold:
            they have no class, which is neither right nor the same; None without one.
        probabilities: how far those that the host makes are off; None if it makes none.
    """

    samples: int
    accuracy_float: float | None
    accuracy_int8: float | None
    agreement: float
    sqnr_db: float | None
    layers: tuple[LayerEvaluation, ...]
    unclassified: float | None = None
    probabilities: ProbabilityError | None = None


@dataclass(eq=False)
class _Power:
    """Sums of squares of a value and of its error."""

    signal: float = 0.0
    noise: float = 0.0

    def add(self, real: NDArray, restored: NDArray) -> None:
        self.signal += float(np.square(real, dtype=np.float64).sum())
        self.noise += float(np.square(real - restored, dtype=np.float64).sum())

    @property
    def ratio_db(self) -> float | None:
        return decibels(self.signal, self.noise)


def decibels(signal: float, noise: float) -> float | None:
    """The ratio of two sums of squares in dB; None if there is no noise."""
    if noise == 0.0:
        return None
    return float(10.0 * np.log10(max(signal, np.finfo(np.float64).tiny) / noise))


@dataclass(eq=False)
class _Tally:
    """What is counted over the batches."""

    powers: dict[str, _Power]
    float_classes: list[NDArray] = field(default_factory=list)
    int8_classes: list[NDArray] = field(default_factory=list)
    chances: list[NDArray] = field(default_factory=list)


def evaluate(graph: Graph, program: Program, x: NDArray, y: NDArray | None = None) -> Evaluation:
    """Compares ``program`` with the network ``graph`` that it was quantized from.

    Args:
        graph: the float network.
        program: its integer form.
        x: samples ``[N, ...]`` in the source model's layout and units, or raw bytes.
        y: class numbers ``[N]``, if there are labels.

    Raises:
        DataError: if the samples do not fit the network, or the labels the samples.
    """
    x, network = program.real_input(check_samples(x)), reference(graph, program)
    labels = None if y is None else _check_labels(np.asarray(y), len(x), program)
    tally = _Tally({op.output: _Power() for op in program.ops})
    for real, integer in traced_batches(network, program, x):
        for name in tally.powers.keys() & real.keys():
            tally.powers[name].add(real[name], program.dequantize(name, integer[name]))
        tally.float_classes.append(_float_classes(program, real[program.scores.name]))
        tally.int8_classes.append(program.classes(integer[program.output]))
        if program.softmax is not None:
            tally.chances.append(program.probabilities(integer[program.output]))
    float_classes, int8_classes = map(np.concatenate, (tally.float_classes, tally.int8_classes))
    wanted = _float_probabilities(graph, program, x)
    if wanted is not None:
        float_classes = wanted.argmax(axis=1)
    limited = program.top_score is not None and program.top_score.threshold is not None
    return Evaluation(
        samples=len(x),
        accuracy_float=_percent_equal(float_classes, labels),
        accuracy_int8=_percent_equal(int8_classes, labels),
        agreement=float(100.0 * (float_classes == int8_classes).mean()),
        sqnr_db=tally.powers[program.scores.name].ratio_db,
        layers=tuple(
            _layer(program, op, tally.powers[op.output])
            for op in program.ops
            if not isinstance(op, Reshape | TopScore)
        ),
        unclassified=_percent_equal(int8_classes, np.array(-1)) if limited else None,
        probabilities=None if wanted is None else _probability_error(tally.chances, wanted),
    )


def reference(graph: Graph, program: Program) -> Graph:
    """The float network that ``program`` is compared with: ``graph``, ending as the program."""
    return canonical(with_exponentials(graph, program.softmax))


def _float_probabilities(graph: Graph, program: Program, x: NDArray) -> NDArray[np.float64] | None:
    """The Softmax of the float network; None for a program without one.

    The exponentials that the program is compared with say less: the greatest ones are limited.
    """
    if program.softmax is None:
        return None
    samples = graph.input_layout.to_nhwc(x, graph.shapes[graph.input])
    scores = graph.output_layout.from_nhwc(float_executor.run(graph, samples))
    return probabilities(scores.reshape(len(x), -1))


def _probability_error(chances: list[NDArray], wanted: NDArray) -> ProbabilityError:
    off = 100.0 * np.abs(np.concatenate(chances) - wanted).max(axis=1)
    return ProbabilityError(mean=float(off.mean()), greatest=float(off.max()))


def _float_classes(program: Program, scores: NDArray) -> NDArray[np.int64]:
    """The index of each sample's greatest score in the source model's layout."""
    if program.top_score is None:
        scores = program.output_layout.from_nhwc(scores)
    return scores.reshape(len(scores), -1).argmax(axis=1).astype(np.int64)


def traced_batches(
    chain: Graph, program: Program, x: NDArray
) -> Iterator[tuple[dict[str, NDArray], dict[str, NDArray]]]:
    """Every value of the float network, and every tensor of the program, batch by batch."""
    for start in range(0, len(x), BATCH):
        batch = x[start : start + BATCH]
        samples = chain.input_layout.to_nhwc(batch, chain.shapes[chain.input])
        yield (
            float_executor.trace(chain, samples),
            golden.trace(program, program.quantize_input(batch)),
        )


def _check_labels(y: NDArray, count: int, program: Program) -> NDArray:
    classes = program.scores.size
    if y.shape != (count,):
        raise DataError(f"y must hold one label for each of the {count} samples, not {y.shape}")
    if y.min() < 0 or y.max() >= classes:
        raise DataError(
            f"y must hold class numbers 0..{classes - 1}, as '{program.name}' has {classes} "
            f"outputs, not {y.min()}..{y.max()}"
        )
    return y


def _percent_equal(classes: NDArray, labels: NDArray | None) -> float | None:
    return None if labels is None else float(100.0 * (classes == labels).mean())


def _layer(program: Program, op: Op, power: _Power) -> LayerEvaluation:
    source = program.tensor(op.input)
    shifts, bits = [0], signed_bits(source.lo, source.hi)
    match op:
        case Conv():
            shifts = [0] if op.accumulators else op.shift.tolist()
            bits = program.accumulator_bits(op)
        case AveragePool():
            taps = op.kernel[0] * op.kernel[1]
            least, greatest = min(source.lo, op.pad_value), max(source.hi, op.pad_value)
            shifts, bits = [op.shift], signed_bits(least * taps, greatest * taps)
    return LayerEvaluation(
        name=op.name,
        op=type(op).__name__,
        sqnr_db=power.ratio_db,
        shift_min=min(shifts),
        shift_max=max(shifts),
        accumulator_bits=bits,
    )
