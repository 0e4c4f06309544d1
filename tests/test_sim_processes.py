import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from shiftwork.errors import ToolError
from shiftwork.sim.processes import run_logged

# Starts a child that outlives it, if nothing ends the whole group, and waits.
PARENT = """
import subprocess, sys, pathlib
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
pathlib.Path("pid.partial").write_text(str(child.pid))
pathlib.Path("pid.partial").rename("pid")
child.wait()
"""


def run(code: str, folder: Path, time_limit: float | None = None) -> None:
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
        f"The tool failed with status 2: x.v:3: error: no such net; log: {tmp_path / 'log'}"
    )


def test_a_command_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"The tool cannot be started: .*/none: No such file"):
        run_logged(
            [[str(tmp_path / "none")]], cwd=tmp_path, env={}, log=tmp_path / "log", what="The tool"
        )


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_time_limit_ends_all_children(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="longer than its limit of 2 s; log: "):
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
