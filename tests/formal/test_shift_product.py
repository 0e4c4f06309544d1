"""A product by shifting is that of a multiplication, for every activation and every weight."""

from types import ModuleType

import pytest
from amaranth import Module, Mux, signed
from amaranth.hdl import Assert, Assume, Cover
from formal.prover import Harness, Method, assert_holds, assert_refuted, free, mutated

from shiftwork.hw import shift_product

DEPTH = 1


class Multiplication(Harness):
    """The product beside a multiplier; what it leaves to add is added."""

    def __init__(self, *, exponents: int, source: ModuleType = shift_product):
        super().__init__()
        self.exponents = exponents
        self.source = source

    def build(self, m: Module) -> None:
        m.submodules.dut = dut = self.source.ShiftProduct(exponents=self.exponents)
        a, weight = free(m, signed(8), "a"), free(m, signed(8), "weight")
        code = self.source.encoded(m, weight, self.exponents, name="code")
        size = Mux(weight < 0, -weight, weight)
        middle = 1 << (self.exponents + 6)
        product = Mux(code.zero, 0, dut.p - middle + code.negative)
        m.d.comb += [
            dut.a.eq(a),
            dut.code.eq(code),
            Assume((size & (size - 1)) == 0),
            Assume(size < 1 << self.exponents),
            Assert(product == a * weight, "the product is that of a multiplication"),
            Cover((product == -128 << (self.exponents - 1)), "the least product"),
            Cover(code.zero, "a weight of 0"),
        ]


@pytest.mark.parametrize("exponents", [1, 3, 7, 8])
def test_products_are_those_of_a_multiplier(exponents):
    assert_holds(Multiplication(exponents=exponents), depth=DEPTH)


def test_the_least_product_occurs():
    assert_holds(Multiplication(exponents=7), depth=DEPTH, method=Method.COVER)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("shifted << (1 << place), shifted)", "shifted << place, shifted)"),
        ("shifted ^ flips", "shifted"),
        ("- 1), ~self.code.negative)", "- 1), self.code.negative)"),
        ("return 7 + exponents", "return 6 + exponents"),
        ("len(shifted) + (1 << place)", "len(shifted) + place"),
        ("int(value < 0)", "int(value > 0)"),
    ],
)
def test_mutants_are_refuted(old, new):
    source = mutated(shift_product, old, new)
    assert_refuted(Multiplication(exponents=8, source=source), depth=DEPTH)
