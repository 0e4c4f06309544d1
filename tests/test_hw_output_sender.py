"""The output sender against the bytes in a model of the memory."""

import numpy as np
import pytest
from amaranth import Value

from shiftwork.hw.activation_memory import READ_LATENCY
from shiftwork.hw.output_sender import OutputSender

FIRST = 9
ELEMENTS = 10
"""Not prime to the bytes of a value: whoever counts bytes for values ends a frame too early."""
FRAMES = 5
FIRST_BYTE_LATENCY = READ_LATENCY + 2


def _set_header(ctx, dut, *, raw=0, flip=0):
    values = {name: 0 for name, _, _ in dut.config.header_fields}
    values |= {"output_first": FIRST, "output_pitch": _pitch(raw), "output_last": ELEMENTS - 1}
    values |= {"output_raw": raw, "output_plane_step": ELEMENTS if raw else 0}
    ctx.set(dut.header, values | {"output_flip": flip})


def _pitch(raw):
    return ELEMENTS * (4 if raw else 1) + 2


def _frames(*, raw, flip, seed=0):
    """Result values, the bytes as they lie in memory, and the bytes that leave."""
    rng = np.random.default_rng(seed)
    if raw:
        values = rng.integers(-(1 << 31), 1 << 31, (FRAMES, ELEMENTS)).astype("<i4")
        leaving = values.view(np.uint8).reshape(FRAMES, -1)
        planes = leaving.reshape(FRAMES, ELEMENTS, 4).transpose(0, 2, 1)
        return planes.reshape(FRAMES, -1), leaving
    leaving = rng.integers(0, 256, (FRAMES, ELEMENTS)).astype(np.uint8)
    return leaving ^ (0x80 if flip else 0), leaving


def _memory(dut, content, *, stalls, seed, grants):
    """Grants reads at random and answers them ``READ_LATENCY`` cycles later."""
    rng = np.random.default_rng(seed)

    async def bench(ctx):
        answers = [0] * READ_LATENCY
        cycle = 0
        while True:
            ctx.set(dut.read_data, answers.pop(0))
            ctx.set(dut.read_ready, int(rng.random() >= stalls))
            granted = ctx.get(dut.read_enable) and ctx.get(dut.read_ready)
            answers.append(content.get(ctx.get(dut.read_address), 0) if granted else 0xEE)
            if granted:
                grants.append(cycle)
            await ctx.tick()
            cycle += 1

    return bench


def _compute(dut, stored, content, *, raw, flip, pause):
    """Writes a frame into each buffer that is free, then hands it over."""

    async def bench(ctx):
        _set_header(ctx, dut, raw=raw, flip=flip)
        for number, frame in enumerate(stored):
            while not ctx.get(dut.free):
                await ctx.tick()
            assert ctx.get(dut.second) == number % 2
            start = FIRST + _pitch(raw) * (number % 2)
            content.update({start + k: int(byte) for k, byte in enumerate(frame)})
            for _ in range(pause):
                await ctx.tick()
            ctx.set(dut.finish, 1)
            await ctx.tick()
            ctx.set(dut.finish, 0)

    return bench


def _receive(dut, count, *, stalls, seed, result, cycles):
    rng = np.random.default_rng(seed)

    async def bench(ctx):
        cycle, waiting = 0, None
        while len(result) < count:
            ctx.set(dut.o.ready, int(rng.random() >= stalls))
            if ctx.get(dut.o.valid):
                payload = int(ctx.get(Value.cast(dut.o.payload)))
                assert waiting in (None, payload), "a byte that waits does not change"
                waiting = payload
                if ctx.get(dut.o.ready):
                    result.append(payload)
                    cycles.append(cycle)
                    waiting = None
            else:
                assert waiting is None, "valid is not taken back"
            await ctx.tick()
            cycle += 1

    return bench


def _transfer(run_component, array_config, *, raw=0, flip=0, stalls=(0, 0), pause=0, framed=False):
    """Sends all frames; returns the bytes, those expected, and the cycles of reads and bytes."""
    dut = OutputSender(config=array_config(), framed=framed)
    stored, leaving = _frames(raw=raw, flip=flip)
    content, result, grants, cycles = {}, [], [], []
    memory = _memory(dut, content, stalls=stalls[0], seed=1, grants=grants)
    sink = _receive(dut, leaving.size, stalls=stalls[1], seed=2, result=result, cycles=cycles)

    run_component(
        dut,
        _compute(dut, stored, content, raw=raw, flip=flip, pause=pause),
        sink,
        background=(memory,),
    )
    return result, leaving.reshape(-1).tolist(), grants, cycles


@pytest.mark.parametrize(("raw", "flip"), [(0, 0), (0, 1), (1, 0)])
@pytest.mark.parametrize("stalls", [(0, 0), (0.5, 0), (0, 0.6), (0.3, 0.3)], ids=str)
def test_bytes_in_order(run_component, array_config, raw, flip, stalls):
    result, expected, grants, _ = _transfer(
        run_component, array_config, raw=raw, flip=flip, stalls=stalls, pause=4
    )
    assert result == expected
    assert len(grants) == len(expected)


@pytest.mark.parametrize("raw", [0, 1])
@pytest.mark.parametrize("stalls", [(0, 0), (0.3, 0.3)], ids=str)
def test_the_last_byte_of_a_frame_is_marked(run_component, array_config, raw, stalls):
    result, expected, _, _ = _transfer(
        run_component, array_config, raw=raw, stalls=stalls, framed=True
    )
    assert [payload & 0xFF for payload in result] == expected
    size = len(expected) // FRAMES
    marked = [place for place, payload in enumerate(result) if payload >> 8]
    assert marked == [size * (number + 1) - 1 for number in range(FRAMES)]


@pytest.mark.parametrize("raw", [0, 1])
def test_a_byte_leaves_in_every_cycle(run_component, array_config, raw):
    _, expected, grants, cycles = _transfer(run_component, array_config, raw=raw)
    assert cycles[0] - grants[0] == FIRST_BYTE_LATENCY
    frame = len(expected) // FRAMES
    for start in range(0, len(expected), frame):
        spent = cycles[start + frame - 1] - cycles[start]
        assert spent == frame - 1


def test_two_buffers_fill_while_the_stream_is_blocked(run_component, array_config):
    dut = OutputSender(config=array_config())

    async def bench(ctx):
        _set_header(ctx, dut)
        for number in range(2):
            assert (ctx.get(dut.free), ctx.get(dut.second)) == (1, number)
            ctx.set(dut.finish, 1)
            await ctx.tick()
        ctx.set(dut.finish, 0)
        for _ in range(30):
            assert not ctx.get(dut.free)
            await ctx.tick()

    run_component(dut, bench)
