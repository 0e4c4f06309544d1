"""Bias, shift, clip: from accumulators to stored bytes."""

from itertools import pairwise

from amaranth import Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from shiftwork.hw import rom
from shiftwork.hw.config import ArrayConfig
from shiftwork.hw.layouts import DrainTag

LATENCY = 4 + rom.LATENCY
"""Enabled cycles from ``sum`` to ``byte``; bias and shift follow the sum by ``rom.LATENCY``."""


PLANE_LEAD = 2
"""Enabled cycles from the shift to the clipped value."""


class Requantizer(wiring.Component):
    """One lane: ``clip((sum + bias) >> shift, lo, hi)``, as in ``shiftwork.sim.golden.requantize``.

    The rounding constant and the correction of flipped inputs are part of the bias. With ``raw``
    the byte ``plane`` of the sign-extended accumulator comes out instead. With ``flip`` the top
    bit of the result is inverted: an unsigned byte as it is stored. With ``wide`` the result has 16
    bits, and ``plane`` says which byte of it comes out: the low one, flipped, or the high one.

    Latency: ``LATENCY`` enabled cycles. Flow control: ``enable`` holds the whole pipeline.

    Parameters:
        config: the array's configuration.

    Members:
        enable: the pipeline moves on at the end of this cycle.
        sum: an accumulator.
        bias, shift: of its channel, ``rom.LATENCY`` enabled cycles later; ``shift`` is on top of
            ``shift_base``.
        plane: which byte ``raw`` and ``wide`` take, one enabled cycle after the bias.
        lo, hi, raw, flip: of the layer.
        wide: of the layer, if the configuration has an output of 16 bits.
        byte: the stored result.
    """

    def __init__(self, *, config: ArrayConfig):
        self.config = config
        self._bits = max(config.output_bits, 9)
        wide = {"wide": In(1)} if config.output_bits > 8 else {}
        super().__init__(
            {
                "enable": In(1),
                "sum": In(signed(config.accumulator_bits)),
                "bias": In(signed(config.accumulator_bits)),
                "shift": In(unsigned(config.shift_bits)),
                "plane": In(2),
                "lo": In(signed(self._bits)),
                "hi": In(signed(self._bits)),
                "raw": In(1),
                "flip": In(1),
                **wide,
                "byte": Out(8),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits, base = self.config.accumulator_bits, self.config.shift_base
        totals = [
            Signal(signed(bits), name=f"total_{stage}", reset_less=True)
            for stage in range(rom.LATENCY)
        ]
        accumulator = Signal(signed(bits), reset_less=True)
        shift = Signal(self.config.shift_bits, reset_less=True)
        shifted = Signal(signed(max(bits - base, self._bits)), reset_less=True)
        low = Signal(reset_less=True)
        high = Signal(reset_less=True)
        kept = Signal(signed(self._bits), reset_less=True)
        clipped = Signal(signed(self._bits))
        byte = Signal(8, reset_less=True)

        word = Signal(32)
        m.d.comb += [
            word.eq(accumulator),
            clipped.eq(Mux(low, self.lo, Mux(high, self.hi, kept))),
            self.byte.eq(byte),
        ]
        with m.If(self.enable):
            m.d.sync += [
                *(after.eq(before) for before, after in pairwise((self.sum, *totals))),
                accumulator.eq(totals[-1] + self.bias),
                shift.eq(self.shift),
                shifted.eq(
                    Mux(self.raw, word.word_select(self.plane, 8), (accumulator >> base) >> shift)
                ),
                low.eq(shifted < self.lo),
                high.eq(shifted > self.hi),
                kept.eq(shifted),
                byte.eq(Mux(self.raw, kept[:8], self._result(m, clipped))),
            ]
        return m

    def _result(self, m: Module, clipped: Signal) -> Value:
        """The byte of the clipped value that comes out."""
        low = Cat(clipped[:7], clipped[7] ^ self.flip)
        if self.config.output_bits == 8:
            return low
        second = self.plane[0] & self.wide
        for stage in range(PLANE_LEAD):
            late = Signal(name=f"second_{stage}", reset_less=True)
            m.d.sync += late.eq(Mux(self.enable, second, late))
            second = late
        return Mux(second, clipped[8:16], low)


def tag_pipeline(m: Module, enable: Signal, tag: Signal, depth: int) -> list[Signal]:
    """Copies of ``tag`` delayed by 1 to ``depth`` enabled cycles, beside a requantizer."""
    stages: list[Signal] = []
    for index in range(depth):
        stage = Signal(DrainTag, name=f"tag_{index + 1}")
        with m.If(enable):
            m.d.sync += stage.eq(stages[-1] if stages else tag)
        stages.append(stage)
    return stages
