"""The code of docs/adding_a_board.md: a board of one's own works through the commands."""

import importlib
import json
import re
import shlex
import sys
from pathlib import Path
from types import ModuleType

import pytest
from docs_pages import ROOT, blocks, commands, pages

from shiftwork import __main__
from shiftwork.boards import registry
from shiftwork.boards.accelerator import Accelerator
from shiftwork.boards.board_top import make_sources
from shiftwork.boards.pll import pll_setting
from shiftwork.sim.example_programs import small_cnn

PAGE = "docs/adding_a_board.md"
LISTED, OWN = (block.code for block in blocks(PAGE, "python"))


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The board's file, as a module of the package."""
    path = tmp_path / "my_board.py"
    path.write_text(OWN)
    name = "shiftwork.boards.my_board"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, found)
    spec.loader.exec_module(found)
    monkeypatch.chdir(tmp_path)
    return found


def test_the_first_example_is_the_file_of_the_package() -> None:
    assert (ROOT / "boards" / "ulx3s_25f.py").read_text() == LISTED


def test_the_command_generates_for_the_new_board(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small_cnn().save("net.npz")
    (block,) = blocks(PAGE, "sh")[:1]
    (line,) = commands(block.code)
    program, *arguments = shlex.split(line)
    assert program == "shiftwork"
    assert __main__.run(arguments) == 1
    assert "unknown board 'my-board'" in capsys.readouterr().err
    monkeypatch.setattr(registry, "BOARDS", (*registry.BOARDS, module.MY_BOARD))
    assert __main__.run([*arguments, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert 1 <= record["rows"] * record["columns"] <= module.MY_BOARD.max_elements
    assert Path("verilog/core.v").is_file()


def test_the_design_of_the_new_board_has_its_pins(module: ModuleType) -> None:
    board = module.MY_BOARD
    accelerator = Accelerator(small_cnn(), board=board, rows=1, columns=1)
    setting = pll_setting(board, board.target_mhz)
    assert float(setting.mhz) == board.target_mhz
    sources = make_sources(accelerator, board=board, setting=setting, baud=115_200)
    pins = set(re.findall(r'^LOCATE COMP "\S+" SITE "(\S+)";', sources.constraints, re.MULTILINE))
    assert pins == {"P3", "U16", "H18", "J17"}


def test_every_file_that_is_named_exists() -> None:
    mine = {"boards/my_board.py"}
    for name in set(re.findall(r"`(\w+/\w+\.py)`", pages()[PAGE])) - mine:
        assert (ROOT / name).is_file(), name
