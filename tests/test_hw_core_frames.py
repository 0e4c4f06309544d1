"""The framed core: bad frames, stalls, resets and full buffers never lead to a wrong answer."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from amaranth import ResetInserter, Signal
from amaranth.sim import Simulator
from framed_streams import PATIENCE, Frames, Host, accumulators_net, answer_net, values_net
from spi_flash import SpiFlash

from shiftwork.hw import flash_image
from shiftwork.hw.config import ArrayShape
from shiftwork.hw.core import Core
from shiftwork.hw.flash_loader import FLASH_ADDRESS, WAKE_CYCLES, FlashError
from shiftwork.hw.frame_guard import FrameEvent
from shiftwork.hw.output_sender import BUFFERED_BYTES
from shiftwork.hw.schedule import Schedule, make_schedule
from shiftwork.quant.program import Program

PERIOD = 1e-8
RESETS = 8
OUTPUT_BUFFERS = 2

SHAPES = {
    "two ports": ArrayShape(rows=1, columns=3),
    "one port": ArrayShape(rows=2, columns=2, single_port=True),
    "one input buffer": ArrayShape(rows=2, columns=4, lanes=2, input_buffers=1),
}


@cache
def schedule_of(network: Callable[[], Program], shape: str) -> Schedule:
    return make_schedule(network(), SHAPES[shape])


def simulate(
    core: Core,
    bench: Callable[[Any], Any],
    *,
    reset: Signal | None = None,
    background: Callable[[Any], Any] | None = None,
) -> None:
    simulator = Simulator(core if reset is None else ResetInserter(reset)(core))
    simulator.add_clock(PERIOD)
    simulator.add_testbench(bench)
    if background is not None:
        simulator.add_testbench(background, background=True)
    simulator.run()


def framed_core(schedule: Schedule) -> Core:
    return Core(
        config=schedule.config, images=schedule.images, preload=schedule.payload, framed=True
    )


def title(value: object) -> str:
    """Of a test's parameter."""
    return value.__name__ if callable(value) else str(value)


CASES = [
    (values_net, "two ports"),
    (values_net, "one input buffer"),
    (accumulators_net, "one port"),
    (answer_net, "two ports"),
]
STALLS = [(0.8, 0), (0, 0.8), (0.3, 0.3), (0, 0.8)]


@pytest.mark.parametrize(("network", "shape"), CASES, ids=title)
def test_frames_of_every_length(network: Callable[[], Program], shape: str) -> None:
    """From one byte to more than two frames; a good one in between is answered."""
    schedule = schedule_of(network, shape)
    core, frames = framed_core(schedule), Frames(schedule.program)
    host = Host(core)
    size = len(frames.inputs[0])
    expected, events = [], []
    for length in range(1, 2 * size + 3):
        content = (frames.inputs[length % 12] * 3)[:length]
        host.send(content)
        good = length % len(frames.inputs)
        host.send(frames.inputs[good])
        if length == size:
            expected.append(frames.answers[length % 12])
            events.append(FrameEvent.TAKEN)
        else:
            events.append(FrameEvent.SHORT_FRAME if length < size else FrameEvent.LONG_FRAME)
        events.append(FrameEvent.TAKEN)
        expected.append(frames.answers[good])

    async def bench(ctx: Any) -> None:
        await host.settle(ctx)
        assert ctx.get(core.frames_discarded) == 2 * size + 1
        assert ctx.get(core.frame_errors.as_value()) == 3

    simulate(core, bench)
    assert host.events == events
    assert host.answers == expected


@pytest.mark.parametrize(
    ("network", "shape", "stalls"),
    [(*case, stalls) for case, stalls in zip(CASES, STALLS, strict=True)],
    ids=title,
)
def test_stalls_of_any_length(
    network: Callable[[], Program], shape: str, stalls: tuple[float, float]
) -> None:
    """Good and bad frames in any order: the answers are those of the good ones, in order."""
    schedule = schedule_of(network, shape)
    core, frames = framed_core(schedule), Frames(schedule.program)
    host = Host(core, seed=1, stalls=stalls)
    rng = np.random.default_rng(2)
    size = len(frames.inputs[0])
    expected = []
    for number, content in enumerate(frames.inputs):
        for length in rng.integers(1, 2 * size, rng.integers(3)):
            if length != size:
                host.send(rng.bytes(int(length)))
        host.send(content)
        expected.append(frames.answers[number])
    bad = sum(last for _, last in host.pending) - len(frames.inputs)

    async def bench(ctx: Any) -> None:
        await host.settle(ctx)
        assert ctx.get(core.frames_discarded) == bad

    simulate(core, bench)
    assert bad > 5
    assert len(host.events) == bad + len(frames.inputs)
    assert host.answers == expected


def test_a_frame_that_stops_half_way() -> None:
    """Nothing is computed of it; with the next frame it is one that is too long."""
    schedule = schedule_of(values_net, "two ports")
    core, frames = framed_core(schedule), Frames(schedule.program)
    host = Host(core)

    async def bench(ctx: Any) -> None:
        host.send(frames.inputs[0])
        await host.settle(ctx)
        host.send(frames.inputs[1][:7], last=False)
        await host.settle(ctx)
        assert host.events == [FrameEvent.TAKEN]
        assert not ctx.get(core.busy)
        host.send(frames.inputs[2])
        host.send(frames.inputs[3])
        await host.settle(ctx)
        assert ctx.get(core.frame_errors.as_value()) == 2

    simulate(core, bench)
    assert host.events == [FrameEvent.TAKEN, FrameEvent.LONG_FRAME, FrameEvent.TAKEN]
    assert host.answers == [frames.answers[0], frames.answers[3]]


def test_a_frame_that_is_given_up() -> None:
    """A byte with ``last`` ends it."""
    schedule = schedule_of(values_net, "one input buffer")
    core, frames = framed_core(schedule), Frames(schedule.program)
    host = Host(core)

    async def bench(ctx: Any) -> None:
        host.send(frames.inputs[1][:7], last=False)
        await host.settle(ctx)
        host.send(b"\x00")
        host.send(frames.inputs[2])
        await host.settle(ctx)
        assert ctx.get(core.frame_errors.as_value()) == 1

    simulate(core, bench)
    assert host.events == [FrameEvent.SHORT_FRAME, FrameEvent.TAKEN]
    assert host.answers == [frames.answers[2]]


@pytest.mark.parametrize("shape", ["two ports", "one input buffer"])
def test_frames_that_arrive_while_the_core_is_busy(shape: str) -> None:
    """The streams hold back what does not fit in, and nothing is lost."""
    schedule = schedule_of(values_net, shape)
    core, frames = framed_core(schedule), Frames(schedule.program)
    host = Host(core, stalls=(0, 1))
    for content in frames.inputs:
        host.send(content)

    async def bench(ctx: Any) -> None:
        while host.idle < PATIENCE:
            await host.cycle(ctx)
        left = len(host.pending) + (host.offered is not None)
        taken = len(frames.inputs) - left // len(frames.inputs[0])
        buffers = schedule.config.shape.input_buffers + OUTPUT_BUFFERS
        assert buffers <= taken <= buffers + BUFFERED_BYTES // len(frames.answers[0])
        assert not ctx.get(core.busy)
        host.stalls = (0, 0)
        await host.settle(ctx)

    simulate(core, bench)
    assert host.answers == frames.answers
    assert host.events == [FrameEvent.TAKEN] * len(frames.inputs)


@pytest.mark.parametrize(("network", "shape"), CASES, ids=title)
def test_a_reset_in_any_cycle(network: Callable[[], Program], shape: str) -> None:
    """Whatever was going on: the frame that begins after a reset is answered, and nothing else."""
    schedule = schedule_of(network, shape)
    core, frames = framed_core(schedule), Frames(schedule.program)
    reset = Signal()
    rng = np.random.default_rng(7)
    host = Host(core, seed=3, stalls=(0.1, 0.1))
    size = len(frames.inputs[0])

    async def bench(ctx: Any) -> None:
        for number in range(RESETS):
            for length in (size, size, size - 1, size + 3, size):
                host.send(rng.bytes(length))
            for _ in range(rng.integers(3 * schedule.cycles)):
                await host.cycle(ctx)
            ctx.set(core.i.valid, 0)
            ctx.set(reset, 1)
            await ctx.tick()
            ctx.set(reset, 0)
            host.restart()
            assert not ctx.get(core.o.valid)
            assert ctx.get(core.frame_errors.as_value()) == 0
            assert ctx.get(core.frames_discarded) == 0
            good = number % len(frames.inputs)
            host.send(frames.inputs[good])
            while not host.answers:
                assert host.idle <= PATIENCE, "no answer"
                await host.cycle(ctx)
            assert host.answers == [frames.answers[good]]
            assert host.events == [FrameEvent.TAKEN]
            host.restart()

    simulate(core, bench, reset=reset)


LOADING_CYCLES = 3 * WAKE_CYCLES
FLASH_SHAPE = ArrayShape(rows=1, columns=3, column_bytes=16)


def flash_core() -> tuple[Core, SpiFlash]:
    """A core whose weights come from a flash, and that flash."""
    schedule = make_schedule(values_net(), FLASH_SHAPE)
    core = Core(config=schedule.config, images=schedule.images, framed=True)
    image = flash_image.pack(schedule.payload, identity=schedule.config.identity)
    pins = {name: getattr(core, f"flash_{name}") for name in ("cs_n", "sck", "mosi", "miso")}
    return core, SpiFlash(image=image, address=FLASH_ADDRESS, **pins)


def test_a_reset_while_weights_are_loaded() -> None:
    """Frames wait until they are there, and are answered then."""
    core, flash = flash_core()
    frames, host, reset = Frames(values_net()), Host(core), Signal()

    async def bench(ctx: Any) -> None:
        for cycles in (WAKE_CYCLES // 5, 2 * WAKE_CYCLES - 100):
            host.send(frames.inputs[0])
            for _ in range(cycles):
                await host.cycle(ctx)
            assert len(host.pending) == len(frames.inputs[0]) - 1
            ctx.set(reset, 1)
            await ctx.tick()
            ctx.set(reset, 0)
            host.restart()
        for content in frames.inputs[1:4]:
            host.send(content)
        while len(host.answers) < 3:
            assert host.idle < LOADING_CYCLES
            await host.cycle(ctx)
        assert ctx.get(core.status) == FlashError.NONE

    simulate(core, bench, reset=reset, background=flash.bench)
    assert host.answers == frames.answers[1:4]
    assert host.events == [FrameEvent.TAKEN] * 3


def test_nothing_is_computed_with_a_damaged_image() -> None:
    core, flash = flash_core()
    flash.image = flash.image[:-1] + bytes([flash.image[-1] ^ 1])
    frames, host = Frames(values_net()), Host(core)
    host.send(frames.inputs[0])

    async def bench(ctx: Any) -> None:
        while ctx.get(core.status) == FlashError.NONE:
            assert host.idle < LOADING_CYCLES
            await host.cycle(ctx)
        for _ in range(PATIENCE):
            await host.cycle(ctx)
            assert not ctx.get(core.busy)
        assert ctx.get(core.status) == FlashError.DAMAGED

    simulate(core, bench, background=flash.bench)
    assert (host.answers, host.events) == ([], [])
    assert len(host.pending) == len(frames.inputs[0]) - 1
