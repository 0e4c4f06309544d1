"""The multiplier bank: its products, its latency, and the DSP blocks it takes."""

import numpy as np
import pytest
from amaranth.back import rtlil

from shiftwork.hw.multiplier import ICE40UP_PRODUCTS, LATENCY, MultiplierBank


@pytest.mark.parametrize("family", ["generic", "ecp5"])
def test_products_one_cycle_later(run_component, family):
    dut = MultiplierBank(count=3, family=family)
    rng = np.random.default_rng(0)
    corners = [(a, b) for a in (-128, -1, 0, 127) for b in (-128, -1, 0, 127)]
    operands = np.concatenate(
        [np.repeat(np.array(corners)[:, :, None], 3, axis=2), rng.integers(-128, 128, (60, 2, 3))]
    )

    async def bench(ctx):
        for cycle, (a, b) in enumerate(operands):
            for index in range(dut.count):
                ctx.set(dut.a[index], int(a[index]))
                ctx.set(dut.b[index], int(b[index]))
            if cycle >= LATENCY:
                before = operands[cycle - LATENCY]
                got = [ctx.get(product) for product in dut.p]
                assert got == (before[0] * before[1]).tolist()
            await ctx.tick()

    run_component(dut, bench)


@pytest.mark.parametrize(
    ("count", "blocks", "soft"), [(1, 1, 0), (2, 1, 0), (15, 8, 0), (16, 8, 0), (17, 8, 1)]
)
def test_two_products_share_a_block_of_the_up5k(count, blocks, soft):
    text = rtlil.convert(MultiplierBank(count=count, family="ice40up"), emit_src=False)
    assert text.count("cell \\SB_MAC16 ") == blocks
    assert text.count("cell $mul ") == soft


@pytest.mark.parametrize("family", ["generic", "ecp5"])
def test_other_families_leave_the_choice_to_synthesis(family):
    text = rtlil.convert(MultiplierBank(count=17, family=family), emit_src=False)
    assert "SB_MAC16" not in text
    assert text.count("cell $mul ") == 17


def test_constants():
    assert LATENCY == 1
    assert ICE40UP_PRODUCTS == 16
