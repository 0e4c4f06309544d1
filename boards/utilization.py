"""What an accelerator takes of an FPGA that Shiftwork cannot build for, to compare with others.

Counted in the netlist that yosys makes; nothing is placed or routed, and no clock is known.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from shiftwork.boards.flow import Flow
from shiftwork.boards.netlist import count_cells
from shiftwork.boards.registry import BoardError
from shiftwork.boards.synthesis import TOP, make_netlist
from shiftwork.workspace import Progress, Workspace, silent, versions, write_text

if TYPE_CHECKING:
    from shiftwork.boards.accelerator import Accelerator

Series = Literal["xilinx7"]
TITLES: dict[Series, str] = {"xilinx7": "Xilinx 7 series"}
RECORD = "utilization.json"
NOT_PLACED = "not placed"

FLOWS: dict[Series, Flow] = {
    "xilinx7": Flow(
        synth="synth_xilinx -family xc7 -flatten -noiopad -noclkbuf",
        # What would place and route is not there.
        nextpnr="",
        pins=(),
        routed=(),
        pack=(),
        suffix="",
        packages=(),
        utilization={},
        cells={
            # A lookup table has 6 inputs; those that are small RAMs or shift registers count too.
            "lut": {
                "LUT*": 1,
                "INV": 1,
                "SRL*": 1,
                "RAM32X1S": 1,
                "RAM64X1S": 1,
                "RAM32X1D": 2,
                "RAM64X1D": 2,
                "RAM128X1S": 2,
                "RAM128X1D": 4,
                "RAM256X1S": 4,
                "RAM32M": 4,
                "RAM64M": 4,
            },
            "ff": {"FD*": 1},
            "bram": {"RAMB18E1": 1, "RAMB36E1": 2},
            "dsp": {"DSP48E1": 1},
        },
    )
}


@dataclass(frozen=True, kw_only=True)
class Utilization:
    """Cells of a netlist.

    Attributes:
        network: name of the program.
        series: of FPGAs.
        state: that it was not placed.
        rows, columns: of the array.
        cycles: of an inference.
        lut: lookup tables of 6 inputs, those among them that are RAM or shift registers.
        ff: flip-flops.
        bram: block RAMs of 18 kbit; one of 36 kbit counts as two.
        dsp: multiplier blocks.
        versions: of Shiftwork and the tools.
    """

    network: str
    series: Series
    state: str = NOT_PLACED
    rows: int
    columns: int
    cycles: int
    lut: int
    ff: int
    bram: int
    dsp: int
    versions: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def utilization(
    accelerator: "Accelerator",
    series: Series,
    *,
    folder: str | Path,
    progress: Progress = silent,
) -> Utilization:
    """Synthesizes a portable accelerator for a series of FPGAs; writes ``utilization.json``.

    The netlist is taken from ``folder`` if its inputs are unchanged.

    Args:
        accelerator: one that was made for no board.
        series: of FPGAs.
        folder: for all files.
        progress: is told what happens.

    Raises:
        BoardError: if the accelerator was made for a board, with that family's primitives.
        ToolError: if yosys is missing, fails or takes too long.
        OutputError: if the folder cannot be written.
    """
    family = accelerator.config.shape.family
    if family != "generic":
        raise BoardError(
            f"the accelerator was made for the family '{family}' and has its primitives, which "
            f"{TITLES[series]} lacks; make it without a board"
        )
    flow, shape = FLOWS[series], accelerator.config.shape
    with Workspace(folder, progress=progress) as workspace:
        netlist = make_netlist(workspace, accelerator, flow)
        cells = count_cells(json.loads(netlist.read_text(encoding="utf-8")), flow, TOP)
        found = Utilization(
            network=accelerator.program.name,
            series=series,
            rows=shape.rows,
            columns=shape.columns,
            cycles=accelerator.schedule.cycles,
            lut=cells["lut"],
            ff=cells["ff"],
            bram=cells["bram"],
            dsp=cells["dsp"],
            versions=versions(),
        )
        write_text(workspace.folder / RECORD, json.dumps(found.as_dict(), indent=2) + "\n")
    return found
