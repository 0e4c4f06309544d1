"""The MLPerf Tiny benchmark: quantizes, plans and routes its networks, and tabulates the result.

Quantized networks and routed designs are kept in the output folder, so that a run that was
interrupted goes on where it stopped.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from shiftwork.bench_networks import NETWORKS, PUBLISHED, ROWS, Network, Published, Row
from shiftwork.bench_quality import Measure, outputs
from shiftwork.boards.accelerator import Accelerator
from shiftwork.boards.registry import find
from shiftwork.boards.synthesis import REPORT, synthesize
from shiftwork.errors import DataError, ShiftworkError, TimingError
from shiftwork.quant.importer import load
from shiftwork.quant.program import Program
from shiftwork.quant.program_ops import Conv
from shiftwork.quant.quantizer import quantize
from shiftwork.steps import describe
from shiftwork.workspace import (
    Progress,
    Workspace,
    code_digest,
    file_digest,
    silent,
    versions,
    write_text,
)

PROGRAM = "net.npz"
QUALITY = "quality.json"


class BenchmarkError(ShiftworkError):
    """Some rows of a benchmark could not be computed."""


@dataclass(frozen=True, kw_only=True)
class Quality:
    """A quantized network against its float original.

    Attributes:
        network, title: key and name of the network.
        macs, weights: multiply-accumulates of an inference, and weights, as quantized.
        calibrated_on, measured_on: the samples in words.
        measures: the figures.
    """

    network: str
    title: str
    macs: int
    weights: int
    calibrated_on: str
    measured_on: str
    measures: tuple[Measure, ...]

    def as_dict(self) -> dict[str, Any]:
        """The quality as JSON values."""
        return {**vars(self), "measures": [measure.as_dict() for measure in self.measures]}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> "Quality":
        """The inverse of :meth:`as_dict`."""
        measures = tuple(
            Measure(**{key: value for key, value in measure.items() if key != "met"})
            for measure in record["measures"]
        )
        return cls(**{**record, "measures": measures})


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a row came to.

    Attributes:
        row: what was asked for.
        rows, columns, cycles: of the accelerator; None if there is none.
        fmax_mhz, seed, latency_ms: of the routed design; None if it was not routed.
        lut, dsp: lookup tables and multiplier blocks of the routed design.
        problem: why there is no accelerator or no routed design; None if there is nothing to say.
    """

    row: Row
    rows: int | None = None
    columns: int | None = None
    cycles: int | None = None
    fmax_mhz: float | None = None
    seed: int | None = None
    latency_ms: float | None = None
    lut: int | None = None
    dsp: int | None = None
    problem: str | None = None

    @property
    def cycles_met(self) -> bool:
        """Whether an inference takes no more cycles than asked for."""
        return self.cycles is not None and self.cycles <= self.row.cycles

    @property
    def clock_met(self) -> bool:
        """Whether the routed design reaches the clock that was asked for."""
        return self.fmax_mhz is not None and self.fmax_mhz >= self.row.fmax_mhz


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The whole benchmark.

    Attributes:
        qualities: by the network's key.
        results: one a row.
        published: results of others for the same networks.
        versions: of Shiftwork and the tools.
    """

    qualities: dict[str, Quality]
    results: tuple[Result, ...]
    published: tuple[Published, ...]
    versions: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return {
            "networks": {key: quality.as_dict() for key, quality in self.qualities.items()},
            "rows": [
                asdict(result) | {"cycles_met": result.cycles_met, "clock_met": result.clock_met}
                for result in self.results
            ],
            "published": [asdict(item) for item in self.published],
            "versions": self.versions,
        }

    def check(self) -> None:
        """Raises BenchmarkError if a row could not be computed."""
        failed = [result for result in self.results if result.problem]
        if failed:
            raise BenchmarkError(
                f"{len(failed)} of {len(self.results)} rows failed; the first, "
                f"{failed[0].row.name}: {failed[0].problem}"
            )


def select(names: str | None, networks: Sequence[Network] = NETWORKS) -> tuple[Network, ...]:
    """The networks of a comma-separated list of keys; all of them for None.

    Raises:
        DataError: if a key is unknown.
    """
    if names is None:
        return tuple(networks)
    by_key = {network.key: network for network in networks}
    keys = [name.strip() for name in names.split(",")]
    for key in keys:
        if key not in by_key:
            raise DataError(f"unknown network '{key}'; there are {', '.join(by_key)}")
    return tuple(by_key[key] for key in dict.fromkeys(keys))


def check_files(files: Path, networks: Sequence[Network]) -> None:
    """Refuses a folder in which a file is missing.

    Raises:
        DataError: naming what is missing and the layout of the folder.
    """
    require_files(files, [name for network in networks for name in network.files])


def require_files(files: Path, names: Iterable[str]) -> None:
    """The same for files of any names, relative to the folder."""
    needed = dict.fromkeys(names)
    missing = [name for name in needed if not (files / name).is_file()]
    if missing:
        raise DataError(
            f"{files} lacks {', '.join(missing)}; the folder of the benchmark's files must hold "
            f"{', '.join(needed)}"
        )


def run(
    files: Path,
    folder: Path,
    *,
    networks: Sequence[Network] = NETWORKS,
    rows: Sequence[Row] = ROWS,
    board: str | None = None,
    route: bool = True,
    seeds: int | None = None,
    progress: Progress = silent,
) -> Outcome:
    """Runs the benchmark; what has not changed since the last run is taken from ``folder``.

    Args:
        files: folder of models and inputs.
        folder: for all results.
        networks: what to run.
        rows: of the table; those of other networks are left out.
        board: leaves out the rows of other boards.
        route: whether to place and route.
        seeds: starts of the placer; None: as many as it takes to reach the clock.
        progress: is told what happens.

    Raises:
        DataError: if a file is missing or damaged.
        BoardError: if the board is unknown.
        OutputError: if the folder cannot be written.
    """
    check_files(files, networks)
    board = None if board is None else find(board).name
    qualities, results = {}, []
    with Workspace(folder, progress=progress) as workspace:
        for network in networks:
            quantized = _quantized(workspace, network, files)
            record = json.loads((quantized / QUALITY).read_text(encoding="utf-8"))
            qualities[network.key] = Quality.from_dict(record)
            program = Program.load(quantized / PROGRAM)
            results += [
                _result(workspace, row, program, route=route, seeds=seeds)
                for row in rows
                if row.network == network.key and board in (None, row.board)
            ]
    return Outcome(
        qualities=qualities,
        results=tuple(results),
        published=tuple(item for item in PUBLISHED if item.network in qualities),
        versions=versions(),
    )


def _quantized(workspace: Workspace, network: Network, files: Path) -> Path:
    """The folder with the network's program and quality."""
    inputs = {
        "code": code_digest(),
        "versions": versions(),
        "files": {name: file_digest(files / name) for name in network.files},
    }
    return workspace.step(
        f"quantize-{network.key}",
        lambda path: _quantize(network, files, path),
        inputs=inputs,
        title=f"{network.title}: quantizing, and measuring what it costs",
    )


def _quantize(network: Network, files: Path, folder: Path) -> None:
    graph, samples = load(files / network.model), network.data(files)
    program = quantize(graph, samples.calibration, network.options)
    quality = Quality(
        network=network.key,
        title=network.title,
        macs=program.macs,
        weights=_weights(program),
        calibrated_on=samples.calibrated_on,
        measured_on=samples.measured_on,
        measures=network.measures(outputs(graph, program, samples.x), samples),
    )
    program.save(folder / PROGRAM)
    write_text(folder / QUALITY, json.dumps(quality.as_dict(), indent=2) + "\n")


def _weights(program: Program) -> int:
    """Number of weights, those of shortcuts included."""
    convs = [op for op in program.ops if isinstance(op, Conv)]
    return sum(weights.size for op in convs for weights in op.products)


def _result(
    workspace: Workspace, row: Row, program: Program, *, route: bool, seeds: int | None
) -> Result:
    """A row's result; an accelerator that is impossible is a result too."""
    try:
        accelerator = _accelerator(row, program)
    except ShiftworkError as error:
        workspace.progress(f"{row.name}: {error}")
        return Result(row=row, problem=str(error))
    workspace.progress(f"{row.name}: {describe(accelerator)}")
    shape = accelerator.config.shape
    planned = Result(
        row=row, rows=shape.rows, columns=shape.columns, cycles=accelerator.schedule.cycles
    )
    if not route:
        return planned
    try:
        return _routed(workspace, planned, accelerator, seeds)
    except ShiftworkError as error:
        workspace.progress(f"{row.name}: {error}")
        return replace(planned, problem=str(error))


def _accelerator(row: Row, program: Program) -> Accelerator:
    board = replace(find(row.board), max_elements=row.elements)
    rows, columns = row.shape or (None, None)
    return Accelerator(program, board=board, rows=rows, columns=columns)


def _routed(
    workspace: Workspace, planned: Result, accelerator: Accelerator, seeds: int | None
) -> Result:
    row, folder = planned.row, workspace.folder / f"synth-{planned.row.name}"
    try:
        report = synthesize(
            accelerator,
            board=row.board,
            seeds=seeds,
            folder=folder,
            clock_mhz=row.fmax_mhz,
            progress=workspace.progress,
        ).as_dict()
    except TimingError:
        report = json.loads((folder / REPORT).read_text(encoding="utf-8"))
    return replace(
        planned,
        fmax_mhz=report["fmax_mhz"],
        seed=report["seed"],
        latency_ms=report["latency_us"] / 1000.0,
        lut=report["lut"]["used"],
        dsp=report["dsp"]["used"],
    )
