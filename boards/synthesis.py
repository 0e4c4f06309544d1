"""Synthesis, place and route of an accelerator for a board, with yosys and nextpnr.

The figures are those of the accelerator alone: its trace ports are left open, its streams, clock
and reset go to pins. Same inputs and tools give the same figures.
"""

import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shiftwork.boards import yowasp
from shiftwork.boards.board import Board
from shiftwork.boards.flow import FLOWS, Flow
from shiftwork.boards.netlist import count_blocks
from shiftwork.boards.registry import BoardError, find
from shiftwork.boards.report import LABELS, Report
from shiftwork.boards.routing import NETLIST, check_fit, fmax, resources, route_seeds
from shiftwork.errors import TimingError, ToolError
from shiftwork.quant.program import Program
from shiftwork.workspace import (
    Progress,
    Workspace,
    code_digest,
    file_digest,
    silent,
    versions,
    write_text,
)

if TYPE_CHECKING:
    from shiftwork.boards.accelerator import Accelerator
    from shiftwork.boards.engine import Engine

SYNTHESIS_LIMIT_S = 1800.0
DESIGN = "design.il"
REPORT = "report.json"
DERIVED = re.compile(r"_(?:SB_|TRELLIS_|LUT4|CCU2C|PFUMX|L6MUX21|DP16KD|MULT18X18D)")

TOP = "shiftwork_top"
PORTS = {
    "clk": "input",
    "rst": "input",
    "i_payload": "input [7:0]",
    "i_valid": "input",
    "i_ready": "output",
    "o_payload": "output [7:0]",
    "o_valid": "output",
    "o_ready": "input",
    "busy": "output",
}
FLASH_PORTS = {
    "flash_cs_n": "output",
    "flash_sck": "output",
    "flash_mosi": "output",
    "flash_miso": "input",
    "status": "output [1:0]",
}


def top_text(*, flash: bool) -> str:
    """The accelerator with its trace ports left open, in a module named ``TOP``."""
    ports = PORTS | (FLASH_PORTS if flash else {})
    declarations = ",\n".join(f"    {kind} {name}" for name, kind in ports.items())
    connections = ",\n".join(f"        .{name}({name})" for name in ports)
    return (
        "// The accelerator with its trace ports left open.\n"
        f"module {TOP} (\n{declarations}\n);\n"
        f"    shiftwork_core core (\n{connections}\n    );\nendmodule\n"
    )


def default_folder(accelerator: "Accelerator") -> Path:
    """Where results are kept if no folder is given: in the user's cache, by network."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "shiftwork" / "synthesis" / accelerator.program.digest[:16]


def synthesize(
    accelerator: "Accelerator",
    *,
    board: str | Board,
    seeds: int | None = None,
    folder: str | Path | None = None,
    clock_mhz: float | None = None,
    progress: Progress = silent,
) -> Report:
    """Synthesizes, places and routes an accelerator; writes ``report.json`` and logs to ``folder``.

    Steps whose inputs are unchanged are taken from ``folder``.

    Args:
        seeds: number of starts of the placer; the fastest result counts. None: as many as it
            takes to reach the clock, at most ``MOST_SEEDS``.
        folder: for all files; by default one in the user's cache.
        clock_mhz: the clock to reach; by default the board's.
        progress: is told what happens.

    Raises:
        BoardError: if the board is unknown, or the accelerator was made for another family.
        CapacityError: if the design does not fit.
        TimingError: if it misses the clock; ``report.json`` is written nevertheless.
        ToolError: if a tool is missing, fails or takes too long.
        OutputError: if the folder cannot be written.
    """
    board = find(board)
    flow = FLOWS[board.family]
    target = board.target_mhz if clock_mhz is None else clock_mhz
    check_arguments(accelerator, board=board, seeds=seeds, target_mhz=target)
    with Workspace(folder or default_folder(accelerator), progress=progress) as workspace:
        netlist = make_netlist(workspace, accelerator, flow)
        blocks = count_blocks(json.loads(netlist.read_text()), flow, TOP)
        check_fit(total(blocks), board)
        found = route_seeds(workspace, netlist, board=board, target_mhz=target, seeds=seeds)
        routed = {seed: result.record for seed, result in found.items()}
        report = _report(
            accelerator, board=board, flow=flow, blocks=blocks, routed=routed, target_mhz=target
        )
        write_text(workspace.folder / REPORT, json.dumps(report.as_dict(), indent=2) + "\n")
    _check_timing(report)
    return report


def check_arguments(
    accelerator: "Accelerator | Engine", *, board: Board, seeds: int | None, target_mhz: float
) -> None:
    family = accelerator.config.shape.family
    if family not in ("generic", board.family):
        raise BoardError(
            f"the accelerator was made for the family '{family}', but {board.name} is of the "
            f"family '{board.family}'; make it with board='{board.name}'"
        )
    if seeds is not None and seeds < 1:
        raise ToolError(f"seeds must be at least 1, not {seeds}")
    if not target_mhz > 0:
        raise ToolError(f"the clock must be more than 0 MHz, not {target_mhz}")


def make_netlist(workspace: Workspace, accelerator: "Accelerator", flow: Flow) -> Path:
    """The path of the JSON netlist that nextpnr reads, made by yosys unless it is there.

    Raises:
        ToolError: if yosys is missing, fails or takes too long.
        OutputError: if the workspace cannot be written.
    """
    identity = {
        "program": accelerator.program.digest,
        "config": repr(accelerator.config),
        "code": code_digest(),
        "versions": versions(),
    }

    def generate(folder: Path) -> None:
        accelerator.write_verilog(folder)
        text = top_text(flash=accelerator.config.payload_bytes > 0)
        write_text(folder / "top.v", text)

    verilog = workspace.step(
        "verilog", generate, inputs=identity, title="preparing the Verilog for synthesis"
    )
    sources = sorted(verilog.glob("*.v"))
    script = (
        "".join(f"read_verilog {source.name}\n" for source in sources)
        # As RTLIL: yosys would read the Verilog anew, and lose its work, when it meets a
        # primitive that it first knows at the end.
        + f"write_rtlil {DESIGN}\ndesign -reset\nread_rtlil {DESIGN}\n"
        + f"{flow.synth} -top {TOP} -json {NETLIST}\n"
    )

    def synthesize_(folder: Path) -> None:
        for source in sources:
            shutil.copy(source, folder)
        write_text(folder / "synth.ys", script)
        yowasp.run(
            "yosys",
            ["-q", "synth.ys"],
            folder=folder,
            log=workspace.folder / "yosys.log",
            limit_s=SYNTHESIS_LIMIT_S,
            progress=workspace.progress,
        )
        (folder / DESIGN).unlink()

    inputs = {
        "script": script,
        "files": {source.name: file_digest(source) for source in sources},
        "versions": versions(),
    }
    return workspace.step("netlist", synthesize_, inputs=inputs, title="yosys: synthesis") / NETLIST


def total(blocks: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """Sum over all blocks, by resource."""
    return {name: sum(counts.get(name, 0) for counts in blocks.values()) for name in LABELS}


def _report(
    accelerator: "Accelerator",
    *,
    board: Board,
    flow: Flow,
    blocks: dict[str, dict[str, int]],
    routed: Mapping[int, Mapping[str, Any]],
    target_mhz: float,
) -> Report:
    clocks = {seed: fmax(record) for seed, record in routed.items()}
    seed = max(clocks, key=lambda s: clocks[s])
    program, schedule = accelerator.program, accelerator.schedule
    return Report(
        network=program.name,
        board=board.name,
        title=board.title,
        rows=accelerator.config.shape.rows,
        columns=accelerator.config.shape.columns,
        **resources(routed[seed], board=board, flow=flow, cells=total(blocks)),
        blocks=blocks,
        fmax_mhz=round(clocks[seed], 3),
        seeds={s: round(mhz, 3) for s, mhz in clocks.items()},
        seed=seed,
        target_mhz=target_mhz,
        critical_path=_critical_path(routed[seed]),
        cycles=schedule.cycles,
        macs=schedule.macs,
        io_bytes=(program.tensor(program.input).bytes, _output_cycles(program)),
        rom_bytes=schedule.rom_bytes,
        activation_bytes=schedule.activation_bytes,
        versions=versions(),
        input_held_cycles=schedule.input_held_cycles,
    )


def _output_cycles(program: Program) -> int:
    """Cycles of a result's way out: its bytes, and before them those that a TopScore reads."""
    answer = program.tensor(program.output).bytes
    return answer + program.scores.bytes if program.top_score else answer


def _critical_path(routed: Mapping[str, Any]) -> str:
    """The slowest path between two registers, by the blocks at its ends, and its parts in ns."""
    paths = [p for p in routed.get("critical_paths", []) if p["from"] == p["to"]]
    if not paths:
        return "unknown"
    steps = paths[0]["path"]
    logic = sum(step["delay"] for step in steps if step["type"] != "routing")
    routing = sum(step["delay"] for step in steps if step["type"] == "routing")
    return (
        f"{_source_name(steps[0]['from']['cell'])} to {_source_name(steps[-1]['to']['cell'])}: "
        f"{logic:.1f} ns logic, {routing:.1f} ns routing"
    )


def _source_name(cell: str) -> str:
    """A cell's name without what the tools add to the name in the source."""
    return DERIVED.split(cell, maxsplit=1)[0].removeprefix("core.")


def _check_timing(report: Report) -> None:
    if report.met:
        return
    short = report.target_mhz - report.fmax_mhz
    raise TimingError(
        f"{report.network} reaches {report.fmax_mhz:.1f} MHz on {report.board}, "
        f"{short:.1f} MHz less than the {report.target_mhz:.1f} MHz asked for; try more seeds "
        f"(--seeds), fewer processing elements (--rows, --columns), or a slower clock "
        f"(--clock {int(report.fmax_mhz * 0.98)})"
    )
