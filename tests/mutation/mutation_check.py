"""Breaks a copy of the hardware and looks whether its tests notice."""

import hashlib
import json
import os
import py_compile
import resource
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from enum import Enum
from pathlib import Path, PurePosixPath

PYTEST = Path(__file__).with_name("guarded_pytest.py")
WALL_FACTOR = 20
"""A busy machine gives a process a share of its time: the limit is one of CPU time."""
SETTINGS = {"PYTHONHASHSEED": "0", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
"""Of the tests' environment; the tests need no plugin, and loading them takes longer than most."""
TESTED = frozenset({0, 1})
"""Exit codes of pytest after tests that ran: all passed, some failed."""


class MutantError(Exception):
    """A mutant that cannot be tried, or a project whose tests fail as it is."""


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """A defect.

    Attributes:
        name: unique.
        file: of the project, ``hw/pe.py`` for example.
        old: a text that occurs once in it.
        new: what stands there instead.
        breaks: what is wrong then.
        tests: arguments of pytest: the files or tests that ought to find it, the cheapest first.
        equivalent: why no test can find it; empty for a defect.
    """

    name: str
    file: str
    old: str
    new: str
    breaks: str
    tests: tuple[str, ...]
    equivalent: str = ""

    def apply(self, source: str) -> str:
        """The file's text with the defect.

        Raises:
            MutantError: if ``old`` does not occur exactly once, or nothing would change.
        """
        count = source.count(self.old)
        if count != 1:
            raise MutantError(
                f"mutant '{self.name}': its text must occur once in {self.file}, not {count} "
                f"times; adapt it to the code: {self.old!r}"
            )
        if self.old == self.new:
            raise MutantError(f"mutant '{self.name}' changes nothing in {self.file}")
        return source.replace(self.old, self.new)


class Verdict(Enum):
    """What became of a mutant.

    ``FOUND``: an assertion failed. ``HANGS``: a test did not end. ``BROKEN``: it crashes before a
    test can state anything, so that it shows nothing about the tests; it counts as not found.
    """

    FOUND = "found"
    HANGS = "found (no end)"
    SURVIVES = "survives"
    BROKEN = "broken"


@dataclass(frozen=True, kw_only=True)
class Result:
    """Of one mutant.

    Attributes:
        mutant: its name.
        verdict: what became of it.
        test, text: the first failure.
        passed: tests that passed before.
        seconds: of CPU time.
        digest: of all that decides on the result.
    """

    mutant: str
    verdict: Verdict
    test: str = ""
    text: str = ""
    passed: int = 0
    seconds: float = 0.0
    digest: str = ""

    @property
    def found(self) -> bool:
        """Whether the tests noticed."""
        return self.verdict in (Verdict.FOUND, Verdict.HANGS)


class Copy:
    """A copy of the project whose packages are imported instead of the installed ones.

    The packages are laid out as they install and stand first on the path. Compiled files in it
    are valid by the digest of their source: a mutant may have the size and the time of another.

    Parameters:
        project: the folder of the project; it is only read.
        folder: where the copy goes; an old one is replaced.
    """

    def __init__(self, *, project: Path, folder: Path):
        self.folder = folder.resolve()
        settings = tomllib.loads((project / "pyproject.toml").read_text())
        self._packages: dict[str, str] = settings["tool"]["setuptools"]["package-dir"]
        shutil.rmtree(self.folder, ignore_errors=True)
        for package, source in self._packages.items():
            target = self._site / package.replace(".", "/")
            _copy_files(project / source, target)
            for file in sorted(target.glob("*.py")):
                _compile(file)
        tests = self.folder / "tests"
        shutil.copytree(project / "tests", tests, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(project / "pyproject.toml", self.folder)

    @property
    def _site(self) -> Path:
        return self.folder / "site"

    def module(self, file: str) -> str:
        """The name of the module that a file of the project is."""
        path = PurePosixPath(file)
        for package, source in self._packages.items():
            if source == str(path.parent):
                return f"{package}.{path.stem}"
        raise MutantError(f"{file} is in none of the packages {', '.join(self._packages)}")

    def path(self, file: str) -> Path:
        """Where that file is in the copy."""
        return self._site / (self.module(file).replace(".", "/") + ".py")

    def run(self, mutant: Mutant, *, limit_s: float) -> Result:
        """Applies the mutant, runs its tests and takes it back.

        Raises:
            MutantError: if its text does not occur once, or its tests cannot be run.
        """
        path = self.path(mutant.file)
        source = path.read_text()
        path.write_text(mutant.apply(source))
        try:
            return self._judge(mutant.name, mutant.file, mutant.tests, limit_s=limit_s)
        finally:
            path.write_text(source)

    def check_tests(self, tests: Sequence[str], *, file: str, limit_s: float) -> None:
        """Runs tests on the project as it is.

        Raises:
            MutantError: if they fail, or there are none.
        """
        result = self._judge("", file, tests, limit_s=limit_s)
        if result.verdict is not Verdict.SURVIVES or not result.passed:
            raise MutantError(
                f"the tests must pass without a mutant, not fail: {result.test} {result.text}"
            )

    def digest(self, mutant: Mutant) -> str:
        """Of the mutant, the packages of the copy and the tests that it names."""
        names = sorted({test.partition("::")[0] for test in mutant.tests})
        files = [*sorted(self._site.rglob("*.py")), self.folder / "tests/conftest.py"]
        files += [self.folder / name for name in names]
        total = hashlib.sha256(repr(mutant).encode())
        for file in files:
            total.update(file.read_bytes())
        return total.hexdigest()

    def _judge(self, name: str, file: str, tests: Sequence[str], *, limit_s: float) -> Result:
        outcome = self.folder / "outcome.json"
        outcome.unlink(missing_ok=True)
        before = _children_seconds()
        code, log = self._run_pytest(file, tests, outcome, limit_s=limit_s)
        seconds = round(_children_seconds() - before, 1)
        if code is None:
            return Result(mutant=name, verdict=Verdict.HANGS, seconds=seconds)
        if not outcome.exists():
            last = (log.strip().splitlines() or [""])[-1]
            return Result(mutant=name, verdict=Verdict.BROKEN, text=last, seconds=seconds)
        seen = json.loads(outcome.read_text())
        asserted = seen.pop("asserted")
        verdict = Verdict.FOUND if asserted else Verdict.BROKEN
        if not seen["test"]:
            verdict = Verdict.SURVIVES
            if code not in TESTED:
                verdict, seen["text"] = Verdict.BROKEN, "the tests could not be collected"
        return Result(mutant=name, verdict=verdict, seconds=seconds, **seen)

    def _run_pytest(
        self, file: str, tests: Sequence[str], outcome: Path, *, limit_s: float
    ) -> tuple[int | None, str]:
        """Exit code, None if the time was up, and what was printed."""
        command = [sys.executable, str(PYTEST), self.module(file), str(self.path(file))]
        command += [str(outcome), *tests]
        limit = int(limit_s)
        try:
            done = subprocess.run(
                command,
                cwd=self.folder,
                env=os.environ | SETTINGS | {"PYTHONPATH": str(self._site)},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                timeout=WALL_FACTOR * limit_s,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 1)),
            )
        except subprocess.TimeoutExpired:
            return None, ""
        return (None if done.returncode < 0 else done.returncode), done.stdout


def run_all(
    mutants: Sequence[Mutant],
    *,
    copy: Copy,
    results: Path,
    limit_s: float,
    progress: Callable[[Result], None],
) -> list[Result]:
    """The results of all mutants; those in the file ``results`` that are still right are kept.

    Raises:
        MutantError: if a mutant does not fit the code, or the tests fail without any.
    """
    check_texts(mutants, {mutant.file: copy.path(mutant.file) for mutant in mutants})
    known = load(results)
    todo = [m for m in mutants if known.get(m.name, _NONE).digest != copy.digest(m)]
    if todo:
        tests = list(dict.fromkeys(test for mutant in todo for test in mutant.tests))
        copy.check_tests(tests, file=todo[0].file, limit_s=limit_s * len(tests))
    for mutant in todo:
        result = replace(copy.run(mutant, limit_s=limit_s), digest=copy.digest(mutant))
        known[mutant.name] = result
        _save(results, known.values())
        progress(result)
    return [known[mutant.name] for mutant in mutants]


_NONE = Result(mutant="", verdict=Verdict.BROKEN)


def check_texts(mutants: Iterable[Mutant], paths: dict[str, Path]) -> None:
    """Refuses mutants that do not fit the code, or have the name of another.

    Raises:
        MutantError: naming the mutant.
    """
    names: set[str] = set()
    for mutant in mutants:
        if mutant.name in names:
            raise MutantError(f"two mutants have the name '{mutant.name}'")
        names.add(mutant.name)
        mutant.apply(paths[mutant.file].read_text())


def load(path: Path) -> dict[str, Result]:
    """The results of an earlier run by the mutants' names; none if there was no such run."""
    if not path.exists():
        return {}
    rows = [row | {"verdict": Verdict(row["verdict"])} for row in json.loads(path.read_text())]
    return {row["mutant"]: Result(**row) for row in rows}


def _save(path: Path, results: Iterable[Result]) -> None:
    rows = [asdict(result) | {"verdict": result.verdict.value} for result in results]
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps(rows, indent=1) + "\n")
    partial.replace(path)


def table(mutants: Sequence[Mutant], results: Sequence[Result]) -> str:
    """The results as Markdown."""
    lines = ["| file | mutant | what is wrong | result | by |", "|---|---|---|---|---|"]
    for mutant, result in zip(mutants, results, strict=True):
        what = mutant.equivalent or f"{result.test or result.text}".partition("/")[2]
        what = what.replace("|", "\\|")
        lines.append(
            f"| `{mutant.file}` | {mutant.name} | {mutant.breaks} "
            f"| {result.verdict.value} | {what} |"
        )
    return "\n".join([*lines, "", summary(mutants, results)])


def summary(mutants: Sequence[Mutant], results: Sequence[Result]) -> str:
    """One line: how many were found, and those that were not."""
    pairs = list(zip(mutants, results, strict=True))
    defects = [result for mutant, result in pairs if not mutant.equivalent]
    found = sum(result.found for result in defects)
    missed = ", ".join(result.mutant for result in defects if not result.found)
    share = 100 * found / max(1, len(defects))
    return f"{found} of {len(defects)} mutants found ({share:.0f} %)" + (
        f"; not found: {missed}" if missed else ""
    )


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _copy_files(source: Path, target: Path) -> None:
    """The files of a folder, without those of folders in it."""
    target.mkdir(parents=True, exist_ok=True)
    for file in source.iterdir():
        if file.is_file():
            shutil.copy(file, target)


def _compile(file: Path) -> None:
    mode = py_compile.PycInvalidationMode.CHECKED_HASH
    py_compile.compile(str(file), invalidation_mode=mode, doraise=True)
