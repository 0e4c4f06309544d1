import os
import time
from pathlib import Path

import pytest

from shiftwork.boards import yowasp
from shiftwork.errors import ToolError
from shiftwork.workspace import silent


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """Makes an executable ``yowasp-tool`` that runs the given shell lines."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def make(lines):
        script = folder / "yowasp-tool"
        script.write_text(f"#!/bin/sh\n{lines}\n")
        script.chmod(0o755)

    return make


def run(tmp_path, *arguments, limit_s=20.0, progress=silent):
    yowasp.run(
        "tool",
        arguments,
        folder=tmp_path,
        log=tmp_path / "tool.log",
        limit_s=limit_s,
        progress=progress,
    )


def wait_for(path: Path) -> str:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if path.exists() and path.read_text().strip():
            return path.read_text().strip()
        time.sleep(0.02)
    raise AssertionError(f"{path} was not written")


def assert_gone(process: int):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return
        if "\nState:\tZ" in Path(f"/proc/{process}/status").read_text():
            return
        time.sleep(0.02)
    raise AssertionError(f"process {process} still runs")


def test_runs_in_its_folder(tool, tmp_path):
    tool('pwd; echo "$1 $2"; echo problem >&2')
    run(tmp_path, "a", "b")
    assert (tmp_path / "tool.log").read_text() == f"{tmp_path}\na b\nproblem\n"


def test_keeps_its_temporary_files_in_the_folder(tool, tmp_path):
    tool('echo "$TMPDIR"')
    run(tmp_path)
    assert (tmp_path / "tool.log").read_text() == f"{tmp_path}\n"


def test_missing():
    with pytest.raises(ToolError) as caught:
        yowasp.executable("no-such-tool")
    assert "no-such-tool is missing" in str(caught.value)
    assert "pip install yowasp-no-such-tool" in str(caught.value)


def test_failure_names_the_error_and_the_log(tool, tmp_path):
    tool("echo 'ERROR: no room'; echo '1 error'; exit 3")
    with pytest.raises(ToolError) as caught:
        run(tmp_path)
    log = tmp_path / "tool.log"
    assert str(caught.value) == (
        f"tool failed with status 3: ERROR: no room; its output is in {log}"
    )


def test_silent_failure(tool, tmp_path):
    tool("exit 1")
    with pytest.raises(ToolError, match="tool failed with status 1: no output; its output is in "):
        run(tmp_path)


def test_time_limit(tool, tmp_path):
    tool("echo $$ > pid; sleep 60")
    with pytest.raises(ToolError, match="tool was stopped after 1 s, its time limit"):
        run(tmp_path, limit_s=1.0)
    assert_gone(int(wait_for(tmp_path / "pid")))


def test_an_interrupt_ends_the_tool_and_its_children(tool, tmp_path):
    tool("echo Preparing to run; sleep 60 & echo $! > pid; wait")

    def interrupt(_message):
        wait_for(tmp_path / "pid")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, progress=interrupt)
    assert_gone(int(wait_for(tmp_path / "pid")))


def test_says_when_a_tool_is_prepared(tool, tmp_path):
    tool("echo 'Preparing to run yowasp-tool. This might take a while...'; sleep 0.5")
    messages = []
    run(tmp_path, progress=messages.append)
    assert messages == ["first run of tool on this machine: it is compiled once, about a minute"]


def test_prepare(tool):
    tool("echo 'Preparing to run yowasp-tool'; sleep 0.5; test \"$1\" = --version")
    messages = []
    yowasp.prepare("tool", progress=messages.append)
    assert len(messages) == 1
