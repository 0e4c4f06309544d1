"""Measures the estimates of area and clock: synthesizes, places and routes designs of all sizes.

Some of the designs are kept out of the fit of the coefficients, to check it. Netlists and routed
designs are kept in the output folder, so that a run that was interrupted goes on where it stopped.
"""

import importlib.resources
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from shiftwork.bench_networks import NETWORKS, Network
from shiftwork.bench_routing import routed_report
from shiftwork.boards.accelerator import Accelerator
from shiftwork.boards.estimate_fit import Measurement
from shiftwork.boards.flow import FLOWS
from shiftwork.boards.packing import count_packed
from shiftwork.boards.registry import find
from shiftwork.boards.resources import Contents
from shiftwork.boards.synthesis import TOP, make_netlist, total
from shiftwork.errors import ShiftworkError
from shiftwork.quant.calibration import read_samples
from shiftwork.quant.importer import load
from shiftwork.quant.program import Program
from shiftwork.quant.quantizer import QuantizerOptions, quantize
from shiftwork.sim import example_programs
from shiftwork.workspace import (
    Progress,
    Workspace,
    code_digest,
    file_digest,
    silent,
    versions,
)

PROGRAM = "net.npz"
EXAMPLES: dict[str, Callable[[], Program]] = {
    "small_cnn": example_programs.small_cnn,
    "dense_net": example_programs.dense_net,
    "residual_net": example_programs.residual_net,
    "depthwise_net": example_programs.depthwise_net,
}
BUNDLED = ("mnist_cnn", "mnist_mlp")
MLPERF = {network.key: network for network in NETWORKS}


@dataclass(frozen=True, kw_only=True)
class Design:
    """A network on an array on a board.

    Attributes:
        network: key of :data:`EXAMPLES`, :data:`BUNDLED` or :data:`MLPERF`.
        rows, columns: of the array.
        board: name of the board.
        check: whether it checks the coefficients, or takes part in their fit.
        routed: whether its clock is measured too; that takes minutes a design.
    """

    network: str
    rows: int
    columns: int
    board: str
    check: bool = False
    routed: bool = False

    @property
    def name(self) -> str:
        """Names the design, and its folder."""
        return f"{self.network}-{self.rows}x{self.columns}-{self.board}"


def _designs(board: str, shapes: Mapping[str, str]) -> tuple[Design, ...]:
    """Designs from rows and columns in short.

    A ``?`` behind them marks those that check, a ``!`` those that are routed.
    """
    designs = []
    for network, text in shapes.items():
        for entry in text.split():
            rows, columns = entry.rstrip("?!").split("x")
            designs.append(
                Design(
                    network=network,
                    rows=int(rows),
                    columns=int(columns),
                    board=board,
                    check="?" in entry,
                    routed="!" in entry,
                )
            )
    return tuple(designs)


DESIGNS = (
    *_designs(
        "icebreaker",
        {
            "small_cnn": "2x2 1x4?!",
            "dense_net": "1x12!",
            "residual_net": "1x1?! 2x3! 2x6",
            "depthwise_net": "1x1! 1x8 3x3 2x4?!",
            "mnist_cnn": "1x1 2x8! 4x4?! 1x8?",
            "kws": "1x16! 2x8? 1x8?",
            "vww": "2x8! 1x16",
        },
    ),
    *_designs(
        "ulx3s-85f",
        {
            "small_cnn": "1x6?!",
            "residual_net": "1x1! 2x3?! 4x8!",
            "depthwise_net": "1x1? 3x3!",
            "mnist_cnn": "1x1 2x8! 4x4! 1x8?!",
            "mnist_mlp": "1x10",
            "kws": "2x32! 1x16?",
            "ic": "2x8 4x16! 8x16",
            "vww": "4x16?!",
            "ad": "1x32 1x64?!",
        },
    ),
)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """All measured designs.

    Attributes:
        measurements: of the designs that could be measured.
        left_out: for each of the others the reason.
        versions: of Shiftwork and the tools.
    """

    measurements: tuple[Measurement, ...]
    left_out: dict[str, str]
    versions: dict[str, str]


def run(
    folder: Path,
    *,
    files: Path | None = None,
    designs: Sequence[Design] = DESIGNS,
    board: str | None = None,
    route: bool = True,
    seeds: int = 1,
    clocks: Mapping[str, float] | None = None,
    progress: Progress = silent,
) -> Outcome:
    """Measures the designs; what has not changed since the last run is taken from ``folder``.

    Args:
        folder: for all results.
        files: folder of the MLPerf Tiny models; without it their designs are left out.
        designs: what to measure.
        board: leaves out the designs of other boards.
        route: whether to place and route those designs whose clock counts; of the others, and
            without it, what nextpnr would pack is counted.
        seeds: starts of the placer; the best one's clock counts.
        clocks: by design, for those that are not routed now: measured before.
        progress: is told what happens.

    Raises:
        BoardError: if the board is unknown.
        OutputError: if the folder cannot be written.
    """
    wanted = None if board is None else find(board).name
    chosen = [design for design in designs if wanted in (None, design.board)]
    measurements, left_out = [], {}
    programs: dict[str, Program] = {}
    for number, design in enumerate(chosen, 1):
        progress(f"design {number} of {len(chosen)}: {design.name}")
        if design.network in MLPERF and files is None:
            left_out[design.name] = "no folder with the MLPerf Tiny models (--files)"
            continue
        try:
            if design.network not in programs:
                programs[design.network] = _program(folder, design.network, files, progress)
            found = _measure(
                folder,
                design,
                programs[design.network],
                route=route and design.routed,
                seeds=seeds,
                progress=progress,
            )
        except ShiftworkError as error:
            progress(f"{design.name}: {error}")
            left_out[design.name] = str(error)
            continue
        clock = found.fmax_mhz or (clocks or {}).get(design.name)
        measurements.append(replace(found, fmax_mhz=clock))
    return Outcome(measurements=tuple(measurements), left_out=left_out, versions=versions())


def _program(folder: Path, network: str, files: Path | None, progress: Progress) -> Program:
    """The integer program of a network."""
    if network in EXAMPLES:
        return EXAMPLES[network]()
    with (
        Workspace(folder, progress=progress) as workspace,
        importlib.resources.as_file(importlib.resources.files("shiftwork.examples")) as examples,
    ):
        if network in BUNDLED:
            sources = [examples / f"{network}.onnx", examples / "mnist_calibration.npz"]
        else:
            assert files is not None
            sources = [files / name for name in MLPERF[network].files]
        inputs = {
            "code": code_digest(),
            "versions": versions(),
            "files": {path.name: file_digest(path) for path in sources if path.is_file()},
        }
        quantized = workspace.step(
            f"quantize-{network}",
            lambda path: _quantize(network, files, sources, path),
            inputs=inputs,
            title=f"quantizing {network}",
        )
        return Program.load(quantized / PROGRAM)


def _quantize(network: str, files: Path | None, sources: Sequence[Path], folder: Path) -> None:
    if network in BUNDLED:
        model, samples = sources
        options, calibration = QuantizerOptions(), read_samples(samples).x
    else:
        assert files is not None
        known: Network = MLPERF[network]
        model, options = files / known.model, known.options
        calibration = known.data(files).calibration
    quantize(load(model), calibration, options).save(folder / PROGRAM)


def _measure(
    folder: Path, design: Design, program: Program, *, route: bool, seeds: int, progress: Progress
) -> Measurement:
    board = find(design.board)
    accelerator = Accelerator(program, board=board, rows=design.rows, columns=design.columns)
    flow, target = FLOWS[board.family], folder / design.name
    report: dict[str, Any] = {}
    if route:
        report = routed_report(accelerator, target, seeds=seeds, progress=progress)
    with Workspace(target, progress=progress if not route else silent) as workspace:
        netlist = make_netlist(workspace, accelerator, flow)
        blocks = count_packed(json.loads(netlist.read_text(encoding="utf-8")), flow, TOP)
    cells = total(blocks)
    if report:
        cells["lut"] = report["lut"]["used"]
    return Measurement(
        name=design.name,
        network=design.network,
        board=design.board,
        check=design.check,
        config=accelerator.config,
        contents=Contents.of(accelerator.schedule.images, accelerator.config),
        cells=cells,
        blocks=blocks,
        fmax_mhz=report.get("fmax_mhz"),
    )
