"""Activation memory against an array of bytes."""

import numpy as np
import pytest

from shiftwork.hw.activation_memory import READ_LATENCY, ActivationMemory
from shiftwork.hw.config import ArrayShape

BANK_DEPTH = 8


SHAPES = [(2, 1), (4, 1), (4, 2), (8, 1), (8, 2), (8, 4), (16, 1), (16, 2), (32, 1), (32, 2)]


def _memory(array_config, *, word_bytes, bank_bytes=1, single_port=False, contents=b""):
    shape = ArrayShape(
        rows=1,
        columns=1,
        word_bytes=word_bytes,
        bank_bytes=bank_bytes,
        single_port=single_port,
    )
    size = BANK_DEPTH * word_bytes
    config = array_config(shape, bank_depth=BANK_DEPTH, address_bits=size.bit_length() - 1)
    return ActivationMemory(config=config, contents=contents)


def _places(address, dut):
    size = BANK_DEPTH * dut.config.shape.word_bytes
    return (address + np.arange(dut.config.shape.word_bytes)) % size


def _reach(address, dut):
    """How many bytes of the word at ``address`` can be read and written."""
    return dut.config.shape.word_bytes - address % dut.config.shape.bank_bytes


def _set_write(ctx, dut, address, data, mask):
    ctx.set(dut.write_enable, 1)
    ctx.set(dut.write_address, int(address))
    ctx.set(dut.write_data, int.from_bytes(bytes(data.tolist()), "little"))
    ctx.set(dut.write_mask, sum(int(bit) << index for index, bit in enumerate(mask)))


@pytest.mark.parametrize(("word_bytes", "bank_bytes"), SHAPES)
@pytest.mark.parametrize("single_port", [False, True])
def test_random_traffic(run_component, array_config, word_bytes, bank_bytes, single_port):
    dut = _memory(
        array_config, word_bytes=word_bytes, bank_bytes=bank_bytes, single_port=single_port
    )
    rng = np.random.default_rng(word_bytes + single_port)
    size = BANK_DEPTH * word_bytes
    content = np.zeros(size, dtype=np.uint8)
    expected = []

    async def bench(ctx):
        refused = 0
        for cycle in range(150):
            reading, writing = rng.integers(0, 3, 2) > 0
            read_address, write_address = (int(a) for a in rng.integers(0, size, 2))
            data, mask = rng.integers(0, 256, word_bytes), rng.integers(0, 2, word_bytes) > 0
            mask[_reach(write_address, dut) :] = False
            overlap = np.intersect1d(_places(read_address, dut), _places(write_address, dut))
            if not single_port and reading and overlap.size:
                writing = False
            ctx.set(dut.read_enable, int(reading))
            ctx.set(dut.read_address, read_address)
            _set_write(ctx, dut, write_address, data, mask)
            ctx.set(dut.write_enable, int(writing))
            ready = ctx.get(dut.write_ready)
            assert ready == (not (single_port and reading))
            refused += bool(writing and not ready)
            word = content[_places(read_address, dut)[: _reach(read_address, dut)]]
            expected.append(word.tobytes() if reading else b"")
            if writing and ready:
                content[_places(write_address, dut)[mask]] = data[mask]
            if cycle >= READ_LATENCY:
                word = expected[cycle - READ_LATENCY]
                got = ctx.get(dut.read_data).to_bytes(word_bytes, "little")
                assert got[: len(word)] == word
            await ctx.tick()
        assert (refused > 0) == single_port

    run_component(dut, bench)


@pytest.mark.parametrize(("word_bytes", "bank_bytes"), SHAPES)
def test_every_unaligned_word_and_the_wrap(run_component, array_config, word_bytes, bank_bytes):
    dut = _memory(array_config, word_bytes=word_bytes, bank_bytes=bank_bytes)
    size = BANK_DEPTH * word_bytes
    content = np.random.default_rng(5).integers(0, 256, size).astype(np.uint8)

    async def bench(ctx):
        everything = np.ones(word_bytes, dtype=bool)
        start = word_bytes - bank_bytes
        for address in range(start, size + start, word_bytes):
            places = _places(address, dut)
            _set_write(ctx, dut, address % size, content[places], everything)
            await ctx.tick()
        ctx.set(dut.write_enable, 0)
        for address in range(size + READ_LATENCY):
            ctx.set(dut.read_enable, 1)
            ctx.set(dut.read_address, address % size)
            if address >= READ_LATENCY:
                first = address - READ_LATENCY
                word = content[_places(first, dut)[: _reach(first, dut)]]
                got = ctx.get(dut.read_data).to_bytes(word_bytes, "little")
                assert got[: len(word)] == word.tobytes()
            await ctx.tick()

    run_component(dut, bench)


def test_write_is_seen_by_the_read_of_the_next_cycle(run_component, array_config):
    dut = _memory(array_config, word_bytes=4)

    async def bench(ctx):
        _set_write(ctx, dut, 7, np.array([1, 2, 3, 4]), (1, 1, 0, 1))
        await ctx.tick()
        ctx.set(dut.write_enable, 0)
        ctx.set(dut.read_enable, 1)
        ctx.set(dut.read_address, 7)
        await ctx.tick().repeat(READ_LATENCY)
        assert ctx.get(dut.read_data) == 0x04_00_02_01

    run_component(dut, bench)


@pytest.mark.parametrize(("word_bytes", "bank_bytes"), SHAPES)
def test_contents_at_power_up(run_component, array_config, word_bytes, bank_bytes):
    size = BANK_DEPTH * word_bytes
    contents = bytes(range(1, size - bank_bytes))
    dut = _memory(array_config, word_bytes=word_bytes, bank_bytes=bank_bytes, contents=contents)

    async def bench(ctx):
        for address in range(0, size, word_bytes):
            ctx.set(dut.read_address, address)
            await ctx.tick().repeat(READ_LATENCY)
            got = ctx.get(dut.read_data).to_bytes(word_bytes, "little")
            assert got == contents.ljust(size, b"\0")[address : address + word_bytes]

    run_component(dut, bench)


def test_read_latency_is_three_cycles():
    assert READ_LATENCY == 3
