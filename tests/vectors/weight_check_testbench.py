"""Runs inside of the simulator: waits until both accelerators have checked their weights, twice.

``job.json`` holds the most cycles that may take; what was seen goes to ``result.json``.
"""

import json
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge

PERIOD_NS = 10
LINGER_CYCLES = 50


async def checked(dut: Any, cycles: int) -> dict[str, list[int]]:
    """The results, and how often each stream was ready before and after it was known."""
    ready = {"before": [0, 0], "after": [0, 0]}
    dut.rst.value = 1
    await ClockCycles(dut.clk, 2)
    dut.rst.value = 0
    for cycle in range(cycles + LINGER_CYCLES):
        await FallingEdge(dut.clk)
        for index, name in enumerate(("right", "wrong")):
            result = int(getattr(dut, f"{name}_check").value)
            assert result or cycle < cycles
            phase = "after" if result else "before"
            ready[phase][index] += int(getattr(dut, f"{name}_ready").value)
    results = [int(dut.right_check.value), int(dut.wrong_check.value)]
    return {"results": results, **ready}


@cocotb.test()
async def test_weights(dut: Any) -> None:
    """A second reset checks anew."""
    job = json.loads(Path("job.json").read_text())
    cocotb.start_soon(Clock(dut.clk, PERIOD_NS, unit="ns").start())
    seen = [await checked(dut, job["cycles"]) for _ in range(2)]
    Path("result.json").write_text(json.dumps(seen))
