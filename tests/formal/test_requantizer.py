"""The requantizer equals its definition, for every accumulator, bias, shift and bound."""

from types import ModuleType

import pytest
from amaranth import Module, Mux, Signal, Value, signed
from amaranth.hdl import Assert, Assume, Cover
from amaranth.lib import data
from formal.prover import (
    Harness,
    Method,
    assert_holds,
    assert_refuted,
    constant,
    free,
    mutated,
)

from shiftwork.hw import requantizer, rom
from shiftwork.hw.config import ArrayConfig
from shiftwork.hw.requantizer import LATENCY

SPARE_BITS = 3
"""A sum without its bias, and the bias, may exceed the accumulator's width: they wrap."""
PARAMETERS = [
    {"accumulator_bits": 18, "shift_base": 4, "shift_bits": 3},
    {"accumulator_bits": 20, "shift_base": 7, "shift_bits": 2},
    {"accumulator_bits": 22, "shift_base": 5, "shift_bits": 3},
    {"accumulator_bits": 26, "shift_base": 8, "shift_bits": 3},
    {"accumulator_bits": 9, "shift_base": 0, "shift_bits": 3},
    {"accumulator_bits": 32, "shift_base": 0, "shift_bits": 4},
]
BIAS, PLANE, SHIFTED = rom.LATENCY, rom.LATENCY + 1, rom.LATENCY + 2
"""How many enabled cycles after the sum the pipeline has its bias, its plane, its shifted value."""
DEPTH = 2
MUTANT_DEPTH = LATENCY + 4


class Definition(Harness):
    """The pipeline beside the operands that came up to ``LATENCY`` enabled cycles before.

    Rounding half up is stated without a shift to the right: of all integers y in ``lo..hi`` the
    result is the one for which ``y * 2**s`` is nearest to the accumulator, the greater one of two.
    """

    def __init__(self, *, config: ArrayConfig, source: ModuleType = requantizer):
        super().__init__()
        self.config = config
        self.source = source
        bits = config.accumulator_bits
        self.operands = data.StructLayout(
            {
                "sum": signed(bits + SPARE_BITS),
                "bias": signed(bits + SPARE_BITS),
                "shift": config.shift_bits,
                "plane": 2,
            }
        )

    def build(self, m: Module) -> None:
        m.submodules.dut = dut = self.source.Requantizer(config=self.config)
        enable, item = free(m, 1, "enable"), free(m, self.operands, "item")
        self.lo, self.hi = constant(m, signed(9), "lo"), constant(m, signed(9), "hi")
        self.raw, self.flip = constant(m, 1, "raw"), constant(m, 1, "flip")
        items, filled = self._add_history(m, enable, item)
        m.d.comb += [
            dut.enable.eq(enable),
            dut.sum.eq(item.sum),
            dut.bias.eq(items[BIAS].bias + self._half(items[BIAS])),
            dut.shift.eq(items[BIAS].shift),
            dut.plane.eq(items[PLANE].plane),
            *(getattr(dut, name).eq(getattr(self, name)) for name in ("lo", "hi", "raw", "flip")),
            Assume(self.lo <= self.hi),
            Assume(Mux(self.flip, self.lo >= 0, (self.lo >= -128) & (self.hi <= 127))),
        ]
        if self.inductive:
            self._add_stages(m, items, filled)
        with m.If(filled >= LATENCY):
            self._add_definition(m, items[LATENCY], dut.byte)
            m.d.comb += Cover(~self.raw & self.flip & (dut.byte == 0x7F) & (self.hi == 255))

    def _add_history(
        self, m: Module, enable: Signal, item: data.View
    ) -> tuple[list[data.View], Signal]:
        """The operands by their age in enabled cycles, and how many there have been."""
        items = [item]
        filled = Signal(range(LATENCY + 1), reset_less=True)
        for age in range(1, LATENCY + 1):
            older = Signal(self.operands, name=f"item_{age}", reset_less=True)
            with m.If(enable):
                m.d.sync += older.eq(items[-1])
            items.append(older)
        with m.If(enable & (filled < LATENCY)):
            m.d.sync += filled.eq(filled + 1)
        return items, filled

    def _shift(self, item: data.View) -> Value:
        return item.shift + self.config.shift_base

    def _half(self, item: data.View) -> Value:
        """The rounding constant; accumulators are returned without."""
        return Mux(self.raw, 0, (1 << self._shift(item)) >> 1)

    def _add_stages(self, m: Module, items: list[data.View], filled: Signal) -> None:
        """What the registers on the way hold, so that it is known however long they are held."""
        bits = self.config.accumulator_bits
        for age in range(1, rom.LATENCY + 1):
            total = self.probe(f"dut.total_{age - 1}", signed(bits))
            with m.If(filled >= age):
                m.d.comb += Assert(total == items[age].sum[:bits].as_signed())
        accumulator = self.probe("dut.accumulator", signed(bits))
        shift = self.probe("dut.shift", self.config.shift_bits)
        with m.If(filled >= PLANE):
            m.d.comb += [
                Assert(accumulator == self._stored(items[PLANE])),
                Assert(shift == items[PLANE].shift),
            ]
        width = max(bits - self.config.shift_base, 9)
        shifted = self.probe("dut.shifted", signed(width))
        with m.If(filled >= SHIFTED):
            m.d.comb += Assert(shifted == self._shifted(items[SHIFTED]))
        value = self._shifted(items[SHIFTED + 1])
        with m.If(filled > SHIFTED):
            kept, clipped = self.probe("dut.kept", signed(9)), self.probe("dut.clipped", signed(9))
            m.d.comb += Assert(kept == value[:9].as_signed())
            with m.If(~self.raw):
                m.d.comb += Assert(
                    clipped == Mux(value < self.lo, self.lo, Mux(value > self.hi, self.hi, value))
                )

    def _stored(self, item: data.View) -> Value:
        bits = self.config.accumulator_bits
        return (item.sum + item.bias + self._half(item))[:bits].as_signed()

    def _shifted(self, item: data.View) -> Value:
        stored = self._stored(item)
        return Mux(self.raw, (stored >> (item.plane << 3))[:8], stored >> self._shift(item))

    def _add_definition(self, m: Module, item: data.View, byte: Signal) -> None:
        accumulator = item.sum + item.bias
        limit = 1 << (self.config.accumulator_bits - 1)
        fitting = accumulator + self._half(item)
        shift = self._shift(item)
        y = Signal(signed(10))
        m.d.comb += y.eq(Mux(self.flip, byte ^ 0x80, byte.as_signed()))
        with m.If((fitting >= -limit) & (fitting < limit)):
            with m.If(self.raw):
                m.d.comb += Assert(byte == (accumulator >> (item.plane << 3))[:8])
            with m.Else():
                m.d.comb += [
                    Assert((y >= self.lo) & (y <= self.hi)),
                    Assert((y == self.hi) | (2 * accumulator < ((2 * y + 1) << shift))),
                    Assert((y == self.lo) | (2 * accumulator >= ((2 * y - 1) << shift))),
                ]


@pytest.mark.parametrize("widths", PARAMETERS, ids=lambda w: "-".join(map(str, w.values())))
def test_every_operand(array_config, widths):
    assert_holds(Definition(config=array_config(**widths)), depth=DEPTH)


def test_the_greatest_unsigned_byte_occurs(array_config):
    harness = Definition(config=array_config(**PARAMETERS[0]))
    assert_holds(harness, depth=MUTANT_DEPTH, method=Method.COVER)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("accumulator >> base", "accumulator >> (base + 1)"),
        ("clipped[7] ^ self.flip", "clipped[7]"),
        ("shifted > self.hi", "shifted > 127"),
        ("kept = Signal(signed(self._bits)", "kept = Signal(signed(7)"),
        ("word_select(self.plane, 8)", "word_select(0, 8)"),
        (
            "shifted = Signal(signed(max(bits - base, self._bits))",
            "shifted = Signal(signed(bits - base - 1)",
        ),
        ("shift.eq(self.shift)", "shift.eq(self.shift[:-1])"),
        ("with m.If(self.enable):", "with m.If(1):"),
    ],
)
def test_mutants_are_refuted(array_config, old, new):
    config = array_config(**PARAMETERS[0])
    harness = Definition(config=config, source=mutated(requantizer, old, new))
    assert_refuted(harness, depth=MUTANT_DEPTH)
