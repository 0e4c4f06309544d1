"""The drain against the golden model: every byte of a layer, once and in its place."""

from itertools import product

import numpy as np
import pytest

from shiftwork.hw.config import ArrayShape
from shiftwork.hw.drain import CHUNK_GAP, PLANES, WRITE_LATENCY, Drain
from shiftwork.hw.schedule import make_schedule
from shiftwork.quant.program import Conv
from shiftwork.sim import golden
from shiftwork.sim.example_programs import ProgramBuilder, random_inputs

SHAPES = [
    ArrayShape(rows=3, columns=4, lanes=1),
    ArrayShape(rows=2, columns=8, lanes=4),
    ArrayShape(rows=1, columns=4, lanes=2, word_bytes=8),
]
ORIGIN = 37
ELSEWHERE = 0x155
FIRST_SUMS = 5
"""Cycles from a layer's start to its first sums: no fewer than the ways through fetch and array."""


def _builder(*, signed=True):
    return ProgramBuilder("drained", (2, 4, 6), np.random.default_rng(1), signed=signed)


PROGRAMS = {
    "signed": lambda: _builder().conv(11, (1, 1)).build(),
    "unsigned": lambda: _builder(signed=False).conv(9, (1, 1), unsigned=True).build(),
    "accumulators": lambda: _builder().conv(7, (1, 1), accumulators=True).build(),
    "one channel": lambda: _builder().conv(1, (1, 1)).build(),
    "average": lambda: _builder(signed=False).average_pool((2, 2), (1, 1)).build(),
    "maximum": lambda: _builder(signed=False).max_pool((1, 2), (1, 1)).build(),
}


def _sums(program, shift_base, x):
    """What the array or the pooling unit delivers, ``[pixels, channels]``."""
    op = program.ops[0]
    stored = x.astype(np.int64) - program.tensor(op.input).stored_offset
    if isinstance(op, Conv):
        weights = op.weights.reshape(len(op.weights), -1).astype(np.int64)
        return stored.reshape(-1, stored.shape[-1]) @ weights.T
    windows = golden.windows(stored, op.kernel, op.stride)
    reduce = np.max if type(op).__name__ == "MaxPool" else np.sum
    return reduce(windows, axis=(3, 4)).reshape(-1, stored.shape[-1]) << shift_base


def _chunks(sums, *, rows, columns, lanes):
    """For every tile and group the values of each step, and how many steps are visited."""
    pixels, channels = sums.shape
    for top, left in product(range(0, pixels, rows), range(0, channels, columns)):
        part = sums[top : top + rows, left : left + columns]
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


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape.rows}x{shape.columns}")
@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize(("stalls", "gap"), [(0, CHUNK_GAP), (0.5, CHUNK_GAP + 6)])
def test_bytes_of_a_layer(run_component, shape, name, stalls, gap):
    program = PROGRAMS[name]()
    schedule = make_schedule(program, shape)
    config = schedule.config
    x = random_inputs(program, np.random.default_rng(2), count=1)
    pool = not isinstance(program.ops[0], Conv)
    chunks = _chunks(
        _sums(program, config.shift_base, x),
        rows=1 if pool else shape.rows,
        columns=shape.word_bytes if pool else shape.columns,
        lanes=shape.lanes,
    )
    dut = Drain(config=config, parameters=schedule.images.parameters)
    written = {}
    run_component(dut, _bench(dut, schedule, list(chunks), stalls=stalls, written=written, gap=gap))
    assert written.pop("done")
    expected = _image(program, x)
    assert sorted(written) == list(range(ORIGIN, ORIGIN + len(expected)))
    got = [written[address] for address in sorted(written)]
    np.testing.assert_array_equal(got, expected)


def test_constants():
    assert (CHUNK_GAP, WRITE_LATENCY, PLANES) == (1, 5, 4)
