"""The PLLs' settings against the families' own tools, and their primitives."""

import re
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
from amaranth import Module, Signal
from amaranth.back import rtlil

from shiftwork.boards import yowasp
from shiftwork.boards.pll import add_pll, pll_setting
from shiftwork.boards.registry import BOARDS, BoardError, find

GOWIN_PLL = shutil.which("gowin_pll", path=str(Path(sys.executable).parent))
GOWIN_PARTS = {"tang-nano-9k": "GW1NR-9 C6/I5", "tang-nano-20k": "GW2AR-18 C8/I7"}


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
@pytest.mark.parametrize("asked", [20.0, 36.0, 47.9, 50.0, 61.3])
def test_never_faster_than_asked_and_not_much_slower(board, asked):
    setting = pll_setting(board, asked)
    assert 0.93 * asked < setting.mhz <= asked
    assert setting.hertz == round(setting.mhz * 1_000_000)


@pytest.mark.parametrize(
    ("board", "asked", "mhz"),
    [
        ("icebreaker", 36.0, 36),
        ("icebreaker", 40.0, Fraction("39.75")),
        ("ulx3s-25f", 50.0, 50),
        ("orangecrab", 50.0, 48),
        ("tang-nano-9k", 54.0, 54),
        ("tang-nano-20k", 60.0, 60),
    ],
)
def test_the_clock(board, asked, mhz):
    assert pll_setting(find(board), asked).mhz == mhz


@pytest.mark.parametrize(("board", "slowest"), [("icebreaker", "8.438"), ("ulx3s-25f", "3.125")])
def test_a_clock_that_is_too_slow(board, slowest):
    with pytest.raises(BoardError) as caught:
        pll_setting(find(board), 1.0)
    source = find(board).oscillator_mhz
    assert str(caught.value) == (
        f"the PLL of {board} makes no clock of 1 MHz from its {source:g} MHz oscillator; "
        f"its slowest is {slowest} MHz (--clock)"
    )


def run(tool: str, *arguments: str, folder: Path) -> str:
    log = folder / "log"
    yowasp.run(tool, arguments, folder=folder, log=log, limit_s=300, progress=lambda _: None)
    return log.read_text()


@pytest.mark.parametrize("asked", [36.0, 48.0, 30.75, 99.0])
def test_icepll_sets_it_likewise(tmp_path, asked):
    setting = pll_setting(find("icebreaker"), asked)
    run("icepll", "-i", "12", "-o", str(float(setting.mhz)), "-m", "-f", "pll.v", folder=tmp_path)
    found = re.findall(r"// (\w+) =\s+(\d+)", (tmp_path / "pll.v").read_text())
    assert setting.mhz == asked
    assert setting.parameters == {name: int(value) for name, value in found}


@pytest.mark.parametrize(
    ("board", "asked"), [("ulx3s-25f", 50.0), ("ulx3s-25f", 62.5), ("orangecrab", 86.4)]
)
def test_ecppll_sets_it_likewise(tmp_path, board, asked):
    setting = pll_setting(find(board), asked)
    source = f"{find(board).oscillator_mhz:g}"
    run("ecppll", "-i", source, "-o", str(asked), "-f", "pll.v", folder=tmp_path)
    text = (tmp_path / "pll.v").read_text()
    found = {name: int(value) for name, value in re.findall(r"\.(\w+)\((\d+)\)", text)}
    assert setting.mhz == Fraction(str(asked))
    assert setting.parameters == {name: found[name] for name in setting.parameters}
    # The tool truncates a product of floating point numbers.
    assert setting.parameters["CLKOP_DIV"] // 2 - found["CLKOP_CPHASE"] in (0, 1)


@pytest.mark.skipif(GOWIN_PLL is None, reason="needs the packages of shiftwork[gowin]")
@pytest.mark.parametrize("board", GOWIN_PARTS)
@pytest.mark.parametrize("asked", [36.0, 54.0, 60.75])
def test_gowin_pll_sets_it_likewise(board, asked):
    setting = pll_setting(find(board), asked)
    arguments = ["-i", "27", "-o", str(float(setting.mhz)), "-d", GOWIN_PARTS[board]]
    text = subprocess.run([GOWIN_PLL, *arguments], capture_output=True, text=True, check=True)
    found = re.findall(r"\.(\w+_SEL)\((\d+)\)", text.stdout)
    assert setting.parameters == {name: int(value) for name, value in found}


@pytest.mark.parametrize(
    ("board", "cell", "parameters"),
    [
        ("upduino3", "SB_PLL40_CORE", {"DIVF": "47", "DIVQ": "4"}),
        ("ulx3s-25f", "EHXPLLL", {"CLKFB_DIV": "2", "CLKOP_DIV": "12", "CLKOP_CPHASE": "6"}),
        ("tang-nano-9k", "rPLL", {"FBDIV_SEL": "1", "IDIV_SEL": "0", "ODIV_SEL": "8"}),
    ],
)
def test_the_primitive(board, cell, parameters):
    m, source, clock, locked = Module(), Signal(), Signal(), Signal()
    setting = pll_setting(find(board), find(board).target_mhz)
    add_pll(m, board=find(board), setting=setting, source=source, clock=clock, locked=locked)
    text = rtlil.convert(m, ports=[source, clock, locked], emit_src=False)
    assert text.count(f"cell \\{cell} ") == 1
    for name, value in parameters.items():
        assert re.search(rf"parameter (?:signed )?\\{name} {value}\n", text), (name, text)
