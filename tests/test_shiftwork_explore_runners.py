"""Local processes and a Dask cluster give the same; a worker that is killed costs nothing."""

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from shiftwork import __main__, explore_runners
from shiftwork.boards.registry import BOARDS
from shiftwork.errors import ToolError
from shiftwork.explore_points import Task, evaluate, sizes
from shiftwork.explore_runners import DESIGNS_A_PROCESS, _worthwhile, run_locally, run_on_dask
from shiftwork.sim.example_programs import depthwise_net, small_cnn
from shiftwork.workspace import code_digest

START_S = 60
DONE_BEFORE = 5
"""Results that have come when a worker is stopped, to be killed a little later."""
STOPPED_S = 1.5


def content(program, folder):
    path = folder / f"{program.name}.npz"
    program.save(path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("programs")
    arrays = sizes(BOARDS, (1, 2, 3, 4), (2, 4, 5, 8))
    return [
        (
            content(program, folder),
            Task(boards=boards, rows=rows, columns=columns, code=code_digest()),
        )
        for program in (small_cnn(), depthwise_net())
        for (rows, columns), boards in arrays.items()
    ]


@pytest.fixture(scope="module")
def expected(jobs):
    return [evaluate(*job) for job in jobs]


class Cluster:
    """A scheduler and workers, each a process of its own; they share no folder with the client."""

    def __init__(self, folder: Path):
        self.folder, self.file = folder, folder / "scheduler.json"
        self.processes = []
        self.workers = {}
        place = ("--host", "127.0.0.1", "--port", "0")
        self.scheduler = self._start("dask_scheduler", *place, "--scheduler-file", self.file)

    def add_worker(self, name):
        options = ("--name", name, "--no-nanny", "--nthreads", "1", "--host", "127.0.0.1")
        self.workers[name] = self._start("dask_worker", "--scheduler-file", self.file, *options)

    def _start(self, program, *options):
        command = [sys.executable, "-m", f"distributed.cli.{program}", "--no-dashboard", *options]
        folder = self.folder / f"{program}-{len(self.processes)}"
        folder.mkdir()
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                list(map(str, command)), cwd=folder, stdout=log, stderr=subprocess.STDOUT
            )
        self.processes.append(process)
        return process

    def client(self):
        """A client of its own, once all workers are there."""
        from distributed import Client

        deadline = time.monotonic() + START_S
        while not self.file.exists():
            assert time.monotonic() < deadline, "the scheduler does not start"
            time.sleep(0.1)
        client = Client(scheduler_file=str(self.file), timeout=START_S)
        if self.workers:
            client.wait_for_workers(len(self.workers), timeout=START_S)
        return client

    def stop(self):
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def cluster(tmp_path):
    pytest.importorskip("distributed", reason="needs Dask: pip install 'shiftwork[dask]'")
    folder = tmp_path / "cluster"
    folder.mkdir()
    made = Cluster(folder)
    yield made
    made.stop()


def in_order(results, count):
    found = list(results)
    assert sorted(index for index, _ in found) == list(range(count))
    return [designs for _, designs in sorted(found, key=lambda entry: entry[0])]


@pytest.mark.parametrize("processes", [1, 2])
def test_local_processes(jobs, expected, processes):
    assert in_order(run_locally(jobs, processes=processes), len(jobs)) == expected


def test_processes_are_started_only_where_they_save_time(jobs):
    assert _worthwhile(jobs[:1]) == 1
    many = jobs * (1 + 2 * DESIGNS_A_PROCESS // sum(len(task.boards) for _, task in jobs))
    assert _worthwhile(many) == min(len(os.sched_getaffinity(0)), 3)


def end_process(program, task):
    del program, task
    os._exit(1)


def test_a_local_process_that_ends(jobs, monkeypatch):
    monkeypatch.setattr(explore_runners, "evaluate", end_process)
    with pytest.raises(ToolError, match=r"a process that estimates designs has ended .*--jobs 1"):
        list(run_locally(jobs, processes=2))


def test_another_version_of_the_code(jobs):
    program, task = jobs[0]
    with pytest.raises(ToolError, match="another version of Shiftwork than this command; install"):
        list(run_locally([(program, replace(task, code="other"))]))


def test_a_killed_worker_of_a_cluster_costs_nothing(cluster, jobs, expected):
    for name in ("stays", "dies"):
        cluster.add_worker(name)
    with cluster.client() as client:
        workers = client.scheduler_info(n_workers=-1)["workers"]
        addresses = {entry["name"]: address for address, entry in workers.items()}
        results = run_on_dask(jobs, scheduler=client.scheduler.address)
        found = [next(results) for _ in range(DONE_BEFORE)]
        # Stopped, it keeps the tasks that it was given; nobody else does them until it is gone.
        victim = cluster.workers["dies"]
        os.kill(victim.pid, signal.SIGSTOP)
        assert client.processing()[addresses["dies"]]
        timer = threading.Timer(STOPPED_S, victim.kill)
        timer.start()
        try:
            found += results
        finally:
            timer.cancel()
        assert victim.wait() == -signal.SIGKILL
        assert list(client.scheduler_info(n_workers=-1)["workers"]) == [addresses["stays"]]
    assert in_order(found, len(jobs)) == expected


def test_the_command_gives_the_same_on_a_cluster(cluster, tmp_path, monkeypatch, capsys):
    cluster.add_worker("alone")
    with cluster.client() as client:
        address = client.scheduler.address
    small_cnn().save(tmp_path / "net.npz")
    options = ["--rows", "1,2", "--columns", "2,5", "--clocks", "20,max", "-o", "out", "--json"]
    made = []
    for place, where in (("here", ["--jobs", "1"]), ("there", ["--scheduler", address])):
        (tmp_path / place).mkdir()
        monkeypatch.chdir(tmp_path / place)
        assert __main__.run(["explore", "../net.npz", *options, *where]) == 0
        folder = tmp_path / place / "out"
        names = ("explore.json", "explore.html")
        made.append((capsys.readouterr().out, *((folder / name).read_bytes() for name in names)))
    assert made[0] == made[1]


def test_a_scheduler_that_is_lost(cluster, jobs):
    cluster.add_worker("alone")
    with cluster.client() as client:
        address = client.scheduler.address
    results = run_on_dask(jobs, scheduler=address)
    next(results)
    cluster.scheduler.kill()
    with pytest.raises(ToolError, match=f"the Dask scheduler at {address} is gone; what is done"):
        list(results)


def test_a_cluster_without_workers(cluster, jobs, monkeypatch):
    monkeypatch.setattr(explore_runners, "WORKERS_S", 1)
    with cluster.client() as client:
        address = client.scheduler.address
    with pytest.raises(ToolError, match=f"has no worker; start some with 'dask worker {address}'"):
        list(run_on_dask(jobs, scheduler=address))


class Failed:
    """A task's future on a worker that has no Shiftwork, or that ended each time."""

    def __init__(self, error):
        self.error = error

    def result(self):
        raise self.error


def test_workers_that_cannot():
    distributed = pytest.importorskip("distributed", reason="needs Dask: shiftwork[dask]")
    missing = ModuleNotFoundError("No module named 'shiftwork'", name="shiftwork")
    text = "a worker of the Dask cluster at tcp://x has no Python package 'shiftwork'; install"
    with pytest.raises(ToolError, match=text):
        explore_runners._result(Failed(missing), "tcp://x")
    killed = distributed.KilledWorker("task", None, 3)
    with pytest.raises(ToolError, match="workers of the Dask cluster at tcp://x ended again and"):
        explore_runners._result(Failed(killed), "tcp://x")


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nowhere", "tcp://"])
def test_no_cluster(jobs, monkeypatch, address):
    pytest.importorskip("distributed", reason="needs Dask: pip install 'shiftwork[dask]'")
    monkeypatch.setattr(explore_runners, "CONNECT_S", 1)
    with pytest.raises(ToolError, match=f"there is no Dask scheduler at {address}; start one with"):
        list(run_on_dask(jobs, scheduler=address))


def test_without_dask(jobs, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ToolError, match=r"--scheduler needs; .* pip install 'shiftwork\[dask\]'"):
        list(run_on_dask(jobs, scheduler="tcp://127.0.0.1:8786"))
