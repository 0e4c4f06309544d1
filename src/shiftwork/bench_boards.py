"""Measures the bundled convolutional network on every board, down to the bitstream.

Netlists and routed designs are kept in the output folder, so that a run that was interrupted goes
on where it stopped.
"""

import importlib.resources
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from shiftwork.boards.accelerator import Accelerator
from shiftwork.boards.bitstream import Bitstream, make_bitstream
from shiftwork.boards.board import Board
from shiftwork.boards.registry import BOARDS, find
from shiftwork.errors import ShiftworkError
from shiftwork.quant.calibration import read_samples
from shiftwork.quant.importer import load
from shiftwork.quant.program import Program
from shiftwork.quant.quantizer import quantize
from shiftwork.workspace import Progress, silent, write_text

NETWORK = "mnist_cnn"
ELEMENTS = 8
"""Processing elements: few enough for the smallest boards, so that all can be compared."""
MARKDOWN = "boards.md"
JSON = "boards.json"
COLUMNS = ("board", "array", "LUT", "block RAM", "DSP", "clock", "Fmax", "latency")
NONE = "-"


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of a board.

    Attributes:
        board: its name.
        title: the board in plain words.
        bitstream: the bitstream's record; None without one.
        problem: why there is none; empty otherwise.
    """

    board: str
    title: str
    bitstream: Bitstream | None = None
    problem: str = ""

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        record = self.bitstream.as_dict() if self.bitstream else None
        return asdict(self) | {"bitstream": record}


def run(
    folder: Path,
    *,
    boards: Sequence[Board] = BOARDS,
    seeds: int | None = None,
    progress: Progress = silent,
) -> tuple[Result, ...]:
    """Makes the bitstreams; what has not changed since the last run is taken from ``folder``.

    A board without one does not stop the others.

    Args:
        folder: for all results.
        boards: which.
        seeds: starts of the placer; None: as many as it takes to reach the board's clock.
        progress: is told what happens.

    Raises:
        OutputError: if the folder cannot be written.
    """
    program = _program()
    return tuple(
        _measure(program, board, folder / board.name, seeds=seeds, progress=progress)
        for board in boards
    )


def select(names: str | None) -> tuple[Board, ...]:
    """The boards of these names, with commas between them; all for None.

    Raises:
        BoardError: if one is unknown.
    """
    return BOARDS if names is None else tuple(find(name.strip()) for name in names.split(","))


def _program() -> Program:
    files = importlib.resources.files("shiftwork.examples")
    with importlib.resources.as_file(files) as examples:
        samples = read_samples(examples / "mnist_calibration.npz")
        return quantize(load(examples / f"{NETWORK}.onnx"), samples.x)


def _measure(
    program: Program, board: Board, folder: Path, *, seeds: int | None, progress: Progress
) -> Result:
    progress(f"board {board.name}")
    try:
        accelerator = Accelerator(program, board=board, elements=ELEMENTS)
        made = make_bitstream(
            accelerator, board=board, folder=folder, seeds=seeds, progress=progress
        )
    except ShiftworkError as error:
        progress(f"{board.name}: {error}")
        return Result(board=board.name, title=board.title, problem=str(error))
    return Result(board=board.name, title=board.title, bitstream=made)


def cells(results: Sequence[Result]) -> list[list[str]]:
    """A row for each board, in the order of ``COLUMNS``."""
    return [[result.title, *_figures(result.bitstream)] for result in results]


def _figures(made: Bitstream | None) -> list[str]:
    if made is None:
        return [NONE] * (len(COLUMNS) - 1)
    lut, bram, dsp = (made.resources[name] for name in ("lut", "bram", "dsp"))
    return [
        f"{made.rows} x {made.columns}",
        *(f"{r.used:,} of {r.available:,}" if r.available else NONE for r in (lut, bram, dsp)),
        f"{made.clock_mhz:g} MHz",
        f"{made.fmax_mhz:.1f} MHz",
        f"{made.latency_us / 1000:.2f} ms",
    ]


def markdown(results: Sequence[Result], *, command: str) -> str:
    """The table as Markdown, with the reasons where there is no bitstream."""
    rows = [COLUMNS, ["---"] * len(COLUMNS), *cells(results)]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    reasons = [f"- {result.title}: {result.problem}" for result in results if result.problem]
    parts = [f"Made by `{command}`.\n", "\n".join(lines) + "\n"]
    if reasons:
        parts.append("No bitstream:\n\n" + "\n".join(reasons) + "\n")
    return "\n".join(parts)


def write(results: Sequence[Result], folder: Path, *, command: str) -> Mapping[str, Any]:
    """Writes the table to ``folder`` as Markdown and JSON; returns the JSON values.

    Raises:
        OutputError: if a file cannot be written.
    """
    record = {
        "command": command,
        "network": NETWORK,
        "boards": [result.as_dict() for result in results],
    }
    write_text(folder / MARKDOWN, markdown(results, command=command))
    write_text(folder / JSON, json.dumps(record, indent=2) + "\n")
    return record
