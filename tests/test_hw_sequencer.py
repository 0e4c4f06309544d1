"""The sequencer: what it loads, and in which cycle a layer starts."""

from itertools import product

import numpy as np
import pytest

from shiftwork.hw.layouts import descriptor_words, pack_descriptor
from shiftwork.hw.sequencer import LOAD_OVERHEAD, Sequencer

NARROW = (("first", 7, False), ("second", 13, True))
WIDE = (("first", 60, False), ("second", 30, True), ("third", 1, False))
FRAMES = 3


def _values(fields, rng):
    return {
        name: int(rng.integers(-(1 << (width - 1)), 1 << (width - 1)))
        if signed
        else int(rng.integers(1 << width))
        for name, width, signed in fields
    }


def _sequencer(array_config, *, fields, layers, seed=0):
    """A sequencer with a random program, and the values of its descriptors."""
    rng = np.random.default_rng(seed)
    config = array_config(fields=fields)
    header = _values(config.header_fields, rng) | {"layers_last": layers - 1}
    plans = [_values(fields, rng) for _ in range(layers)]
    program = pack_descriptor(config.header_fields, header)
    for plan in plans:
        program += pack_descriptor(fields, plan)
    config = array_config(fields=fields, program_depth=len(program))
    return Sequencer(config=config, program=program), header, plans


def _members(ctx, view, values):
    return {name: ctx.get(view[name]) for name in values}


@pytest.mark.parametrize(
    ("fields", "layers"), list(product((NARROW, WIDE), (1, 2, 5))), ids=lambda v: str(len(str(v)))
)
def test_frames(run_component, array_config, fields, layers):
    dut, header, plans = _sequencer(array_config, fields=fields, layers=layers)
    load = descriptor_words(fields) + LOAD_OVERHEAD
    rng = np.random.default_rng(layers)

    async def idle(ctx, cycles):
        for _ in range(cycles):
            assert not ctx.get(dut.busy)
            assert not ctx.get(dut.start)
            await ctx.tick()

    async def bench(ctx):
        while not ctx.get(dut.header_valid):
            assert not ctx.get(dut.busy)
            await ctx.tick()
        assert _members(ctx, dut.header, header) == header
        for _ in range(FRAMES):
            await idle(ctx, int(rng.integers(0, 4)))
            assert not ctx.get(dut.busy)
            ctx.set(dut.frame_ready, 1)
            for index, plan in enumerate(plans):
                await load_layer(ctx, index, plan)
                await run_layer(ctx, index, plan)
        await ctx.tick()
        assert not ctx.get(dut.busy)

    async def load_layer(ctx, index, plan):
        """From the frame's begin, or from the end of the layer before, to ``start``."""
        for cycle in range(1, load + 1):
            await ctx.tick()
            ctx.set(dut.frame_ready, 0)
            ctx.set(dut.layer_done, 0)
            assert ctx.get(dut.busy)
            assert ctx.get(dut.index) == index
            assert ctx.get(dut.prepare) == (cycle == load - 1)
            assert ctx.get(dut.start) == (cycle == load)
            if cycle >= load - 1:
                assert _members(ctx, dut.layer, plan) == plan

    async def run_layer(ctx, index, plan):
        for _ in range(int(rng.integers(1, 8))):
            await ctx.tick()
            assert (ctx.get(dut.busy), ctx.get(dut.start), ctx.get(dut.prepare)) == (1, 0, 0)
            assert (ctx.get(dut.frame_done), ctx.get(dut.index)) == (0, index)
            assert _members(ctx, dut.layer, plan) == plan
            assert _members(ctx, dut.header, header) == header
        ctx.set(dut.layer_done, 1)
        last = index == layers - 1
        assert ctx.get(dut.frame_done) == last
        if last:
            await ctx.tick()
            ctx.set(dut.layer_done, 0)
            assert not ctx.get(dut.busy)

    run_component(dut, bench)


def test_busy_is_low_between_frames_that_wait(run_component, array_config):
    dut, _, _ = _sequencer(array_config, fields=NARROW, layers=1)
    busy = []

    async def bench(ctx):
        ctx.set(dut.frame_ready, 1)
        ctx.set(dut.layer_done, 1)
        for _ in range(40):
            busy.append(ctx.get(dut.busy))
            await ctx.tick()

    run_component(dut, bench)
    first = busy.index(1)
    cycles = descriptor_words(NARROW) + LOAD_OVERHEAD + 1
    frame = [1] * cycles + [0]
    assert busy[first : first + 3 * len(frame)] == 3 * frame
