"""The clock that a design reaches: placed and routed with more asked for than it can give."""

import json
from pathlib import Path
from typing import Any

from shiftwork.boards.accelerator import Accelerator
from shiftwork.boards.synthesis import REPORT, synthesize
from shiftwork.errors import TimingError
from shiftwork.hw.config import Family
from shiftwork.workspace import Progress

ROUTED_AT_MHZ: dict[Family, float] = {"ice40up": 40.0, "ecp5": 100.0}
"""What nextpnr is asked for: more than most designs reach, so that it does its best."""


def routed_report(
    accelerator: Accelerator, folder: Path, *, seeds: int, progress: Progress
) -> dict[str, Any]:
    """The report of the routed design, whether it reaches the clock or not.

    Args:
        accelerator: for a board of one of the families in :data:`ROUTED_AT_MHZ`.
        folder: for all files; what is unchanged there is kept.
        seeds: starts of the placer; the best one's clock counts.
        progress: is told what happens.

    Raises:
        ShiftworkError: as of ``synthesize``, but for a missed clock.
    """
    assert accelerator.board is not None
    board = accelerator.board
    try:
        return synthesize(
            accelerator,
            board=board,
            seeds=seeds,
            folder=folder,
            clock_mhz=ROUTED_AT_MHZ[board.family],
            progress=progress,
        ).as_dict()
    except TimingError:
        report: dict[str, Any] = json.loads((folder / REPORT).read_text(encoding="utf-8"))
        return report
