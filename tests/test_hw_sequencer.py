"""The sequencer: what it loads, and in which cycle a layer starts."""

from itertools import product

import numpy as np
import pytest

from shiftwork.hw.config import ArrayShape
from shiftwork.hw.layouts import descriptor_words, pack_descriptor
from shiftwork.hw.sequencer import DONE_LATENCY, LOAD_OVERHEAD, Sequencer

NARROW = (("first", 7, False), ("second", 13, True))
WIDE = (("first", 60, False), ("second", 30, True), ("third", 1, False))
FRAMES = 3
COPIES = (*NARROW, ("copies", 1, False), ("copy_words", 4, False))
COPIED_WORDS = (5, 0, 1)
"""Of each layer; nothing is copied for the second one."""


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
        for _ in range(DONE_LATENCY):
            assert (ctx.get(dut.layer_ended), ctx.get(dut.frame_done)) == (0, 0)
            await ctx.tick()
            ctx.set(dut.layer_done, 0)
        last = index == layers - 1
        assert (ctx.get(dut.layer_ended), ctx.get(dut.frame_done)) == (1, last)
        assert _members(ctx, dut.layer, plan) == plan
        if last:
            await ctx.tick()
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


def _copying_sequencer(array_config):
    """A sequencer whose layers have weights to copy."""
    shape = ArrayShape(rows=2, columns=4, column_bytes=8)
    config = array_config(shape, fields=COPIES)
    rng = np.random.default_rng(1)
    header = _values(config.header_fields, rng) | {"layers_last": len(COPIED_WORDS) - 1}
    program = pack_descriptor(config.header_fields, header)
    for words in COPIED_WORDS:
        values = {"copies": int(words > 0), "copy_words": words}
        program += pack_descriptor(COPIES, _values(COPIES, rng) | values)
    config = array_config(shape, fields=COPIES, program_depth=len(program))
    return Sequencer(config=config, program=program)


@pytest.mark.parametrize("latency", [1, 4])
def test_a_layer_starts_in_the_cycle_after_its_weights_are_copied(
    run_component, array_config, latency
):
    """The bench is the copier: ``done`` comes words + latency cycles after ``prepare``."""
    dut = _copying_sequencer(array_config)
    load = descriptor_words(COPIES) + LOAD_OVERHEAD

    async def bench(ctx):
        while not ctx.get(dut.header_valid):
            await ctx.tick()
        for _ in range(FRAMES):
            ctx.set(dut.frame_ready, 1)
            for words in COPIED_WORDS:
                await begin(ctx, words)
                await ctx.tick().repeat(3)
                assert (ctx.get(dut.busy), ctx.get(dut.start)) == (1, 0)
                ctx.set(dut.layer_done, 1)
                await ctx.tick().repeat(DONE_LATENCY)
                ctx.set(dut.layer_done, 0)
            await ctx.tick()
            assert not ctx.get(dut.busy)

    async def begin(ctx, words):
        copy = words + latency if words else 0
        prepared = load - 1
        for cycle in range(1, load + copy + 1):
            await ctx.tick()
            ctx.set(dut.frame_ready, 0)
            ctx.set(dut.copy_done, int(copy > 0 and cycle == prepared + copy))
            assert ctx.get(dut.busy)
            assert ctx.get(dut.prepare) == (cycle == prepared)
            assert ctx.get(dut.start) == (cycle == load + copy)
            if cycle >= prepared:
                assert ctx.get(dut.layer.copy_words) == words
        ctx.set(dut.copy_done, 0)

    run_component(dut, bench)
