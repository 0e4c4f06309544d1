"""The drain against the golden model: every byte of a layer, once and in its place."""

from itertools import product

import numpy as np
import pytest

from shiftwork.hw import requantizer
from shiftwork.hw.config import ArrayShape
from shiftwork.hw.drain import CHUNK_GAP, PLANES, WRITE_LATENCY, Drain
from shiftwork.hw.schedule import make_schedule
from shiftwork.hw.segments import average_scale
from shiftwork.quant.program_ops import AveragePool, Conv, MaxPool
from shiftwork.sim import golden
from shiftwork.sim.example_programs import ProgramBuilder, random_inputs

SHAPES = [
    ArrayShape(rows=3, columns=4, lanes=1),
    ArrayShape(rows=2, columns=8, lanes=4),
    ArrayShape(rows=1, columns=4, lanes=2, word_bytes=8),
    ArrayShape(rows=3, columns=4, lanes=2, single_port=True),
]
ORIGIN = 37
ELSEWHERE = 0x155
FIRST_SUMS = 5
"""Cycles from a layer's start to its first sums: no fewer than the ways through fetch and array."""


def _name(shape):
    return f"{shape.rows}x{shape.columns}x{shape.lanes}" + "-single" * shape.single_port


def _builder(*, signed=True):
    return ProgramBuilder("drained", (2, 4, 6), np.random.default_rng(1), signed=signed)


PROGRAMS = {
    "signed": lambda: _builder().conv(11, (1, 1)).build(),
    "unsigned": lambda: _builder(signed=False).conv(9, (1, 1), unsigned=True).build(),
    "accumulators": lambda: _builder().conv(7, (1, 1), accumulators=True).build(),
    "one channel": lambda: _builder().conv(1, (1, 1)).build(),
    "average": lambda: _builder(signed=False).average_pool((2, 2), (1, 1)).build(),
    "maximum": lambda: _builder(signed=False).max_pool((1, 2), (1, 1)).build(),
    "depthwise": lambda: _builder().depthwise((1, 1), unsigned=True).build(),
}


def _sums(program, shift_base, x):
    """What the array or the pooling unit delivers, ``[H, W, channels]``."""
    (op,) = program.ops
    stored = x.astype(np.int64) - program.tensor(op.input).stored_offset
    if isinstance(op, Conv):
        weights = op.weights.reshape(len(op.weights), -1).astype(np.int64)
        return stored[0] * weights[:, 0] if op.groups > 1 else stored[0] @ weights.T
    windows = golden.windows(stored, op.kernel, op.stride)[0]
    if isinstance(op, MaxPool):
        return windows.max(axis=(2, 3)) << shift_base
    return windows.sum(axis=(2, 3)) << average_scale(program, op, least_shift=0)


def _chunks(sums, *, rows, columns, lanes, by_line):
    """For every tile and group the values of each step, and how many steps are visited.

    Tiles are ``rows`` pixels, of a line or of the whole map.
    """
    channels = sums.shape[-1]
    lines = sums if by_line else sums.reshape(1, -1, channels)
    for line in lines:
        for top, left in product(range(0, len(line), rows), range(0, channels, columns)):
            part = line[top : top + rows, left : left + columns]
            full = np.full((len(part), columns), ELSEWHERE)
            full[:, : part.shape[1]] = part
            steps = full.reshape(-1, lanes)
            unused = (columns - part.shape[1]) // lanes
            yield steps[: len(steps) - unused]


def _image(program, x):
    """The bytes of the output as they are stored."""
    target = program.tensor(program.output)
    values = golden.run(program, x).reshape(-1)
    if target.bits == 32:
        return values.astype("<i4").view(np.uint8).reshape(-1, PLANES).T.reshape(-1)
    return (values + target.stored_offset).astype(np.uint8)


def _bench(dut, schedule, chunks, *, stalls, written, gap):
    rng = np.random.default_rng(4)
    lanes, width = dut.config.shape.lanes, dut.config.shape.word_bytes

    async def bench(ctx):
        ctx.set(dut.layer, schedule.layers[0].descriptor)
        ctx.set(dut.origin, ORIGIN)
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)
        await idle(ctx, FIRST_SUMS)
        for number, chunk in enumerate(chunks):
            await idle(ctx, gap - 1)
            ctx.set(dut.captured, 1)
            await clock(ctx)
            ctx.set(dut.captured, 0)
            for step in chunk:
                for q in range(lanes):
                    ctx.set(dut.sums[q], int(step[q]))
                while not await clock(ctx):
                    pass
            assert number == len(chunks) - 1 or not written.get("done")
        while not written.get("done"):
            await clock(ctx)

    async def idle(ctx, cycles):
        for _ in range(cycles):
            assert not await clock(ctx)

    async def clock(ctx):
        """A cycle; returns whether the drain chain moved."""
        ctx.set(dut.write_ready, int(rng.random() >= stalls))
        if ctx.get(dut.write_enable) and ctx.get(dut.write_ready):
            data = ctx.get(dut.write_data).to_bytes(width, "little")
            for k in range(width):
                if ctx.get(dut.write_mask) >> k & 1:
                    address = ctx.get(dut.write_address) + k
                    assert address not in written, "a byte is written once"
                    written[address] = data[k]
        if ctx.get(dut.done):
            written["done"] = True
        moved = ctx.get(dut.shift)
        await ctx.tick()
        return moved

    return bench


@pytest.mark.parametrize("shape", SHAPES, ids=_name)
@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize(("stalls", "gap"), [(0, CHUNK_GAP), (0.5, CHUNK_GAP + 6)])
def test_bytes_of_a_layer(run_component, shape, name, stalls, gap):
    program = PROGRAMS[name]()
    schedule = make_schedule(program, shape)
    config = schedule.config
    x = random_inputs(program, np.random.default_rng(2), count=1)
    (op,) = program.ops
    pool = isinstance(op, MaxPool)
    chunks = _chunks(
        _sums(program, config.shift_base, x),
        rows=1 if pool else shape.rows,
        columns=shape.word_bytes if pool else shape.columns,
        lanes=shape.lanes,
        by_line=shape.rows > 1 and (isinstance(op, AveragePool) or getattr(op, "groups", 1) > 1),
    )
    dut = Drain(config=config, parameters=schedule.images.parameters)
    written = {}
    run_component(dut, _bench(dut, schedule, list(chunks), stalls=stalls, written=written, gap=gap))
    assert written.pop("done")
    expected = _image(program, x)
    assert sorted(written) == list(range(ORIGIN, ORIGIN + len(expected)))
    got = [written[address] for address in sorted(written)]
    np.testing.assert_array_equal(got, expected)


def _never_ready(dut, schedule, *, cycles):
    """A tile's sums come at once, but no word is ever taken: which steps are taken?"""
    moved = []

    async def bench(ctx):
        ctx.set(dut.layer, schedule.layers[0].descriptor)
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)
        await ctx.tick().repeat(FIRST_SUMS)
        ctx.set(dut.captured, 1)
        await ctx.tick()
        ctx.set(dut.captured, 0)
        for cycle in range(cycles):
            if ctx.get(dut.shift):
                moved.append(cycle)
            assert not ctx.get(dut.done)
            await ctx.tick()

    return bench, moved


@pytest.mark.parametrize("single_port", [False, True])
def test_words_that_wait_for_the_memory(run_component, single_port):
    """A step a word: the pipeline fills up, and a word more with a single port."""
    shape = ArrayShape(rows=1, columns=16, word_bytes=4, lanes=4, single_port=single_port)
    program = _builder().conv(16, (1, 1), accumulators=True).build()
    schedule = make_schedule(program, shape)
    dut = Drain(config=schedule.config, parameters=schedule.images.parameters)
    bench, moved = _never_ready(dut, schedule, cycles=40)
    run_component(dut, bench)
    steps = WRITE_LATENCY + single_port
    assert moved == list(range(PLANES - 1, steps, PLANES))


def test_the_least_gap_between_chunks():
    assert CHUNK_GAP == 1


def test_write_latency_is_that_of_the_requantizer_and_the_word():
    assert WRITE_LATENCY == requantizer.LATENCY + 1
