"""The multiplier bank: its products, its latency, and the DSP blocks it takes."""

from typing import get_args

import numpy as np
import pytest
from amaranth import Cat, Module, Signal, signed
from amaranth.back import rtlil

from shiftwork.hw.config import Family
from shiftwork.hw.multiplier import (
    ECP5_OPERAND_BITS,
    ECP5_PRODUCT_BITS,
    GOWIN_PRODUCT_BITS,
    ICE40UP_PRODUCTS,
    LATENCY,
    MultiplierBank,
)

REGISTERS = ("REG_INPUTA_CLK", "REG_INPUTB_CLK", "REG_OUTPUT_CLK")
"""Of a MULT18X18D: one stage at its inputs and one at its output."""


def _rtlil(count, family):
    return rtlil.convert(MultiplierBank(count=count, family=family), emit_src=False)


def _block_model(kind, **ports):
    """What a vendor's multiplier does with its registers as they are set here."""
    m = Module()
    if kind == "SB_MAC16":
        kinds = [signed(8) if ports[f"p_{x}_SIGNED"] else 8 for x in "AB"]
        pairs = [[ports[f"i_{x}"][low : low + 8] for x in "AB"] for low in (0, 8)]
        output, bits = ports["o_O"], 16
    elif kind == "MULT9X9":
        kinds = [signed(9) if ports[f"i_{x}SIGN"].value else 9 for x in "AB"]
        pairs = [[ports[f"i_{x}"] for x in "AB"]]
        output, bits = ports["o_DOUT"], GOWIN_PRODUCT_BITS
    else:
        kinds = [signed(18) if ports[f"i_SIGNED{x}"].value else 18 for x in "AB"]
        pairs = [[Cat(ports[f"i_{x}{bit}"] for bit in range(ECP5_OPERAND_BITS)) for x in "AB"]]
        output = Cat(ports[f"o_P{bit}"] for bit in range(ECP5_PRODUCT_BITS))
        bits = ECP5_PRODUCT_BITS
    products = []
    for operands in pairs:
        a, b = (Signal(kind) for kind in kinds)
        product = Signal(signed(bits))
        m.d.sync += [a.eq(operands[0]), b.eq(operands[1]), product.eq(a * b)]
        products.append(product)
    m.d.comb += output.eq(Cat(products))
    return m


@pytest.mark.parametrize("family", get_args(Family))
def test_products_follow_every_cycle(run_component, monkeypatch, family):
    monkeypatch.setattr("shiftwork.hw.multiplier.Instance", _block_model)
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
    text = _rtlil(count, "ice40up")
    assert text.count("cell \\SB_MAC16 ") == blocks
    assert text.count("cell $mul ") == soft
    for register in ("A_REG", "B_REG", "TOP_8x8_MULT_REG", "BOT_8x8_MULT_REG"):
        assert text.count(f"parameter \\{register} 1") == blocks


@pytest.mark.parametrize("count", [1, 17])
def test_each_product_of_an_ecp5_has_a_block_with_its_registers(count):
    text = _rtlil(count, "ecp5")
    assert text.count("cell \\MULT18X18D ") == count
    assert "cell $mul " not in text
    for register in REGISTERS:
        assert text.count(f'parameter \\{register} "CLK0"') == count
    assert text.count('parameter \\REG_PIPELINE_CLK "NONE"') == count
    for name, bits in (("A", ECP5_OPERAND_BITS), ("B", ECP5_OPERAND_BITS)):
        for bit in range(bits):
            assert text.count(f"connect \\{name}{bit} ") == count
    for bit in range(ECP5_PRODUCT_BITS):
        assert text.count(f"connect \\P{bit} ") == count


@pytest.mark.parametrize("count", [1, 17])
def test_each_product_of_a_gowin_has_a_block_with_its_registers(count):
    text = _rtlil(count, "gowin")
    assert text.count("cell \\MULT9X9 ") == count
    assert "cell $mul " not in text
    for register in ("AREG", "BREG", "OUT_REG"):
        assert text.count(f"parameter \\{register} 1'1") == count


def test_an_ice40_hx_has_no_multipliers():
    text = _rtlil(17, "ice40hx")
    assert "SB_MAC16" not in text
    assert text.count("cell $mul ") == 17


def test_the_generic_family_leaves_the_choice_to_synthesis():
    text = _rtlil(17, "generic")
    assert "SB_MAC16" not in text
    assert "MULT18X18D" not in text
    assert text.count("cell $mul ") == 17


def test_constants():
    """A stage of registers at the inputs, one at the output, in every family."""
    assert LATENCY == 2
    assert ICE40UP_PRODUCTS == 16
