"""The AXI4-Stream ports of a framed core: names, clock, reset and what passes through."""

import gc
from typing import Any

import pytest
from amaranth import ClockDomain, Module
from amaranth.sim import Simulator
from framed_streams import Frames, values_net

from shiftwork.hw import verilog
from shiftwork.hw.axi_stream import AxiStream
from shiftwork.hw.config import ArrayShape
from shiftwork.hw.core import Core
from shiftwork.hw.frame_guard import FrameEvent
from shiftwork.hw.schedule import make_schedule

HALF_PERIOD = 1e-8
PATIENCE = 300
PORTS = {
    *("aclk", "aresetn", "busy", "clear_errors", "frame_errors", "frame_event"),
    "frames_discarded",
    *(f"{side}_axis_t{name}" for side in "sm" for name in ("data", "valid", "ready", "last")),
}
FLASH_PORTS = {"flash_cs_n", "flash_sck", "flash_mosi", "flash_miso", "status"}


def component(shape: ArrayShape, *, framed: bool = True) -> AxiStream:
    schedule = make_schedule(values_net(), shape)
    core = Core(config=schedule.config, images=schedule.images, framed=framed)
    # Not all tests elaborate them: no warning about that.
    core._MustUse__used = True
    dut = AxiStream(core)
    dut._MustUse__used = True
    return dut


class Bus:
    """Drives the ports, clock included.

    Parameters:
        dut: the component.
    """

    def __init__(self, dut: AxiStream) -> None:
        self.dut = dut
        self.received: list[tuple[int, int]] = []
        self.events: list[FrameEvent] = []

    async def cycle(self, ctx: Any) -> bool:
        """A clock cycle; whether a byte was taken."""
        dut = self.dut
        taken = ctx.get(dut.s_axis.tvalid) and ctx.get(dut.s_axis.tready)
        if ctx.get(dut.m_axis.tvalid) and ctx.get(dut.m_axis.tready):
            self.received.append((ctx.get(dut.m_axis.tdata), ctx.get(dut.m_axis.tlast)))
        if event := ctx.get(dut.frame_event):
            self.events.append(FrameEvent(event))
        for level in (1, 0):
            ctx.set(dut.aclk, level)
            await ctx.delay(HALF_PERIOD)
        return bool(taken)

    async def send(self, ctx: Any, content: bytes) -> None:
        """A packet, byte after byte."""
        for place, byte in enumerate(content):
            ctx.set(self.dut.s_axis.tdata, byte)
            ctx.set(self.dut.s_axis.tlast, int(place == len(content) - 1))
            ctx.set(self.dut.s_axis.tvalid, 1)
            for _ in range(PATIENCE):
                if await self.cycle(ctx):
                    break
            else:
                pytest.fail("the byte is not taken")
        ctx.set(self.dut.s_axis.tvalid, 0)

    async def wait(self, ctx: Any) -> None:
        for _ in range(PATIENCE):
            await self.cycle(ctx)

    async def reset(self, ctx: Any) -> None:
        ctx.set(self.dut.aresetn, 0)
        await self.cycle(ctx)
        ctx.set(self.dut.aresetn, 1)


def simulate(dut: AxiStream, bench: Any) -> None:
    """The component has a clock of its own: the simulator's does nothing."""
    top = Module()
    top.domains.sync = ClockDomain()
    top.submodules.dut = dut
    simulator = Simulator(top)
    simulator.add_testbench(bench)
    simulator.run()


def test_packets_pass_and_bad_ones_are_told() -> None:
    dut = component(ArrayShape(rows=1, columns=3))
    frames, bus = Frames(values_net()), Bus(dut)
    good = frames.inputs

    async def bench(ctx: Any) -> None:
        ctx.set(dut.m_axis.tready, 1)
        await bus.reset(ctx)
        for packet in (good[0], good[1][:5], good[2], good[3] + b"\x00", good[4]):
            await bus.send(ctx, packet)
        await bus.wait(ctx)
        assert ctx.get(dut.frame_errors.as_value()) == 3
        assert ctx.get(dut.frames_discarded) == 2
        ctx.set(dut.clear_errors, 1)
        await bus.cycle(ctx)
        assert ctx.get(dut.frames_discarded) == 0

    simulate(dut, bench)
    size = len(frames.answers[0])
    assert [last for _, last in bus.received] == [*[0] * (size - 1), 1] * 3
    answers = [bytes(byte for byte, _ in bus.received[k : k + size]) for k in (0, size, 2 * size)]
    assert answers == [frames.answers[k] for k in (0, 2, 4)]
    taken, short, long = FrameEvent.TAKEN, FrameEvent.SHORT_FRAME, FrameEvent.LONG_FRAME
    assert bus.events == [taken, short, taken, long, taken]


def test_a_low_reset_drops_everything() -> None:
    dut = component(ArrayShape(rows=2, columns=3))
    frames, bus = Frames(values_net()), Bus(dut)

    async def bench(ctx: Any) -> None:
        ctx.set(dut.aresetn, 1)
        await bus.send(ctx, frames.inputs[0])
        await bus.send(ctx, frames.inputs[1][:4])
        await bus.wait(ctx)
        assert ctx.get(dut.m_axis.tvalid)
        await bus.reset(ctx)
        assert not ctx.get(dut.m_axis.tvalid)
        ctx.set(dut.m_axis.tready, 1)
        bus.events.clear()
        await bus.send(ctx, frames.inputs[2])
        await bus.wait(ctx)

    simulate(dut, bench)
    assert [bytes(byte for byte, _ in bus.received)] == [frames.answers[2]]
    assert bus.events == [FrameEvent.TAKEN]


def test_the_ports_have_the_names_of_axi() -> None:
    assert set(component(ArrayShape(rows=1, columns=3)).ports) == PORTS
    text = verilog.axi_stream_to_rtlil(component(ArrayShape(rows=1, columns=3)))
    top = text[text.index(f"module \\{verilog.AXI_STREAM_TOP}\n") :]
    names = {line.split("\\")[1] for line in top.splitlines() if "wire" in line and "put" in line}
    assert names >= PORTS


def test_a_core_whose_weights_come_from_a_flash() -> None:
    dut = component(ArrayShape(rows=1, columns=3, column_bytes=64))
    assert set(dut.ports) == PORTS | FLASH_PORTS


@pytest.mark.filterwarnings("ignore:.* created but never used")
def test_a_core_that_is_not_framed() -> None:
    with pytest.raises(ValueError, match=r"core must be framed: Core\(\.\.\., framed=True\)"):
        component(ArrayShape(rows=1, columns=3), framed=False)
    gc.collect()
