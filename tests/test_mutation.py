"""The check of the tests by mutants: it tells defects that are found from those that are not."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PROJECT = Path(__file__).parents[1]
TESTS = ("tests/test_hw_multiplier.py::test_products_follow_every_cycle[generic]",)
FILE = "hw/multiplier.py"
PRODUCT = "self.p[index].eq(a * b)"
LIMIT_S = 60.0


@pytest.fixture(scope="module", autouse=True)
def path() -> Iterator[None]:
    """The folder of the check is on the path."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(PROJECT / "tests" / "mutation"))
        yield


@pytest.fixture(scope="module")
def check() -> ModuleType:
    """The check itself."""
    return importlib.import_module("mutation_check")


@pytest.fixture(scope="module")
def copy(check: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A copy of the project."""
    return check.Copy(project=PROJECT, folder=tmp_path_factory.mktemp("mutation") / "copy")


def mutant(check: ModuleType, **fields: Any) -> Any:
    """A mutant of the product."""
    defaults = {"name": "m", "file": FILE, "old": PRODUCT, "breaks": "", "tests": TESTS}
    return check.Mutant(**(defaults | fields))


def test_every_mutant_fits_the_code(check: ModuleType) -> None:
    mutants = importlib.import_module("mutants").MUTANTS
    assert len(mutants) >= 40
    check.check_texts(mutants, {m.file: PROJECT / m.file for m in mutants})
    for m in mutants:
        assert m.tests
        assert all((PROJECT / test.partition("::")[0]).is_file() for test in m.tests), m.name


def test_every_file_of_the_hardware_has_a_mutant() -> None:
    mutated = {m.file for m in importlib.import_module("mutants").MUTANTS}
    generator = {"hw/__init__.py", "hw/verilog.py"}
    assert mutated == {f"hw/{file.name}" for file in (PROJECT / "hw").glob("*.py")} - generator


def test_defects_are_told_from_equivalent_code(
    check: ModuleType, copy: Any, tmp_path: Path
) -> None:
    """One run of three mutants, and one more that knows two of them."""
    results = tmp_path / "results.json"
    found = mutant(check, name="found", new="self.p[index].eq(a - b)")
    same = mutant(check, name="same", new="self.p[index].eq(b * a)", equivalent="as a * b")
    broken = mutant(check, name="broken", new="self.p[index].eq(a * missing)")
    tried: list[str] = []

    def run(*mutants: Any) -> Any:
        return check.run_all(
            mutants,
            copy=copy,
            results=results,
            limit_s=LIMIT_S,
            progress=lambda result: tried.append(result.mutant),
        )

    assert [r.verdict.name for r in run(found, same)] == ["FOUND", "SURVIVES"]
    first, second, third = run(found, same, broken)
    assert tried == ["found", "same", "broken"]
    assert first.found and first.test == TESTS[0]
    assert first.text.startswith("AssertionError")
    assert not second.found and second.passed == 1
    assert third.verdict is check.Verdict.BROKEN and third.text.startswith("NameError")
    mutants = (found, same, broken)
    text = check.table(mutants, [first, second, third])
    assert "| `hw/multiplier.py` | same |  | survives | as a * b |" in text
    assert text.endswith("1 of 2 mutants found (50 %); not found: broken")
    assert copy.path(FILE).read_text() == (PROJECT / FILE).read_text()


def test_a_mutant_that_does_not_end_is_found(check: ModuleType, copy: Any) -> None:
    endless = mutant(check, new="self.p[index].eq(next(filter(None, iter(int, 1))))")
    assert copy.run(endless, limit_s=8).verdict is check.Verdict.HANGS


@pytest.mark.parametrize(("old", "count"), [("a text that is not there", 0), ("signed(8)", 4)])
def test_text_that_does_not_occur_once(check: ModuleType, copy: Any, old: str, count: int) -> None:
    message = f"mutant 'm': its text must occur once in hw/multiplier.py, not {count} times"
    with pytest.raises(check.MutantError, match=message):
        copy.run(mutant(check, old=old, new=""), limit_s=LIMIT_S)


def test_mutants_that_are_none(check: ModuleType) -> None:
    paths = {FILE: PROJECT / FILE}
    with pytest.raises(check.MutantError, match=r"'m' changes nothing in hw/multiplier\.py"):
        check.check_texts([mutant(check, new=PRODUCT)], paths)
    twice = mutant(check, new="")
    with pytest.raises(check.MutantError, match="two mutants have the name 'm'"):
        check.check_texts([twice, twice], paths)


def test_a_file_that_is_no_module(check: ModuleType, copy: Any) -> None:
    with pytest.raises(check.MutantError, match=r"docs/x\.py is in none of the packages"):
        copy.module("docs/x.py")


def test_tests_that_fail_without_a_mutant(check: ModuleType, copy: Any) -> None:
    with pytest.raises(check.MutantError, match="the tests must pass without a mutant"):
        copy.check_tests(["tests/missing.py"], file=FILE, limit_s=LIMIT_S)


def test_the_copy_is_what_runs(check: ModuleType, copy: Any, tmp_path: Path) -> None:
    """Not the installed project: a module that comes from elsewhere ends the run."""
    other = check.Copy(project=PROJECT, folder=tmp_path / "other")
    other.path = copy.path
    result = other.run(mutant(check, new="self.p[index].eq(b * a)"), limit_s=LIMIT_S)
    assert result.verdict is check.Verdict.BROKEN
    assert result.text.startswith("shiftwork.hw.multiplier is ")
