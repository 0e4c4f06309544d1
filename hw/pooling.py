"""The pooling unit: maxima over windows, a word of channels at a time."""

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from shiftwork.hw.config import ArrayConfig
from shiftwork.hw.layouts import fetch_token_layout

SUM_LATENCY = 1
"""Cycles from a window's last word to its results in the drain register."""


class Pooling(wiring.Component):
    """``word_bytes`` lanes that keep the maximum of the words of a window.

    At the end of a window the results move into a drain register, from where ``lanes`` of them at
    a time go through the requantizers, shifted left by ``shift_base`` so that the network's least
    shift leaves them as they are.

    Latency: 1 cycle from a window's last word to ``captured`` results. Flow control: none;
    ``drain_shift`` moves the drain register by ``lanes`` channels. A new result must not arrive
    before the drain register is empty.

    Parameters:
        config: the array's configuration.

    Members:
        word, token: a word of signed bytes and its token.
        drain_shift: move the drain register.
        sums: the results to requantize next.
        captured: results are in the drain register from the next cycle on.
    """

    def __init__(self, *, config: ArrayConfig):
        self.config = config
        shape = config.shape
        super().__init__(
            {
                "word": In(8 * shape.word_bytes),
                "token": In(fetch_token_layout(scaled=config.scaled)),
                "drain_shift": In(1),
                "sums": Out(signed(config.accumulator_bits)).array(shape.lanes),
                "captured": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        shape = self.config.shape
        drain = [
            Signal(signed(8), name=f"drain_{i}", reset_less=True) for i in range(shape.word_bytes)
        ]
        m.d.comb += self.captured.eq(self.token.valid & self.token.last)
        for index in range(shape.word_bytes):
            value = Signal(signed(8), name=f"value_{index}", reset_less=True)
            result = Signal(signed(8), name=f"result_{index}")
            byte = self.word.word_select(index, 8).as_signed()
            m.d.comb += result.eq(Mux(self.token.first | (byte > value), byte, value))
            with m.If(self.token.valid):
                m.d.sync += value.eq(result)
            with m.If(self.captured):
                m.d.sync += drain[index].eq(result)
            if index + shape.lanes < shape.word_bytes:
                with m.Elif(self.drain_shift):
                    m.d.sync += drain[index].eq(drain[index + shape.lanes])
        for lane in range(shape.lanes):
            m.d.comb += self.sums[lane].eq(drain[lane] << self.config.shift_base)
        return m
