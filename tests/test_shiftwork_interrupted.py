"""Builds that are killed, that find the disk full, or that share a folder: see the script."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "interruption" / "run.py"
LEAST_POINTS = {"kill": 100, "full": 50, "short": 10, "together": 100}


def run(how: str, every: int) -> int:
    """The number of points that were tried."""
    command = [sys.executable, str(SCRIPT), "--how", how, "--every", str(every)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert ", 0 problems, " in result.stdout
    return int(result.stdout.split()[1])


@pytest.mark.skipif(sys.platform != "linux", reason="counts the operations of one process")
@pytest.mark.parametrize(("how", "every"), [("kill", 31), ("full", 23), ("short", 5)])
def test_some_points(how: str, every: int) -> None:
    assert run(how, every) >= 2


@pytest.mark.skipif(sys.platform != "linux", reason="counts the operations of one process")
@pytest.mark.parametrize("every", [80])
def test_two_builds_at_once(every: int) -> None:
    assert run("together", every) == 3


@pytest.mark.heavy
@pytest.mark.parametrize("how", LEAST_POINTS)
def test_every_point(how: str) -> None:
    assert run(how, 1) >= LEAST_POINTS[how]
