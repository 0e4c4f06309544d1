# amaranth: UnusedElaboratable=no
"""A bank of activation memory against an array of bytes."""

import re

import numpy as np
import pytest
from amaranth.back import rtlil

from shiftwork.errors import CapacityError
from shiftwork.hw.activation_bank import READ_LATENCY, SPRAM_BYTES, ActivationBank


@pytest.mark.parametrize("depth", [1, 2, 13, 64])
def test_random_traffic(run_component, depth):
    dut = ActivationBank(depth=depth, family="generic")
    rng = np.random.default_rng(depth)
    content = np.zeros(depth, dtype=int)

    async def bench(ctx):
        for _ in range(200):
            read, write = (int(address) for address in rng.integers(0, depth, 2))
            data, enable = int(rng.integers(256)), int(rng.integers(2) and read != write)
            ctx.set(dut.read_address, read)
            ctx.set(dut.write_address, write)
            ctx.set(dut.write_data, data)
            ctx.set(dut.write_enable, enable)
            await ctx.tick()
            assert ctx.get(dut.read_data) == content[read]
            if enable:
                content[write] = data

    run_component(dut, bench)


@pytest.mark.parametrize("depth", [100, SPRAM_BYTES])
def test_up5k_bank_is_one_spram(depth):
    text = rtlil.convert(ActivationBank(depth=depth, family="ice40up"), emit_src=False)
    assert text.count("cell \\SB_SPRAM256KA ") == 1
    assert "$mem" not in text


@pytest.mark.parametrize(("family", "depth"), [("generic", 100), ("ecp5", SPRAM_BYTES + 1)])
def test_other_families_infer_block_ram(family, depth):
    text = rtlil.convert(ActivationBank(depth=depth, family=family), emit_src=False)
    assert "SB_SPRAM256KA" not in text
    assert f"memory width 8 size {depth} " in text


def test_bank_that_exceeds_an_spram():
    message = "a bank of activation memory must not exceed 32768 bytes (one SPRAM), not 32769"
    with pytest.raises(CapacityError, match=re.escape(message)):
        ActivationBank(depth=SPRAM_BYTES + 1, family="ice40up")


def test_latency_is_one_cycle():
    assert READ_LATENCY == 1
