"""The input loader against the bytes of its frames."""

import numpy as np
import pytest

from shiftwork.hw.config import ArrayShape
from shiftwork.hw.input_loader import InputLoader

FIRST = 5
PITCH = 20
FRAME = 13
FRAMES = 5


ONE_BUFFER = ArrayShape(rows=2, columns=4, input_buffers=1)


def _set_header(ctx, dut, *, flip=0, pitch=PITCH):
    values = {name: 0 for name, _, _ in dut.config.header_fields}
    values |= {"input_first": FIRST, "input_pitch": pitch, "input_last": FRAME - 1}
    ctx.set(dut.header, values | {"input_flip": flip})
    ctx.set(dut.enable, 1)


def _frames(seed):
    return np.random.default_rng(seed).integers(0, 256, (FRAMES, FRAME)).astype(np.uint8)


def _stream(dut, frames, *, stalls, seed, memory):
    """Puts all frames, with gaps in ``valid`` and in ``write_ready``; keeps what is written."""
    rng = np.random.default_rng(seed)

    async def bench(ctx):
        sent = 0
        data = frames.reshape(-1)
        while sent < len(data):
            ctx.set(dut.i.valid, int(rng.random() >= stalls))
            ctx.set(dut.i.payload, int(data[sent]))
            ctx.set(dut.write_ready, int(rng.random() >= stalls))
            transfer = ctx.get(dut.i.valid) and ctx.get(dut.i.ready)
            written = ctx.get(dut.write_enable) and ctx.get(dut.write_ready)
            assert transfer == written
            if written:
                memory[ctx.get(dut.write_address)] = ctx.get(dut.write_data)
                sent += 1
            await ctx.tick()
        ctx.set(dut.i.valid, 0)

    return bench


def _compute(dut, frames, *, flip, pause, memory, pitch=PITCH):
    """Takes a full buffer ``pause`` cycles after it is seen, checks it, and releases it."""

    async def bench(ctx):
        _set_header(ctx, dut, flip=flip, pitch=pitch)
        for number, frame in enumerate(frames):
            while not ctx.get(dut.full):
                await ctx.tick()
            assert ctx.get(dut.second) == number % 2
            for _ in range(pause):
                await ctx.tick()
            start = FIRST + pitch * (number % 2)
            assert [memory.get(start + k) for k in range(FRAME)] == (frame ^ 0x80 * flip).tolist()
            ctx.set(dut.release, 1)
            await ctx.tick()
            ctx.set(dut.release, 0)

    return bench


@pytest.mark.parametrize("stalls", [0, 0.4])
@pytest.mark.parametrize("pause", [0, 3, 60])
@pytest.mark.parametrize("flip", [0, 1])
def test_frames_alternate_between_two_buffers(run_component, array_config, stalls, pause, flip):
    dut = InputLoader(config=array_config())
    frames, memory = _frames(seed=pause), {}
    run_component(
        dut,
        _stream(dut, frames, stalls=stalls, seed=pause, memory=memory),
        _compute(dut, frames, flip=flip, pause=pause, memory=memory),
    )
    places = [FIRST + offset + k for offset in (0, PITCH) for k in range(FRAME)]
    assert sorted(memory) == places


def test_two_frames_are_taken_and_the_third_waits_for_a_release(run_component, array_config):
    dut = InputLoader(config=array_config())
    taken = []

    async def bench(ctx):
        _set_header(ctx, dut)
        ctx.set(dut.i.valid, 1)
        ctx.set(dut.write_ready, 1)
        for cycle in range(60):
            if ctx.get(dut.i.ready):
                taken.append(cycle)
            await ctx.tick()
        assert (ctx.get(dut.full), ctx.get(dut.second)) == (1, 0)
        ctx.set(dut.release, 1)
        await ctx.tick()
        ctx.set(dut.release, 0)
        assert (ctx.get(dut.full), ctx.get(dut.second)) == (1, 1)
        for _ in range(2):
            assert not ctx.get(dut.i.ready)
            await ctx.tick()
        assert ctx.get(dut.i.ready)
        assert ctx.get(dut.write_address) == FIRST

    run_component(dut, bench)
    gap = 2
    first = list(range(2, 2 + FRAME))
    assert taken == first + [cycle + FRAME + gap for cycle in first]


def test_nothing_is_taken_before_the_header_is_valid(run_component, array_config):
    dut = InputLoader(config=array_config())

    async def bench(ctx):
        ctx.set(dut.i.valid, 1)
        ctx.set(dut.write_ready, 1)
        for _ in range(10):
            assert not ctx.get(dut.i.ready)
            assert not ctx.get(dut.write_enable)
            await ctx.tick()

    run_component(dut, bench)


def test_byte_waits_for_the_memory(run_component, array_config):
    dut = InputLoader(config=array_config())

    async def bench(ctx):
        _set_header(ctx, dut)
        ctx.set(dut.i.valid, 1)
        await ctx.tick().repeat(5)
        assert ctx.get(dut.write_enable)
        assert not ctx.get(dut.i.ready)
        assert ctx.get(dut.write_address) == FIRST
        ctx.set(dut.write_ready, 1)
        assert ctx.get(dut.i.ready)

    run_component(dut, bench)


@pytest.mark.parametrize("stalls", [0, 0.4])
@pytest.mark.parametrize("pause", [0, 60])
def test_frames_wait_for_the_only_buffer(run_component, array_config, stalls, pause):
    """Each frame is still whole, at the one place, when it is released."""
    dut = InputLoader(config=array_config(ONE_BUFFER))
    frames, memory = _frames(seed=pause), {}
    run_component(
        dut,
        _stream(dut, frames, stalls=stalls, seed=pause, memory=memory),
        _compute(dut, frames, flip=1, pause=pause, memory=memory, pitch=0),
    )
    assert sorted(memory) == [FIRST + k for k in range(FRAME)]


def test_nothing_is_taken_while_the_only_buffer_is_full(run_component, array_config):
    dut = InputLoader(config=array_config(ONE_BUFFER))
    taken = []

    async def bench(ctx):
        _set_header(ctx, dut, pitch=0)
        ctx.set(dut.i.valid, 1)
        ctx.set(dut.write_ready, 1)
        for cycle in range(3 * FRAME):
            if ctx.get(dut.i.ready):
                taken.append(cycle)
            await ctx.tick()
        assert ctx.get(dut.full)
        ctx.set(dut.release, 1)
        await ctx.tick()
        ctx.set(dut.release, 0)
        assert not ctx.get(dut.full)
        for _ in range(2):
            assert not ctx.get(dut.i.ready)
            await ctx.tick()
        assert ctx.get(dut.i.ready)
        assert ctx.get(dut.write_address) == FIRST

    run_component(dut, bench)
    assert taken == list(range(2, 2 + FRAME))


@pytest.mark.parametrize("shape", [None, ONE_BUFFER], ids=["two buffers", "one buffer"])
@pytest.mark.parametrize("kept", [1, 6, FRAME])
def test_a_discarded_frame_is_overwritten(run_component, array_config, shape, kept):
    """Whatever has come of it, its last byte included: the next frame takes its place."""
    dut = InputLoader(config=array_config(shape), framed=True)
    bad, good = _frames(seed=kept)[:2]
    pitch = 0 if shape else PITCH
    places = []

    async def send(ctx, content, *, discard):
        for number, byte in enumerate(content):
            ctx.set(dut.i.payload, int(byte))
            ctx.set(dut.discard, int(discard and number == len(content) - 1))
            ctx.set(dut.i.valid, 1)
            while not ctx.get(dut.i.ready):
                await ctx.tick()
            assert ctx.get(dut.final) == (number == FRAME - 1)
            places.append(ctx.get(dut.write_address))
            await ctx.tick()
            ctx.set(dut.i.valid, 0)

    async def bench(ctx):
        _set_header(ctx, dut, pitch=pitch)
        ctx.set(dut.write_ready, 1)
        await send(ctx, bad[:kept], discard=True)
        await ctx.tick().repeat(5)
        assert not ctx.get(dut.full)
        await send(ctx, good, discard=False)
        assert (ctx.get(dut.full), ctx.get(dut.second)) == (1, 0)

    run_component(dut, bench)
    assert places == [FIRST + k for n in (kept, FRAME) for k in range(n)]
