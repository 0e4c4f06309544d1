"""The Verilog with AXI4-Stream ports in Verilator, driven by the models of cocotbext-axi."""

import contextlib
import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from framed_streams import Frames, values_net

from shiftwork.boards.accelerator import Accelerator
from shiftwork.sim import cocotb_runner, simulator_cache

VECTORS = Path(__file__).parent / "vectors"
TESTBENCH = "axi_stream_testbench"
STALLS = (0.0, 0.3, 0.8)
RESET_AFTER = 41
TAKEN, SHORT, LONG = 1, 2, 3
LENGTHS = {"short": SHORT, "long": LONG, "good": TAKEN}
KINDS = ("good", "short", "good", "long", "long", "good", "good", "short", "short", "long", "good")


@cache
def accelerator() -> Accelerator:
    return Accelerator(values_net(), rows=1, columns=3)


def packets(frames: Frames) -> list[bytes]:
    """A packet of each kind, in the order of ``KINDS``; those that are not good are random."""
    rng = np.random.default_rng(4)
    good, size = iter(frames.inputs), len(frames.inputs[0])
    lengths = {"short": (1, size), "long": (size + 1, 3 * size)}
    return [
        next(good) if kind == "good" else rng.bytes(int(rng.integers(*lengths[kind])))
        for kind in KINDS
    ]


def run(folder: Path, verilog: str, job: dict[str, Any]) -> list[dict[str, Any]]:
    """Builds the bench around the Verilog, and runs it."""
    cache_folder = simulator_cache.default_folder()
    simulator_cache.prepare(cache_folder)
    for name in ("axi_stream_bench.v", f"{TESTBENCH}.py"):
        shutil.copy(VECTORS / name, folder / name)
    (folder / "axi_stream.v").write_text(verilog)
    (folder / "job.json").write_text(json.dumps(job))
    runner = cocotb_runner.builder("verilator", cache_folder)
    runner.build(
        sources=[folder / "axi_stream_bench.v", folder / "axi_stream.v"],
        hdl_toplevel=cocotb_runner.TOP,
        build_args=runner.build_arguments,
        build_dir=folder,
        timescale=cocotb_runner.TIMESCALE,
        log_file=folder / "build.log",
    )
    runner.finish_build()
    with contextlib.suppress(SystemExit):  # a failure: result.json is missing then
        runner.test(
            test_module=TESTBENCH,
            hdl_toplevel=cocotb_runner.TOP,
            hdl_toplevel_lang="verilog",
            build_dir=folder,
            test_dir=folder,
            results_xml=str(folder / "results.xml"),
            seed=job["seed"],
            log_file=folder / "run.log",
        )
    result = folder / "result.json"
    assert result.exists(), (folder / "run.log").read_text()
    return json.loads(result.read_text())


def test_packets_through_axi_stream_models(tmp_path: Path) -> None:
    """Good frames are answered as golden does, bad ones are not; whatever the stalls are."""
    frames = Frames(accelerator().program)
    sent = packets(frames)
    expected = [answer.hex() for answer in frames.answers[: KINDS.count("good")]]
    job = {
        "seed": 1,
        "stalls": STALLS,
        "packets": [packet.hex() for packet in sent],
        "answers": len(expected),
        "reset_after": RESET_AFTER,
    }
    *runs, after_reset = run(tmp_path, accelerator().verilog("axi-stream"), job)
    assert len(runs) == len(STALLS)
    for seen in runs:
        assert seen["received"] == expected
        assert seen["events"] == [LENGTHS[kind] for kind in KINDS]
        assert seen["status"] == [3, len(KINDS) - len(expected)]
        assert seen["cleared"] == [0, 0]
    assert after_reset == {"received": expected[:1], "events": [TAKEN], "status": [0, 0]}
