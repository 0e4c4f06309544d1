# amaranth: UnusedElaboratable=no
"""A bank of activation memory against an array of bytes."""

import re

import numpy as np
import pytest
from amaranth import Cat, Module, unsigned
from amaranth.back import rtlil
from amaranth.lib import memory

from shiftwork.errors import CapacityError
from shiftwork.hw.activation_bank import READ_LATENCY, SPRAM_BYTES, ActivationBank


@pytest.mark.parametrize("bank_bytes", [1, 2, 4])
@pytest.mark.parametrize("depth", [1, 2, 13, 64])
def test_random_traffic(run_component, depth, bank_bytes):
    dut = ActivationBank(depth=depth, bank_bytes=bank_bytes, family="generic")
    rng = np.random.default_rng(depth)
    content = np.zeros((depth, bank_bytes), dtype=np.uint8)

    async def bench(ctx):
        for _ in range(200):
            read, write = (int(address) for address in rng.integers(0, depth, 2))
            data = rng.integers(0, 256, bank_bytes).astype(np.uint8)
            mask = (rng.integers(0, 2, bank_bytes) > 0) & (read != write)
            ctx.set(dut.read_address, read)
            ctx.set(dut.write_address, write)
            ctx.set(dut.write_data, int.from_bytes(data.tobytes(), "little"))
            ctx.set(dut.write_mask, sum(int(bit) << index for index, bit in enumerate(mask)))
            await ctx.tick()
            assert ctx.get(dut.read_data).to_bytes(bank_bytes, "little") == content[read].tobytes()
            content[write][mask] = data[mask]

    run_component(dut, bench)


def _spram_model(kind, **ports):
    """What an SB_SPRAM256KA does: words of two bytes, a mask bit for every four bits."""
    assert kind == "SB_SPRAM256KA"
    m = Module()
    m.submodules.memory = storage = memory.Memory(
        shape=unsigned(16), depth=SPRAM_BYTES // 2, init=[]
    )
    read, write = storage.read_port(), storage.write_port(granularity=4)
    m.d.comb += [
        read.addr.eq(ports["i_ADDRESS"]),
        read.en.eq(~ports["i_WREN"]),
        ports["o_DATAOUT"].eq(read.data),
        write.addr.eq(ports["i_ADDRESS"]),
        write.data.eq(ports["i_DATAIN"]),
        write.en.eq(Cat(bit & ports["i_WREN"] for bit in ports["i_MASKWREN"])),
    ]
    return m


@pytest.mark.parametrize(("depth", "bank_bytes"), [(13, 1), (SPRAM_BYTES, 1), (64, 2)])
def test_random_traffic_of_an_spram(run_component, monkeypatch, depth, bank_bytes):
    monkeypatch.setattr("shiftwork.hw.activation_bank.Instance", _spram_model)
    dut = ActivationBank(depth=depth, bank_bytes=bank_bytes, family="ice40up")
    rng = np.random.default_rng(depth)
    addresses = rng.choice(depth, min(depth, 12), replace=False)
    content = np.zeros((depth, bank_bytes), dtype=np.uint8)

    async def bench(ctx):
        for _ in range(300):
            read, write = (int(address) for address in rng.choice(addresses, 2))
            data = rng.integers(0, 256, bank_bytes).astype(np.uint8)
            mask = rng.integers(0, 2, bank_bytes) > 0
            ctx.set(dut.read_address, read)
            ctx.set(dut.write_address, write)
            ctx.set(dut.write_data, int.from_bytes(data.tobytes(), "little"))
            ctx.set(dut.write_mask, sum(int(bit) << index for index, bit in enumerate(mask)))
            await ctx.tick()
            # The answer does not hang on the next request.
            ctx.set(dut.read_address, read ^ 1)
            if not mask.any():
                result = ctx.get(dut.read_data).to_bytes(bank_bytes, "little")
                assert result == content[read].tobytes()
            content[write][mask] = data[mask]

    run_component(dut, bench)


@pytest.mark.parametrize("bank_bytes", [1, 2])
@pytest.mark.parametrize("size", [2, 100, SPRAM_BYTES])
def test_up5k_bank_is_one_spram(size, bank_bytes):
    bank = ActivationBank(depth=size // bank_bytes, bank_bytes=bank_bytes, family="ice40up")
    text = rtlil.convert(bank, emit_src=False)
    assert text.count("cell \\SB_SPRAM256KA ") == 1
    assert "$mem" not in text


@pytest.mark.parametrize(("family", "depth"), [("generic", 100), ("ecp5", SPRAM_BYTES + 1)])
def test_other_families_infer_block_ram(family, depth):
    text = rtlil.convert(ActivationBank(depth=depth, bank_bytes=2, family=family), emit_src=False)
    assert "SB_SPRAM256KA" not in text
    assert f"memory width 16 size {depth} " in text
    assert "attribute \\no_rw_check 1" in text


@pytest.mark.parametrize(
    ("depth", "bank_bytes", "message"),
    [
        (32769, 1, "bank of activation memory must not exceed 32768 bytes (one SPRAM), not 32769"),
        (16385, 2, "bank of activation memory must not exceed 32768 bytes (one SPRAM), not 32770"),
        (10, 4, "bank_bytes must be at most 2 on the UP5K (an SPRAM's word), not 4"),
    ],
)
def test_bank_that_no_spram_can_be(depth, bank_bytes, message):
    with pytest.raises(CapacityError, match=re.escape(message)):
        ActivationBank(depth=depth, bank_bytes=bank_bytes, family="ice40up")


def test_latency_is_one_cycle():
    assert READ_LATENCY == 1


def test_spram_has_no_contents():
    message = "an SPRAM has no contents at power-up; load them from a flash"
    with pytest.raises(CapacityError, match=message):
        ActivationBank(depth=10, bank_bytes=2, family="ice40up", contents=[1])
