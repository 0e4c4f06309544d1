"""The weight copier against a model of memory and of the columns."""

import numpy as np
import pytest

from shiftwork.hw.activation_memory import READ_LATENCY
from shiftwork.hw.config import ArrayShape
from shiftwork.hw.flash_image import weight_words
from shiftwork.hw.weight_copier import LATENCY, WeightCopier

DEPTH = 19


def _copier(array_config, *, columns, word_bytes):
    shape = ArrayShape(rows=1, columns=columns, word_bytes=word_bytes)
    return WeightCopier(config=array_config(shape, weight_depth=DEPTH, address_bits=12))


def _copy(dut, content, *, source, words, columns):
    """Starts a copy, answers its reads, keeps what the columns get, and checks when it is done."""
    width = dut.config.shape.word_bytes

    async def run(ctx):
        ctx.set(dut.source, source)
        ctx.set(dut.words, words)
        ctx.set(dut.start, 1)
        answers = [b"\xee" * width] * READ_LATENCY
        for cycle in range(words + LATENCY + 5):
            ctx.set(dut.read_data, int.from_bytes(answers.pop(0), "little"))
            address = ctx.get(dut.read_address)
            reads = ctx.get(dut.read_enable)
            answers.append(content[address : address + width] if reads else b"\xee" * width)
            enable = ctx.get(dut.column_enable)
            assert ctx.get(dut.done) == (cycle == words + LATENCY)
            assert bool(enable) == (LATENCY < cycle <= words + LATENCY)
            data = ctx.get(dut.column_data).to_bytes(width, "little")
            for block in range(dut.config.weight_blocks):
                if enable >> block & 1:
                    columns[ctx.get(dut.column_address), block * width : (block + 1) * width] = (
                        np.frombuffer(data, np.uint8)
                    )
            await ctx.tick()
            ctx.set(dut.start, 0)

    return run


@pytest.mark.parametrize(
    ("columns", "word_bytes"), [(1, 4), (4, 4), (8, 4), (8, 8), (12, 4), (10, 8), (64, 32)]
)
def test_columns_get_their_bytes(run_component, array_config, columns, word_bytes):
    dut = _copier(array_config, columns=columns, word_bytes=word_bytes)
    rng = np.random.default_rng(columns)
    blocks = dut.config.weight_blocks

    async def bench(ctx):
        for depth in (1, 7, DEPTH):
            weights = rng.integers(0, 256, (columns, depth)).astype(np.uint8)
            image = weight_words(weights.tolist(), word_bytes=word_bytes)
            assert len(image) == depth * blocks * word_bytes
            source = int(rng.integers(1, 20)) * word_bytes
            content[source : source + len(image)] = image
            got = np.zeros((DEPTH, blocks * word_bytes), dtype=np.uint8)
            await _copy(dut, content, source=source, words=depth * blocks, columns=got)(ctx)
            assert np.array_equal(got[:depth, :columns], weights.T)
            assert not got[:, columns:].any()
            assert not got[depth:].any()

    content = bytearray(1 << 12)
    run_component(dut, bench)


def test_it_rests_before_it_is_started(run_component, array_config):
    dut = _copier(array_config, columns=8, word_bytes=4)

    async def bench(ctx):
        ctx.set(dut.words, 5)
        for _ in range(20):
            assert not ctx.get(dut.read_enable)
            assert not ctx.get(dut.column_enable)
            assert not ctx.get(dut.done)
            await ctx.tick()

    run_component(dut, bench)
