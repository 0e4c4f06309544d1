"""Place and route of a netlist with nextpnr, and whether a design fits its board."""

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shiftwork.boards import tools
from shiftwork.boards.board import Board
from shiftwork.boards.flow import FLOWS, PINS, Flow
from shiftwork.boards.report import LABELS, Resource
from shiftwork.boards.tools import Toolchain
from shiftwork.errors import CapacityError, ToolError
from shiftwork.sim.processes import error_line
from shiftwork.workspace import Workspace, file_digest, versions, write_text

ROUTING_LIMIT_S = 3600.0
MOST_SEEDS = 8
HEADROOM = 1.17
"""What nextpnr is asked for, relative to the target: routing loses some of what placing found."""
NETLIST = "netlist.json"
ROUTED = "nextpnr.json"
UTILIZATION = re.compile(r"\s(\w+):\s+(\d+)/\s*(\d+)\s+\d+%")
UNPLACEABLE = ("Unable to place", "no BELs remaining", "no more", "failed to place", "Failed to")


@dataclass(frozen=True, kw_only=True)
class Routed:
    """A design that was placed and routed with one seed.

    Attributes:
        folder: with the routed design, if pins were given.
        record: nextpnr's report.
    """

    folder: Path
    record: Mapping[str, Any]

    @property
    def fmax_mhz(self) -> float:
        """The greatest frequency of the design's clock.

        Raises:
            ToolError: if it has none.
        """
        return fmax(self.record)


def route_seeds(
    workspace: Workspace,
    netlist: Path,
    *,
    board: Board,
    target_mhz: float,
    seeds: int | None,
    pins: str = "",
    further: Sequence[str] = (),
    toolchain: Toolchain = "yowasp",
    prefix: str = "",
) -> dict[int, Routed]:
    """Places and routes with the seeds 1, 2 and so on; as :func:`route` each.

    Args:
        seeds: how many; None: until one reaches ``target_mhz``, at most ``MOST_SEEDS``.
    """
    found: dict[int, Routed] = {}
    for seed in range(1, (seeds or MOST_SEEDS) + 1):
        found[seed] = route(
            workspace,
            netlist,
            board=board,
            target_mhz=target_mhz,
            seed=seed,
            pins=pins,
            further=further,
            toolchain=toolchain,
            prefix=prefix,
        )
        if seeds is None and found[seed].fmax_mhz >= target_mhz:
            break
    return found


def route(
    workspace: Workspace,
    netlist: Path,
    *,
    board: Board,
    target_mhz: float,
    seed: int,
    pins: str = "",
    further: Sequence[str] = (),
    toolchain: Toolchain = "yowasp",
    prefix: str = "",
) -> Routed:
    """Places and routes a netlist, unless the workspace has the result.

    Args:
        netlist: of yosys, as JSON.
        target_mhz: the clock that will be needed.
        seed: of the placer.
        pins: of the board, in nextpnr's format; the routed design is written then.
        further: arguments of nextpnr.
        toolchain: whose nextpnr.
        prefix: of the step's name.

    Raises:
        CapacityError: if the design is too large.
        ToolError: if nextpnr is missing, fails or takes too long.
    """
    flow = FLOWS[board.family]
    arguments = [
        *flow.chip(board),
        *flow.arguments,
        *("--json", NETLIST),
        *("--freq", f"{target_mhz * HEADROOM:g}"),
        *("--seed", str(seed)),
        "--timing-allow-fail",
        *("--report", ROUTED),
        *((*flow.pins, *flow.routed) if pins else ()),
        *further,
    ]
    log = workspace.folder / f"nextpnr-{seed}.log"

    def place_and_route(folder: Path) -> None:
        shutil.copy(netlist, folder / NETLIST)
        if pins:
            write_text(folder / PINS, pins)
        try:
            tools.run(
                flow.nextpnr,
                arguments,
                folder=folder,
                log=log,
                limit_s=ROUTING_LIMIT_S,
                progress=workspace.progress,
                toolchain=toolchain,
            )
        except ToolError as error:
            _raise_if_too_large(log, board=board, flow=flow, cause=error)
            raise
        (folder / NETLIST).unlink()

    inputs = {
        "arguments": arguments,
        "netlist": file_digest(netlist),
        "versions": versions(),
    }
    if pins:
        inputs |= {"pins": pins, "tools": tools.identity(flow, toolchain)}
    folder = workspace.step(
        f"{prefix}route-{seed}",
        place_and_route,
        inputs=inputs,
        title=f"nextpnr: place and route, seed {seed}",
    )
    return Routed(folder=folder, record=json.loads((folder / ROUTED).read_text()))


def check_fit(used: Mapping[str, int], board: Board) -> None:
    over = [
        f"{used[name]} of {available} {LABELS[name]} ({used[name] - available} too many)"
        for name, available in capacity(board).items()
        if used[name] > available
    ]
    if over:
        raise CapacityError(
            f"the design does not fit {board.name}: it needs {', '.join(over)}; use fewer "
            "processing elements (--rows, --columns), a smaller network, or a larger board"
        )


def capacity(board: Board) -> dict[str, int]:
    return {
        "lut": board.lut,
        "ff": board.ff,
        "bram": board.bram,
        "dsp": board.dsp,
        "spram": board.spram_bytes // 32768,
    }


def _raise_if_too_large(log: Path, *, board: Board, flow: Flow, cause: ToolError) -> None:
    text = log.read_text(errors="replace")
    packed = {name: int(count) for name, count, _ in UTILIZATION.findall(text)}
    used = {name: packed.get(key, 0) for name, key in flow.utilization.items()}
    check_fit(dict.fromkeys(LABELS, 0) | used, board)
    if any(reason in error_line(log) for reason in UNPLACEABLE):
        raise CapacityError(
            f"the design does not fit {board.name}: {error_line(log)}; use fewer "
            f"processing elements (--rows, --columns) or a larger board; see {log}"
        ) from cause


def fmax(routed: Mapping[str, Any]) -> float:
    clocks = [clock["achieved"] for clock in routed["fmax"].values()]
    if not clocks:
        raise ToolError("nextpnr found no clock in the design, so it has no greatest frequency")
    return float(min(clocks))


def resources(
    routed: Mapping[str, Any], *, board: Board, flow: Flow, cells: Mapping[str, int]
) -> dict[str, Resource]:
    """What a routed design uses of what the board has.

    Args:
        routed: nextpnr's report.
        cells: of the netlist, by resource: where nextpnr does not count.
    """
    packed = {
        name: routed["utilization"].get(key, {}).get("used", 0)
        for name, key in flow.utilization.items()
    }
    used = {**cells, **packed}
    return {
        name: Resource(used=used.get(name, 0), available=available)
        for name, available in capacity(board).items()
    }
