"""The loop counter against Python's range."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from shiftwork.hw.loop_counter import LoopCounter


def _flags(ctx, dut):
    return ctx.get(dut.last), ctx.get(dut.next_last)


def _expected(iteration, count):
    """``last`` and ``next_last`` in the iteration of a loop that begins again after its end."""
    return int(iteration == count - 1), int((iteration + 1) % count == count - 1)


@pytest.mark.parametrize("width", [1, 3, 8])
def test_loops_of_every_length(run_component, width):
    dut = LoopCounter(width=width)
    rng = np.random.default_rng(width)

    async def bench(ctx):
        for count in range(1, min(1 << width, 20) + 1):
            ctx.set(dut.limit, count - 1)
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            iteration = 0
            for _ in range(3 * count + 5):
                assert _flags(ctx, dut) == _expected(iteration, count)
                step = int(rng.integers(2))
                ctx.set(dut.step, step)
                await ctx.tick()
                iteration = (iteration + step) % count
            ctx.set(dut.step, 0)

    run_component(dut, bench)


def test_longest_loop(run_component):
    dut = LoopCounter(width=6)

    async def bench(ctx):
        ctx.set(dut.limit, 63)
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)
        ctx.set(dut.step, 1)
        for iteration in range(2 * 64):
            assert _flags(ctx, dut) == _expected(iteration % 64, 64)
            await ctx.tick()

    run_component(dut, bench)


@pytest.mark.parametrize("step", [0, 1])
@pytest.mark.parametrize(("old", "new"), [(1, 4), (5, 1), (3, 2)])
def test_start_begins_anew_within_a_loop(run_component, step, old, new):
    dut = LoopCounter(width=4)

    async def bench(ctx):
        ctx.set(dut.limit, old - 1)
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.limit, new - 1)
        ctx.set(dut.step, step)
        await ctx.tick()
        ctx.set(dut.start, 0)
        ctx.set(dut.step, 1)
        for iteration in range(2 * new):
            assert _flags(ctx, dut) == _expected(iteration % new, new)
            await ctx.tick()

    run_component(dut, bench)


def test_a_loop_without_a_limit_is_always_in_its_last_iteration():
    """It has no register, so no clock."""
    dut = LoopCounter(width=0)

    async def bench(ctx):
        for start, step in ((0, 0), (1, 0), (0, 1), (1, 1)):
            ctx.set(dut.start, start)
            ctx.set(dut.step, step)
            assert _flags(ctx, dut) == _expected(0, 1)

    simulator = Simulator(dut)
    simulator.add_testbench(bench)
    simulator.run()
