"""From bytes to the serial line."""

from amaranth import Cat, Const, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

FRAME_BITS = 10
"""A start bit, eight of data and a stop bit."""


class UartTransmitter(wiring.Component):
    """Sends bytes of eight bits, no parity and one stop bit, least significant bit first.

    Latency: the start bit begins a cycle after the byte's transfer, and the next byte is taken
    ``FRAME_BITS * divisor`` cycles later. Flow control: ``i`` is a valid/ready stream.

    Parameters:
        divisor: clock cycles a bit.

    Members:
        i: the bytes.
        tx: the line, high at rest.
    """

    def __init__(self, *, divisor: int):
        self.divisor = divisor
        super().__init__({"i": In(stream.Signature(8)), "tx": Out(1, init=1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        timer = Signal(range(self.divisor))
        left = Signal(range(FRAME_BITS + 1))
        # The lowest bit is on the line; ones follow, so that it rests high.
        bits = Signal(FRAME_BITS - 1, init=-1)
        m.d.comb += [self.tx.eq(bits[0]), self.i.ready.eq(left == 0)]
        m.d.sync += timer.eq(timer - 1)
        with m.If(self.i.ready):
            m.d.sync += timer.eq(self.divisor - 1)
            with m.If(self.i.valid):
                m.d.sync += [bits.eq(Cat(Const(0, 1), self.i.payload)), left.eq(FRAME_BITS)]
        with m.Elif(timer == 0):
            m.d.sync += [
                timer.eq(self.divisor - 1),
                bits.eq(Cat(bits[1:], Const(1, 1))),
                left.eq(left - 1),
            ]
        return m
