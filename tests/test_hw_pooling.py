"""The pooling unit against numpy's maximum."""

import numpy as np
import pytest

from shiftwork.hw.config import ArrayShape
from shiftwork.hw.pooling import SUM_LATENCY, Pooling


def _windows(rng, word_bytes, *, least):
    """Windows of random length, long enough for the drain of the one before."""
    lengths = [least, *rng.integers(least, least + 9, 6)]
    windows = [rng.integers(-128, 128, (int(n), word_bytes), dtype=np.int8) for n in lengths]
    return [*windows, np.full((16, word_bytes), -128, np.int8), np.full((16, word_bytes), 127)]


def _feed(dut, windows, *, gaps, ends):
    rng = np.random.default_rng(9)

    async def bench(ctx):
        cycle = 0
        for window in windows:
            for index, word in enumerate(window):
                while rng.random() < gaps:
                    ctx.set(dut.token, {"valid": 0, "start": 0, "first": 1, "last": 1})
                    ctx.set(dut.word, 0x55)
                    assert not ctx.get(dut.captured)
                    await ctx.tick()
                    cycle += 1
                last = index == len(window) - 1
                token = {"valid": 1, "start": 0, "first": int(index == 0), "last": int(last)}
                ctx.set(dut.token, token)
                data = word.astype(np.int8).tobytes()
                ctx.set(dut.word, int.from_bytes(data, "little"))
                assert ctx.get(dut.captured) == last
                if last:
                    ends.append(cycle)
                await ctx.tick()
                cycle += 1
        ctx.set(dut.token.valid, 0)

    return bench


def _drain(dut, *, ends, count, results):
    """Takes ``word_bytes`` results, ``lanes`` a step, from the documented cycle on."""
    steps = dut.config.shape.word_bytes // dut.config.shape.lanes

    async def bench(ctx):
        cycle, taken = 0, 0
        while taken < count * steps:
            number, step = divmod(taken, steps)
            ready = number < len(ends) and cycle >= ends[number] + SUM_LATENCY
            ctx.set(dut.drain_shift, int(ready))
            if ready:
                assert cycle == ends[number] + SUM_LATENCY + step
                results.extend(ctx.get(value) for value in dut.sums)
                taken += 1
            await ctx.tick()
            cycle += 1

    return bench


@pytest.mark.parametrize(("word_bytes", "lanes"), [(2, 1), (4, 4), (8, 2)])
@pytest.mark.parametrize(("shift_base", "gaps"), [(0, 0), (3, 0.3)])
def test_maximum_of_every_window(run_component, array_config, word_bytes, lanes, shift_base, gaps):
    shape = ArrayShape(rows=1, columns=8, lanes=lanes, word_bytes=word_bytes)
    config = array_config(shape, shift_base=shift_base)
    dut = Pooling(config=config)
    windows = _windows(np.random.default_rng(word_bytes), word_bytes, least=word_bytes // lanes)
    ends, results = [], []
    run_component(
        dut,
        _feed(dut, windows, gaps=gaps, ends=ends),
        _drain(dut, ends=ends, count=len(windows), results=results),
    )
    expected = [window.astype(np.int64).max(axis=0) << shift_base for window in windows]
    np.testing.assert_array_equal(results, np.concatenate(expected))


def test_latency_is_one_cycle():
    assert SUM_LATENCY == 1
