"""The constraints that ``.ci/run`` tests the oldest versions with."""

import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

TESTS = Path(__file__).parent
SCRIPT = TESTS / "oldest" / "constraints.py"


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module."""
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    import constraints  # type: ignore[import-not-found]

    return constraints


def test_every_dependency_has_a_constraint() -> None:
    done = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, check=True)
    project = tomllib.loads((TESTS.parent / "pyproject.toml").read_text())["project"]
    named = [line.split("==")[0] for line in done.stdout.split()]
    assert len(named) == len(project["dependencies"])
    for name, dependency in zip(named, project["dependencies"], strict=True):
        assert dependency.startswith(f"{name}>=")


def test_bounds(module: ModuleType) -> None:
    assert module.constraints(["a-b>=1.2", "c>=0.5.10,<0.6"]) == ["a-b==1.2", "c==0.5.10"]
    with pytest.raises(ValueError, match="the dependency 'numpy' states no least version"):
        module.constraints(["numpy"])


def test_ci_runs_the_oldest_versions() -> None:
    script = (TESTS.parent / ".ci" / "run").read_text()
    assert "tests/oldest/constraints.py" in script
