"""The processing element."""

from amaranth import Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from shiftwork.hw.layouts import Token

LATENCY = 2 + 1
"""From the operands at the inputs to the accumulator: operand register, multiplier, adder."""


class PE(wiring.Component):
    """One output-stationary accumulator of the array.

    Operands and token are registered and passed on, activations to the right, weights and token
    downwards. The product of the registered operands comes back from the multiplier bank one
    cycle later. With the last product of a dot product the sum moves into the drain register and
    the accumulator starts again at zero; the drain registers form a shift chain.

    Latency: the sum of a dot product stands in ``drain_o`` 3 cycles after its last operands were
    at the inputs. Flow control: none; ``token_i.valid`` marks the cycles that count. A new sum
    must not arrive while the chain still shifts older ones through this element.

    Parameters:
        accumulator_bits: width of accumulator and drain register.

    Members:
        a_i, w_i, token_i: operands (signed 8 bit) and their token.
        a_o, w_o, token_o: the same, one cycle later.
        product: ``a_o * w_o`` of the cycle before.
        drain_i, drain_o, shift: the drain chain; ``shift`` moves it by one element.
        captured: the drain register takes a new sum at the end of this cycle.
    """

    def __init__(self, *, accumulator_bits: int):
        self.accumulator_bits = accumulator_bits
        super().__init__(
            {
                "a_i": In(signed(8)),
                "w_i": In(signed(8)),
                "token_i": In(Token),
                "a_o": Out(signed(8)),
                "w_o": Out(signed(8)),
                "token_o": Out(Token),
                "product": In(signed(16)),
                "drain_i": In(signed(accumulator_bits)),
                "drain_o": Out(signed(accumulator_bits)),
                "shift": In(1),
                "captured": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        operand_a = Signal(signed(8), reset_less=True)
        operand_w = Signal(signed(8), reset_less=True)
        token = Signal(Token)
        product_token = Signal(Token)
        accumulator = Signal(signed(self.accumulator_bits))
        total = Signal(signed(self.accumulator_bits))
        drain = Signal(signed(self.accumulator_bits), reset_less=True)

        m.d.sync += [
            operand_a.eq(self.a_i),
            operand_w.eq(self.w_i),
            token.eq(self.token_i),
            product_token.eq(token),
        ]
        m.d.comb += [
            self.a_o.eq(operand_a),
            self.w_o.eq(operand_w),
            self.token_o.eq(token),
            total.eq(accumulator + self.product),
            self.captured.eq(product_token.valid & product_token.last),
            self.drain_o.eq(drain),
        ]
        with m.If(product_token.valid):
            m.d.sync += accumulator.eq(total)
        with m.If(self.captured):
            m.d.sync += [accumulator.eq(0), drain.eq(total)]
        with m.Elif(self.shift):
            m.d.sync += drain.eq(self.drain_i)
        return m
