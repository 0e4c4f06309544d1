"""A whole design, from its sources to the placed and routed design whose clock is met.

The design of a board: a core, its link to the host, PLL and pins.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from shiftwork.boards import tools
from shiftwork.boards.accelerator import Accelerator
from shiftwork.boards.board import Board
from shiftwork.boards.board_top import TOP, Sources, make_sources
from shiftwork.boards.engine_core import EngineCore
from shiftwork.boards.flow import FLOWS, ROUTED_DESIGN, Flow
from shiftwork.boards.netlist import count_cells
from shiftwork.boards.pll import PllSetting, pll_setting
from shiftwork.boards.report import LABELS
from shiftwork.boards.routing import NETLIST, Routed, check_fit, route_seeds
from shiftwork.boards.synthesis import SYNTHESIS_LIMIT_S
from shiftwork.boards.tools import Toolchain
from shiftwork.errors import TimingError
from shiftwork.workspace import Workspace, write_text

RTLIL = "design.il"
STEPS, FASTEST_STEPS = "board-", "fastest-"
PACKING_LIMIT_S = 600.0
BELOW_FMAX = 0.98
"""What the fastest clock leaves for the next routing, which is another one."""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """A whole design for one setting of the PLL, routed with some seeds.

    Attributes:
        setting: of the PLL.
        sources: what was synthesized.
        netlist: the file that was placed and routed.
        cells: of it, by resource.
        routed: by seed.
    """

    setting: PllSetting
    sources: Sources
    netlist: Path
    cells: Mapping[str, int]
    routed: Mapping[int, Routed]

    @property
    def seeds(self) -> dict[int, float]:
        """The greatest clock of each seed in MHz."""
        return {seed: round(result.fmax_mhz, 3) for seed, result in self.routed.items()}

    @property
    def best(self) -> int:
        """The seed with the greatest clock."""
        return max(self.routed, key=lambda seed: self.routed[seed].fmax_mhz)

    @property
    def met(self) -> bool:
        """Whether that is no less than the PLL's."""
        return self.routed[self.best].fmax_mhz >= self.setting.mhz

    @property
    def spread(self) -> str:
        """The clock of each seed."""
        return ", ".join(f"seed {seed}: {mhz:.1f}" for seed, mhz in self.seeds.items()) + " MHz"


class WholeDesign:
    """The steps from a core to a routed design, in a workspace.

    Parameters:
        workspace: keeps the steps.
        core: of a network or of an engine.
        name: of it, for messages.
        board, baud, toolchain: as of ``make_bitstream``.
        further: arguments of nextpnr.
    """

    def __init__(
        self,
        workspace: Workspace,
        core: Accelerator | EngineCore,
        board: Board,
        *,
        name: str,
        baud: int,
        toolchain: Toolchain,
        further: Sequence[str] = (),
    ) -> None:
        self.workspace = workspace
        self.core = core
        self.board = board
        self.name = name
        self.baud = baud
        self.toolchain: Toolchain = toolchain
        self.further = further

    @property
    def flow(self) -> Flow:
        """Of the board's family."""
        return FLOWS[self.board.family]

    def fast_enough(self, setting: PllSetting, *, seeds: int | None, fastest: bool) -> Attempt:
        """The routed design that meets the PLL's clock; with ``fastest`` as fast as it can be.

        Raises:
            TimingError: if it misses the clock, with the clock of each seed.
        """
        attempt = self.route(setting, seeds=seeds, prefix=STEPS)
        self._check_timing(attempt)
        return self._faster(attempt, seeds=seeds) if fastest else attempt

    def route(self, setting: PllSetting, *, seeds: int | None, prefix: str) -> Attempt:
        """Synthesizes the design with that clock, places and routes it."""
        self.workspace.progress(f"making the design for {float(setting.mhz):g} MHz")
        sources = make_sources(self.core, board=self.board, setting=setting, baud=self.baud)
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
            further=self.further,
            toolchain=self.toolchain,
            prefix=prefix,
        )
        return Attempt(
            setting=setting, sources=sources, netlist=netlist, cells=cells, routed=routed
        )

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

    def pack(self, routed: str, folder: Path) -> Path:
        """The bitstream of a routed design, in ``folder``."""
        return pack(
            routed,
            folder,
            board=self.board,
            toolchain=self.toolchain,
            workspace=self.workspace,
        )

    def _faster(self, attempt: Attempt, *, seeds: int | None) -> Attempt:
        """The design with the PLL as fast as it can be: another one, with a clock of its own."""
        fmax = attempt.routed[attempt.best].fmax_mhz
        setting = pll_setting(self.board, fmax * BELOW_FMAX)
        if setting.mhz <= attempt.setting.mhz:
            return attempt
        faster = self.route(setting, seeds=seeds, prefix=FASTEST_STEPS)
        if faster.met:
            return faster
        self.workspace.progress(
            f"{float(setting.mhz):g} MHz missed ({faster.spread}); "
            f"the PLL stays at {float(attempt.setting.mhz):g} MHz"
        )
        return attempt

    def _check_timing(self, attempt: Attempt) -> None:
        if attempt.met:
            return
        best = attempt.seeds[attempt.best]
        raise TimingError(
            f"{self.name} reaches {best:.1f} MHz on {self.board.name} with its link to the "
            f"host, less than the {float(attempt.setting.mhz):.4g} MHz of the PLL "
            f"({attempt.spread}); no bitstream was written; try more seeds (--seeds), fewer "
            "processing elements (--rows, --columns), or a slower clock "
            f"(--clock {math.floor(best * BELOW_FMAX)})"
        )


def pack(
    routed: str, folder: Path, *, board: Board, toolchain: Toolchain, workspace: Workspace
) -> Path:
    """Makes the bitstream of a routed design, and nothing else, in ``folder``.

    Raises:
        ToolError: if the packer is missing, fails or takes too long.
    """
    flow = FLOWS[board.family]
    tool, *arguments = flow.packing(board)
    workspace.progress(f"{tool}: the bitstream")
    write_text(folder / ROUTED_DESIGN, routed)
    tools.run(
        tool,
        arguments,
        folder=folder,
        log=workspace.folder / f"{tool}.log",
        limit_s=PACKING_LIMIT_S,
        progress=workspace.progress,
        toolchain=toolchain,
    )
    (folder / ROUTED_DESIGN).unlink()
    return folder / f"bitstream{flow.suffix}"
