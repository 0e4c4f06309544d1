"""The ROM against its contents."""

import re
from typing import get_args

import numpy as np
import pytest
from amaranth.back import rtlil

from shiftwork.hw.config import Family
from shiftwork.hw.rom import LATENCY, Rom


@pytest.mark.parametrize("family", get_args(Family))
@pytest.mark.parametrize(
    ("width", "depth"),
    [(8, 1), (8, 2), (32, 37), (54, 64), (8, 2048), (8, 2049), (8, 6200), (54, 1030)],
)
def test_word_of_an_earlier_enabled_cycle(run_component, width, depth, family):
    rng = np.random.default_rng(depth)
    contents = [int.from_bytes(rng.bytes(8), "little") >> (64 - width) for _ in range(depth)]
    dut = Rom(width=width, contents=contents, family=family)
    assert (dut.width, dut.contents) == (width, tuple(contents))

    async def bench(ctx):
        asked = []
        for _ in range(150):
            address, enable = int(rng.integers(depth)), int(rng.integers(2))
            ctx.set(dut.address, address)
            ctx.set(dut.enable, enable)
            await ctx.tick()
            if enable:
                asked.append(contents[address])
            if len(asked) >= LATENCY:
                assert ctx.get(dut.data) == asked[-LATENCY]

    run_component(dut, bench)


@pytest.mark.parametrize(
    ("width", "depth", "sizes"),
    [
        (8, 2048, [2048]),
        (9, 2049, [2048, 1]),
        (8, 5000, [2048, 2048, 904]),
        (10, 1025, [1024, 1]),
        (18, 1024, [1024]),
        (54, 513, [512, 1]),
    ],
)
def test_each_block_ram_of_an_ecp5_has_a_register(width, depth, sizes):
    text = rtlil.convert(Rom(width=width, contents=[1] * depth, family="ecp5"), emit_src=False)
    assert [int(size) for size in re.findall(r"memory width \d+ size (\d+) ", text)] == sizes
    assert len(re.findall(rf"wire width {width} \\data_\d+", text)) == len(sizes)


def test_rom_without_contents_holds_one_zero(run_component):
    dut = Rom(width=8, contents=())
    assert dut.contents == (0,)

    async def bench(ctx):
        ctx.set(dut.enable, 1)
        await ctx.tick().repeat(LATENCY)
        assert ctx.get(dut.data) == 0

    run_component(dut, bench)


def test_latency_is_that_of_the_ram_and_its_register():
    assert LATENCY == 2
