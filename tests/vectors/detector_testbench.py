"""Runs inside of the simulator: frames into the detector of ``docs/embedding.md``.

``job.json`` holds the frames; what the detector says of them is in ``result.json``.
"""

import json
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge, RisingEdge

LINGER_CYCLES = 300


@cocotb.test()
async def frames_into_the_detector(dut: Any) -> None:
    """All frames, without a pause."""
    job = json.loads(Path("job.json").read_text())
    found: list[int] = []
    cocotb.start_soon(Clock(dut.clk, 10, unit="ns").start())
    await ClockCycles(dut.clk, 2)
    await FallingEdge(dut.clk)
    dut.reset_n.value = 1

    async def watch() -> None:
        while True:
            await FallingEdge(dut.clk)
            if int(dut.found_valid.value):
                found.append(int(dut.found.value))

    cocotb.start_soon(watch())
    for frame in map(bytes.fromhex, job["frames"]):
        for place, byte in enumerate(frame):
            dut.pixel.value = byte
            dut.pixel_last.value = int(place == len(frame) - 1)
            dut.pixel_valid.value = 1
            taken = 0
            while not taken:
                await RisingEdge(dut.clk)
                taken = int(dut.pixel_ready.value)
                await FallingEdge(dut.clk)
    dut.pixel_valid.value = 0
    await ClockCycles(dut.clk, LINGER_CYCLES)
    result = {"found": found, "broken": int(dut.broken.value)}
    Path("result.json").write_text(json.dumps(result))
