"""Runs the YoWASP builds of yosys and nextpnr: WebAssembly programs that come with pip.

They do not see the host's folder for temporary files, so they run inside the folder that holds
their files, with relative paths.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from shiftwork.errors import ToolError

POLL_S = 0.1
PREPARATION_LIMIT_S = 1200.0
PREPARING = b"Preparing to run"


def executable(tool: str) -> str:
    """Path of the console script ``yowasp-<tool>``, first of all the one of this Python.

    Raises:
        ToolError: if it is not installed.
    """
    script = f"yowasp-{tool}"
    own = str(Path(sys.executable).parent)
    path = shutil.which(script, path=own) or shutil.which(script)
    if path is None:
        raise ToolError(
            f"{tool} is missing: no '{script}' beside {sys.executable} or on PATH; "
            f"install it with 'pip install {script}'"
        )
    return path


def prepare(tool: str, *, progress: Callable[[str], None]) -> None:
    """Lets a tool compile itself, which it does once on a machine, and says so.

    Raises:
        ToolError: if it is missing, or does not run.
    """
    with tempfile.TemporaryDirectory(prefix="shiftwork-") as name:
        folder = Path(name)
        run(
            tool,
            ["--version"],
            folder=folder,
            log=folder / "version.log",
            limit_s=PREPARATION_LIMIT_S,
            progress=progress,
        )


def run(
    tool: str,
    arguments: Sequence[str],
    *,
    folder: Path,
    log: Path,
    limit_s: float,
    progress: Callable[[str], None],
) -> None:
    """Runs a tool in ``folder`` and waits for it; its output goes to the file ``log``.

    Whatever ends the wait, an interrupt included, ends the tool too.

    Raises:
        ToolError: if it is missing, fails, or takes longer than ``limit_s`` seconds.
    """
    command = [executable(tool), *arguments]
    environment = os.environ | {"TMPDIR": str(folder.resolve())}
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _wait(process, tool=tool, log=log, limit_s=limit_s, progress=progress)
        finally:
            _end(process)
    if process.returncode != 0:
        raise ToolError(f"{tool} failed: {last_error(log)}; its output is in {log}")


def _wait(
    process: subprocess.Popen[bytes],
    *,
    tool: str,
    log: Path,
    limit_s: float,
    progress: Callable[[str], None],
) -> None:
    start, announced = time.monotonic(), False
    while process.poll() is None:
        if time.monotonic() - start > limit_s:
            raise ToolError(
                f"{tool} was stopped after {limit_s:.0f} s, its time limit; its output is in {log}"
            )
        if not announced and _head(log).startswith(PREPARING):
            announced = True
            progress(f"first run of {tool} on this machine: it is compiled once, about a minute")
        time.sleep(POLL_S)


def _head(log: Path) -> bytes:
    with log.open("rb") as stream:
        return stream.read(len(PREPARING))


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def last_error(log: Path) -> str:
    """The last line of ``log`` that reports an error, else its last line."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if "ERROR" in line]
    return (errors or lines or ["no output"])[-1]
