"""Quantizations of one network side by side, and each against the float network."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftwork.errors import DataError
from shiftwork.quant import float_executor
from shiftwork.quant.calibration import check_samples
from shiftwork.quant.canonical import canonical
from shiftwork.quant.graph import Graph
from shiftwork.quant.program import Program
from shiftwork.quant.softmax import probabilities
from shiftwork.sim import golden
from shiftwork.sim.evaluation import Evaluation, decibels, evaluate, reference
from shiftwork.sim.layer_errors import LayerError, blame, layer_errors

Confusion = tuple[tuple[int, ...], ...]
Metric = Callable[[NDArray, NDArray, NDArray | None], float]
"""Takes inputs ``x[N, ...]``, outputs ``[N, ...]`` as real numbers, and labels ``y[N]`` or None."""


@dataclass(frozen=True, kw_only=True)
class ComparedLayer(LayerError):
    """An op of a program, with what it adds to the error.

    Attributes:
        total_db: SQNR of the op's output with all errors up to it; None if there is none.
    """

    total_db: float | None


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one network, in float or in integers, makes of the samples.

    Attributes:
        name: of the program, as given; ``float`` for the float network.
        accuracy: percent of the samples whose greatest output is the label; None without labels.
        confusion: ``[label][answer]``, numbers of samples, those without a class left out; None
            without labels.
        metric: what the user's own metric says; None without one.
        agreement: percent of the samples with the same greatest output as the float network.
        sqnr_db: SQNR of the output against the float network's; None without noise.
        layers: one entry an op, reshapes left out.
        blame: the layer whose error costs the output most, in words. This and the three before
            are None for the float network, and where that is not given.
    """

    name: str
    accuracy: float | None
    confusion: Confusion | None
    metric: float | None
    agreement: float | None = None
    sqnr_db: float | None = None
    layers: tuple[ComparedLayer, ...] | None = None
    blame: str | None = None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Several quantizations of one network on the same samples.

    Attributes:
        samples: how many.
        results: the float network's first, if it is given.
        agreement: percent of the samples with the same greatest output in the first and the last.
        sqnr_db: SQNR of the last one's output against the first one's; None without noise.
    """

    samples: int
    results: tuple[Result, ...]
    agreement: float
    sqnr_db: float | None


def compare(
    programs: Mapping[str, Program],
    x: NDArray,
    y: NDArray | None = None,
    *,
    graph: Graph | None = None,
    metric: Metric | None = None,
) -> Comparison:
    """Runs ``programs``, and the float network if it is given, on the same samples.

    Args:
        programs: by the name to report them under; of the same network.
        x: samples ``[N, ...]`` in the source model's layout and units; integers are the raw bytes
            of a program that takes such.
        y: class numbers ``[N]``, if there are labels.
        graph: the float network; without it nothing is said about layers.
        metric: a further measure of the outputs.

    Raises:
        DataError: if the samples do not fit a network, the labels the samples, or the programs
            each other or the network.
    """
    given = check_samples(x)
    x = _real_samples(programs, given)
    outputs, answers = _outputs(programs, x, graph)
    flat = {name: output.reshape(len(x), -1) for name, output in outputs.items()}
    if len({values.shape for values in flat.values()}) > 1:
        sizes = ", ".join(f"{values.shape[1]} of {name}" for name, values in flat.items())
        raise DataError(f"the networks must have the same number of outputs, not {sizes}")
    results = []
    for name, output in outputs.items():
        classes = answers[name]
        facts: dict[str, Any] = {
            "name": name,
            "accuracy": None if y is None else float(100.0 * (classes == y).mean()),
            "confusion": None if y is None else _confusion(y, classes, flat[name].shape[1]),
            "metric": None if metric is None else float(metric(given, output, y)),
        }
        if graph is not None and name in programs:
            facts |= _against(graph, programs[name], x, y)
        results.append(Result(**facts))
    first, *_, last = flat.values()
    first_classes, *_, last_classes = answers.values()
    same = first_classes == last_classes
    return Comparison(
        samples=len(x),
        results=tuple(results),
        agreement=float(100.0 * same.mean()),
        sqnr_db=decibels(float(np.square(first).sum()), float(np.square(last - first).sum())),
    )


def _real_samples(programs: Mapping[str, Program], x: NDArray) -> NDArray:
    """``x`` in real numbers, if it holds the raw bytes of one of the programs."""
    takers = {program.raw_input: program for program in programs.values() if program.raw_input}
    if len(takers) > 1 and x.dtype.kind != "f":
        raise DataError(
            "the networks take raw bytes that stand for different numbers; give real numbers, a "
            "floating-point array"
        )
    return next(iter(takers.values())).real_input(x) if takers else x


def _outputs(
    programs: Mapping[str, Program], x: NDArray, graph: Graph | None
) -> tuple[dict[str, NDArray[np.float64]], dict[str, NDArray[np.int64]]]:
    """The outputs in the source model's layout, and the classes, by name; the float network first.

    Of a program with a TopScore the scores that it reads count as the output. Where a host makes
    probabilities of one program's output, all outputs are probabilities.
    """
    outputs = dict[str, NDArray[np.float64]]()
    answers = dict[str, NDArray[np.int64]]()
    if graph is not None:
        network = canonical(graph)
        _check_source(programs, graph)
        real = network.input_layout.to_nhwc(x, network.shapes[network.input])
        values = network.output_layout.from_nhwc(float_executor.run(network, real))
        outputs["float"] = values.astype(np.float64)
        answers["float"] = values.reshape(len(x), -1).argmax(axis=1).astype(np.int64)
    for name, program in programs.items():
        integers = golden.trace(program, program.quantize_input(x))
        answers[name] = program.classes(integers[program.output])
        outputs[name] = program.dequantize_scores(integers[program.scores.name])
    if any(program.softmax for program in programs.values()):
        outputs = {
            name: _probabilities(values, programs.get(name)) for name, values in outputs.items()
        }
    return outputs, answers


def _probabilities(outputs: NDArray[np.float64], program: Program | None) -> NDArray[np.float64]:
    """What the outputs of a program, or the scores of the float network, make the classes."""
    if program is None or program.softmax is None:
        return probabilities(outputs.reshape(len(outputs), -1))
    return program.softmax.probabilities(outputs)


def _check_source(programs: Mapping[str, Program], graph: Graph) -> None:
    """Refuses a program that is not of the network: its layers would be compared with others."""
    for name, program in programs.items():
        network = reference(graph, program)
        for tensor in (program.tensor(program.input), program.scores):
            if network.shapes.get(tensor.name) != tensor.shape:
                raise DataError(
                    f"{name} is no program of '{network.name}', which has no value "
                    f"'{tensor.name}' of the shape {list(tensor.shape)}; give the model that it "
                    "was quantized from"
                )


def _confusion(y: NDArray, classes: NDArray, count: int) -> Confusion:
    if y.shape != classes.shape or y.min() < 0 or y.max() >= count:
        raise DataError(
            f"y must hold one class number 0..{count - 1} for each of the {len(classes)} samples, "
            f"not {len(y)} of {y.min()}..{y.max()}"
        )
    answered = classes >= 0
    places = y.astype(np.int64)[answered] * count + classes[answered]
    matrix = np.bincount(places, minlength=count * count)
    return tuple(map(tuple, matrix.reshape(count, count).tolist()))


def _against(graph: Graph, program: Program, x: NDArray, y: NDArray | None) -> dict[str, Any]:
    """The part of a result that needs the float network."""
    evaluation: Evaluation = evaluate(graph, program, x, y)
    errors = layer_errors(graph, program, x)
    return {
        "agreement": evaluation.agreement,
        "sqnr_db": evaluation.sqnr_db,
        "layers": tuple(
            ComparedLayer(**asdict(error), total_db=layer.sqnr_db)
            for error, layer in zip(errors, evaluation.layers, strict=True)
        ),
        "blame": blame(errors),
    }
