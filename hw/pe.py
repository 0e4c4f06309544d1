"""The processing element."""

from amaranth import Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from shiftwork.hw import multiplier
from shiftwork.hw.layouts import token_layout
from shiftwork.quant.digits import DIGIT_BITS

LATENCY = multiplier.LATENCY + 1
"""From the operands at the multiplier to the accumulator."""


class PE(wiring.Component):
    """One output-stationary accumulator of the array.

    With the last product of a dot product the sum moves into the drain register and the
    accumulator starts again at zero; the drain registers form a shift chain. A token with ``scale``
    multiplies the accumulator by ``2**DIGIT_BITS`` before its product is added; as all of it is
    modulo the accumulator's width, only the last sum has to fit.

    Latency: the sum of a dot product stands in ``drain_o`` ``LATENCY`` cycles after its last
    operands were at the multiplier. Flow control: none; ``token.valid`` marks the cycles that
    count. A new sum must not arrive while the chain still shifts older ones through this element.

    Parameters:
        accumulator_bits: width of accumulator and drain register.
        scaled: whether tokens have the bit ``scale``.

    Members:
        token: goes with the operands that are at the multiplier in this cycle.
        product: of the operands ``multiplier.LATENCY`` cycles before.
        drain_i, drain_o, shift: the drain chain; ``shift`` moves it by one element.
        captured: the drain register takes a new sum at the end of this cycle.
    """

    def __init__(self, *, accumulator_bits: int, scaled: bool = False):
        self.accumulator_bits = accumulator_bits
        self.scaled = scaled
        super().__init__(
            {
                "token": In(token_layout(scaled=scaled)),
                "product": In(signed(16)),
                "drain_i": In(signed(accumulator_bits)),
                "drain_o": Out(signed(accumulator_bits)),
                "shift": In(1),
                "captured": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        accumulator = Signal(signed(self.accumulator_bits))
        total = Signal(signed(self.accumulator_bits))
        drain = Signal(signed(self.accumulator_bits), reset_less=True)
        valid, last = self.token.valid, self.token.valid & self.token.last
        for stage in range(multiplier.LATENCY):
            product_valid = Signal(name=f"valid_{stage}")
            product_last = Signal(name=f"last_{stage}")
            m.d.sync += [product_valid.eq(valid), product_last.eq(last)]
            valid, last = product_valid, product_last
        m.d.comb += [
            total.eq(self._addend(m, accumulator) + self.product),
            self.captured.eq(last),
            self.drain_o.eq(drain),
        ]
        with m.If(valid):
            m.d.sync += accumulator.eq(total)
        with m.If(last):
            m.d.sync += [accumulator.eq(0), drain.eq(total)]
        with m.Elif(self.shift):
            m.d.sync += drain.eq(self.drain_i)
        return m

    def _addend(self, m: Module, accumulator: Signal) -> Value:
        """What the product is added to."""
        if not self.scaled:
            return accumulator
        scale = self.token.scale
        for stage in range(multiplier.LATENCY):
            product_scale = Signal(name=f"scale_{stage}")
            m.d.sync += product_scale.eq(scale)
            scale = product_scale
        return Mux(scale, accumulator << DIGIT_BITS, accumulator)
