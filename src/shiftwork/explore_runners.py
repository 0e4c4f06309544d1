"""Where the points of an exploration are estimated: in local processes, or on a Dask cluster.

Both give the same results. They come in the order in which they are done, each once.
"""

import asyncio
import logging
import multiprocessing
import os
import signal
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import CancelledError, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from shiftwork.errors import ToolError
from shiftwork.explore_points import Design, Task, evaluate
from shiftwork.sim.processes import end_with_parent

if TYPE_CHECKING:
    from distributed import Client

Job = tuple[bytes, Task]
"""The content of a program file, and what to estimate of it."""
Results = Generator[tuple[int, list[Design]], None, None]
"""The position of a job, and for each of its boards what was found."""

DESIGNS_A_PROCESS = 250
"""As many are done in the time that a process takes to start."""
CONNECT_S = 10
WORKERS_S = 30
AGAIN = "what is done is kept: run the same command again to go on"


def run_locally(jobs: Sequence[Job], *, processes: int | None = None) -> Results:
    """Runs the jobs in processes of this machine; in this process if one is enough.

    Args:
        processes: how many; None: as many as save time, one for each processor at most.

    Raises:
        ToolError: if a process ends unexpectedly.
    """
    count = min(processes or _worthwhile(jobs), len(jobs))
    if count <= 1:
        for index, job in enumerate(jobs):
            yield index, evaluate(*job)
        return
    with ProcessPoolExecutor(
        count,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start,
        initargs=(os.getpid(),),
    ) as pool:
        try:
            futures = {pool.submit(evaluate, *job): index for index, job in enumerate(jobs)}
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool as error:
            raise ToolError(
                f"a process that estimates designs has ended (out of memory?); {AGAIN}, "
                "with fewer processes (--jobs 1)"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _worthwhile(jobs: Sequence[Job]) -> int:
    designs = sum(len(task.boards) for _, task in jobs)
    return min(len(os.sched_getaffinity(0)), 1 + designs // DESIGNS_A_PROCESS)


def _start(parent: int) -> None:
    """A process leaves Ctrl-C to its parent, and ends with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tie = end_with_parent(parent)
    if tie is not None:
        tie()


def run_on_dask(jobs: Sequence[Job], *, scheduler: str) -> Results:
    """Runs the jobs on the workers of a Dask cluster; no files are shared with them.

    A worker that is lost does not matter while others are left: what it had is computed anew.

    Args:
        scheduler: its address, such as ``tcp://host:8786``.

    Raises:
        ToolError: if Dask is missing here, if there is no scheduler or no worker, or if the
            scheduler or too many workers are lost.
    """
    with _client(scheduler) as client:
        from distributed import as_completed as completed

        # A program is the result of a task: if the workers that hold it are lost, so is it, and
        # the scheduler has it made again from what the task was given.
        programs = {
            program: client.submit(_same, program, pure=False)
            for program in dict.fromkeys(program for program, _ in jobs)
        }
        futures = {
            client.submit(evaluate, programs[program], task, pure=False): index
            for index, (program, task) in enumerate(jobs)
        }
        with client.as_current():  # else a client of the caller would be asked
            done = completed(futures)
        for future in done:
            yield futures[future], _result(future, scheduler)


def _same(program: bytes) -> bytes:
    return program


def _result(future: "asyncio.Future[list[Design]]", scheduler: str) -> list[Design]:
    from distributed import KilledWorker

    try:
        return future.result()
    except KilledWorker as error:
        raise ToolError(
            f"workers of the Dask cluster at {scheduler} ended again and again (out of memory?); "
            f"{AGAIN}"
        ) from error
    except (CancelledError, asyncio.CancelledError, OSError, TimeoutError) as error:
        raise ToolError(f"the Dask scheduler at {scheduler} is gone; {AGAIN}") from error
    except ModuleNotFoundError as error:
        raise ToolError(
            f"a worker of the Dask cluster at {scheduler} has no Python package '{error.name}'; "
            "install Shiftwork on all its machines"
        ) from error


@contextmanager
def _client(scheduler: str) -> "Iterator[Client]":
    """A connection to the scheduler, with at least one worker; its own messages are left out."""
    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        raise ToolError(
            f"the Python package {error.name} is missing, which --scheduler needs; install it: "
            "pip install 'shiftwork[dask]'"
        ) from error
    with _quiet("distributed"):
        try:
            client = Client(scheduler, timeout=CONNECT_S)
        except (OSError, ValueError, TimeoutError) as error:
            raise ToolError(
                f"there is no Dask scheduler at {scheduler}; start one with 'dask scheduler', and "
                "workers with 'dask worker ADDRESS'"
            ) from error
        try:
            _wait_for_a_worker(client, scheduler)
            yield client
        finally:
            with suppress(Exception):  # of a scheduler that is gone
                client.close()


def _wait_for_a_worker(client: "Client", scheduler: str) -> None:
    try:
        client.wait_for_workers(1, timeout=WORKERS_S)
    except TimeoutError as error:
        raise ToolError(
            f"the Dask scheduler at {scheduler} has no worker; start some with "
            f"'dask worker {scheduler}'"
        ) from error


@contextmanager
def _quiet(package: str) -> Iterator[None]:
    """Without the log messages of a package, whose errors are told in words of our own."""
    root = logging.getLogger(package)
    loggers = [
        root,
        *(
            logging.getLogger(name)
            for name in logging.root.manager.loggerDict
            if name.startswith(f"{package}.")
        ),
    ]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
