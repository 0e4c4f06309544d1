"""The weight RAM against an array of bytes."""

import numpy as np
import pytest
from amaranth.back import rtlil

from shiftwork.hw.weight_ram import LATENCY, WeightRam


@pytest.mark.parametrize("depth", [1, 2, 37, 64])
def test_random_traffic(run_component, depth):
    dut = WeightRam(depth=depth)
    rng = np.random.default_rng(depth)
    content = np.zeros(depth, dtype=int)

    async def bench(ctx):
        expected = None
        for _ in range(200):
            read, write = (int(address) for address in rng.integers(0, depth, 2))
            enable, value = int(rng.integers(2)), int(rng.integers(256))
            writing = int(rng.integers(2) and not (enable and read == write))
            ctx.set(dut.address, read)
            ctx.set(dut.enable, enable)
            ctx.set(dut.write_address, write)
            ctx.set(dut.write_data, value)
            ctx.set(dut.write_enable, writing)
            await ctx.tick()
            if enable:
                expected = content[read]
            if writing:
                content[write] = value
            if expected is not None:
                assert ctx.get(dut.data) == expected

    run_component(dut, bench)


def test_it_becomes_plain_block_ram():
    text = rtlil.convert(WeightRam(depth=300), emit_src=False)
    assert "memory width 8 size 300 " in text
    assert 'attribute \\ram_style "block"' in text
    assert "attribute \\no_rw_check 1" in text


def test_latency_is_one_cycle():
    assert LATENCY == 1
