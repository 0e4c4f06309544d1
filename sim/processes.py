"""Runs the tools that simulators are made of, so that nothing survives an interrupt."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from shiftwork.errors import ToolError

POLL_SECONDS = 0.02


def run_logged(
    commands: Sequence[Sequence[str]],
    *,
    cwd: str | Path,
    env: Mapping[str, str],
    log: Path,
    what: str,
    jobs: int = 1,
    time_limit: float | None = None,
) -> None:
    """Runs commands, ``jobs`` at once, each in a process group of its own, and waits for them.

    What they print is added to ``log``. Whatever ends the wait (a failure, Ctrl-C, or
    ``time_limit`` seconds) ends all of their groups.

    Raises:
        ToolError: if one cannot be started, fails or takes too long, with the log's path.
    """
    waiting = list(commands)
    running: list[subprocess.Popen[bytes]] = []
    deadline = None if time_limit is None else time.monotonic() + time_limit
    try:
        with log.open("ab") as stream:
            while waiting or running:
                while waiting and len(running) < jobs:
                    running.append(_start(waiting.pop(0), cwd, env, stream.fileno(), what))
                running = _wait_for_any(running, log, what)
                if deadline is not None and time.monotonic() > deadline and running:
                    raise ToolError(
                        f"{what} took longer than its limit of {time_limit:g} s; log: {log}"
                    )
    finally:
        for process in running:
            _end_group(process)


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
        )
    except OSError as error:
        raise ToolError(f"{what} cannot be started: {command[0]}: {error.strerror}") from error


def _wait_for_any(
    running: list[subprocess.Popen[bytes]], log: Path, what: str
) -> list[subprocess.Popen[bytes]]:
    """Waits a moment for the first process; returns those that still run."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        running[0].wait(POLL_SECONDS)
    failed = [process.returncode for process in running if process.poll()]
    if failed:
        raise ToolError(f"{what} failed with status {failed[0]}{_first_error(log)}; log: {log}")
    return [process for process in running if process.returncode is None]


def _end_group(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _first_error(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    errors = [line.strip() for line in lines if "error" in line.lower()]
    return f": {errors[0]}" if errors else ""
