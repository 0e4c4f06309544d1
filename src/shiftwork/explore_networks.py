"""The quantizations of an exploration: each is made and measured once, and kept."""

import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from shiftwork.errors import DataError
from shiftwork.quant.calibration import read_samples
from shiftwork.quant.importer import load
from shiftwork.quant.options import QuantizerOptions
from shiftwork.quant.program import Program
from shiftwork.quant.quantizer import quantize
from shiftwork.sim import golden
from shiftwork.sim.evaluation import evaluate
from shiftwork.workspace import Workspace, code_digest, file_digest, versions, write_text

Measure = Literal["accuracy", "sqnr"]
PROGRAM, QUALITY = "net.npz", "quality.json"
STORED = "as stored"


@dataclass(frozen=True, kw_only=True)
class Quality:
    """What is left of a network.

    Attributes:
        samples: how many it was measured on; 0 if it was not.
        accuracy_float, accuracy: percent, of the trained network and of the quantized one; None
            without labels.
        agreement: percent of the samples whose greatest output is the trained network's.
        sqnr_db: signal to quantization noise ratio of the outputs; None if there is no noise.
    """

    samples: int = 0
    accuracy_float: float | None = None
    accuracy: float | None = None
    agreement: float | None = None
    sqnr_db: float | None = None


@dataclass(frozen=True, kw_only=True)
class Quantized(Quality):
    """A quantization of a network, and how good it is.

    Attributes:
        name: of the quantization.
        network: name of the network.
        digest: of its program.
        macs: multiply-accumulates of an inference.
        options: how it was quantized; None if that is not known.
        content: of its program file.
    """

    name: str
    network: str
    digest: str
    macs: int
    options: dict[str, Any] | None
    content: bytes = field(repr=False)

    @property
    def measures(self) -> tuple[Measure, ...]:
        """What tells how good it is, the more telling one first; empty if nothing is known."""
        by_labels: tuple[Measure, ...] = () if self.accuracy is None else ("accuracy",)
        return by_labels if self.agreement is None else (*by_labels, "sqnr")

    def loss(self, measure: Measure | None) -> float:
        """Smaller is better: percent of wrong answers, or the noise in dB; 0 for no measure."""
        match measure:
            case "accuracy":
                assert self.accuracy is not None
                return 100.0 - self.accuracy
            case "sqnr":
                return -np.inf if self.sqnr_db is None else -self.sqnr_db
            case None:
                return 0.0

    def as_dict(self) -> dict[str, Any]:
        """As JSON values, without the program."""
        values = asdict(self)
        del values["content"]
        return values


def quantized(
    workspace: Workspace,
    name: str,
    options: QuantizerOptions,
    model: Path,
    calibration: Path,
    test: Path | None,
) -> Quantized:
    """Quantizes a trained network and measures it, unless the workspace has it.

    Raises:
        DataError: if samples are missing or do not suit the network.
        ModelError: if the network cannot be read.
    """
    measured_on = test or calibration

    def make(folder: Path) -> None:
        graph = load(model)
        program = quantize(graph, read_samples(calibration).x, options)
        program.save(folder / PROGRAM)
        data = read_samples(measured_on)
        found = evaluate(graph, program, data.x, data.y)
        _write(
            folder,
            Quality(
                samples=found.samples,
                accuracy_float=found.accuracy_float,
                accuracy=found.accuracy_int8,
                agreement=found.agreement,
                sqnr_db=found.sqnr_db,
            ),
        )

    inputs = _environment() | {
        "options": asdict(options),
        "files": [_digest(path) for path in (model, calibration, measured_on)],
    }
    title = f"quantizing {model.name} ({name})"
    folder = workspace.step(f"quantize-{_slug(name)}", make, inputs=inputs, title=title)
    return _quantized(folder, name, asdict(options))


def stored(workspace: Workspace, path: Path, test: Path | None) -> Quantized:
    """A quantized network as it is; its accuracy is measured if there are labels.

    Raises:
        ProgramError: if it cannot be read.
        DataError: if the samples do not suit it, or have no labels to compare with.
    """
    program = Program.load(path)

    def make(folder: Path) -> None:
        program.save(folder / PROGRAM)
        _write(folder, Quality() if test is None else _accuracy(program, test))

    inputs = _environment() | {
        "program": program.digest,
        "files": [] if test is None else [_digest(test)],
    }
    title = f"reading {path.name}" + ("" if test is None else " and measuring its accuracy")
    return _quantized(workspace.step("network", make, inputs=inputs, title=title), STORED, None)


def _accuracy(program: Program, test: Path) -> Quality:
    data = read_samples(test)
    if data.y is None:
        raise DataError(
            f"{test} has no labels 'y', and a quantized network has nothing else to be compared "
            "with; add them, or give the trained network"
        )
    classes = program.scores.size
    if data.y.max() >= classes:
        raise DataError(
            f"{test}: y must hold class numbers 0..{classes - 1}, as '{program.name}' has "
            f"{classes} outputs, not {data.y.max()}"
        )
    found = golden.run(program, program.quantize_input(data.x))
    right = float(100.0 * np.mean(program.classes(found) == data.y))
    return Quality(samples=len(data.x), accuracy=right)


def _quantized(folder: Path, name: str, options: dict[str, Any] | None) -> Quantized:
    program = Program.load(folder / PROGRAM)
    quality = json.loads((folder / QUALITY).read_text(encoding="utf-8"))
    return Quantized(
        name=name,
        network=program.name,
        digest=program.digest,
        macs=program.macs,
        options=options,
        content=(folder / PROGRAM).read_bytes(),
        **quality,
    )


def _write(folder: Path, quality: Quality) -> None:
    write_text(folder / QUALITY, json.dumps(asdict(quality), indent=2) + "\n")


def _environment() -> dict[str, Any]:
    return {"code": code_digest(), "versions": versions()}


def _digest(path: Path) -> str:
    try:
        return file_digest(path)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error


def _slug(name: str) -> str:
    """The name as a part of a folder's name."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", name)
