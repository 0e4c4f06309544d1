"""What each part of the quantizer's recipe is worth, and how it compares with TFLite's int8 files.

Every network is quantized several times, with other calibration samples each time. Results are kept
in the output folder, so that a run that was interrupted goes on where it stopped.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftwork import litert
from shiftwork.bench import check_files, require_files
from shiftwork.bench_data import Data
from shiftwork.bench_networks import Network
from shiftwork.bench_quality import Outputs, agreement, outputs, score_error, sqnr_db
from shiftwork.quant import float_executor
from shiftwork.quant.graph import Graph
from shiftwork.quant.importer import load
from shiftwork.quant.quantizer import quantize
from shiftwork.workspace import (
    Progress,
    Workspace,
    code_digest,
    file_digest,
    silent,
    versions,
    write_text,
)

DRAWS = 5
SHARE = 2 / 3
"""Of the calibration samples that a draw takes."""
QUALITY = "quality.json"
TFLITE = "TFLite int8"
TFLITE_FILES = {
    "kws": "models/mlperf_tiny/kws_ref_model.tflite",
    "ic": "models/mlperf_tiny/pretrainedResnet_quant.tflite",
    "vww": "models/mlperf_tiny/vww_96_int8.tflite",
    "ad": "models/mlperf_tiny/ad01_int8.tflite",
}
"""The published int8 file of each network: free scales, multipliers of 32 bits."""
PLAIN: dict[str, Any] = {
    "scales": "max",
    "per_channel": False,
    "activations": "signed",
    "bias_correction": False,
    "equalization": False,
    "range_fill": False,
    "headroom": 1.0,
    "rounding": "nearest",
}
"""Power-of-two scales by the maximum, one a tensor, and nothing else."""
RECIPES: Mapping[str, dict[str, Any]] = {
    "default": {},
    "plain max-abs": PLAIN,
    "max-abs scales": {"scales": "max"},
    "one shift a layer": {"per_channel": False},
    "signed activations": {"activations": "signed"},
    "no bias correction": {"bias_correction": False},
    "no equalization": {"equalization": False},
    "no range filling": {"range_fill": False},
    "weights rounded singly": {"rounding": "nearest"},
}
"""Changes to a network's own options."""


@dataclass(frozen=True, kw_only=True)
class Quality:
    """How far a quantized network is from float, on samples that did not calibrate it.

    Attributes:
        sqnr_db: of the outputs.
        agreement: percent of the samples whose greatest output is float's; None for anomalies.
        score_error: percent, of the worst file's anomaly score; None for others.
        samples: number of samples.
    """

    sqnr_db: float
    agreement: float | None
    score_error: float | None
    samples: int


@dataclass(frozen=True, kw_only=True)
class Result:
    """A network by one recipe.

    Attributes:
        network, recipe: their keys; the recipe is ``TFLITE`` for the published file.
        draws: one a draw of calibration samples.
    """

    network: str
    recipe: str
    draws: tuple[Quality, ...]

    def median(self, name: str) -> float | None:
        """The median over the draws of an attribute of :class:`Quality`."""
        values = [getattr(quality, name) for quality in self.draws]
        return None if None in values else float(np.median(values))


@dataclass(frozen=True, eq=False, kw_only=True)
class Draw:
    """Samples of which some calibrate and others measure.

    Attributes:
        calibration: ``[N]``, indices of the samples that calibrate.
        measured: ``[M]``, indices of the others that are measured on.
    """

    calibration: NDArray[np.int64]
    measured: NDArray[np.int64]


def run(
    files: Path,
    folder: Path,
    *,
    networks: Sequence[Network],
    draws: int = DRAWS,
    progress: Progress = silent,
) -> tuple[Result, ...]:
    """Quantizes every network by every recipe and for every draw, and runs TFLite's files.

    Args:
        files: folder of models and inputs.
        folder: for all results.
        networks: what to quantize.
        draws: of calibration samples.
        progress: is told what happens.

    Raises:
        DataError: if a file is missing or damaged.
        ToolError: if LiteRT is not installed.
        OutputError: if the folder cannot be written.
    """
    check_files(files, networks)
    require_files(files, [TFLITE_FILES[network.key] for network in networks])
    litert.find()
    results = []
    with Workspace(folder, progress=progress) as workspace:
        for network in networks:
            bench = _Bench(network, files, workspace)
            for recipe in (TFLITE, *RECIPES):
                qualities = tuple(bench.quality(recipe, number) for number in range(draws))
                results.append(Result(network=network.key, recipe=recipe, draws=qualities))
    return tuple(results)


class _Bench:
    """One network, its samples and its float outputs."""

    def __init__(self, network: Network, files: Path, workspace: Workspace) -> None:
        self.network = network
        self.workspace = workspace
        self.model = files / network.model
        self.tflite = files / TFLITE_FILES[network.key]
        self.data = network.data(files)
        self.pool = np.concatenate([self.data.calibration, self.data.x])
        self.inputs = {
            "code": code_digest(),
            "versions": versions() | {"litert": litert.version()},
            "files": [
                file_digest(path)
                for path in (self.model, self.tflite, *(files / name for name in network.inputs))
            ],
        }
        self.graph = cache(lambda: load(self.model))
        self.real = cache(lambda: _real(self.graph(), self.pool))
        self.published = cache(lambda: litert.outputs(self.tflite, self.pool))

    def quality(self, recipe: str, number: int) -> Quality:
        """What is left of the network by a recipe, for a draw."""
        changes = RECIPES.get(recipe, {})
        made = self.workspace.step(
            f"{self.network.key}-{recipe.replace(' ', '-')}-{number}",
            lambda folder: self._measure(recipe, number, folder),
            inputs=self.inputs | {"recipe": recipe, "changes": changes, "draw": number},
            title=f"{self.network.title}: {recipe}, draw {number}",
        )
        return Quality(**json.loads((made / QUALITY).read_text(encoding="utf-8")))

    def _measure(self, recipe: str, number: int, folder: Path) -> None:
        chosen = draw(self.network.key, self.data, number)
        if recipe == TFLITE:
            found = self.published()[chosen.measured]
        else:
            options = replace(self.network.options, **RECIPES[recipe])
            program = quantize(self.graph(), self.pool[chosen.calibration], options)
            found = outputs(self.graph(), program, self.pool[chosen.measured]).integer
        both = Outputs(self.real()[chosen.measured], found)
        quality = _quality(both, self.data, self.pool[chosen.measured])
        write_text(folder / QUALITY, json.dumps(asdict(quality), indent=2) + "\n")


def draw(key: str, data: Data, number: int) -> Draw:
    """Which samples calibrate and which are measured on, of calibration and test samples in a row.

    Keyword spotting has but one set of samples: others calibrate in each draw, and all the rest is
    measured on. The other networks take a part of their calibration samples.
    """
    rng = np.random.default_rng(number)
    few, all_ = len(data.calibration), len(data.calibration) + len(data.x)
    if key == "kws":
        order = rng.permutation(all_)
        return Draw(calibration=np.sort(order[:few]), measured=np.sort(order[few:]))
    part = np.sort(rng.permutation(few)[: round(SHARE * few)])
    return Draw(calibration=part, measured=np.arange(few, all_))


def _real(graph: Graph, x: NDArray) -> NDArray[np.float64]:
    samples = graph.input_layout.to_nhwc(x, graph.shapes[graph.input])
    real = graph.output_layout.from_nhwc(float_executor.run(graph, samples))
    return real.reshape(len(x), -1).astype(np.float64)


def _quality(found: Outputs, data: Data, x: NDArray) -> Quality:
    """Anomaly detection is the one network that reconstructs its input."""
    anomalies = found.real.shape[1] == x.reshape(len(x), -1).shape[1]
    return Quality(
        sqnr_db=sqnr_db(found),
        agreement=None if anomalies else agreement(found),
        score_error=score_error(found, x, len(data.parts)) if anomalies else None,
        samples=len(x),
    )
