"""Fuzzes what reads files: ``python tests/fuzz/run.py --target onnx --executions 100000 --seed 1``.

Each input is made from its target, the seed and its number alone, so that a run can be interrupted,
continued by the same command, and repeated anywhere. Inputs are read in worker processes, several
thousand in each, with a limit on memory and a time limit for each input. What must not happen is
written to ``log.txt`` in the run's folder, with the input beside it.
"""

import argparse
import json
import os
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

from targets import TARGETS, is_accepted

MIB = 1 << 20
WAITING = 30
COUNTERS = struct.Struct("<5q")


@dataclass
class Counts:
    """How far a run is: ``next`` is the number of the next input, ``slowest_us`` of one input."""

    next: int = 0
    accepted: int = 0
    refused: int = 0
    findings: int = 0
    slowest_us: int = 0


def main() -> int:
    """Runs until the given number of executions; 1 if anything was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", choices=[*TARGETS, "all"], default="all")
    parser.add_argument("--executions", type=int, default=1000, help="of each target")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("build/fuzz"), help="results go here")
    parser.add_argument("--batch", type=int, default=5000, help="inputs a worker process")
    parser.add_argument("--memory-mib", type=int, default=2048, help="an input may take")
    parser.add_argument(
        "--time-limit", type=float, default=10.0, help="CPU seconds an input may take"
    )
    parser.add_argument("--worker", type=int, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        return _work(options, *options.worker)
    names = list(TARGETS) if options.target == "all" else [options.target]
    return max(_run(name, options) for name in names)


def input_bytes(target: str, seed: int, number: int) -> bytes:
    """The input of that number."""
    return TARGETS[target].make(Random(f"{target} {seed} {number}"))


# The process that supervises


def _run(target: str, options: argparse.Namespace) -> int:
    folder = options.folder / f"{target}-{options.seed}"
    folder.mkdir(parents=True, exist_ok=True)
    counts, start = _load(folder), time.monotonic()
    first = counts.next
    while counts.next < options.executions:
        before = counts.next
        end = min(before + options.batch, options.executions)
        status = _run_worker(target, options, folder, before, end)
        _add(counts, folder)
        if status:
            _report_death(target, options, folder, counts, status)
        elif counts.next == before:
            raise SystemExit(f"the worker did nothing: {target} {before}")
        (folder / "progress.json").write_text(json.dumps(asdict(counts)))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    seconds = time.monotonic() - start
    print(
        f"{target}: {counts.next} executions ({counts.next - first} now, {seconds:.0f} s), "
        f"{counts.accepted} accepted, {counts.refused} refused, {counts.findings} findings; "
        f"slowest {counts.slowest_us / 1000:.0f} ms, peak memory {peak} MiB; {folder}/log.txt",
        flush=True,
    )
    return int(counts.findings > 0)


def _load(folder: Path) -> Counts:
    try:
        return Counts(**json.loads((folder / "progress.json").read_text()))
    except (OSError, ValueError, TypeError):
        return Counts()


def _run_worker(
    target: str, options: argparse.Namespace, folder: Path, first: int, end: int
) -> int:
    (folder / "counters").write_bytes(COUNTERS.pack(first, 0, 0, 0, 0))
    command = [sys.executable, __file__, "--target", target, "--seed", str(options.seed)]
    command += ["--folder", str(folder), "--memory-mib", str(options.memory_mib)]
    command += ["--time-limit", str(options.time_limit), "--worker", str(first), str(end)]
    with (folder / "worker.txt").open("wb") as output:
        return subprocess.run(command, stdout=output, stderr=output, check=False).returncode


def _add(counts: Counts, folder: Path) -> None:
    number, accepted, refused, findings, slowest = COUNTERS.unpack(
        (folder / "counters").read_bytes()
    )
    counts.next = number
    counts.accepted += accepted
    counts.refused += refused
    counts.findings += findings
    counts.slowest_us = max(counts.slowest_us, slowest)


def _report_death(
    target: str, options: argparse.Namespace, folder: Path, counts: Counts, status: int
) -> None:
    """The input that a worker was busy with when it died; the run goes on behind it."""
    reason = f"status {status}"
    if status < 0:
        late = -status in (signal.SIGALRM, signal.SIGPROF)
        reason = "the time limit" if late else signal.Signals(-status).name
    output = (folder / "worker.txt").read_text(errors="replace")
    _report(target, options, folder, counts.next, f"the process ended by {reason}\n{output}")
    counts.next += 1
    counts.findings += 1


def _report(target: str, options: argparse.Namespace, folder: Path, number: int, text: str) -> None:
    path = folder / f"{number}{TARGETS[target].suffix}"
    path.write_bytes(input_bytes(target, options.seed, number))
    with (folder / "log.txt").open("a") as log:
        log.write(f"input {number}, {path}\n{text}\n\n")


# The worker process


def _work(options: argparse.Namespace, first: int, end: int) -> int:
    warnings.simplefilter("ignore")
    target = TARGETS[options.target]
    home = options.folder.resolve()
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=memory) as name:
        inside = Path(name) / "inside"
        inside.mkdir()
        (Path(name) / "secret.bin").write_bytes(b"secret" * 100)
        (inside / "data.bin").write_bytes(bytes(range(256)) * 4)
        (inside / "link.bin").symlink_to("../secret.bin")
        os.chdir(inside)
        path = inside / f"input{target.suffix}"
        _warm_up(options, path)
        _limit_memory(options.memory_mib * MIB)
        opened = _watch(inside)
        with (home / "counters").open("r+b") as counters:
            counts = Counts(next=first)
            for number in range(first, end):
                path.write_bytes(input_bytes(options.target, options.seed, number))
                del opened[:]
                took = _execute(options, home, path, number, counts, opened)
                counts.next = number + 1
                counts.slowest_us = max(counts.slowest_us, took)
                os.pwrite(counters.fileno(), COUNTERS.pack(*asdict(counts).values()), 0)
    return 0


def _execute(
    options: argparse.Namespace,
    home: Path,
    path: Path,
    number: int,
    counts: Counts,
    opened: list[str],
) -> int:
    """Reads one input; returns the microseconds that it took."""
    _set_timers(options.time_limit)
    start = time.perf_counter()
    try:
        if is_accepted(TARGETS[options.target], path):
            counts.accepted += 1
        else:
            counts.refused += 1
        if opened:
            raise PermissionError(f"it opened {opened}")
    except Exception:
        counts.findings += 1
        _report(options.target, options, home, number, traceback.format_exc())
    finally:
        _set_timers(0)
    return int((time.perf_counter() - start) * 1e6)


def _set_timers(seconds: float) -> None:
    """Ends the process after so much computing, or after long waiting: a busy machine may pause."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, seconds * WAITING)


def _warm_up(options: argparse.Namespace, path: Path) -> None:
    """Lets everything be imported that is imported late."""
    for number in range(50):
        path.write_bytes(input_bytes(options.target, options.seed, number))
        with _silent():
            is_accepted(TARGETS[options.target], path)


class _silent:
    """Leaves findings to the run itself."""

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, *_: Any) -> bool:
        return True


def _limit_memory(extra: int) -> None:
    """Beyond what the interpreter and its libraries have mapped already."""
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + extra, mapped + extra))


def _watch(folder: Path) -> list[str]:
    """A list of the files that are opened from now on, but for those in ``folder`` and code."""
    opened: list[str] = []
    allowed = (*_code_folders(), str(folder))

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str | bytes):
            path = os.path.realpath(os.fsdecode(arguments[0]))
            if not path.startswith(allowed):
                opened.append(path)

    sys.addaudithook(hook)
    return opened


def _code_folders() -> Iterator[str]:
    for entry in (sys.prefix, sys.base_prefix, *sys.path):
        if entry:
            yield os.path.realpath(entry)


if __name__ == "__main__":
    sys.exit(main())
