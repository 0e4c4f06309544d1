"""The frame guard: which frames it passes, and what it says of them."""

import numpy as np
import pytest

from shiftwork.hw.frame_guard import FrameEvent, FrameGuard

FRAME = 5


def _events(lengths):
    names = {True: FrameEvent.SHORT_FRAME, False: FrameEvent.LONG_FRAME}
    return [FrameEvent.TAKEN if n == FRAME else names[n < FRAME] for n in lengths]


def _run(run_component, lengths, *, stalls=0.0, clear_at=()):
    """Sends frames; returns bytes passed and kept, the events, and the status after each byte.

    What stands behind the guard counts as the input loader does. ``clear`` is high with the bytes
    whose numbers are in ``clear_at``.
    """
    dut, rng = FrameGuard(), np.random.default_rng(1)
    stream = [(n, k == length - 1) for n, length in enumerate(lengths) for k in range(length)]
    kept, frame, events, status = [], [], [], []

    async def bench(ctx):
        position = 0
        while position < len(stream):
            number, last = stream[position]
            ctx.set(dut.i.valid, int(rng.random() >= stalls))
            ctx.set(dut.i.payload, {"data": number, "last": last})
            ctx.set(dut.o.ready, int(rng.random() >= stalls))
            ctx.set(dut.final, len(frame) == FRAME - 1)
            taken = ctx.get(dut.i.valid) and ctx.get(dut.i.ready)
            ctx.set(dut.clear, int(taken and position in clear_at))
            if ctx.get(dut.o.valid) and ctx.get(dut.o.ready):
                assert taken
                frame.append(ctx.get(dut.o.payload))
                if ctx.get(dut.discard) or len(frame) == FRAME:
                    kept.extend([] if ctx.get(dut.discard) else frame)
                    frame.clear()
            await ctx.tick()
            ctx.set(dut.clear, 0)
            if event := ctx.get(dut.event):
                events.append(FrameEvent(event))
            if taken:
                position += 1
                status.append((ctx.get(dut.errors.as_value()), ctx.get(dut.discarded)))

    run_component(dut, bench)
    return kept, events, status


@pytest.mark.parametrize("stalls", [0.0, 0.5])
def test_only_good_frames_are_kept(run_component, stalls):
    lengths = [5, 4, 5, 1, 1, 5, 6, 5, 10, 5, 11, 4, 6, 5, 5]
    kept, events, _ = _run(run_component, lengths, stalls=stalls)
    good = [number for number, length in enumerate(lengths) if length == FRAME]
    assert kept == [number for number in good for _ in range(FRAME)]
    assert events == _events(lengths)


def test_the_status_tells_what_was_wrong(run_component):
    _, _, status = _run(run_component, [5, 3, 7, 5])
    good, long = [(0, 0)] * 7, [(1, 1)] * 5
    assert status == good + long + [(3, 2)] * 8


def test_a_long_frame_is_told_when_it_is_seen(run_component):
    """Its ``last`` may never come."""
    _, events, status = _run(run_component, [9])
    assert status == [(0, 0)] * 4 + [(2, 1)] * 5
    assert events == [FrameEvent.LONG_FRAME]


def test_clearing_forgets_what_was_before(run_component):
    _, _, status = _run(run_component, [2, 2, 5, 6, 5], clear_at=(6,))
    assert status[5] == (1, 2)
    assert status[6] == (0, 0)
    assert status[-1] == (2, 1)


def test_an_error_while_clearing_is_not_lost(run_component):
    _, _, status = _run(run_component, [6, 6, 2, 5], clear_at=(13,))
    assert status[12] == (2, 2)
    assert status[13] == (1, 1)


def test_the_number_of_discarded_frames_wraps(run_component):
    _, _, status = _run(run_component, [1] * 257)
    assert [number for _, number in status[-3:]] == [255, 0, 1]
    assert status[-1][0] == 1


def test_surplus_bytes_do_not_wait(run_component):
    dut = FrameGuard()

    async def bench(ctx):
        ctx.set(dut.i.valid, 1)
        ctx.set(dut.final, 1)
        assert not ctx.get(dut.i.ready)
        ctx.set(dut.o.ready, 1)
        await ctx.tick()
        ctx.set(dut.o.ready, 0)
        for last in (0, 0, 1):
            ctx.set(dut.i.payload.last, last)
            assert (ctx.get(dut.i.ready), ctx.get(dut.o.valid)) == (1, 0)
            await ctx.tick()
        assert (ctx.get(dut.i.ready), ctx.get(dut.o.valid)) == (0, 1)

    run_component(dut, bench)
