"""Stands in for yosys, nextpnr and icepack where engines are made: ROMs become block RAMs."""

import json
from collections.abc import Mapping

import numpy as np

from shiftwork.boards.block_rams import Ice40BlockRams
from shiftwork.boards.board_top import TOP, Sources
from shiftwork.boards.engine_core import EngineCore, RomContents, random_core
from shiftwork.hw.config import ArrayConfig

RAMS = Ice40BlockRams()
EMPTY = ("0" * 64 + "\n") * 16
PINS = "set_io clk 35\n"


def cells_of(roms: Mapping[str, RomContents]) -> dict[str, dict]:
    """A netlist's block RAMs with those contents, as closely as they go."""
    cells = {}
    for name, rom in roms.items():
        columns = [
            [word >> bit & 1 for word in rom.words[first : first + 256]]
            for first in range(0, len(rom.words), 256)
            for bit in range(rom.width)
        ]
        for first in range(0, len(columns), 16):
            rows = np.zeros((256, 16), np.uint8)
            for place, column in enumerate(columns[first : first + 16]):
                rows[:, place] = column
            cell = {"type": RAMS.cell, "parameters": {"READ_MODE": "0"}, "connections": {}}
            RAMS.set_bits(cell, rows.reshape(-1))
            cells[f"{name}.{first // 16}"] = cell
    return cells


def placed_of(cells: Mapping[str, dict]) -> dict[str, dict]:
    """The same as nextpnr writes it, each cell with its place."""
    return {
        f"{name}_RAM": {"attributes": {"NEXTPNR_BEL": f"X6/Y{2 * index + 1}/ram"}}
        for index, name in enumerate(cells)
    }


def routed_of(cells: Mapping[str, dict]) -> str:
    """The routed design, with other things around the block RAMs."""
    places = [RAMS.place(cell) for cell in placed_of(cells).values()]
    text = ".comment engine\n.device 5k\n\n" + "".join(
        f".ramb_tile {place}\n0101\n\n.ram_data {place}\n{EMPTY}\n" for place in places
    )
    contents = {p: RAMS.bits(c) for p, c in zip(places, cells.values(), strict=True)}
    return RAMS.write(text, contents) + ".sym 1 clk\n"


class EngineTools:
    """What tools do for an engine of a configuration; remembers which of them were run."""

    def __init__(self, config: ArrayConfig, *, fmax: float = 40.0) -> None:
        self.cells = cells_of(random_core(config).roms)
        self.fmax = fmax
        self.calls: list[str] = []
        self.design = "the design"

    def sources(self, core: EngineCore, *, board, setting, baud) -> Sources:
        assert core.roms == random_core(core.array_config).roms
        return Sources(rtlil=f"{self.design} {setting} {baud}", constraints=PINS)

    def run(self, tool, arguments, *, folder, log, limit_s, progress, toolchain) -> None:
        assert limit_s > 0
        self.calls.append(tool)
        log.write_text("")
        if tool == "yosys":
            netlist = {"modules": {TOP: {"cells": self.cells}}}
            (folder / "netlist.json").write_text(json.dumps(netlist))
        elif tool == "nextpnr-ice40":
            record = {
                "fmax": {"clk": {"achieved": self.fmax}},
                "utilization": {"ICESTORM_LC": {"used": 5}},
            }
            (folder / "nextpnr.json").write_text(json.dumps(record))
            placed = {"modules": {"top": {"cells": placed_of(self.cells)}}}
            (folder / arguments[arguments.index("--write") + 1]).write_text(json.dumps(placed))
            (folder / "routed.txt").write_text(routed_of(self.cells))
        else:
            assert tool == "icepack"
            (folder / arguments[-1]).write_bytes(b"packed\n" + (folder / "routed.txt").read_bytes())
