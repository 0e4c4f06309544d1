"""The cocotb testbench of ``bench.v``: starts it, waits for it and reads what it saw.

The bench drives and checks by itself, at the simulator's speed. This module runs inside of the
simulator's process, alone in the working folder: it imports nothing but cocotb. ``job.json`` there
holds the settings; ``result.json`` is written.
"""

import json
import time
from pathlib import Path
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

RESULTS = (
    "hung",
    "status",
    "clock_cycles",
    "input_count",
    "frames_started",
    "frames_finished",
    "cycles_min",
    "cycles_max",
    "mismatches",
    "first_kind",
    "first_frame",
    "first_layer",
    "first_offset",
    "first_expected",
    "first_got",
)


def read(handle: Any) -> int | None:
    """The handle's number; None if a bit of it is unknown."""
    value = handle.value
    return int(value) if value.is_resolvable else None


@cocotb.test()
async def every_layer_equals_golden(dut: Any) -> None:
    """All frames, back to back, with random stalls on both streams."""
    job = json.loads(Path("job.json").read_text())
    for name, value in job["settings"].items():
        getattr(dut, name).value = value
    began = time.perf_counter()
    dut.start.value = 1
    await RisingEdge(dut.done)
    result: dict[str, Any] = {"seconds": time.perf_counter() - began}
    result |= {name: read(getattr(dut, name)) for name in RESULTS}
    result["layer_mismatches"] = [read(dut.layer_mismatches[i]) for i in range(job["layers"])]
    Path("result.json").write_text(json.dumps(result))
    assert not result["status"], f"the flash loader refuses the image: status {result['status']}"
    assert not result["hung"], f"no progress for {job['settings']['patience']} cycles"
    assert not result["mismatches"], f"{result['mismatches']} bytes differ: see result.json"
