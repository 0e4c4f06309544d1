"""Utilization of FPGAs that are not placed and routed for."""

import json
from collections import Counter

import pytest

from shiftwork import __main__
from shiftwork.boards import utilization as module
from shiftwork.boards.accelerator import Accelerator
from shiftwork.boards.registry import BoardError
from shiftwork.boards.synthesis import TOP
from shiftwork.boards.utilization import FLOWS, utilization
from shiftwork.sim.example_programs import dense_net


def cell(kind):
    return {"type": kind, "connections": {}, "attributes": {}}


@pytest.fixture
def netlist(monkeypatch, tmp_path):
    """Stands in for yosys: a netlist with some of each kind of cell."""
    kinds = ["LUT2"] * 3 + ["LUT6", "INV", "SRL16E", "RAM32M"] + ["FDRE"] * 5 + ["FDSE", "CARRY4"]
    kinds += ["RAMB18E1"] * 2 + ["RAMB36E1", "DSP48E1", "MUXF7", "$scopeinfo"]
    cells = {f"cell{number}": cell(kind) for number, kind in enumerate(kinds)}
    path = tmp_path / "netlist.json"
    path.write_text(json.dumps({"modules": {TOP: {"cells": cells}}}))
    monkeypatch.setattr(module, "make_netlist", lambda *_: path)


@pytest.mark.usefixtures("netlist")
def test_counts_cells(tmp_path):
    accelerator = Accelerator(dense_net(), rows=1, columns=4)
    found = utilization(accelerator, "xilinx7", folder=tmp_path / "out")
    # RAM32M takes four lookup tables, RAMB36E1 two block RAMs of 18 kbit.
    assert (found.lut, found.ff, found.bram, found.dsp) == (3 + 1 + 1 + 1 + 4, 6, 4, 1)
    assert (found.state, found.rows, found.columns) == ("not placed", 1, 4)
    assert found.cycles == accelerator.schedule.cycles
    record = json.loads((tmp_path / "out" / "utilization.json").read_text())
    assert record == found.as_dict()


def test_an_accelerator_for_a_board_is_refused(tmp_path):
    accelerator = Accelerator(dense_net(), board="icebreaker", rows=1, columns=4)
    text = "made for the family 'ice40up' and has its primitives, which Xilinx 7 series lacks"
    with pytest.raises(BoardError, match=text):
        utilization(accelerator, "xilinx7", folder=tmp_path / "out")


@pytest.mark.usefixtures("netlist")
def test_the_command(tmp_path, capsys):
    dense_net().save(tmp_path / "net.npz")
    arguments = ["utilization", str(tmp_path / "net.npz"), "-o", str(tmp_path / "out")]
    assert __main__.run([*arguments, "--rows", "1", "--columns", "4"]) == 0
    text = capsys.readouterr().out
    assert "dense_net on Xilinx 7 series: not placed" in text
    assert "block RAMs (18 kbit)" in text
    assert __main__.run([*arguments, "--elements", "8", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["series"], record["state"], record["dsp"]) == ("xilinx7", "not placed", 1)
    assert __main__.run([*arguments, "--series", "stratix"]) == 2
    assert "unknown series 'stratix'; there is xilinx7" in " ".join(capsys.readouterr().err.split())


@pytest.mark.slow
def test_yosys_makes_the_netlist(tmp_path):
    accelerator = Accelerator(dense_net(), rows=1, columns=2)
    found = utilization(accelerator, "xilinx7", folder=tmp_path / "out")
    assert found.dsp == 2
    assert found.lut > 500
    netlist = json.loads((tmp_path / "out" / "netlist" / "netlist.json").read_text())
    kinds = Counter(entry["type"] for entry in netlist["modules"][TOP]["cells"].values())
    uncounted = {kind for kind in kinds if FLOWS["xilinx7"].resource(kind) is None}
    assert uncounted <= {"$scopeinfo", "CARRY4", "MUXF7", "MUXF8", "BUFG"}
