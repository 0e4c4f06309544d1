"""Interrupts builds at every file operation: ``python tests/interruption/run.py --how kill``.

A build of a small network is killed (``kill``), or finds the disk full (``full``), just before its
first, second, third, ... operation that changes a file; or no file may be larger than 2, 4, 8, ...
bytes (``short``); or a second build works in the same folder at once, and the first is killed
(``together``). After each, the folder has to be free of half-written results, and the same build
again has to end with the same bytes as one that was never interrupted.

What only computes (the generator, the simulation) and the tools (yosys, nextpnr) are stood in for
by what they gave before: every build of this network makes the same files.
"""

import argparse
import errno
import functools
import hashlib
import json
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from shiftwork import build as build_module
from shiftwork.boards import accelerator, yowasp
from shiftwork.build import Job, build
from shiftwork.errors import OutputError
from shiftwork.sim import executor

CHANGES = frozenset(
    {"os.chmod", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.truncate", "shutil.rmtree"}
)
TAKES_SPACE = frozenset({"open", "os.mkdir"})
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
FULL = 3
POINTS_TOGETHER = 240
NO_SPACE = ("No space left on device", "File too large")
Hook = Callable[[str, tuple[Any, ...]], None] | int
"""What is called before each change of a file, or the size in bytes that files may have."""


def main() -> int:
    """Tries every point; 1 if a folder was left damaged."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--how", choices=["kill", "full", "short", "together"], default="kill")
    parser.add_argument("--every", type=int, default=1, help="try only every n-th point")
    options = parser.parse_args()
    sys.dont_write_bytecode = True
    warnings.simplefilter("ignore")
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="interruption-") as name:
        os.chdir(name)
        os.environ["TMPDIR"] = name
        tempfile.tempdir = name
        _write_inputs()
        _stand_in_for_slow_parts()
        points, problems = _try_points(options.how, options.every)
    print(f"{options.how}: {points} points, {len(problems)} problems, {_seconds(start)} s")
    print("\n".join(problems))
    return int(bool(problems) or points == 0)


def _seconds(start: float) -> int:
    return round(time.monotonic() - start)


def _try_points(how: str, every: int) -> tuple[int, list[str]]:
    """The number of points that were tried, and what went wrong."""
    reference = Path("reference")
    reference.mkdir()
    for _ in range(2):  # what stands in for the slow parts is filled by the first
        _forked(reference, None)
        whole = _contents(reference)
    tried, problems = 0, []
    for number in range(1, POINTS_TOGETHER if how == "together" else 1 << 20, every):
        place = Path(f"{number}")
        place.mkdir()
        hook = _hook(how, number, place.resolve())
        status = _forked(place, hook, together=how == "together")
        if status == 0 and how != "together":
            break
        tried += 1
        problems += [f"point {number}: {text}" for text in _judge(how, place, status, whole)]
    return tried, problems


def _judge(how: str, place: Path, status: int, whole: dict[str, str]) -> Iterator[str]:
    expected = {"kill": (-signal.SIGKILL,), "together": (-signal.SIGKILL, 0)}.get(how, (FULL,))
    if status not in expected:
        yield f"ended with {status} instead of {expected}"
    if FULL in expected and any(".partial-" in name for name in _contents(place)):
        yield f"left {[name for name in _contents(place) if '.partial-' in name]}"
    if _forked(place, None) != 0:
        yield "the same build again failed"
    after = _contents(place)
    if after != whole:
        changed = {name for name, _ in whole.items() ^ after.items()}
        yield f"the same build again differs in {sorted(changed)}"


def _contents(place: Path) -> dict[str, str]:
    """The digests of all files of a build."""
    return {
        str(path.relative_to(place)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(place.rglob("*"))
        if path.is_file()
    }


# One build


def _forked(place: Path, hook: Hook | None, *, together: bool = False) -> int:
    """Builds in a process of its own; its exit status, or the signal that ended it, negative.

    With ``together``, a second process builds in the same folder; if it fails, its status counts.
    """
    processes = [_start(place, hook)]
    if together:
        processes.append(_start(place, None))
    statuses = [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in processes]
    return next((status for status in statuses[1:] if status), statuses[0])


def _start(place: Path, hook: Hook | None) -> int:
    process = os.fork()
    if process == 0:
        os._exit(_build(place, hook))
    return process


def _build(place: Path, hook: Hook | None) -> int:
    try:
        os.chdir(place)
        if isinstance(hook, int):
            resource.setrlimit(resource.RLIMIT_FSIZE, (hook, hook))
        elif hook is not None:
            sys.addaudithook(hook)
        build(_job(), "build")
    except OutputError as error:
        return FULL if any(text in str(error) for text in NO_SPACE) else 4
    except BaseException:
        traceback.print_exc()
        return 5
    return 0


def _hook(how: str, number: int, place: Path) -> Hook:
    """Acts before the change of that number: kills the process, or lets it and all later fail."""
    if how == "short":
        return 1 << number
    seen = 0

    def act(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if not _is_change(event, arguments):
            return
        if how == "full" and event not in TAKES_SPACE:
            return
        seen += 1
        if seen >= number and how != "full":
            os.kill(os.getpid(), signal.SIGKILL)
        if seen >= number:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(place))

    return act


def _is_change(event: str, arguments: tuple[Any, ...]) -> bool:
    if event == "open":
        return bool(arguments[2] & WRITES) and not str(arguments[0]).startswith("/dev/")
    return event in CHANGES


def _job() -> Job:
    return Job(
        model=Path("../net.onnx"),
        calibration=Path("../samples.npz"),
        board="icebreaker",
        options={},
        images=1,
        engine="amaranth",
        seeds=1,
    )


def _write_inputs() -> None:
    rng = np.random.default_rng(1)
    weights = numpy_helper.from_array(rng.normal(size=(12, 5)).astype(np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 12])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 5])],
        [weights],
    )
    opsets = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), "net.onnx")
    np.savez("samples.npz", x=rng.normal(size=(8, 12)).astype(np.float32), y=np.arange(8) % 5)


# What stands in for the slow parts


def _stand_in_for_slow_parts() -> None:
    """One build outside of any count fills the caches, which the forked processes inherit."""
    yowasp.run = _run_tool
    build_module.code_digest = functools.cache(build_module.code_digest)
    build_module.versions = functools.cache(build_module.versions)
    accelerator.verilog.to_rtlil = _once(accelerator.verilog.to_rtlil)
    executor.simulate = _once(executor.simulate)
    with _in_folder(Path("warm-up")):
        build(_job(), "build")


@contextmanager
def _in_folder(folder: Path) -> Iterator[None]:
    folder.mkdir()
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _once(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function's first result, whatever the arguments."""
    results: list[Any] = []

    def call(*arguments: Any, **keywords: Any) -> Any:
        if not results:
            results.append(function(*arguments, **keywords))
        return results[0]

    return call


def _run_tool(tool: str, arguments: list[str], *, folder: Path, log: Path, **_: Any) -> None:
    """Writes what yosys and nextpnr write."""
    log.write_text(f"{tool}\n")
    if tool == "yosys" and "synth.ys" in arguments:
        cells = {"core.pe": {"type": "SB_LUT4", "attributes": {}, "connections": {}}}
        netlist = {"modules": {"shiftwork_top": {"cells": cells}}}
        (folder / "design.il").write_text("")
        (folder / "netlist.json").write_text(json.dumps(netlist))
    elif tool == "yosys" and "-p" in arguments:
        (folder / accelerator.verilog.VERILOG_FILE).write_text("module shiftwork_core;endmodule\n")
    elif tool.startswith("nextpnr"):
        record = {
            "fmax": {"clk": {"achieved": 99.0, "constraint": 36.0}},
            "utilization": {"ICESTORM_LC": {"used": 5, "available": 5280}},
            "critical_paths": [],
        }
        (folder / "nextpnr.json").write_text(json.dumps(record))


if __name__ == "__main__":
    sys.exit(main())
