"""The weight RAM against an array of bytes."""

from typing import get_args

import numpy as np
import pytest
from amaranth.back import rtlil

from shiftwork.hw import rom
from shiftwork.hw.config import Family
from shiftwork.hw.weight_ram import LATENCY, WeightRam


@pytest.mark.parametrize("family", get_args(Family))
@pytest.mark.parametrize("depth", [1, 2, 37, 64])
def test_random_traffic(run_component, depth, family):
    """Whether the RAM is read at once or an enabled cycle later is the family's choice."""
    dut = WeightRam(depth=depth, family=family)
    before = LATENCY - 1 if family in rom.REGISTERED_ADDRESS else 0
    behind = LATENCY - before
    rng = np.random.default_rng(depth)
    content = np.zeros(depth, dtype=int)

    async def bench(ctx):
        asked, delivered = [], []
        for _ in range(200):
            read, write = (int(address) for address in rng.integers(0, depth, 2))
            enable, value = int(rng.integers(2)), int(rng.integers(256))
            if enable:
                asked.append(read)
            reading = enable and len(asked) > before
            clash = reading and asked[-1 - before] == write
            writing = int(rng.integers(2) and not clash)
            ctx.set(dut.address, read)
            ctx.set(dut.enable, enable)
            ctx.set(dut.write_address, write)
            ctx.set(dut.write_data, value)
            ctx.set(dut.write_enable, writing)
            await ctx.tick()
            if reading:
                delivered.append(int(content[asked[-1 - before]]))
            if writing:
                content[write] = value
            if len(delivered) >= behind:
                assert ctx.get(dut.data) == delivered[-behind]

    run_component(dut, bench)


def test_it_becomes_plain_block_ram():
    text = rtlil.convert(WeightRam(depth=300), emit_src=False)
    assert "memory width 8 size 300 " in text
    assert 'attribute \\ram_style "block"' in text
    assert "attribute \\no_rw_check 1" in text


def test_latency_is_that_of_a_rom():
    assert LATENCY == rom.LATENCY
