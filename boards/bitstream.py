"""The bitstream of a board: accelerator, link to the host, PLL and pins, placed and routed.

Synthesis, place and route are those of ``synthesis.py`` and ``routing.py``; the clocks are those of
the whole design.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from shiftwork.boards import fit, tools
from shiftwork.boards.accelerator import FLASH_FILE, Accelerator
from shiftwork.boards.board import Board
from shiftwork.boards.flow import FLOWS, ROUTED_DESIGN
from shiftwork.boards.pll import pll_setting
from shiftwork.boards.registry import find
from shiftwork.boards.report import Resource
from shiftwork.boards.routing import resources
from shiftwork.boards.synthesis import check_arguments, default_folder
from shiftwork.boards.tools import Toolchain
from shiftwork.boards.whole_design import Attempt, WholeDesign
from shiftwork.errors import CapacityError
from shiftwork.workspace import Progress, Workspace, file_digest, silent, versions, write_text

BAUD = 115_200
RECORD = "bitstream.json"


@dataclass(frozen=True, kw_only=True)
class Bitstream:
    """A bitstream and what is in it.

    Attributes:
        board, title: name of the board, and the board in plain words.
        network, digest: name and digest of the program.
        rows, columns: of the array.
        cycles: of one inference.
        clock_mhz: what the PLL makes.
        asked_mhz: what was asked for; the PLL makes no more.
        seeds: greatest clock of the whole design in MHz, by seed of the placer.
        seed: whose design this is.
        baud: of the UART.
        resources: used and available, by name.
        file, sha256: the bitstream.
        flash: the flash image; None if the weights are in the bitstream.
        commands: what brings them to the board.
        note: what to know of the board; empty without.
        tools: versions of what made it.
    """

    board: str
    title: str
    network: str
    digest: str
    rows: int
    columns: int
    cycles: int
    clock_mhz: float
    asked_mhz: float
    seeds: dict[int, float]
    seed: int
    baud: int
    resources: dict[str, Resource]
    file: str
    sha256: str
    flash: str | None
    commands: tuple[str, ...]
    note: str
    tools: dict[str, str]

    @property
    def fmax_mhz(self) -> float:
        """Of the design in the bitstream."""
        return self.seeds[self.seed]

    @property
    def latency_us(self) -> float:
        """Microseconds of computation of one inference at the PLL's clock."""
        return self.cycles / self.clock_mhz

    def as_dict(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return asdict(self) | {
            "fmax_mhz": self.fmax_mhz,
            "latency_us": round(self.latency_us, 3),
        }


def make_bitstream(
    accelerator: Accelerator,
    *,
    board: str | Board,
    folder: str | Path | None = None,
    seeds: int | None = None,
    clock_mhz: float | None = None,
    fastest: bool = False,
    baud: int = BAUD,
    toolchain: Toolchain = "yowasp",
    progress: Progress = silent,
) -> Bitstream:
    """Writes the bitstream of an accelerator, ``bitstream.json``, and the flash image if any.

    Steps whose inputs are unchanged are taken from ``folder``.

    Args:
        accelerator: made for the board.
        folder: for all files; by default one in the user's cache.
        seeds: number of starts of the placer; the fastest counts. None: as many as it takes to
            reach the clock, at most ``routing.MOST_SEEDS``.
        clock_mhz: the clock to reach; by default the board's. The PLL makes the next slower one.
        fastest: sets the PLL as fast as the design turns out to be, not slower than the clock.
        baud: of the UART.
        toolchain: "native" for the user's own yosys, nextpnr and packer.
        progress: is told what happens.

    Raises:
        BoardError: if the board is unknown, lacks what the design needs, or its PLL does not make
            the clock.
        CapacityError: if the design does not fit, if its array was chosen for the board without the
            link to the host and leaves that no room, or the clock does not make the baud rate.
        TimingError: if the design misses the clock, with the clock of each seed; no bitstream is
            left.
        ToolError: if a tool is missing, fails or takes too long.
        OutputError: if the folder cannot be written.
    """
    board = find(board)
    asked = board.bitstream_mhz or board.target_mhz
    if clock_mhz is not None:
        asked = clock_mhz
    check_arguments(accelerator, board=board, seeds=seeds, target_mhz=asked)
    _check_room(accelerator, board)
    tools.check(FLOWS[board.family], toolchain)
    setting = pll_setting(board, asked)
    with Workspace(folder or default_folder(accelerator), progress=progress) as workspace:
        remove_results(workspace.folder)
        design = WholeDesign(
            workspace,
            accelerator,
            board,
            name=accelerator.program.name,
            baud=baud,
            toolchain=toolchain,
        )
        attempt = design.fast_enough(setting, seeds=seeds, fastest=fastest)
        return _write(design, attempt, accelerator, asked_mhz=asked)


def _check_room(accelerator: Accelerator, board: Board) -> None:
    """Refuses an array that was chosen as if it had the board to itself, and fills it."""
    if not accelerator.chosen or accelerator.beside >= fit.LINK_LUT:
        return
    problem = fit.crowding(accelerator.config, board, fit.LINK_LUT)
    if problem is not None:
        shape = accelerator.config.shape
        raise CapacityError(
            f"the array of {shape.rows} x {shape.columns} was chosen without the link to the host, "
            f"which needs {problem.missing} lookup tables more than {board.title} has left; make "
            "the accelerator with beside=fit.LINK_LUT, or choose rows and columns"
        )


def _write(
    design: WholeDesign, attempt: Attempt, accelerator: Accelerator, *, asked_mhz: float
) -> Bitstream:
    """Packs the best design; writes it with its record."""
    best = attempt.routed[attempt.best]
    results: list[Bitstream] = []

    def write(folder: Path) -> None:
        packed = design.pack((best.folder / ROUTED_DESIGN).read_text(), folder)
        if accelerator.flash_image is not None:
            (folder / FLASH_FILE).write_bytes(accelerator.flash_image)
        record = _record(design, attempt, accelerator, packed, asked_mhz=asked_mhz)
        results.append(record)
        write_text(folder / RECORD, json.dumps(record.as_dict(), indent=2) + "\n")

    design.workspace.publish(write)
    return results[0]


def _record(
    design: WholeDesign,
    attempt: Attempt,
    accelerator: Accelerator,
    packed: Path,
    *,
    asked_mhz: float,
) -> Bitstream:
    board, target = design.board, design.workspace.folder
    flash = FLASH_FILE if accelerator.flash_image is not None else None
    commands = [board.load_flash.format(file=target / flash)] if flash else []
    commands.append(board.load.format(file=target / packed.name))
    best = attempt.routed[attempt.best]
    return Bitstream(
        board=board.name,
        title=board.title,
        network=accelerator.program.name,
        digest=accelerator.program.digest,
        rows=accelerator.config.shape.rows,
        columns=accelerator.config.shape.columns,
        cycles=accelerator.schedule.cycles,
        clock_mhz=round(float(attempt.setting.mhz), 6),
        asked_mhz=asked_mhz,
        seeds=attempt.seeds,
        seed=attempt.best,
        baud=design.baud,
        resources=resources(best.record, board=board, flow=design.flow, cells=attempt.cells),
        file=packed.name,
        sha256=file_digest(packed),
        flash=flash,
        commands=tuple(commands),
        note=board.note,
        tools=versions() | tools.identity(design.flow, design.toolchain),
    )


def remove_results(folder: Path) -> None:
    """A bitstream that is there is not the one that is asked for, until it is made."""
    for path in [folder / RECORD, folder / FLASH_FILE, *folder.glob("bitstream.*")]:
        path.unlink(missing_ok=True)
