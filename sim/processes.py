"""Runs the tools that simulators are made of, so that nothing survives an interrupt."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from shiftwork.errors import ToolError


def run_logged(
    command: Sequence[str],
    *,
    cwd: str | Path,
    env: Mapping[str, str],
    log: Path,
    what: str,
    time_limit: float | None = None,
) -> None:
    """Runs a command in a process group of its own and adds what it prints to ``log``.

    Whatever ends the wait (Ctrl-C, or ``time_limit`` seconds) ends all of the group.

    Raises:
        ToolError: if it cannot be started, fails or takes too long, with the log's path.
    """
    with log.open("ab") as stream:
        try:
            process = subprocess.Popen(
                command,
                cwd=cwd,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise ToolError(f"{what} cannot be started: {command[0]}: {error.strerror}") from error
        try:
            status = process.wait(time_limit)
        except subprocess.TimeoutExpired:
            raise ToolError(
                f"{what} took longer than its limit of {time_limit:g} s; log: {log}"
            ) from None
        finally:
            _end_group(process)
    if status:
        raise ToolError(f"{what} failed with status {status}{_first_error(log)}; log: {log}")


def _end_group(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _first_error(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    errors = [line.strip() for line in lines if "error" in line.lower()]
    return f": {errors[0]}" if errors else ""
