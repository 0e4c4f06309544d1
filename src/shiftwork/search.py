"""Searches for the recipe that suits a network: quantizes by each recipe, and measures it.

Trials are kept in a folder, so that a search that was interrupted goes on where it stopped.
"""

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftwork.bench_quality import Outputs, accuracy, agreement, sqnr_db
from shiftwork.errors import DataError
from shiftwork.quant import float_executor
from shiftwork.quant.calibration import Samples
from shiftwork.quant.canonical import canonical
from shiftwork.quant.graph import Graph
from shiftwork.quant.options import QuantizerOptions
from shiftwork.quant.program import Program
from shiftwork.quant.quantizer import (
    centred_bytes,
    quantize,
    summable,
    wide_outputs,
    widenable,
)
from shiftwork.quant.raw_folding import fold
from shiftwork.quant.raw_input import RawInput
from shiftwork.quant.search import Found, difference
from shiftwork.quant.search import search as search_recipes
from shiftwork.quant.search_bounds import Bounds, Quality, Trial, stored_bytes
from shiftwork.sim import golden
from shiftwork.sim.layer_errors import PROBES, layer_errors
from shiftwork.workspace import Progress, Workspace, code_digest, silent, versions, write_text

PROGRAM, RECORD = "net.npz", "trial.json"
VALIDATION_SHARE = 3
"""Without samples of its own, one of so many calibration samples is measured on instead."""
LEAST_SAMPLES = 6


@dataclass(frozen=True, eq=False, kw_only=True)
class Split:
    """Samples that calibrate, and others that recipes are measured on.

    Attributes:
        calibration: ``[N, ...]``.
        validation: other samples, with labels if there are any.
    """

    calibration: NDArray
    validation: Samples


def split(calibration: Samples, validation: Samples | None = None) -> Split:
    """Every third calibration sample is measured on, unless there are others for that.

    Raises:
        DataError: if the samples are too few to be parted.
    """
    if validation is not None:
        return Split(calibration=calibration.x, validation=validation)
    count = len(calibration.x)
    if count < LEAST_SAMPLES:
        raise DataError(
            f"a search needs at least {LEAST_SAMPLES} calibration samples, as it measures on every "
            f"third of them, not {count}; give more, or samples to measure on with --validate"
        )
    held = np.arange(count) % VALIDATION_SHARE == VALIDATION_SHARE - 1
    labels = None if calibration.y is None else calibration.y[held]
    return Split(calibration=calibration.x[~held], validation=Samples(calibration.x[held], labels))


def search(
    graph: Graph,
    samples: Split,
    bounds: Bounds,
    folder: Path,
    *,
    base: QuantizerOptions | None = None,
    progress: Progress = silent,
) -> tuple[Found, Program]:
    """The recipe for ``graph`` that keeps ``bounds``, and the program that it makes.

    Args:
        graph: the float network.
        samples: what calibrates, and what recipes are measured on.
        bounds: what the choice must keep.
        folder: for the trials; those that are in it already are not made again.
        base: the recipe that the search begins with.
        progress: is told what happens.

    Raises:
        CapacityError: if no recipe that was tried keeps the bounds.
        DataError: if the samples do not fit the network.
        OutputError: if the folder cannot be written.
    """
    base = base or QuantizerOptions()
    with Workspace(folder, progress=progress) as workspace:
        trials = _Trials(graph, samples, workspace, base, progress)
        found = search_recipes(
            trials.measure,
            base,
            bounds,
            layers=summable(canonical(graph)),
            effects=trials.effects,
            widenable=widenable(canonical(graph)),
            wide_outputs=wide_outputs(canonical(graph)),
        )
        return found, trials.program(found.choice.options)


def of_bytes(graph: Graph, samples: Split, raw_input: RawInput) -> tuple[Graph, Split]:
    """What a search for a network that takes raw bytes tries: their meaning is in its weights.

    Raises:
        ModelError: if that cannot be folded into the network.
        DataError: if the samples do not fit, or integers are no bytes.
    """
    folded = fold(graph, raw_input)
    calibration, validation = (
        centred_bytes(graph, folded, x, raw_input)
        for x in (samples.calibration, samples.validation.x)
    )
    measured = Samples(validation, samples.validation.y)
    return folded.graph, Split(calibration=calibration, validation=measured)


class _Trials:
    """Quantizes, measures, and keeps what was found."""

    def __init__(
        self,
        graph: Graph,
        samples: Split,
        workspace: Workspace,
        base: QuantizerOptions,
        progress: Progress,
    ) -> None:
        self._graph, self._samples, self._workspace = graph, samples, workspace
        self._base, self._progress = base, progress
        self._made: dict[QuantizerOptions, Path] = {}

    def measure(self, options: QuantizerOptions) -> Trial:
        """The recipe ``options``, quantized and measured; or what was kept of it."""
        number, start = len(self._made) + 1, time.monotonic()
        inputs = self._inputs | {"options": asdict(options)}
        key = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()
        self._made[options] = self._workspace.step(
            f"trial-{key[:16]}",
            lambda folder: self._make(options, folder),
            inputs=inputs,
            title=f"trial {number}: {difference(options, self._base)}",
        )
        record = json.loads((self._made[options] / RECORD).read_text(encoding="utf-8"))
        trial = Trial(
            options=options,
            quality=Quality(**record["quality"]),
            weight_bytes=record["weight_bytes"],
            seconds=time.monotonic() - start,
        )
        self._progress(
            f"trial {number}: {trial.quality.sqnr_db:.1f} dB, a loss of {trial.quality.loss:.2f} "
            f"points, {trial.weight_bytes:,} bytes of weights"
        )
        return trial

    def effects(self, options: QuantizerOptions) -> Mapping[str, float]:
        """For each layer the noise that its own error makes in the output, the signal being 1."""
        self._progress("measuring the effect of each layer's error")
        x = self._samples.validation.x[:PROBES]
        found = layer_errors(self._graph, self.program(options), x)
        return {
            error.name: 10.0 ** (-error.effect_db / 10.0)
            for error in found
            if error.effect_db is not None
        }

    def program(self, options: QuantizerOptions) -> Program:
        """The program of a recipe that was tried."""
        return Program.load(self._made[options] / PROGRAM)

    def _make(self, options: QuantizerOptions, folder: Path) -> None:
        program = quantize(self._graph, self._samples.calibration, options)
        program.save(folder / PROGRAM)
        record = {"quality": asdict(self._quality(program)), "weight_bytes": stored_bytes(program)}
        write_text(folder / RECORD, json.dumps(record, indent=2) + "\n")

    def _quality(self, program: Program) -> Quality:
        x, y = self._samples.validation.x, self._samples.validation.y
        answers = program.dequantize_output(golden.run(program, program.quantize_input(x)))
        found = Outputs(self._real, answers.reshape(len(x), -1))
        ending = program.softmax
        limited = found.real if ending is None else ending.function.real(found.real)
        return Quality(
            samples=len(x),
            sqnr_db=sqnr_db(Outputs(limited, found.integer)),
            agreement=agreement(found),
            accuracy_float=None if y is None else accuracy(found.real, y),
            accuracy=None if y is None else accuracy(found.integer, y),
        )

    @cached_property
    def _real(self) -> NDArray[np.float64]:
        """What the float network answers to the samples that are measured on."""
        graph, x = self._graph, self._samples.validation.x
        samples = graph.input_layout.to_nhwc(x, graph.shapes[graph.input], "validation data")
        real = graph.output_layout.from_nhwc(float_executor.run(graph, samples))
        return real.reshape(len(x), -1).astype(np.float64)

    @cached_property
    def _inputs(self) -> dict[str, Any]:
        """All that a trial depends on beside its recipe."""
        validation = self._samples.validation
        arrays = [self._samples.calibration, validation.x]
        arrays += [] if validation.y is None else [validation.y]
        return {
            "code": code_digest(),
            "versions": versions(),
            "network": _network_digest(self._graph),
            "samples": [_array_digest(array) for array in arrays],
        }


def _array_digest(array: NDArray) -> str:
    head = f"{array.dtype.str} {array.shape}".encode()
    return hashlib.sha256(head + np.ascontiguousarray(array).tobytes()).hexdigest()


def _network_digest(graph: Graph) -> str:
    """Of all nodes and what they hold."""
    facts = (graph.name, graph.input, graph.output, graph.shapes, graph.grids, graph.dropped)
    sha = hashlib.sha256(repr(facts).encode())
    for layout in (graph.input_layout, graph.output_layout):
        sha.update(f"{layout.shape} {_array_digest(layout.order)}\n".encode())
    for node in graph.nodes:
        for key, value in vars(node).items():
            text = _array_digest(value) if isinstance(value, np.ndarray) else repr(value)
            sha.update(f"{type(node).__name__} {key} {text}\n".encode())
    return sha.hexdigest()
