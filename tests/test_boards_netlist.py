import pytest

from shiftwork.boards.flow import FLOWS
from shiftwork.boards.netlist import count_blocks


def cell(kind, *, source="", path="", inputs=(), outputs=()):
    return {
        "type": kind,
        "attributes": {"src": source, "hdlname": path},
        "port_directions": {"I": "input", "O": "output"},
        "connections": {"I": list(inputs), "O": list(outputs)},
    }


def scope(lines):
    return {"type": "$scopeinfo", "attributes": {"module_src": f"core.v:{lines}"}}


SCOPES = {
    "core": scope("1.1-99.10"),
    "core.array": scope("100.1-200.10"),
    "core.pe": scope("201.1-300.10"),
    "core.memory": scope("301.1-400.10"),
}
COUNTS = {"lut": 0, "ff": 0, "bram": 0, "dsp": 0, "spram": 0}


def count(cells):
    netlist = {"modules": {"top": {"cells": SCOPES | cells}}}
    return count_blocks(netlist, FLOWS["ice40up"], "top")


@pytest.mark.parametrize(
    ("name", "attributes", "block"),
    [
        ("busy", {"source": "core.v:150.3-150.9|/share/ff_map.v:2.1-2.9"}, "array"),
        ("busy", {"source": "/share/map.v:2.1-2.9|core.v:10.3-10.9"}, "core"),
        ("core.pe.mac", {"path": "core pe mac", "source": "core.v:150.3-150.9"}, "pe"),
        ("core.memory.bank.0", {"source": "/share/brams_map.v:204.1-204.9"}, "memory"),
        ("core.bank", {}, "core"),
        ("core.token.valid", {}, "core"),
        ("$auto$1", {}, "core"),
    ],
)
def test_block(name, attributes, block):
    assert count({name: cell("SB_MAC16", **attributes)}) == {block: COUNTS | {"dsp": 1}}


def test_lookup_tables_go_with_their_readers():
    counts = count(
        {
            "a": cell("SB_LUT4", inputs=[2], outputs=[3]),
            "b": cell("SB_LUT4", inputs=[3, "1"], outputs=[4]),
            "c": cell("SB_DFF", inputs=[4], outputs=[5], source="core.v:120.1-120.5"),
        }
    )
    assert counts == {"array": COUNTS | {"lut": 2, "ff": 1}}


def test_other_cells_do_not_count():
    assert count({"x": cell("SB_CARRY")}) == {}
