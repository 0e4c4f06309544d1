"""Sweeps the ways to build an accelerator for a network: quantizations, boards, arrays, clocks.

All points are estimated; those on the Pareto front can be synthesized. Quantized networks and
estimates are kept in the output folder by the content of all that they depend on, so that a run
that was interrupted goes on where it stopped, and a larger sweep computes only what is new.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

from shiftwork.boards.board import Board
from shiftwork.errors import DataError
from shiftwork.explore_front import Values, front, fronts_by_board
from shiftwork.explore_networks import Measure, Quantized, quantized, stored
from shiftwork.explore_points import Clock, Design, Point, Task, clocks_of, sizes
from shiftwork.explore_runners import Job, Results, run_locally, run_on_dask
from shiftwork.quant.options import QuantizerOptions
from shiftwork.quant.records import from_json
from shiftwork.workspace import Progress, Workspace, code_digest, silent, versions, write_text

Advance = Callable[[str, int, int], None]
"""Is told what was done, how much, and of how much."""
Area = Literal["lut", "share"]
DESIGNS = "designs"


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """What to explore.

    Attributes:
        network: a trained network (ONNX, TFLite), or a quantized one (.npz).
        calibration: samples that set the scales of a trained network.
        test: samples that measure it, with labels for its accuracy; by default ``calibration``.
        options: how to quantize it, by name; one entry or more for a trained network, none for a
            quantized one.
        boards: on which boards.
        rows, columns: of the arrays; None for a choice that suits the boards.
        clocks: at which clocks.
        area: whether a small number of lookup tables is good, or a small share of the board's.
        quality: what tells how good a quantization is; None: the accuracy if there are labels, else
            the signal-to-noise ratio if that is known.
    """

    network: Path
    calibration: Path | None = None
    test: Path | None = None
    options: Mapping[str, QuantizerOptions]
    boards: tuple[Board, ...]
    rows: tuple[int, ...] | None = None
    columns: tuple[int, ...] | None = None
    clocks: tuple[Clock, ...] = ("max",)
    area: Area = "lut"
    quality: Measure | None = None


@dataclass(frozen=True, kw_only=True)
class Exploration:
    """What was found.

    Attributes:
        network: its name.
        area: as of :class:`Sweep`.
        measure: what tells how good a quantization is; None if nothing is known.
        quantized: its quantizations.
        boards: on which it was tried.
        points: all of them, by quantization, board, rows, columns and clock.
        front: positions of those that no other point dominates, the fastest first.
        board_fronts: positions of those that no other point of the same board dominates.
        reused: designs that the folder held already.
        versions: of Shiftwork and the tools.
    """

    network: str
    area: Area
    measure: Measure | None
    quantized: tuple[Quantized, ...]
    boards: tuple[Board, ...]
    points: tuple[Point, ...]
    front: tuple[int, ...]
    board_fronts: frozenset[int]
    reused: int
    versions: dict[str, str]

    @cached_property
    def on_front(self) -> frozenset[int]:
        """The positions in ``front``."""
        return frozenset(self.front)

    @cached_property
    def by_name(self) -> dict[str, Quantized]:
        """The quantizations by name."""
        return {entry.name: entry for entry in self.quantized}

    def record(self, index: int) -> dict[str, Any]:
        """A point as JSON values."""
        point = self.points[index]
        values = {
            "quantization": point.quantization,
            "board": point.board,
            "rows": point.rows,
            "columns": point.columns,
            "clock_mhz": point.clock_mhz,
            "fits": point.fits,
        }
        if not point.fits:
            return values | {"problem": point.design.problem}
        found = asdict(point.design)
        del found["problem"]
        quality = self.by_name[point.quantization]
        return (
            values
            | found
            | {
                "runs_at_mhz": round(point.runs_at_mhz, 3),
                "meets_clock": point.meets_clock,
                "latency_us": point.latency_us,
                "accuracy": quality.accuracy,
                "sqnr_db": quality.sqnr_db,
                "front": index in self.on_front,
                "front_of_board": index in self.board_fronts,
            }
        )

    def as_dict(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return {
            "network": self.network,
            "axes": axes(self.area, self.measure),
            "quantizations": [entry.as_dict() for entry in self.quantized],
            "points": [self.record(index) for index in range(len(self.points))],
            "front": list(self.front),
            "versions": self.versions,
        }


def axes(area: Area, measure: Measure | None) -> dict[str, str]:
    """The axes of the front, by the key of a point's record, and which end is good."""
    good = {"accuracy": {"accuracy": "greatest"}, "sqnr": {"sqnr_db": "greatest"}}
    return {
        "latency_us": "least",
        "lut" if area == "lut" else "lut_percent": "least",
        "energy": "least",
    } | (good[measure] if measure else {})


def explore(
    sweep: Sweep,
    folder: str | Path,
    *,
    processes: int | None = None,
    scheduler: str | None = None,
    progress: Progress = silent,
    advance: Advance | None = None,
) -> Exploration:
    """Estimates all points of a sweep; the result does not depend on where that is done.

    Args:
        folder: for what is kept.
        processes: local ones, at most; None: one for each processor.
        scheduler: address of a Dask cluster's scheduler, to use its workers instead.
        progress: is told what happens.
        advance: is told how many designs are done.

    Raises:
        DataError: if the sweep is empty or lacks samples, or samples do not suit the network.
        ModelError, ProgramError: if the network cannot be read.
        ToolError: if processes or the cluster fail; what they did is kept.
        OutputError: if the folder cannot be written.
    """
    _check(sweep)
    run = (
        partial(run_locally, processes=processes)
        if scheduler is None
        else partial(run_on_dask, scheduler=scheduler)
    )
    with Workspace(folder, progress=progress) as workspace:
        found = _quantizations(workspace, sweep)
        measure = _measure(sweep, found[0])
        arrays = sizes(sweep.boards, sweep.rows, sweep.columns)
        if not arrays:
            raise DataError("there is no array to try; give --rows and --columns, or more boards")
        designs = _Designs(workspace.folder / DESIGNS, found, arrays)
        count = len(designs.wanted)
        progress(f"{count:,} designs, {designs.reused:,} of them kept from earlier runs")
        designs.complete(run, advance)
        points = _points(sweep, found, designs.known)
        vectors = [_values(point, sweep.area, measure, found) for point in points]
        return Exploration(
            network=found[0].network,
            area=sweep.area,
            measure=measure,
            quantized=found,
            boards=sweep.boards,
            points=points,
            front=tuple(front(points, vectors)),
            board_fronts=frozenset(fronts_by_board(points, vectors)),
            reused=designs.reused,
            versions=versions(),
        )


def _check(sweep: Sweep) -> None:
    for name, values in (("boards", sweep.boards), ("clocks", sweep.clocks)):
        if not values:
            raise DataError(f"there are no {name} to explore; give one at least")
    for name, counts in (("rows", sweep.rows), ("columns", sweep.columns)):
        if counts is not None and (not counts or min(counts) < 1):
            raise DataError(f"{name} must be numbers from 1, not {', '.join(map(str, counts))}")
    for clock in sweep.clocks:
        if not isinstance(clock, str) and not 0 < clock < float("inf"):
            raise DataError(f"a clock must be more than 0 MHz, not {clock:g}")
    trained = sweep.network.suffix != ".npz"
    if trained and sweep.calibration is None:
        raise DataError(
            f"{sweep.network} is to be quantized, which needs sample inputs: give --calibration"
        )
    if trained != bool(sweep.options):
        raise DataError(
            f"{sweep.network} is quantized already: its weights stay as they are; give the trained "
            "network to explore quantizations"
            if not trained
            else "there are no quantizations to explore; give one at least"
        )


def _quantizations(workspace: Workspace, sweep: Sweep) -> tuple[Quantized, ...]:
    if not sweep.options:
        return (stored(workspace, sweep.network, sweep.test),)
    assert sweep.calibration is not None
    return tuple(
        quantized(workspace, name, options, sweep.network, sweep.calibration, sweep.test)
        for name, options in sweep.options.items()
    )


def _measure(sweep: Sweep, first: Quantized) -> Measure | None:
    """What tells how good a quantization is."""
    if sweep.quality is None:
        return next(iter(first.measures), None)
    if sweep.quality not in first.measures:
        needs = "labels 'y' of the samples" if sweep.quality == "accuracy" else "a trained network"
        raise DataError(f"the quality '{sweep.quality}' cannot be measured: it needs {needs}")
    return sweep.quality


Key = tuple[str, str, int, int]
"""Quantization, board, rows and columns of a design."""


class _Designs:
    """The designs of a sweep, those of earlier runs included.

    Attributes:
        wanted: for each design the key of its content.
        known: what is known so far.
        reused: how many were known at the beginning.
    """

    def __init__(
        self,
        folder: Path,
        found: Sequence[Quantized],
        arrays: Mapping[tuple[int, int], tuple[Board, ...]],
    ) -> None:
        self.folder = folder
        self.code = code_digest()
        self.wanted: dict[Key, str] = {}
        self.known: dict[Key, Design] = {}
        self._jobs: list[Job] = []
        self._keys: list[list[Key]] = []
        for entry in found:
            for (rows, columns), boards in arrays.items():
                self._add(entry, rows, columns, boards)
        self.reused = len(self.known)

    def _add(self, entry: Quantized, rows: int, columns: int, boards: Sequence[Board]) -> None:
        left = []
        for board in boards:
            key = (entry.name, board.name, rows, columns)
            content = {
                "program": entry.digest,
                "board": asdict(board),
                "size": [rows, columns],
                "code": self.code,
            }
            text = json.dumps(content, sort_keys=True)
            self.wanted[key] = hashlib.sha256(text.encode()).hexdigest()
            kept = self._read(self.wanted[key])
            if kept is None:
                left.append(board)
            else:
                self.known[key] = kept
        if left:
            task = Task(boards=tuple(left), rows=rows, columns=columns, code=self.code)
            self._jobs.append((entry.content, task))
            self._keys.append([(entry.name, board.name, rows, columns) for board in left])

    def _read(self, digest: str) -> Design | None:
        """What an earlier run found; None if it is not there, or damaged."""
        try:
            return from_json(Design, json.loads(self._path(digest).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, AttributeError):
            return None

    def _path(self, digest: str) -> Path:
        return self.folder / f"{digest}.json"

    def complete(self, run: Callable[[list[Job]], Results], advance: Advance | None) -> None:
        """Finds all that is not known; each is kept as soon as it is found."""
        if not self._jobs:
            return
        with closing(run(self._jobs)) as results:
            for index, designs in results:
                for key, design in zip(self._keys[index], designs, strict=True):
                    write_text(self._path(self.wanted[key]), json.dumps(asdict(design)) + "\n")
                    self.known[key] = design
                if advance is not None:
                    _, board, rows, columns = self._keys[index][-1]
                    advance(f"{rows} x {columns}, {board}", len(self.known), len(self.wanted))


def _points(
    sweep: Sweep, found: Sequence[Quantized], designs: Mapping[Key, Design]
) -> tuple[Point, ...]:
    places = {board.name: place for place, board in enumerate(sweep.boards)}
    names = {entry.name: place for place, entry in enumerate(found)}
    boards = {board.name: board for board in sweep.boards}
    ordered = sorted(designs, key=lambda key: (names[key[0]], places[key[1]], *key[2:]))
    return tuple(
        Point(
            quantization=name,
            board=board,
            rows=rows,
            columns=columns,
            clock_mhz=clock,
            design=designs[name, board, rows, columns],
        )
        for name, board, rows, columns in ordered
        for clock in clocks_of(boards[board], sweep.clocks)
    )


def _values(
    point: Point, area: Area, measure: Measure | None, found: Sequence[Quantized]
) -> Values:
    """What is to be small: latency, area, energy and the loss of quality."""
    loss = next(entry.loss(measure) for entry in found if entry.name == point.quantization)
    design = point.design
    taken = design.lut if area == "lut" else design.lut_percent
    return point.latency_us, taken, design.energy, loss
