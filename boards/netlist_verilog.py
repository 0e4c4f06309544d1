"""The netlist of an accelerator as Verilog: what is placed and routed, ready to be simulated."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from shiftwork.boards import yowasp
from shiftwork.boards.flow import FLOWS
from shiftwork.boards.registry import BoardError
from shiftwork.boards.synthesis import NETLIST, TOP, default_folder, make_netlist
from shiftwork.hw import verilog
from shiftwork.workspace import Progress, Workspace, file_digest, silent, versions

if TYPE_CHECKING:
    from shiftwork.boards.accelerator import Accelerator

LIMIT_S = 600.0
VERILOG = "netlist.v"
SCRIPT = f"read_json {NETLIST}; rename {TOP} {verilog.TOP}; write_verilog -noattr {VERILOG}"


def netlist_verilog(
    accelerator: "Accelerator", *, folder: str | Path | None = None, progress: Progress = silent
) -> str:
    """Verilog of the cells that place and route gets, in a module named as the core's top module.

    It is converted from the very file that nextpnr reads. The module has no trace ports: nothing
    in the netlist is there for them.

    Args:
        folder: that of :func:`shiftwork.boards.synthesis.synthesize`: a netlist that is there is
            taken as it is. By default the one in the user's cache.
        progress: is told what happens.

    Raises:
        BoardError: if the accelerator was made for no board.
        ToolError: if yosys is missing, fails or takes too long.
        OutputError: if the folder cannot be written.
    """
    flow = FLOWS.get(accelerator.config.shape.family)
    if flow is None:
        raise BoardError(
            "a netlist consists of the cells of an FPGA, but this accelerator was made for no "
            "board; choose one (--board)"
        )
    with Workspace(folder or default_folder(accelerator), progress=progress) as workspace:
        netlist = make_netlist(workspace, accelerator, flow)
        step = workspace.step(
            "netlist-verilog",
            lambda path: _convert(workspace, netlist, path),
            inputs={
                "netlist": file_digest(netlist),
                "script": SCRIPT,
                "versions": versions(),
            },
            title="yosys: the netlist as Verilog",
        )
        return (step / VERILOG).read_text(encoding="utf-8")


def _convert(workspace: Workspace, netlist: Path, folder: Path) -> None:
    shutil.copy(netlist, folder / NETLIST)
    yowasp.run(
        "yosys",
        ["-q", "-p", SCRIPT],
        folder=folder,
        log=workspace.folder / "netlist-verilog.log",
        limit_s=LIMIT_S,
        progress=workspace.progress,
    )
    (folder / NETLIST).unlink()
