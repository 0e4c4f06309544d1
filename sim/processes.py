"""Runs external tools: with a log, a time limit, and so that nothing of them survives an end."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from shiftwork.errors import ToolError

POLL_SECONDS = 0.02
PR_SET_PDEATHSIG = 1
LONGEST_S = 6 * 3600.0
"""No tool is waited for longer than this, unless it is given another limit."""


def run_logged(
    commands: Sequence[Sequence[str]],
    *,
    cwd: str | Path,
    env: Mapping[str, str],
    log: Path,
    what: str,
    jobs: int = 1,
    time_limit: float = LONGEST_S,
    watch: Callable[[], None] | None = None,
) -> None:
    """Runs commands, ``jobs`` at once, each in a process group of its own, and waits for them.

    What they print is added to ``log``. Whatever ends the wait (a failure, Ctrl-C, or
    ``time_limit`` seconds) ends all of their groups; on Linux they also end with this process,
    however that is killed.

    Args:
        what: names the tool in messages.
        watch: is called again and again while they run.

    Raises:
        ToolError: if one cannot be started, fails or takes too long, with the log's path.
        OutputError, OSError: if the log cannot be written.
    """
    waiting = list(commands)
    running: list[subprocess.Popen[bytes]] = []
    deadline = time.monotonic() + time_limit
    try:
        with log.open("ab") as stream:
            while waiting or running:
                while waiting and len(running) < jobs:
                    running.append(_start(waiting.pop(0), cwd, env, stream.fileno(), what))
                running = _wait_for_any(running, log, what)
                if time.monotonic() > deadline and running:
                    raise ToolError(
                        f"{what} was stopped after {time_limit:g} s, its time limit; its output "
                        f"is in {log}"
                    )
                if watch is not None:
                    watch()
    finally:
        for process in running:
            _end_group(process)


def error_line(log: Path) -> str:
    """The line of ``log`` that says what went wrong, else its last one.

    yosys and nextpnr write ERROR once, before they end; compilers go on after their first error.
    """
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    marked = [line for line in lines if "ERROR" in line]
    errors = [line for line in lines if "error" in line.lower()]
    return (marked[-1:] or errors[:1] or lines[-1:] or ["no output"])[0]


def _start(
    command: Sequence[str], cwd: str | Path, env: Mapping[str, str], output: int, what: str
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command,
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=end_with_parent(os.getpid()),
        )
    except OSError as error:
        raise ToolError(f"{what} cannot be started: {command[0]}: {error.strerror}") from error


def end_with_parent(parent: int) -> Callable[[], None] | None:
    """What a new process does first, so that the kernel kills it when ``parent`` is killed."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl

    def tie() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)

    return tie


def _wait_for_any(
    running: list[subprocess.Popen[bytes]], log: Path, what: str
) -> list[subprocess.Popen[bytes]]:
    """Waits a moment for the first process; returns those that still run."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        running[0].wait(POLL_SECONDS)
    failed = [process.returncode for process in running if process.poll()]
    if failed:
        raise ToolError(f"{what} {_reason(failed[0])}: {error_line(log)}; its output is in {log}")
    return [process for process in running if process.returncode is None]


def _reason(status: int) -> str:
    if status > 0:
        return f"failed with status {status}"
    hint = " (the system may be short of memory)" if -status == signal.SIGKILL else ""
    return f"was ended by {signal.Signals(-status).name}{hint}"


def _end_group(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
