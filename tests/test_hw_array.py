"""The systolic array against numpy's matrix product, and against a depthwise tile."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from shiftwork.hw import pe
from shiftwork.hw.array import OPERAND_LATENCY, SUM_LATENCY, SystolicArray
from shiftwork.hw.config import ArrayShape

SHAPES = [
    ArrayShape(rows=1, columns=1, lanes=1),
    ArrayShape(rows=2, columns=4, lanes=1),
    ArrayShape(rows=4, columns=4, lanes=2, stage_columns=4),
    ArrayShape(rows=3, columns=8, lanes=4, stage_columns=3),
    ArrayShape(rows=5, columns=2, lanes=2),
    ArrayShape(rows=2, columns=10, lanes=2, stage_columns=4),
    ArrayShape(rows=3, columns=4, lanes=2, stage_columns=3, products="shift"),
    ArrayShape(rows=3, columns=7, stage_columns=4, products="mixed"),
]
POWERS = np.array([0, *(s << e for e in range(8) for s in (-1, 1) if s << e < 128)], np.int8)
PRODUCTS = 3
GAP = 2


@dataclass(frozen=True, eq=False)
class Stream:
    """What enters the array, a value for each turn; nothing is ever in the way of a turn.

    Attributes:
        shape: of the array.
        weights: ``[channels, words]``.
        addresses: of the weight of each turn.
        a: ``[rows, turns]``, the activation that row r has r cycles after row 0 has the first.
        words: ``[turns, word_bytes]``, the broadcast words.
        broadcast: of each turn, whether the row's activation or the word counts.
        valid: of each turn, whether row 0 has a weight for it.
        lasts: numbers of the turns that end a dot product.
        sums: for each dot product ``[rows, channels]``.
    """

    shape: ArrayShape
    weights: np.ndarray
    addresses: np.ndarray
    a: np.ndarray
    words: np.ndarray
    broadcast: np.ndarray
    valid: np.ndarray
    lasts: list[int]
    sums: list[np.ndarray] = field(repr=False)

    def columns(self):
        """The bytes of each column's store."""
        channels = [self.shape.channel(column) for column in range(self.shape.columns)]
        return [self.weights[channel].view(np.uint8).tolist() for channel in channels]


def _steps(shape):
    """Steps that empty the drain registers."""
    return shape.rows * (shape.columns // shape.lanes)


def _empty(shape, rng, turns, words):
    weights = rng.integers(-128, 128, (shape.columns, words), dtype=np.int8)
    return Stream(
        shape=shape,
        weights=weights if shape.products == "multiply" else rng.choice(POWERS, weights.shape),
        addresses=rng.integers(0, words, turns),
        a=rng.integers(-128, 128, (shape.rows, turns), dtype=np.int8),
        words=rng.integers(-128, 128, (turns, shape.word_bytes), dtype=np.int8),
        broadcast=np.zeros(turns, bool),
        valid=np.zeros(turns, bool),
        lasts=[],
        sums=[],
    )


def _offset(shape, weights):
    """What products have more where all elements shift, those of 15 bits."""
    return np.where((weights != 0) & (shape.products == "shift"), (1 << 14) - (weights < 0), 0)


def _matrix_products(shape, gap, seed):
    """``PRODUCTS`` products of the rows' activations with all channels' weights."""
    rng = np.random.default_rng(seed)
    depth = _steps(shape) + shape.rows + shape.columns
    stream = _empty(shape, rng, PRODUCTS * (depth + gap), depth + 3)
    for start in range(0, len(stream.addresses), depth + gap):
        part = slice(start, start + depth)
        stream.valid[part] = True
        stream.lasts.append(start + depth - 1)
        chosen = stream.weights[:, stream.addresses[part]].astype(np.int64)
        more = _offset(shape, chosen).sum(axis=1)
        stream.sums.append(stream.a[:, part].astype(np.int64) @ chosen.T + more)
    return stream


def _depthwise_tiles(shape, taps, seed):
    """Neighbouring windows along lines of words: row r begins r words after row 0.

    A line of a window has ``taps`` taps, so ``taps + rows - 1`` words. Row r multiplies word k by
    the weight that row 0 used r words before.
    """
    rng = np.random.default_rng(seed)
    run = taps + shape.rows - 1
    lines = -(-(_steps(shape) + shape.skew) // run)
    stream = _empty(shape, rng, PRODUCTS * lines * run, lines * taps)
    stream.broadcast[:] = True
    bytes_of = [channel % shape.word_bytes for channel in range(shape.columns)]
    for product in range(PRODUCTS):
        sums = np.zeros((shape.rows, shape.columns), np.int64)
        for line, tap, row in np.ndindex(lines, taps, shape.rows):
            turn = (product * lines + line) * run + tap
            stream.valid[turn] = True
            weight = stream.weights[:, stream.addresses[turn]].astype(np.int64)
            sums[row] += stream.words[turn + row][bytes_of] * weight + _offset(shape, weight)
        stream.sums.append(sums)
        stream.lasts.append(((product + 1) * lines - 1) * run + taps - 1)
    return stream


def _feeder(dut, stream):
    """Addresses and tokens, a cycle later words and row 0's activations, row r's r later still."""
    shape = stream.shape
    turns = len(stream.addresses)

    async def bench(ctx):
        for cycle in range(turns + shape.rows + OPERAND_LATENCY):
            valid = cycle < turns and stream.valid[cycle]
            turn = min(cycle, turns - 1)
            ctx.set(dut.address, int(stream.addresses[turn]))
            ctx.set(dut.token.valid, int(valid))
            ctx.set(dut.token.last, int(not valid or cycle in stream.lasts))
            ctx.set(dut.token.broadcast, int(stream.broadcast[turn]))
            late = min(max(cycle - OPERAND_LATENCY, 0), turns - 1)
            ctx.set(dut.word, int.from_bytes(stream.words[late].tobytes(), "little"))
            for r in range(shape.rows):
                late = min(max(cycle - OPERAND_LATENCY - r, 0), turns - 1)
                ctx.set(dut.a[r], int(stream.a[r, late]))
            await ctx.tick()

    return bench


def _drainer(dut, stream, result):
    """Takes the sums from their documented cycle on, a step a cycle."""
    shape = stream.shape
    steps = _steps(shape)
    begins = [last + SUM_LATENCY + shape.skew for last in stream.lasts]

    async def bench(ctx):
        for cycle in range(begins[-1] + steps):
            draining = any(begin <= cycle < begin + steps for begin in begins)
            ctx.set(dut.drain_shift, int(draining))
            assert ctx.get(dut.captured) == (cycle + 1 in begins)
            if draining:
                result.extend(ctx.get(value) for value in dut.sums)
            await ctx.tick()

    return bench


def _name(shape):
    name = f"{shape.rows}x{shape.columns}x{shape.lanes}by{shape.stage_columns}"
    return name if shape.products == "multiply" else f"{name}-{shape.products}"


def _check(run_component, array_config, stream, **fields):
    fields["exponents"] = 0 if stream.shape.products == "multiply" else 8
    dut = SystolicArray(config=array_config(stream.shape, **fields), weights=stream.columns())
    result = []
    run_component(dut, _feeder(dut, stream), _drainer(dut, stream, result))
    np.testing.assert_array_equal(result, np.concatenate([s.reshape(-1) for s in stream.sums]))


@pytest.mark.parametrize("shape", SHAPES, ids=_name)
@pytest.mark.parametrize("gap", [0, GAP], ids=["back to back", "gaps"])
@pytest.mark.parametrize("depthwise", [False, True])
def test_matrix_products(run_component, array_config, shape, gap, depthwise):
    """With and without the multiplexers for broadcast words."""
    stream = _matrix_products(shape, gap, seed=shape.elements + gap)
    _check(run_component, array_config, stream, depthwise=depthwise)


@pytest.mark.parametrize("shape", SHAPES, ids=_name)
@pytest.mark.parametrize("taps", [1, 3])
def test_depthwise_tiles(run_component, array_config, shape, taps):
    stream = _depthwise_tiles(shape, taps, seed=taps)
    _check(run_component, array_config, stream, depthwise=True)


def test_a_broadcast_token_changes_nothing_without_depthwise_layers(run_component, array_config):
    stream = _matrix_products(SHAPES[1], 0, seed=0)
    stream.broadcast[:] = True
    _check(run_component, array_config, stream, depthwise=False)


@pytest.mark.parametrize(
    "shape",
    [
        ArrayShape(rows=2, columns=6, lanes=2, word_bytes=4, column_bytes=64),
        ArrayShape(rows=1, columns=3, word_bytes=4, column_bytes=64, stage_columns=2),
    ],
    ids=_name,
)
def test_weights_that_are_written_at_run_time(run_component, array_config, shape):
    """A block of columns is written by a word; the last one has fewer columns than bytes."""
    stream = _matrix_products(shape, 0, seed=5)
    columns = stream.columns()
    config = array_config(shape, weight_depth=shape.column_bytes)
    dut = SystolicArray(config=config, weights=None)
    result = []

    async def load(ctx):
        for address in range(len(columns[0])):
            for block in range(config.weight_blocks):
                start = block * shape.word_bytes
                values = bytes(column[address] for column in columns[start:][: shape.word_bytes])
                ctx.set(dut.load_enable, 1 << block)
                ctx.set(dut.load_address, address)
                ctx.set(dut.load_data, int.from_bytes(values.ljust(shape.word_bytes), "little"))
                await ctx.tick()
        ctx.set(dut.load_enable, 0)
        ctx.set(dut.load_data, 0)

    async def feed(ctx):
        await load(ctx)
        await _feeder(dut, stream)(ctx)

    async def drain(ctx):
        await ctx.tick().repeat(len(columns[0]) * config.weight_blocks)
        await _drainer(dut, stream, result)(ctx)

    run_component(dut, feed, drain)
    np.testing.assert_array_equal(result, np.concatenate([s.reshape(-1) for s in stream.sums]))


def test_latency_is_that_of_the_store_and_the_processing_element():
    assert SUM_LATENCY == OPERAND_LATENCY + pe.LATENCY
