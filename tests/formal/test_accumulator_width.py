"""The accumulator's width, as the schedule states it from the weights, holds for every input."""

from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import pytest
from amaranth import Array, Module, Mux, Signal, signed
from amaranth.hdl import Assert, Assume, Cover
from formal.prover import Harness, Method, assert_holds, assert_refuted, free

from shiftwork.hw import multiplier
from shiftwork.hw.config import ArrayShape
from shiftwork.hw.images import least_conv_shift, stored_bias
from shiftwork.hw.pe import PE
from shiftwork.hw.schedule import make_schedule
from shiftwork.sim.example_programs import ProgramBuilder

SHAPE = ArrayShape(rows=2, columns=4)
SPARE_BITS = 6
"""The exact sum is that much wider than the accumulator."""
DEPTH = multiplier.LATENCY + 3


@dataclass(frozen=True, kw_only=True)
class Row:
    """The dot product that decides the width.

    Attributes:
        weights: of one output channel.
        bias: what is added to it, the rounding constant included.
        least, greatest: of the stored inputs.
        bits: the width that the schedule states.
    """

    weights: tuple[int, ...]
    bias: int
    least: int
    greatest: int
    bits: int

    def products(self, index: int) -> tuple[int, int]:
        """The least and the greatest product of a weight."""
        ends = sorted((self.weights[index] * self.least, self.weights[index] * self.greatest))
        return ends[0], ends[1]


def widest_row(*, channels: int, kernel: int, unsigned: bool) -> Row:
    """Of a convolution with random weights."""
    rng = np.random.default_rng(channels)
    builder = ProgramBuilder("wide", (kernel, kernel, channels), rng, signed=not unsigned)
    program = builder.conv(4, (kernel, kernel)).build()
    (op,) = program.ops
    source = program.tensor(op.input)
    rows = op.weights.reshape(len(op.weights), -1)
    biases = stored_bias(program, op, least_conv_shift([op]))
    least, greatest = source.lo - source.stored_offset, source.hi - source.stored_offset
    bits = make_schedule(program, SHAPE).config.accumulator_bits
    candidates = [
        Row(
            weights=tuple(int(weight) for weight in row),
            bias=int(bias),
            least=least,
            greatest=greatest,
            bits=bits,
        )
        for row, bias in zip(rows, biases, strict=True)
    ]
    return max(candidates, key=_reach)


def _reach(row: Row) -> int:
    """How far the greatest or the least sum, bias included, is from zero."""
    ends = [row.products(index) for index in range(len(row.weights))]
    return max(-(sum(low for low, _ in ends) + row.bias), sum(high for _, high in ends) + row.bias)


class Sums(Harness):
    """The element that sums all products of a row; each lies between its weight's extremes."""

    def __init__(self, *, row: Row, bits: int):
        super().__init__()
        self.row = row
        self.bits = bits

    def build(self, m: Module) -> None:
        row, terms = self.row, len(self.row.weights)
        m.submodules.dut = dut = PE(accumulator_bits=self.bits)
        ends = [row.products(index) for index in range(terms)]
        lows, highs = (list(accumulate(end, initial=0)) for end in zip(*ends, strict=True))
        valid, product = free(m, 1, "valid"), free(m, signed(16), "product")
        asked = _counted(m, valid, terms, "asked")
        m.d.comb += [
            dut.token.valid.eq(valid),
            dut.token.last.eq(asked == terms - 1),
            dut.product.eq(product),
        ]
        coming: list[Signal] = []
        for cycle in range(multiplier.LATENCY):
            later = Signal(name=f"valid_{cycle}")
            m.d.sync += later.eq(valid)
            valid = later
            coming.append(valid)
        index = _counted(m, valid, terms, "summed")
        exact = Signal(signed(row.bits + SPARE_BITS))
        result = Signal(signed(row.bits + SPARE_BITS))
        known = Signal()
        with m.If(valid):
            m.d.sync += exact.eq(exact + product)
            with m.If(index == terms - 1):
                m.d.sync += [exact.eq(0), result.eq(exact + product), known.eq(1)]
        biased = (dut.drain_o + row.bias)[: self.bits].as_signed()
        m.d.comb += [
            Assume(product >= Array(low for low, _ in ends)[index]),
            Assume(product <= Array(high for _, high in ends)[index]),
            Assert(~known | (biased == result + row.bias), "nothing is lost"),
            Cover(known & (result == highs[-1])),
            Cover(known & (result == lows[-1])),
        ]
        if self.inductive:
            accumulator = self.probe("dut.accumulator", signed(self.bits))
            ahead = index + sum(coming)
            m.d.comb += [
                Assert(asked == Mux(ahead >= terms, ahead - terms, ahead)),
                Assert(exact >= Array(lows)[index]),
                Assert(exact <= Array(highs)[index]),
                Assert(accumulator == exact[: self.bits].as_signed()),
                Assert(~known | ((result >= lows[-1]) & (result <= highs[-1]))),
            ]


def _counted(m: Module, step: Signal, terms: int, name: str) -> Signal:
    """Counts the terms of one dot product after the other."""
    count = Signal(range(terms), name=name)
    m.d.comb += Assert(count < terms)
    with m.If(step):
        m.d.sync += count.eq(Mux(count == terms - 1, 0, count + 1))
    return count


ROWS = {
    "27 signed inputs": {"channels": 3, "kernel": 3, "unsigned": False},
    "64 unsigned inputs": {"channels": 16, "kernel": 2, "unsigned": True},
}


@pytest.mark.parametrize("name", ROWS)
def test_the_stated_width_is_enough(name):
    row = widest_row(**ROWS[name])
    assert_holds(Sums(row=row, bits=row.bits), depth=DEPTH)


def test_the_extremes_occur():
    row = widest_row(**ROWS["27 signed inputs"])
    harness = Sums(row=row, bits=row.bits)
    assert_holds(harness, depth=len(row.weights) + DEPTH, method=Method.COVER)


def test_a_bit_less_is_refuted():
    row = widest_row(**ROWS["27 signed inputs"])
    assert_refuted(Sums(row=row, bits=row.bits - 1), depth=len(row.weights) + DEPTH)
