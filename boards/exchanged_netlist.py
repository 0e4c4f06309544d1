"""What is in the bitstream of an engine with a network, as a design that can be simulated.

The cells and wires are those of the netlist that was placed and routed; the contents of each block
RAM are those that the routed design has where the cell was placed.
"""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shiftwork.boards import yowasp
from shiftwork.boards.block_rams import BLOCK_RAMS, BlockRams
from shiftwork.boards.board import Board
from shiftwork.boards.board_top import TOP, platform_of
from shiftwork.boards.engine_core import EngineCore, random_core
from shiftwork.boards.engine_shell import EngineShell
from shiftwork.boards.flow import ROUTED_DESIGN
from shiftwork.boards.host_shell import TOP as HOST
from shiftwork.boards.registry import find
from shiftwork.boards.rom_places import block_cells, block_place
from shiftwork.boards.routed_engine import PLACED, load_engine, read_module
from shiftwork.boards.routing import NETLIST
from shiftwork.boards.whole_design import FASTEST_STEPS, STEPS
from shiftwork.errors import DataError
from shiftwork.workspace import file_digest

LIMIT_S = 600.0
SIMULATED = "simulated.json"
VERILOG = "simulated.v"
PLL_PORTS = {"pll_clock": ("PLLOUTGLOBAL", "CLKOP"), "pll_locked": ("LOCK",)}
"""New ports in place of the PLL, and the PLL's ports that they stand for."""
PADS = {
    "SB_IO": ("PACKAGE_PIN", "D_IN_0", "D_OUT_0"),
    "TRELLIS_IO": ("B", "O", "I"),
    "IB": ("I", "O", ""),
    "OB": ("O", "", "I"),
}
"""Of a pad the port of its pin, that to the design, and that from the design."""


class ExchangedNetlist(EngineShell):
    """The netlist of a routed engine with the contents of a routed design's block RAMs.

    It has the ports of :class:`shiftwork.boards.host_shell.HostShell`; pads and PLL are left out,
    the button is not pressed.

    Parameters:
        engine: folder of the engine.
        routed: text of a routed design, as the packer reads it or as it is unpacked from a
            bitstream.

    Raises:
        DataError: if there is no engine, or if its folder does not hold the steps that made it.
        ToolError: from :meth:`verilog`, if yosys is missing or fails.
    """

    def __init__(self, *, engine: str | Path, routed: str) -> None:
        found, _ = load_engine(engine)
        self.board = find(found.board)
        self.routed = routed
        self._netlist, self._placed = _steps(Path(engine), found.seed, found.routed)
        core: EngineCore = random_core(found.config)
        super().__init__(core=core, clock_hz=found.setting.hertz, baud=found.baud)

    def verilog(self) -> str:
        """Verilog of the netlist in a module with the host shell's name."""
        module = read_module(self._netlist)
        placed = read_module(self._placed)["cells"]
        _fill(module["cells"], placed, self.routed, BLOCK_RAMS[self.board.family])
        open_pads(module)
        with tempfile.TemporaryDirectory(prefix="shiftwork-") as name:
            folder = Path(name)
            (folder / SIMULATED).write_text(json.dumps({"modules": {TOP: module}}))
            yowasp.run(
                "yosys",
                ["-q", "-p", f"read_json {SIMULATED}; write_verilog -noattr {VERILOG}"],
                folder=folder,
                log=folder / "yosys.log",
                limit_s=LIMIT_S,
                progress=lambda _: None,
            )
            text = (folder / VERILOG).read_text()
        return text + host_wrapper(module["ports"], self.board)


def _steps(folder: Path, seed: int, routed: str) -> tuple[Path, Path]:
    """The netlist and the placed netlist of the steps that made the routed design."""
    for prefix in (STEPS, FASTEST_STEPS):
        step = folder / f"{prefix}route-{seed}"
        design = step / ROUTED_DESIGN
        if design.exists() and file_digest(design) == routed:
            return folder / f"{prefix}netlist" / NETLIST, step / PLACED
    raise DataError(
        f"the netlist of the engine is not in {folder}: its steps have been removed; make the "
        "engine again with 'shiftwork engine'"
    )


def _fill(
    cells: Mapping[str, Any], placed: Mapping[str, Any], routed: str, rams: BlockRams
) -> None:
    """Gives every block RAM what the routed design has at its place."""
    blocks = rams.read(routed)
    for name, cell in block_cells(cells, rams).items():
        rams.set_bits(cell, blocks[block_place(name, placed, rams)])


def open_pads(module: dict[str, Any]) -> None:
    """Makes the inner sides of the pads and of the PLL ports of the module."""
    ports, cells = module["ports"], module["cells"]
    pins = {tuple(port["bits"]): name for name, port in ports.items()}
    for name, cell in list(cells.items()):
        wires = cell["connections"]
        if cell["type"] in PADS:
            pin, to_design, from_design = PADS[cell["type"]]
            inward = bool(wires.get(to_design))
            inner = wires[to_design if inward else from_design]
            _set_port(module, pins[tuple(wires[pin])], inner, inward=inward)
        elif "LOCK" in wires:
            for port, sources in PLL_PORTS.items():
                inner = next(wires[source] for source in sources if wires.get(source))
                _set_port(module, port, inner, inward=True)
        else:
            continue
        del cells[name]


def _set_port(module: dict[str, Any], port: str, bits: list[int], *, inward: bool) -> None:
    module["ports"][port] = {"direction": "input" if inward else "output", "bits": bits}
    module["netnames"][port] = {"hide_name": 0, "bits": bits, "attributes": {}}


def host_wrapper(ports: Mapping[str, Any], board: Board) -> str:
    """A module with the ports of the host shell around the board's."""
    uart = board.uart.replace(" ", "_")
    inner = {"pll_clock": "clk", "pll_locked": "1'b1", f"{uart}__rx": "rx", f"{uart}__tx": "tx"}
    for resource, signal in zip(board.leds, ("busy", "error"), strict=False):
        inner[_port(resource)] = f"{signal}_pin"
    inverted = {resource: _inverted(board, resource) for resource in board.leds}
    if board.reset:
        inner[_port(board.reset)] = f"1'b{int(_inverted(board, board.reset))}"
    connections = ", ".join(
        f".{name}({inner[name.removesuffix('__io')]})"
        for name in ports
        if name.removesuffix("__io") in inner
    )
    assigns = "".join(
        f"    wire {signal}_pin;\n    assign {signal} = "
        + (f"{'~' if inverted[resource] else ''}{signal}_pin;\n" if resource else "1'b0;\n")
        for signal, resource in zip(("busy", "error"), (*board.leds, "", "")[:2], strict=True)
    )
    return (
        f"\nmodule {HOST} (input clk, input rst, input rx, output tx, output busy, output error);\n"
        f"{assigns}    {TOP} board ({connections});\nendmodule\n"
    )


def _port(resource: str) -> str:
    """The name of the port that Amaranth's platform gives a resource, without its suffix."""
    name, number, *path = resource.split()
    return "__".join((f"{name}_{number}", *path))


def _inverted(board: Board, resource: str) -> bool:
    """Whether a resource is active while its pin is low."""
    name, number, *path = resource.split()
    found = platform_of(board).lookup(name, int(number))
    for part in path:
        found = next(inner for inner in found.ios if inner.name == part)
    return bool(found.ios[0].invert)
