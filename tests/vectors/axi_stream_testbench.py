"""Runs inside of the simulator: packets through the AXI4-Stream models of cocotbext-axi.

``job.json`` holds the packets and the stalls; ``result.json`` is written.
"""

import json
from pathlib import Path
from random import Random
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge, with_timeout
from cocotbext.axi import AxiStreamBus, AxiStreamSink, AxiStreamSource

PERIOD_NS = 10
LIMIT_US = 2000
LINGER_CYCLES = 300
"""After the last answer, to catch what should not come any more."""


class Bench:
    """The accelerator between a source and a sink."""

    def __init__(self, dut: Any, *, seed: int) -> None:
        self.dut = dut
        self.random = Random(seed)
        self.events: list[int] = []
        cocotb.start_soon(Clock(dut.aclk, PERIOD_NS, unit="ns").start())
        cocotb.start_soon(self._watch_events())
        reset = {"reset": dut.aresetn, "reset_active_level": False}
        self.source = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis"), dut.aclk, **reset)
        self.sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis"), dut.aclk, **reset)

    async def reset(self) -> None:
        """One edge with ``aresetn`` low, and one more."""
        self.dut.aresetn.value = 0
        await ClockCycles(self.dut.aclk, 2)
        self.dut.aresetn.value = 1
        self.events.clear()

    def stall(self, probability: float) -> None:
        """Both sides pause at random."""
        for side in (self.source, self.sink):
            side.set_pause_generator(iter(lambda: self.random.random() < probability, None))

    async def exchange(self, packets: list[str], answers: int) -> list[str]:
        """Sends packets, and takes so many answers; no more may come."""
        for packet in packets:
            await self.source.send(bytes.fromhex(packet))
        received = []
        for _ in range(answers):
            frame = await with_timeout(self.sink.recv(), LIMIT_US, "us")
            received.append(bytes(frame.tdata).hex())
        await with_timeout(self.source.wait(), LIMIT_US, "us")
        await ClockCycles(self.dut.aclk, LINGER_CYCLES)
        assert self.sink.empty() and not int(self.dut.m_axis_tvalid.value)
        return received

    def status(self) -> list[int]:
        """The ports ``frame_errors`` and ``frames_discarded``."""
        return [int(self.dut.frame_errors.value), int(self.dut.frames_discarded.value)]

    async def _watch_events(self) -> None:
        while True:
            await RisingEdge(self.dut.aclk)
            event = self.dut.frame_event.value
            if event.is_resolvable and int(event):
                self.events.append(int(event))


@cocotb.test()
async def packets_and_answers(dut: Any) -> None:
    """For every probability of a stall the same packets; then a reset amid a packet."""
    job = json.loads(Path("job.json").read_text())
    bench = Bench(dut, seed=job["seed"])
    await bench.reset()
    runs = []
    for stall in job["stalls"]:
        bench.stall(stall)
        received = await bench.exchange(job["packets"], job["answers"])
        runs.append({"received": received, "events": bench.events, "status": bench.status()})
        bench.events = []
        dut.clear_errors.value = 1
        await ClockCycles(dut.aclk, 1)
        dut.clear_errors.value = 0
        await ClockCycles(dut.aclk, 2)
        runs[-1]["cleared"] = bench.status()
    await bench.source.send(bytes.fromhex("".join(job["packets"])))
    await ClockCycles(dut.aclk, job["reset_after"])
    await bench.reset()
    received = await bench.exchange(job["packets"][:1], 1)
    runs.append({"received": received, "events": bench.events, "status": bench.status()})
    Path("result.json").write_text(json.dumps(runs))
