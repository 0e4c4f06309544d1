"""The bitstream of a board: accelerator, link to the host, PLL and pins, placed and routed.

Synthesis, place and route are those of ``synthesis.py`` and ``routing.py``; the clocks are those of
the whole design.
"""

import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from shiftwork.boards import tools
from shiftwork.boards.accelerator import FLASH_FILE, Accelerator
from shiftwork.boards.board import Board
from shiftwork.boards.board_top import TOP, Sources, make_sources
from shiftwork.boards.flow import FLOWS, ROUTED_DESIGN, Flow
from shiftwork.boards.netlist import count_cells
from shiftwork.boards.pll import PllSetting, pll_setting
from shiftwork.boards.registry import find
from shiftwork.boards.report import LABELS, Resource
from shiftwork.boards.routing import NETLIST, Routed, check_fit, resources, route_seeds
from shiftwork.boards.synthesis import SYNTHESIS_LIMIT_S, check_arguments, default_folder
from shiftwork.boards.tools import Toolchain
from shiftwork.errors import TimingError
from shiftwork.workspace import Progress, Workspace, file_digest, silent, versions, write_text

BAUD = 115_200
RECORD = "bitstream.json"
RTLIL = "design.il"
STEPS, FASTEST_STEPS = "board-", "fastest-"
PACKING_LIMIT_S = 600.0
BELOW_FMAX = 0.98
"""What the fastest clock leaves for the next routing, which is another one."""


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
        CapacityError: if the design does not fit, or the clock does not make the baud rate.
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
    tools.check(FLOWS[board.family], toolchain)
    setting = pll_setting(board, asked)
    with Workspace(folder or default_folder(accelerator), progress=progress) as workspace:
        _remove_results(workspace.folder)
        maker = _Maker(workspace, accelerator, board, baud=baud, toolchain=toolchain)
        attempt = maker.route(setting, seeds=seeds, prefix=STEPS)
        _check_timing(attempt, accelerator, board)
        if fastest:
            attempt = _faster(maker, attempt, seeds=seeds)
        return maker.write(attempt, asked_mhz=asked)


@dataclass(frozen=True, kw_only=True)
class _Attempt:
    """A whole design for one setting of the PLL, routed with some seeds."""

    setting: PllSetting
    cells: Mapping[str, int]
    routed: Mapping[int, Routed]

    @property
    def seeds(self) -> dict[int, float]:
        return {seed: round(result.fmax_mhz, 3) for seed, result in self.routed.items()}

    @property
    def best(self) -> int:
        return max(self.routed, key=lambda seed: self.routed[seed].fmax_mhz)

    @property
    def met(self) -> bool:
        return self.routed[self.best].fmax_mhz >= self.setting.mhz


class _Maker:
    """The steps from an accelerator to files, in a workspace."""

    def __init__(
        self,
        workspace: Workspace,
        accelerator: Accelerator,
        board: Board,
        *,
        baud: int,
        toolchain: Toolchain,
    ) -> None:
        self.workspace = workspace
        self.accelerator = accelerator
        self.board = board
        self.baud = baud
        self.toolchain: Toolchain = toolchain

    @property
    def flow(self) -> Flow:
        return FLOWS[self.board.family]

    def route(self, setting: PllSetting, *, seeds: int | None, prefix: str) -> _Attempt:
        """Synthesizes the design with that clock, places and routes it."""
        self.workspace.progress(f"making the design for {float(setting.mhz):g} MHz")
        sources = make_sources(self.accelerator, board=self.board, setting=setting, baud=self.baud)
        netlist = self._netlist(sources, prefix)
        cells = count_cells(json.loads(netlist.read_text()), self.flow, TOP)
        check_fit(dict.fromkeys(LABELS, 0) | cells, self.board)
        routed = route_seeds(
            self.workspace,
            netlist,
            board=self.board,
            target_mhz=float(setting.mhz),
            seeds=seeds,
            pins=sources.constraints,
            toolchain=self.toolchain,
            prefix=prefix,
        )
        return _Attempt(setting=setting, cells=cells, routed=routed)

    def _netlist(self, sources: Sources, prefix: str) -> Path:
        synth = self.flow.synth_board or self.flow.synth
        script = f"read_rtlil {RTLIL}\n{synth} -top {TOP} -json {NETLIST}\n"

        def synthesize(folder: Path) -> None:
            write_text(folder / RTLIL, sources.rtlil)
            write_text(folder / "synth.ys", script)
            tools.run(
                "yosys",
                ["-q", "synth.ys"],
                folder=folder,
                log=self.workspace.folder / "yosys.log",
                limit_s=SYNTHESIS_LIMIT_S,
                progress=self.workspace.progress,
                toolchain=self.toolchain,
            )
            (folder / RTLIL).unlink()

        inputs = {
            "script": script,
            "design": sources.rtlil,
            "tools": tools.identity(self.flow, self.toolchain),
        }
        folder = self.workspace.step(
            f"{prefix}netlist",
            synthesize,
            inputs=inputs,
            title="yosys: synthesis of the whole design",
        )
        return folder / NETLIST

    def write(self, attempt: _Attempt, *, asked_mhz: float) -> Bitstream:
        """Packs the best design; writes it with its record."""
        tool, *arguments = self.flow.packing(self.board)
        name = f"bitstream{self.flow.suffix}"
        best = attempt.routed[attempt.best]

        def pack(folder: Path) -> None:
            shutil.copy(best.folder / ROUTED_DESIGN, folder)
            tools.run(
                tool,
                arguments,
                folder=folder,
                log=self.workspace.folder / f"{tool}.log",
                limit_s=PACKING_LIMIT_S,
                progress=self.workspace.progress,
                toolchain=self.toolchain,
            )
            (folder / ROUTED_DESIGN).unlink()
            if self.accelerator.flash_image is not None:
                (folder / FLASH_FILE).write_bytes(self.accelerator.flash_image)
            record = self._record(attempt, folder / name, asked_mhz=asked_mhz)
            results.append(record)
            write_text(folder / RECORD, json.dumps(record.as_dict(), indent=2) + "\n")

        results: list[Bitstream] = []
        self.workspace.progress(f"{tool}: the bitstream")
        self.workspace.publish(pack)
        return results[0]

    def _record(self, attempt: _Attempt, packed: Path, *, asked_mhz: float) -> Bitstream:
        accelerator, board, target = self.accelerator, self.board, self.workspace.folder
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
            baud=self.baud,
            resources=resources(best.record, board=board, flow=self.flow, cells=attempt.cells),
            file=packed.name,
            sha256=file_digest(packed),
            flash=flash,
            commands=tuple(commands),
            note=board.note,
            tools=versions() | tools.identity(self.flow, self.toolchain),
        )


def _faster(maker: _Maker, attempt: _Attempt, *, seeds: int | None) -> _Attempt:
    """The design with the PLL as fast as it can be: another one, whose clock is checked anew."""
    fmax = attempt.routed[attempt.best].fmax_mhz
    setting = pll_setting(maker.board, fmax * BELOW_FMAX)
    if setting.mhz <= attempt.setting.mhz:
        return attempt
    faster = maker.route(setting, seeds=seeds, prefix=FASTEST_STEPS)
    if faster.met:
        return faster
    maker.workspace.progress(
        f"{float(setting.mhz):g} MHz missed ({_spread(faster)}); "
        f"the PLL stays at {float(attempt.setting.mhz):g} MHz"
    )
    return attempt


def _remove_results(folder: Path) -> None:
    """A bitstream that is there is not the one that is asked for, until it is made."""
    for path in [folder / RECORD, folder / FLASH_FILE, *folder.glob("bitstream.*")]:
        path.unlink(missing_ok=True)


def _spread(attempt: _Attempt) -> str:
    return ", ".join(f"seed {seed}: {mhz:.1f}" for seed, mhz in attempt.seeds.items()) + " MHz"


def _check_timing(attempt: _Attempt, accelerator: Accelerator, board: Board) -> None:
    if attempt.met:
        return
    best = attempt.seeds[attempt.best]
    raise TimingError(
        f"{accelerator.program.name} reaches {best:.1f} MHz on {board.name} with its link to the "
        f"host, less than the {float(attempt.setting.mhz):.4g} MHz of the PLL "
        f"({_spread(attempt)}); no bitstream was written; try more seeds (--seeds), fewer "
        "processing elements (--rows, --columns), or a slower clock "
        f"(--clock {math.floor(best * BELOW_FMAX)})"
    )
