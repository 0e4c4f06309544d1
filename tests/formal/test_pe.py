"""The processing element sums exactly, however long the dot product is, and scales in between."""

from types import ModuleType

import pytest
from amaranth import Const, Module, Mux, Signal, Value, signed
from amaranth.hdl import Assert, Assume, Cover
from formal.prover import Harness, Method, assert_holds, assert_refuted, free, mutated

from shiftwork.hw import multiplier, pe
from shiftwork.hw.layouts import token_layout
from shiftwork.quant.digits import BASE, DIGIT_BITS

GREATEST_PRODUCT = 128 * 128
COUNT_BITS = 20
"""The exact sum beside the element is wide enough for fewer than 2**20 products."""
SUM_BITS = GREATEST_PRODUCT.bit_length() + COUNT_BITS + 1
DEPTH = multiplier.LATENCY + 2
MUTANT_DEPTH = 15
BITS = (18, 20, 22, 24, 26)


class ExactSum(Harness):
    """The element beside a sum so wide that it never wraps.

    Parameters:
        bits: of the accumulator.
        scaled: whether accumulators can be scaled; that happens once in a dot product at most.
        source: the element's module.
    """

    def __init__(self, *, bits: int, scaled: bool = False, source: ModuleType = pe):
        super().__init__()
        self.bits = bits
        self.scaled = scaled
        self.source = source
        self.sum_bits = SUM_BITS + (DIGIT_BITS if scaled else 0)

    def build(self, m: Module) -> None:
        m.submodules.dut = dut = self.source.PE(accumulator_bits=self.bits, scaled=self.scaled)
        layout = token_layout(scaled=self.scaled)
        token, product = free(m, layout, "token"), free(m, signed(16), "product")
        shift, drain_i = free(m, 1, "shift"), free(m, signed(self.bits), "drain_i")
        m.d.comb += [
            dut.token.eq(token),
            dut.product.eq(product),
            dut.shift.eq(shift),
            dut.drain_i.eq(drain_i),
            Assume(product >= -GREATEST_PRODUCT),
            Assume(product <= GREATEST_PRODUCT),
        ]
        valid, last = _at_the_product(m, token.valid, token.valid & token.last)
        scale = Const(0)
        if self.scaled:
            (scale,) = _at_the_product(m, token.valid & token.scale)
        exact, count, total = self._add_sum(m, product, valid, last, scale)
        drain = Signal(signed(self.sum_bits))
        known = Signal()
        with m.If(last):
            m.d.sync += [drain.eq(total), known.eq(1)]
        with m.Elif(shift):
            m.d.sync += drain.eq(drain_i)
        limit = 1 << (self.bits - 1)
        if self.inductive:
            accumulator = self.probe("dut.accumulator", signed(self.bits))
            m.d.comb += Assert(accumulator == exact[: self.bits].as_signed())
        m.d.comb += [
            Assert(exact <= count * self.greatest, "the exact sum has no overflow"),
            Assert(exact >= -count * self.greatest, "the exact sum has no underflow"),
            Assert(dut.captured == last, "a sum is announced in the cycle of its last product"),
        ]
        with m.If(known):
            m.d.comb += Assert(dut.drain_o == drain[: self.bits].as_signed(), "modulo 2**bits")
            with m.If((drain >= -limit) & (drain < limit)):
                m.d.comb += Assert(dut.drain_o == drain, "a sum within the width is exact")
        m.d.comb += Cover(known & (drain == limit - 1), "the greatest sum")

    @property
    def greatest(self) -> int:
        """What a product can add to a sum."""
        return GREATEST_PRODUCT * (BASE if self.scaled else 1)

    def _add_sum(
        self, m: Module, product: Signal, valid: Value, last: Value, scale: Value
    ) -> tuple[Signal, Signal, Value]:
        exact = Signal(signed(self.sum_bits))
        count = Signal(COUNT_BITS)
        scaled = Signal()
        total = Mux(scale, exact * BASE, exact) + product
        m.d.comb += [Assume(~count.all()), Assume(~(scale & scaled))]
        if self.scaled and self.inductive:
            with m.If(~scaled):
                m.d.comb += [
                    Assert(exact <= count * GREATEST_PRODUCT),
                    Assert(exact >= -count * GREATEST_PRODUCT),
                ]
        with m.If(valid):
            m.d.sync += [exact.eq(total), count.eq(count + 1), scaled.eq(scaled | scale)]
        with m.If(last):
            m.d.sync += [exact.eq(0), count.eq(0), scaled.eq(0)]
        return exact, count, total


def _at_the_product(m: Module, *values: Value) -> list[Signal]:
    """What goes with operands, in the cycle in which their product is there."""
    result = []
    for value in values:
        for _ in range(multiplier.LATENCY):
            late = Signal()
            m.d.sync += late.eq(value)
            value = late
        result.append(value)
    return result


@pytest.mark.parametrize("bits", BITS)
def test_sums_are_exact(bits):
    assert_holds(ExactSum(bits=bits), depth=DEPTH)


@pytest.mark.parametrize("bits", BITS)
def test_scaled_sums_are_exact(bits):
    assert_holds(ExactSum(bits=bits, scaled=True), depth=DEPTH)


def test_scaled_sums_that_fill_the_width_occur():
    assert_holds(ExactSum(bits=22, scaled=True), depth=MUTANT_DEPTH, method=Method.COVER)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("accumulator << DIGIT_BITS", "accumulator << (DIGIT_BITS + 1)"),
        ("m.d.sync += product_scale.eq(scale)", "m.d.comb += product_scale.eq(scale)"),
        ("self._addend(m, accumulator) + self.product", "self._addend(m, accumulator)"),
    ],
)
def test_mutants_of_the_scaling_are_refuted(old, new):
    harness = ExactSum(bits=22, scaled=True, source=mutated(pe, old, new))
    assert_refuted(harness, depth=MUTANT_DEPTH)


def test_sums_that_fill_the_width_occur():
    assert_holds(ExactSum(bits=18), depth=MUTANT_DEPTH, method=Method.COVER)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("accumulator.eq(0), drain.eq(total)", "drain.eq(total)"),
        ("total = Signal(signed(self.accumulator_bits))", "total = Signal(signed(17))"),
        ("drain.eq(total)]", "drain.eq(accumulator)]"),
        ("with m.If(valid):", "with m.If(1):"),
        ("with m.Elif(self.shift)", "with m.Else()"),
    ],
)
def test_mutants_are_refuted(old, new):
    assert_refuted(ExactSum(bits=18, source=mutated(pe, old, new)), depth=MUTANT_DEPTH)
