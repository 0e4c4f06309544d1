"""The processing element that shifts in place of multiplying."""

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from shiftwork.hw import pe
from shiftwork.hw.layouts import Token
from shiftwork.hw.shift_product import ShiftProduct, code_layout

LATENCY = pe.LATENCY
"""From the operands to the drain register: that of an element with a multiplier."""


class ShiftPE(wiring.Component):
    """One output-stationary accumulator for weights that are powers of two.

    As :class:`shiftwork.hw.pe.PE` with a multiplier, but for what costs a lookup table. The product
    needs no register of its own: the first cycle takes the operands, the second shifts and adds,
    the third moves a finished sum into the drain register. A sum begins with its first product in
    place of an addition to zero, which the adder's lookup tables do on the side; a weight of 0
    leaves the accumulator as it is, or clears it where the sum begins.

    A product has a constant more than it should (``shift_product.offset``). The weights of a dot
    product are known before, so that the requantizer's constants make it good: a sum here has those
    of all its weights. With ``exact`` the accumulator makes them good itself, for as many lookup
    tables more as it has bits; elements that multiply may then stand beside it.

    Latency: the sum of a dot product stands in ``drain_o`` ``LATENCY`` cycles after its last
    operands came. Flow control: none; ``token.valid`` marks the cycles that count. A new sum must
    not arrive while the chain still shifts older ones through this element.

    Parameters:
        accumulator_bits: width of accumulator and drain register.
        exponents: of the weights, as of :class:`ShiftProduct`.
        exact: whether a sum is that of the products, without the offsets.

    Members:
        token: goes with the operands of this cycle.
        a: signed 8-bit activation.
        code: of the weight.
        drain_i, drain_o, shift: the drain chain; ``shift`` moves it by one element.
        captured: the drain register takes a new sum at the end of this cycle.
    """

    def __init__(self, *, accumulator_bits: int, exponents: int, exact: bool):
        self.accumulator_bits = accumulator_bits
        self.exponents = exponents
        self.exact = exact
        super().__init__(
            {
                "token": In(Token),
                "a": In(signed(8)),
                "code": In(code_layout(exponents)),
                "drain_i": In(signed(accumulator_bits)),
                "drain_o": Out(signed(accumulator_bits)),
                "shift": In(1),
                "captured": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.product = product = ShiftProduct(exponents=self.exponents)
        a = Signal(signed(8), reset_less=True)
        code = Signal(self.code.shape(), reset_less=True)
        valid = Signal()
        last = Signal()
        finished = Signal()
        m.d.comb += [product.a.eq(a), product.code.eq(code)]
        m.d.sync += [
            a.eq(self.a),
            code.eq(self.code),
            valid.eq(self.token.valid),
            last.eq(self.token.valid & self.token.last),
            finished.eq(last),
        ]
        begins = Signal(init=1)
        accumulator = Signal(signed(self.accumulator_bits), reset_less=True)
        with m.If(valid):
            m.d.sync += begins.eq(last)
        with m.If(valid & (begins | ~code.zero)):
            m.d.sync += accumulator.eq(self._total(accumulator, product, begins))
            with m.If(code.zero):
                m.d.sync += accumulator.eq(0)
        drain = Signal(signed(self.accumulator_bits), reset_less=True)
        with m.If(finished):
            m.d.sync += drain.eq(accumulator)
        with m.Elif(self.shift):
            m.d.sync += drain.eq(self.drain_i)
        m.d.comb += [self.captured.eq(finished), self.drain_o.eq(drain)]
        return m

    def _total(self, accumulator: Signal, product: ShiftProduct, begins: Signal) -> Mux:
        if not self.exact:
            return Mux(begins, product.p, accumulator + product.p)
        # The carry into the adder is the sum of the two bits before the last ones.
        before = Cat(Const(1, 1), Mux(begins, 0, accumulator)).as_signed()
        signed_product = Cat(product.p[:-1], ~product.p[-1])
        return (before + Cat(product.code.negative, signed_product).as_signed())[1:]
