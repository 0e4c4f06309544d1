from typing import Any

from shiftwork.boards.flow import FLOWS
from shiftwork.boards.packing import count_packed

TOP = "top"


def cell(kind: str, inputs: dict[str, Any], outputs: dict[str, Any]) -> dict[str, Any]:
    directions = dict.fromkeys(inputs, "input") | dict.fromkeys(outputs, "output")
    return {
        "type": kind,
        "attributes": {},
        "port_directions": directions,
        "connections": {port: [bit] for port, bit in (inputs | outputs).items()},
    }


def packed(cells: dict[str, Any], family: str, outputs: tuple[int, ...] = ()) -> dict[str, int]:
    ports = {"o": {"direction": "output", "bits": list(outputs)}}
    netlist = {"modules": {TOP: {"cells": cells, "ports": ports}}}
    return count_packed(netlist, FLOWS[family], TOP)["core"]


def test_a_flip_flop_shares_the_cell_of_a_lookup_table_that_drives_nothing_else() -> None:
    cells = {
        "lut": cell("SB_LUT4", {"I0": 2}, {"O": 3}),
        "ff": cell("SB_DFF", {"D": 3}, {"Q": 4}),
    }
    assert packed(cells, "ice40up") | {"bram": 0} == {
        **dict.fromkeys(("bram", "dsp", "spram"), 0),
        "lut": 1,
        "ff": 1,
    }
    assert packed(cells, "ice40up", outputs=(3,))["lut"] == 2


def test_a_lookup_table_that_drives_another_input_of_a_flip_flop_stands_alone() -> None:
    cells = {
        "lut": cell("SB_LUT4", {"I0": 2}, {"O": 3}),
        "ff": cell("SB_DFFE", {"D": 2, "E": 3}, {"Q": 4}),
    }
    assert packed(cells, "ice40up")["lut"] == 2


def test_carries_take_some_cells_of_their_own() -> None:
    carries = {
        f"carry_{i}": cell("SB_CARRY", {"CI": 10 + i, "I0": 2, "I1": 3}, {"CO": 11 + i})
        for i in range(100)
    }
    assert packed(carries | {"lut": cell("SB_LUT4", {"I0": 2}, {"O": 3})}, "ice40up")["lut"] == 8


def test_a_chain_of_carries_has_a_cell_before_it_and_one_behind_it() -> None:
    cells = {
        "first": cell("CCU2C", {"CIN": "0"}, {"COUT": 5}),
        "second": cell("CCU2C", {"CIN": 5}, {"COUT": 6}),
        "lut": cell("LUT4", {"A": 2}, {"Z": 3}),
        "ff": cell("TRELLIS_FF", {"DI": 3}, {"Q": 4}),
    }
    constants, lut = 2, 1
    assert packed(cells, "ecp5")["lut"] == constants + lut + 2 * 2 + 2 * 2
    assert packed(cells, "ecp5")["ff"] == 1
    cells["lut"] = cell("LUT4", {"A": 5}, {"Z": 3})
    assert packed(cells, "ecp5")["lut"] == constants + lut + 2 * 2 + 2 * 2
