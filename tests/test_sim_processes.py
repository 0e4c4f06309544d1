import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from shiftwork.errors import ToolError
from shiftwork.sim.processes import LONGEST_S, error_line, run_logged

# Starts a child that outlives it, if nothing ends the whole group, and waits.
PARENT = """
import subprocess, sys, pathlib
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
pathlib.Path("pid.partial").write_text(str(child.pid))
pathlib.Path("pid.partial").rename("pid")
child.wait()
"""


def run(code: str, folder: Path, time_limit: float = LONGEST_S) -> None:
    run_logged(
        [[sys.executable, "-c", code]],
        cwd=folder,
        env=os.environ,
        log=folder / "log",
        what="The tool",
        time_limit=time_limit,
    )


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended but was not waited for does not count."""
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().split()[2] != "Z"


def wait_for_pid(folder: Path) -> int:
    while not (folder / "pid").exists():
        time.sleep(0.01)
    return int((folder / "pid").read_text())


def wait_for_end(pid: int) -> None:
    deadline = time.monotonic() + 10
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)


def test_output_goes_to_the_log(tmp_path: Path) -> None:
    run("print('hello')", tmp_path)
    run("print('again')", tmp_path)
    assert (tmp_path / "log").read_text() == "hello\nagain\n"


def test_a_failure_names_the_first_error_and_the_log(tmp_path: Path) -> None:
    with pytest.raises(ToolError) as caught:
        run("import sys; print('x.v:3: error: no such net'); sys.exit(2)", tmp_path)
    assert str(caught.value) == (
        f"The tool failed with status 2: x.v:3: error: no such net; its output is in "
        f"{tmp_path / 'log'}"
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a.cpp: error: one\na.cpp: error: two\n2 errors", "a.cpp: error: one"),
        ("0 errors so far\nERROR: no room\n1 error", "ERROR: no room"),
        ("loading\n\nsegmentation fault\n\n", "segmentation fault"),
        ("", "no output"),
    ],
)
def test_the_line_that_says_what_went_wrong(tmp_path: Path, text: str, line: str) -> None:
    (tmp_path / "log").write_text(text)
    assert error_line(tmp_path / "log") == line


def test_a_killed_tool_is_no_mere_failure(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"was ended by SIGKILL \(the system may be short of mem"):
        run("import os; os.kill(os.getpid(), 9)", tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_tool_does_not_outlive_a_killed_caller(tmp_path: Path) -> None:
    tool = "import os, pathlib, time; pathlib.Path('p').write_text(str(os.getpid()));"
    tool += "pathlib.Path('p').rename('pid'); time.sleep(60)"
    caller = f"""
import os, pathlib, sys
from shiftwork.sim.processes import run_logged
folder = pathlib.Path({str(tmp_path)!r})
command = [sys.executable, "-c", {tool!r}]
run_logged([command], cwd=folder, env=os.environ, log=folder / "log", what="The tool")
"""
    process = subprocess.Popen([sys.executable, "-c", caller])
    pid = wait_for_pid(tmp_path)
    assert is_alive(pid)
    process.kill()
    process.wait()
    wait_for_end(pid)
    assert not is_alive(pid)


def test_a_command_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"The tool cannot be started: .*/none: No such file"):
        run_logged(
            [[str(tmp_path / "none")]], cwd=tmp_path, env={}, log=tmp_path / "log", what="The tool"
        )


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_time_limit_ends_all_children(tmp_path: Path) -> None:
    with pytest.raises(
        ToolError, match="The tool was stopped after 2 s, its time limit; its output"
    ):
        run(PARENT, tmp_path, time_limit=2)
    pid = wait_for_pid(tmp_path)
    wait_for_end(pid)
    assert not is_alive(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_an_interrupt_ends_all_children(tmp_path: Path) -> None:
    pids: list[int] = []

    def interrupt() -> None:
        pids.append(wait_for_pid(tmp_path))
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run(PARENT, tmp_path)
    thread.join()
    wait_for_end(pids[0])
    assert not is_alive(pids[0])
