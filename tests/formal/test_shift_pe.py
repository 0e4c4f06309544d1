"""The element that shifts sums exactly, however long the dot product is."""

from types import ModuleType

import pytest
from amaranth import Module, Mux, Signal, Value, signed
from amaranth.hdl import Assert, Assume, Cover
from formal.prover import Harness, Method, assert_holds, assert_refuted, free, mutated

from shiftwork.hw import shift_pe
from shiftwork.hw.layouts import Token

BITS = 16
"""Of the accumulator: fewer than a long sum takes, so that it wraps."""
DEPTH = 4
MUTANT_DEPTH = 10


class WrappedSum(Harness):
    """The element beside a sum of shifts that begins with an addition to zero."""

    def __init__(self, *, exponents: int, exact: bool, source: ModuleType = shift_pe):
        super().__init__()
        self.exponents = exponents
        self.exact = exact
        self.source = source

    def build(self, m: Module) -> None:
        m.submodules.dut = dut = self.source.ShiftPE(
            accumulator_bits=BITS, exponents=self.exponents, exact=self.exact
        )
        token, a = free(m, Token, "token"), free(m, signed(8), "a")
        code = free(m, dut.code.shape(), "code")
        shift, drain_i = free(m, 1, "shift"), free(m, signed(BITS), "drain_i")
        m.d.comb += [
            dut.token.eq(token),
            dut.a.eq(a),
            dut.code.eq(code),
            dut.shift.eq(shift),
            dut.drain_i.eq(drain_i),
            Assume(code.exponent < self.exponents),
        ]
        operand, size = _late(m, a), _late(m, code.exponent)
        zero, negative = _late(m, code.zero), _late(m, code.negative)
        valid, last = _late(m, token.valid), _late(m, token.valid & token.last)
        shifted = (operand << size)[:BITS].as_signed()
        middle = 0 if self.exact else 1 << (self.exponents + 6)
        lost = 0 if self.exact else 1
        product = Mux(zero, 0, Mux(negative, middle - shifted - lost, middle + shifted))
        total, finished, ended = Signal(signed(BITS)), Signal(signed(BITS)), Signal()
        drain, known = Signal(signed(BITS)), Signal()
        added = (total + product)[:BITS].as_signed()
        m.d.sync += ended.eq(last)
        with m.If(valid):
            m.d.sync += [total.eq(added), finished.eq(added)]
        with m.If(last):
            m.d.sync += total.eq(0)
        with m.If(ended):
            m.d.sync += [drain.eq(finished), known.eq(1)]
        with m.Elif(shift):
            m.d.sync += drain.eq(drain_i)
        m.d.comb += Assert(dut.captured == ended, "a sum is announced once it is finished")
        with m.If(known):
            m.d.comb += Assert(dut.drain_o == drain, "the sum, modulo 2**bits")
        m.d.comb += Cover(known & (drain == -3), "a negative sum")
        if self.inductive:
            self._lemmas(m, total, finished, ended)

    def _lemmas(self, m: Module, total: Signal, finished: Signal, ended: Signal) -> None:
        begins = self.probe("dut.begins", 1)
        accumulator = self.probe("dut.accumulator", signed(BITS))
        with m.If(begins):
            m.d.comb += Assert(total == 0)
        with m.Else():
            m.d.comb += Assert(accumulator == total)
        with m.If(ended):
            m.d.comb += [Assert(accumulator == finished), Assert(begins)]


def _late(m: Module, value: Value) -> Signal:
    """A cycle later."""
    late = Signal(value.shape())
    m.d.sync += late.eq(value)
    return late


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("exponents", [3, 7])
def test_sums_are_exact(exponents, exact):
    harness = WrappedSum(exponents=exponents, exact=exact)
    assert_holds(harness, depth=DEPTH)


def test_a_negative_sum_occurs():
    harness = WrappedSum(exponents=7, exact=False)
    assert_holds(harness, depth=MUTANT_DEPTH, method=Method.COVER)


@pytest.mark.parametrize(
    ("old", "new", "exact"),
    [
        ("Mux(begins, product.p, accumulator + product.p)", "accumulator + product.p", False),
        ("Mux(begins, 0, accumulator)", "accumulator", True),
        ("valid & (begins | ~code.zero)", "valid & ~code.zero", False),
        ("m.d.sync += begins.eq(last)", "m.d.sync += begins.eq(0)", False),
        ("Cat(Const(1, 1), Mux", "Cat(Const(0, 1), Mux", True),
        ("with m.If(finished):", "with m.If(last):", False),
    ],
)
def test_mutants_are_refuted(old, new, exact):
    source = mutated(shift_pe, old, new)
    assert_refuted(WrappedSum(exponents=7, exact=exact, source=source), depth=MUTANT_DEPTH)
