"""Products by shifting: exact for every activation and every code."""

import numpy as np
import pytest
from amaranth import Elaboratable, Module, Signal, signed
from amaranth.sim import Simulator

from shiftwork.errors import CapacityError
from shiftwork.hw.config import ArrayShape
from shiftwork.hw.multiplier import ICE40UP_PRODUCTS
from shiftwork.hw.shift_product import (
    MOST_EXPONENTS,
    ShiftProduct,
    code_layout,
    encoded,
    exponents_of,
    is_shiftable,
    multiplied,
    offset,
    product_bits,
)
from shiftwork.quant.codebook import INT4
from shiftwork.quant.levels import POWERS

ALL_POWERS = tuple(sorted({*POWERS, -128}))


class Weighted(Elaboratable):
    """A product whose code is that of a weight."""

    def __init__(self, exponents: int):
        self.product = ShiftProduct(exponents=exponents)
        self.weight = Signal(signed(8))
        self.code = Signal(code_layout(exponents))

    def elaborate(self, platform):
        m = Module()
        m.submodules.product = self.product
        m.d.comb += [
            self.code.eq(encoded(m, self.weight, self.product.exponents, name="encoded")),
            self.product.code.eq(self.code),
        ]
        return m


def _simulate(design, bench):
    simulator = Simulator(design)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize("exponents", range(1, MOST_EXPONENTS + 1))
def test_every_activation_with_every_weight(exponents):
    """With the weight's offset; 0 has a code, and no product."""
    design = Weighted(exponents)
    weights = [w for w in ALL_POWERS if abs(w) < 1 << exponents]
    activations = np.arange(-128, 128)
    assert len(design.product.p) == product_bits(exponents)

    async def bench(ctx):
        for weight in weights:
            ctx.set(design.weight, weight)
            code = ctx.get(design.code)
            assert code.zero == (weight == 0)
            if not weight:
                continue
            found = []
            for a in activations.tolist():
                ctx.set(design.product.a, a)
                found.append(ctx.get(design.product.p))
            assert code.negative == (weight < 0)
            more = (1 << product_bits(exponents) - 1) - (weight < 0)
            assert offset(np.array([weight, 0]), exponents).tolist() == [more, 0]
            np.testing.assert_array_equal(found, activations * weight + more)

    _simulate(design, bench)
    assert len(weights) == min(2 * exponents + 1, len(ALL_POWERS))


def test_what_is_no_power_of_two_counts_as_0():
    design = Weighted(MOST_EXPONENTS)

    async def bench(ctx):
        for weight in range(-128, 128):
            ctx.set(design.weight, weight)
            code = ctx.get(design.code)
            power = weight in ALL_POWERS and weight != 0
            assert code.zero != power
            if power:
                assert (1 << code.exponent) * (-1) ** code.negative == weight

    _simulate(design, bench)


@pytest.mark.parametrize(("exponents", "code_bits", "bits"), [(1, 2, 8), (4, 4, 11), (8, 5, 15)])
def test_widths(exponents, code_bits, bits):
    assert code_layout(exponents).size == code_bits
    assert product_bits(exponents) == bits


@pytest.mark.parametrize("exponents", [0, MOST_EXPONENTS + 1])
def test_exponents_of_int8_alone(exponents):
    with pytest.raises(ValueError, match=f"exponents must be 1 to 8, not {exponents}"):
        code_layout(exponents)


@pytest.mark.parametrize(
    ("codebook", "exponents"),
    [(POWERS, 7), (ALL_POWERS, 8), ((0,), 1), ((-1, 0, 1), 1), ((0, 4), 3), ((-8, 0, 1), 4)],
)
def test_codebooks_of_powers(codebook, exponents):
    assert is_shiftable(codebook)
    assert exponents_of(codebook, products="shift", name="net") == exponents
    assert exponents_of(codebook, products="multiply", name="net") == 0


@pytest.mark.parametrize(
    ("codebook", "why"), [(None, "has no codebook"), (INT4, "has the weight -7 in its codebook")]
)
@pytest.mark.parametrize("products", ["shift", "mixed"])
def test_other_weights_are_refused(codebook, why, products):
    assert not is_shiftable(codebook)
    with pytest.raises(CapacityError) as error:
        exponents_of(codebook, products=products, name="net")
    assert str(error.value) == (
        "products by shifting need weights that are 0 or signed powers of two: 'net' "
        f"{why}; quantize it with --weights pow2, or leave out --products shift"
    )
    assert exponents_of(codebook, products="multiply", name="net") == 0


def test_the_first_elements_of_a_mixed_array_multiply():
    shape = ArrayShape(rows=3, columns=8, products="mixed")
    assert multiplied(shape.products, shape.elements) == ICE40UP_PRODUCTS
    assert multiplied("mixed", 5) == 5
    assert multiplied("multiply", 24) == 24
    assert multiplied("shift", 24) == 0
