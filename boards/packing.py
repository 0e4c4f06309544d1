"""Counts a netlist's logic as nextpnr packs it, without placing anything.

On iCE40 a logic cell holds a lookup table, a flip-flop and a carry; a flip-flop goes with a lookup
table that drives nothing else. On ECP5 a flip-flop costs no lookup table, but every carry chain has
a cell before it and one behind it, and one more wherever a carry is used within it.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from shiftwork.boards.flow import Flow
from shiftwork.boards.netlist import CORE, count_blocks

Cell = Mapping[str, Any]
ICE40_LONE_CARRIES = 0.07
"""Logic cells for carries beside those of lookup tables, as a share of all carries: nextpnr's
count, which depends on its order of packing, is met within 0.5 % of all logic cells."""
ECP5_CONSTANTS = 2
"""Lookup tables for the constants 0 and 1."""
PACKED = "PACKED_"
CHAIN, USED_CARRY = "CHAIN_CCU2C", "USED_CCU2C"
ECP5_LUTS = {"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 6, CHAIN: 6, USED_CARRY: 4}


def count_packed(netlist: Mapping[str, Any], flow: Flow, top: str) -> dict[str, dict[str, int]]:
    """Units of each block, by resource: as ``count_blocks``, with ``lut`` as nextpnr reports it.

    Args:
        netlist: of yosys' ``write_json``, after synthesis.
        flow: names the cells of the family.
        top: name of the top module.
    """
    module = netlist["modules"][top]
    ice40 = "SB_LUT4" in flow.cells["lut"]
    types = _ice40_types(module) if ice40 else _ecp5_types(module)
    renamed = {
        name: {**cell, "type": types.get(name, cell["type"])}
        for name, cell in module["cells"].items()
    }
    packed = {"modules": {top: {**module, "cells": renamed}}}
    if not ice40:
        counting = replace(flow, cells={**flow.cells, "lut": ECP5_LUTS})
        blocks = count_blocks(packed, counting, top)
        return _plus(blocks, "lut", ECP5_CONSTANTS)
    lone = {PACKED + kind: 1 for kind in ("LUT4", "DFF")}
    blocks = count_blocks(packed, replace(flow, cells={**flow.cells, "lut": lone}), top)
    registers = count_blocks(netlist, flow, top)
    merged = {
        block: {**counts, "ff": registers.get(block, {}).get("ff", 0)}
        for block, counts in blocks.items()
    }
    carries = sum(cell["type"] == "SB_CARRY" for cell in module["cells"].values())
    return _plus(merged, "lut", round(ICE40_LONE_CARRIES * carries))


def _plus(
    blocks: dict[str, dict[str, int]], resource: str, units: int
) -> dict[str, dict[str, int]]:
    """The counts with some units more in the block "core"."""
    core = dict(blocks.get(CORE, {}))
    core[resource] = core.get(resource, 0) + units
    return {**blocks, CORE: core}


def _users(module: Mapping[str, Any]) -> dict[int, list[tuple[str, str]]]:
    """For each bit the cells and ports that read it; a port of the module has no cell."""
    users = defaultdict(list)
    for name, cell in module["cells"].items():
        for port, bits in cell["connections"].items():
            if cell.get("port_directions", {}).get(port) == "input":
                for bit in bits:
                    users[bit].append((name, port))
    for port, entry in module["ports"].items():
        if entry["direction"] == "output":
            for bit in entry["bits"]:
                users[bit].append(("", port))
    return users


def _ice40_types(module: Mapping[str, Any]) -> dict[str, str]:
    """New types for what takes a logic cell of its own."""
    cells, users = module["cells"], _users(module)
    types = {
        name: PACKED + "DFF" for name, cell in cells.items() if cell["type"].startswith("SB_DFF")
    }
    for name, cell in cells.items():
        if cell["type"] != "SB_LUT4":
            continue
        types[name] = PACKED + "LUT4"
        readers = users[cell["connections"]["O"][0]]
        if len(readers) == 1 and readers[0][1] == "D" and readers[0][0] in types:
            types[readers[0][0]] = PACKED + "WITH_LUT4"
    return types


def _ecp5_types(module: Mapping[str, Any]) -> dict[str, str]:
    """New types for carry cells that begin a chain, or whose carry logic uses."""
    users = _users(module)
    types = {}
    for name, cell in module["cells"].items():
        if cell["type"] != "CCU2C":
            continue
        readers = Counter(port for _, port in users.get(cell["connections"]["COUT"][0], []))
        if not isinstance(cell["connections"]["CIN"][0], int):
            types[name] = CHAIN
        elif readers["CIN"] and len(readers) > 1:
            types[name] = USED_CARRY
    return types
