"""Random networks through all engines: the run, its log, and what becomes of a failure."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from shiftwork import soak
from shiftwork.errors import DataError, OutputError
from shiftwork.quant.program_ops import Conv, MaxPool, Residual
from shiftwork.sim import case_code
from shiftwork.sim.network_case import Case, amaranth_difference
from shiftwork.sim.network_features import KINDS
from shiftwork.soak import draw, shrunk, summary

VECTORS = sorted((Path(__file__).parent / "vectors" / "networks").glob("*.py"))
NETWORKS_IN_CI = 60
SEED_OF_CI = 7


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[Case]:
    """Nothing is simulated; the cases that would be are collected."""
    collected: list[Case] = []

    def compare(some: list[Case]) -> list[str | None]:
        collected.extend(some)
        return [None] * len(some)

    monkeypatch.setattr(soak, "compare", compare)
    return collected


@pytest.mark.slow
def test_random_networks_agree_in_all_engines(tmp_path: Path) -> None:
    run = soak.soak(tmp_path, networks=NETWORKS_IN_CI, seed=SEED_OF_CI)
    assert run.networks == NETWORKS_IN_CI
    assert not run.failures
    assert f"| networks | {NETWORKS_IN_CI} |" in (tmp_path / soak.SUMMARY).read_text()


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_regression_vectors_on_amaranth(path: Path) -> None:
    assert amaranth_difference(case_code.load(path)) is None


@pytest.mark.slow
def test_regression_vectors_in_all_engines() -> None:
    assert VECTORS
    differences = soak.compare([case_code.load(path) for path in VECTORS])
    assert dict(zip(VECTORS, differences, strict=True)) == dict.fromkeys(VECTORS)


def test_a_stopped_run_goes_on(tmp_path: Path, compared: list[Case]) -> None:
    """The same networks as at one go; none of them twice."""
    soak.soak(tmp_path / "a", networks=30)
    first = [case.digest for case in compared]
    soak.soak(tmp_path / "a", networks=50)
    assert len(compared) == len({case.digest for case in compared}) == 50
    said: list[str] = []
    soak.soak(tmp_path / "a", networks=50, progress=said.append)
    assert len(compared) == 50
    assert said == ["50 networks were there already"]
    compared.clear()
    soak.soak(tmp_path / "b", networks=30)
    assert [case.digest for case in compared] == first


@pytest.mark.usefixtures("compared")
def test_a_damaged_last_line_is_drawn_anew(tmp_path: Path) -> None:
    soak.soak(tmp_path, networks=30)
    log = tmp_path / soak.LOG
    whole = log.read_text()
    log.write_text(whole[:-20])
    assert soak.soak(tmp_path, networks=30).networks == 30
    again = [json.loads(line)["digests"] for line in log.read_text().splitlines()]
    assert again == [json.loads(line)["digests"] for line in whole.splitlines()]


@pytest.mark.usefixtures("compared")
def test_the_log_of_another_seed_is_refused(tmp_path: Path) -> None:
    soak.soak(tmp_path, networks=2, seed=1)
    with pytest.raises(DataError, match=r"log\.jsonl belongs to a run with another seed than 2"):
        soak.soak(tmp_path, networks=2, seed=2)


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot use .*file"):
        soak.soak(tmp_path / "file" / "folder", networks=1)


def test_the_summary_counts_and_names(tmp_path: Path, compared: list[Case]) -> None:
    run = soak.soak(tmp_path, networks=40, seed=3)
    text = (tmp_path / soak.SUMMARY).read_text()
    assert text == summary(run)
    assert f"| ops | {sum(len(case.program.ops) for case in compared)} |" in text
    assert "| with differences | 0 |" in text
    assert "- no network has " in text
    assert f"| | {' | '.join(KINDS)} |" in text


def breaks(case: Case) -> str | None:
    """A defect of residuals on arrays of several rows."""
    convs = [op for op in case.program.ops if isinstance(op, Conv)]
    residual = any(isinstance(term, Residual) for op in convs for term in op.terms)
    return "wrong" if residual and case.shape.rows > 1 else None


def test_a_failure_is_shrunk_and_kept_as_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = range(1, 100)
    draws = ((seed, draw(soak.BATCH, seed * soak.SEED_STEP)) for seed in seeds)
    seed, drawn = next((seed, drawn) for seed, drawn in draws if any(map(breaks, drawn)))
    guilty = next(case for case in drawn if breaks(case))
    innocent = next(case for case in drawn if not breaks(case))
    monkeypatch.setattr(soak, "draw", lambda *_: [innocent, guilty])
    monkeypatch.setattr(soak, "amaranth_difference", breaks)
    monkeypatch.setattr(soak, "_verilator_differences", lambda some, **_: [None] * len(some))
    run = soak.soak(tmp_path, networks=2, seed=seed)
    assert run.failures == {guilty.digest[:16]: "wrong"}
    (path,) = (tmp_path / soak.FAILURES).glob("*.py")
    case = case_code.load(path)
    assert breaks(case)
    assert (case.shape.rows, case.shape.columns, len(case.q)) == (2, 1, 1)
    assert case.program.tensor("input").size <= 4
    assert len(case.program.ops) <= 3
    assert path.read_text().startswith('"""wrong')
    assert "| with differences | 1 |" in (tmp_path / soak.SUMMARY).read_text()


def test_shrinking_starts_from_the_case_that_failed() -> None:
    """Earlier cases are not run again, whether they would fail or not."""
    tried: list[str] = []

    def check(case: Case) -> str | None:
        tried.append(case.digest)
        return "wrong" if any(isinstance(op, MaxPool) for op in case.program.ops) else None

    drawn = draw(24, 9)
    guilty = [case for case in drawn if check(case)][-1]
    tried.clear()
    small = shrunk(guilty, count=24, seed=9, check=check)
    assert tried[0] == guilty.digest
    assert len(small.program.ops) == 1
    # Two pixels where one has a choice more: whether a TopScore follows.
    assert small.program.tensor("input").size <= 2


def test_an_exception_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(case: Case) -> str | None:
        raise ValueError(f"{case.shape.rows} rows")

    case = replace(draw(1, 1)[0])
    monkeypatch.setattr(soak, "amaranth_difference", crash)
    monkeypatch.setattr(
        soak, "_verilator_differences", lambda some, **_: ["verilator: x"] * len(some)
    )
    assert soak.compare([case]) == [f"ValueError: {case.shape.rows} rows; verilator: x"]


def test_a_batch_that_cannot_be_built_is_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = {case.digest: case for case in draw(12, 2)}
    some = list(drawn.values())[:5]
    guilty, sizes = some[3], []

    def run(designs, **_):
        sizes.append(len(designs))
        if any(design.job.q is guilty.job.q for design in designs):
            raise RuntimeError("no such thing")
        return [None] * len(designs)

    monkeypatch.setattr(soak, "_design", lambda case: case)
    monkeypatch.setattr(soak.verilator_batch, "run", run)
    monkeypatch.setattr(soak, "difference", lambda *_: None)
    found = soak._verilator_differences(some)
    assert found == [None, None, None, "RuntimeError: no such thing", None]
    assert sizes == [5, 2, 3, 1, 2, 1, 1]
