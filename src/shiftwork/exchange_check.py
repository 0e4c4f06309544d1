"""Whether the bitstream of an exchanged network computes what it should, found without a board."""

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from shiftwork.boards import yowasp
from shiftwork.boards.bitstream import Bitstream
from shiftwork.boards.exchanged_netlist import ExchangedNetlist
from shiftwork.link import compare, connect
from shiftwork.quant.program import Program
from shiftwork.sim.link_simulator import SimulatedBoard
from shiftwork.workspace import Progress, silent

UNPACKED = "unpacked.txt"
UNPACKERS = {
    ".bin": ("iceunpack", ("{file}", UNPACKED)),
    ".bit": ("ecpunpack", ("--input", "{file}", "--textcfg", UNPACKED)),
}
LIMIT_S = 300.0
TIMEOUT_S = 60.0
START_S = 3.0
"""Most simulated boards are out of their reset by then; a request that is lost is repeated."""


def unpacked(bitstream: Path) -> str:
    """The routed design that a bitstream holds.

    Raises:
        ToolError: if the tool is missing or fails.
    """
    tool, arguments = UNPACKERS[bitstream.suffix]
    with tempfile.TemporaryDirectory(prefix="shiftwork-") as name:
        folder = Path(name)
        shutil.copy(bitstream, folder)
        yowasp.run(
            tool,
            [argument.format(file=bitstream.name) for argument in arguments],
            folder=folder,
            log=folder / "unpack.log",
            limit_s=LIMIT_S,
            progress=lambda _: None,
        )
        return (folder / UNPACKED).read_text(encoding="utf-8")


def verify_exchange(
    program: Program,
    x: NDArray,
    made: Bitstream,
    *,
    engine: str | Path,
    folder: str | Path,
    limit: int | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Simulates the routed netlist with the contents of the bitstream, over its link to the host.

    Args:
        program: the network.
        x: real samples, in the source model's layout.
        made: what ``exchange`` returned.
        engine: folder of the engine.
        folder: of the bitstream.
        limit: use only that many of the samples.
        progress: is told what happens.

    Returns:
        As of :func:`shiftwork.link.compare`, with ``cycles_predicted`` and ``cycles_measured``,
        the cycles of each inference.

    Raises:
        DataError: if the engine's folder lacks the netlist.
        LinkError: if the simulated board does not answer, or holds another network.
        ToolError: if a tool is missing or fails.
    """
    progress("unpacking the bitstream")
    netlist = ExchangedNetlist(engine=engine, routed=unpacked(Path(folder) / made.file))
    progress("building a simulator of the routed netlist")
    with SimulatedBoard(netlist) as board:
        time.sleep(START_S)
        with connect(board.port, program, timeout_s=TIMEOUT_S) as link:
            result = link.run(x, limit=limit, progress=progress)
    found = compare(program, x, result)
    return found | {"cycles_predicted": made.cycles, "cycles_measured": result.cycles.tolist()}
