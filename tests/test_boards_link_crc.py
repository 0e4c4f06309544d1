"""The CRC of the host link against zlib's, taken in and handed out."""

import zlib

import numpy as np
import pytest

from shiftwork.boards.link_crc import LinkCrc


def bits_of(data):
    return [byte >> index & 1 for byte in data for index in range(8)]


@pytest.mark.parametrize("data", [b"", b"\0", b"123456789", bytes(range(40))])
def test_value(run_component, data):
    dut = LinkCrc()
    rng = np.random.default_rng(len(data))

    async def bench(ctx):
        for _ in range(2):  # a second time, after the first has left something behind
            ctx.set(dut.start, 1)
            ctx.set(dut.valid, 1)  # start prevails
            await ctx.tick()
            ctx.set(dut.start, 0)
            for bit in bits_of(data):
                ctx.set(dut.valid, 0)
                await ctx.tick().repeat(int(rng.integers(1, 3)))
                ctx.set(dut.data, bit)
                ctx.set(dut.valid, 1)
                await ctx.tick()
            ctx.set(dut.data, 0)
            ctx.set(dut.unload, 1)
            found = []
            for bit in range(32):
                ctx.set(dut.data, bit & 1)  # does not matter
                found.append(ctx.get(dut.value))
                await ctx.tick()
            ctx.set(dut.unload, 0)
            assert found == bits_of(zlib.crc32(data).to_bytes(4, "little"))

    run_component(dut, bench)
