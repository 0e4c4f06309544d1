"""A short run of the fuzzer, which has to find nothing, and what it found before."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from shiftwork.errors import ModelError

TESTS = Path(__file__).parent
SCRIPT = TESTS / "fuzz" / "run.py"
VECTORS = sorted((TESTS / "vectors" / "fuzz").iterdir())
TARGETS = ("onnx", "tflite", "program", "samples")
Fuzzer = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def fuzz(tmp_path: Path) -> Fuzzer:
    """Runs the fuzzer with the given arguments; its results are in ``tmp_path``."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, SCRIPT, "--folder", tmp_path, *arguments]
        return subprocess.run(
            [str(part) for part in command], capture_output=True, text=True, check=False
        )

    return run


@pytest.fixture
def targets(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The fuzzer's own module."""
    monkeypatch.syspath_prepend(str(TESTS / "fuzz"))
    import targets  # type: ignore[import-not-found]

    return targets


@pytest.mark.parametrize("target", TARGETS)
def test_a_short_run_finds_nothing(target: str, fuzz: Fuzzer, tmp_path: Path) -> None:
    result = fuzz("--target", target, "--executions", 1000, "--seed", 2024)
    log = tmp_path / f"{target}-2024" / "log.txt"
    assert result.returncode == 0, log.read_text() if log.exists() else result.stderr
    assert f"{target}: 1000 executions" in result.stdout
    assert "0 findings" in result.stdout
    accepted = int(result.stdout.split(" accepted")[0].split()[-1])
    assert 50 < accepted < 950


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.name)
def test_what_was_found_stays_mended(path: Path, targets: ModuleType) -> None:
    target = targets.TARGETS[path.name.split("-")[0]]
    assert targets.is_accepted(target, path) in (True, False)


# The fuzzer itself


def test_an_op_is_removed_whatever_its_constants_are(fuzz: Fuzzer, tmp_path: Path) -> None:
    """Ops with arrays cannot be compared: the mutation that takes one out must not try."""
    place = 50240
    (tmp_path / "tflite-2").mkdir()
    counts = {"next": place, "accepted": 0, "refused": 0, "findings": 0, "slowest_us": 0}
    (tmp_path / "tflite-2" / "progress.json").write_text(json.dumps(counts))
    result = fuzz("--target", "tflite", "--executions", place + 1, "--seed", 2)
    assert result.returncode == 0, result.stderr
    assert f"{place + 1} executions (1 now" in result.stdout


def test_a_run_goes_on_where_it_ended(fuzz: Fuzzer) -> None:
    first = fuzz("--target", "samples", "--executions", 60, "--batch", 40)
    second = fuzz("--target", "samples", "--executions", 100, "--batch", 40)
    third = fuzz("--target", "samples", "--executions", 100)
    assert "60 executions (60 now" in first.stdout
    assert "100 executions (40 now" in second.stdout
    assert "100 executions (0 now" in third.stdout


def test_an_input_that_hangs_is_found(fuzz: Fuzzer, tmp_path: Path) -> None:
    arguments = ("--target", "program", "--executions", 2, "--time-limit", 0.00001)
    result = fuzz(*arguments)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "2 findings" in result.stdout
    log = (tmp_path / "program-1" / "log.txt").read_text()
    assert "the process ended by the time limit" in log
    assert (tmp_path / "program-1" / "0.npz").exists()


def test_the_limit_of_memory_holds() -> None:
    """In a process of its own, whose limit it lowers for good."""
    code = (
        f"import sys; sys.path.insert(0, {str(SCRIPT.parent)!r}); import run\n"
        "run._limit_memory(2**20)\n"
        "try: bytearray(2**26)\n"
        "except MemoryError: print('refused')"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.stdout == "refused\n", result.stderr


def test_every_kind_of_finding(targets: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"

    def judge(error: BaseException) -> bool:
        def use(_: Path) -> None:
            raise error

        return bool(targets.is_accepted(targets.Target(".onnx", lambda _: b"", use), path))

    assert not judge(ModelError("a.onnx is odd"))
    for text in ("odd", "a.onnx is\nodd", "a.onnx is odd" + "!" * 3000):
        with pytest.raises(targets.Finding, match="not one line that names the file"):
            judge(ModelError(text))
    for cause in (MemoryError(), RecursionError()):
        error = ModelError("a.onnx is odd")
        error.__cause__ = cause
        with pytest.raises(targets.Finding, match=f"{type(cause).__name__} behind: a.onnx is odd"):
            judge(error)
    with pytest.raises(ZeroDivisionError):
        judge(ZeroDivisionError())


def test_files_outside_are_noticed(tmp_path: Path) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(SCRIPT.parent)!r})
from pathlib import Path
import run
inside = Path({str(tmp_path)!r}) / "inside"
inside.mkdir()
(inside / "a").write_text("")
(inside.parent / "b").write_text("")
opened = run._watch(inside)
(inside / "a").read_text()
assert not opened, opened
(inside / ".." / "b").read_text()
assert opened == [str((inside.parent / "b").resolve())], opened
"""
    subprocess.run([sys.executable, "-c", code], check=True)
