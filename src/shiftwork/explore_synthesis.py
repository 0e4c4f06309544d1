"""Synthesizes points of an exploration, to set the result beside the estimate."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from shiftwork.boards.accelerator import Accelerator
from shiftwork.boards.flow import FLOWS
from shiftwork.boards.netlist import count_blocks
from shiftwork.boards.packing import count_packed
from shiftwork.boards.registry import find
from shiftwork.boards.report import LABELS
from shiftwork.boards.synthesis import REPORT, TOP, make_netlist, synthesize, total
from shiftwork.errors import ShiftworkError, TimingError
from shiftwork.explore import Exploration
from shiftwork.explore_points import Point, unpacked
from shiftwork.quant.program import Program
from shiftwork.workspace import Progress, Workspace, silent

FOLDER = "synth"
MOST = 20
"""Points that are synthesized without a number given."""


@dataclass(frozen=True, kw_only=True)
class Synthesized:
    """What became of a point.

    Attributes:
        index: its position among the points.
        problem: why it could not be synthesized; empty if it was, and only then the rest counts.
        routed: whether it was placed and routed; without, what nextpnr would pack is counted.
        lut, ff, bram, dsp, spram: what it takes.
        fmax_mhz, latency_us: its greatest clock, and an inference at it or at the clock that was
            asked for, whichever is slower; None if it was not routed.
    """

    index: int
    problem: str = ""
    routed: bool = False
    lut: int = 0
    ff: int = 0
    bram: int = 0
    dsp: int = 0
    spram: int = 0
    fmax_mhz: float | None = None
    latency_us: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def synthesize_front(
    found: Exploration,
    folder: Path,
    *,
    most: int = MOST,
    route: bool = True,
    seeds: int | None = 1,
    progress: Progress = silent,
) -> tuple[Synthesized, ...]:
    """Synthesizes the first points of the front; unchanged ones are taken from ``folder``.

    One that fails does not stop the others.

    Args:
        folder: of the exploration.
        most: how many.
        route: whether to place and route them.
        seeds: starts of the placer; None: as many as it takes to reach the clock.
        progress: is told what happens.

    Raises:
        OutputError: if the folder cannot be written.
    """
    chosen: Sequence[int] = found.front[:most]
    results = []
    for number, index in enumerate(chosen, 1):
        point = found.points[index]
        progress(f"synthesizing point {number} of {len(chosen)}: {_name(point)}")
        program = unpacked(found.by_name[point.quantization].content)
        try:
            results.append(
                _synthesized(
                    index, point, program, folder, route=route, seeds=seeds, progress=progress
                )
            )
        except ShiftworkError as error:
            progress(f"{_name(point)}: {error}")
            results.append(Synthesized(index=index, problem=str(error)))
    return tuple(results)


def _synthesized(
    index: int,
    point: Point,
    program: Program,
    folder: Path,
    *,
    route: bool,
    seeds: int | None,
    progress: Progress,
) -> Synthesized:
    board = find(point.board)
    accelerator = Accelerator(program, board=board, rows=point.rows, columns=point.columns)
    target = folder / FOLDER / _name(point)
    if not route:
        flow = FLOWS[board.family]
        with Workspace(target, progress=progress) as workspace:
            netlist = json.loads(make_netlist(workspace, accelerator, flow).read_text("utf-8"))
        count = count_blocks if board.family == "gowin" else count_packed
        cells = total(count(netlist, flow, TOP))
        return Synthesized(
            index=index,
            lut=cells["lut"],
            ff=cells["ff"],
            bram=cells["bram"],
            dsp=cells["dsp"],
            spram=cells["spram"],
        )
    clock_mhz = round(point.runs_at_mhz, 1)
    try:
        report = synthesize(
            accelerator,
            board=board,
            seeds=seeds,
            folder=target,
            clock_mhz=clock_mhz,
            progress=progress,
        ).as_dict()
    except TimingError:
        report = json.loads((target / REPORT).read_text(encoding="utf-8"))
    fmax_mhz = report["fmax_mhz"]
    reached = fmax_mhz if point.clock_mhz is None else min(fmax_mhz, point.clock_mhz)
    return Synthesized(
        index=index,
        routed=True,
        **{name: report[name]["used"] for name in LABELS},
        fmax_mhz=fmax_mhz,
        latency_us=round(point.design.cycles / reached, 3),
    )


def _name(point: Point) -> str:
    """Names a point, and its folder."""
    clock = "" if point.clock_mhz is None else f"-{point.clock_mhz:g}MHz"
    name = f"{point.quantization}-{point.rows}x{point.columns}-{point.board}{clock}"
    return re.sub(r"[^A-Za-z0-9.-]+", "-", name)
