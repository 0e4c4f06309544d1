"""From bits to the serial line."""

from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

BYTE_BITS = 10
"""A start bit, eight of data and a stop bit."""


class UartTransmitter(wiring.Component):
    """Sends bytes of eight bits, no parity and one stop bit, least significant bit first.

    The bytes come as bits: what sends them needs no register of its own.

    Latency: the start bit begins a cycle after the first bit of a byte is valid, and that is taken
    ``divisor`` cycles later; the next byte can begin a cycle after the stop bit has ended. Flow
    control: ``i`` is a valid/ready stream, taken once in the time of a bit; within a byte it must
    stay valid.

    Parameters:
        divisor: clock cycles a bit.

    Members:
        i: the bits of the bytes.
        tx: the line, high at rest.
    """

    def __init__(self, *, divisor: int):
        self.divisor = divisor
        super().__init__({"i": In(stream.Signature(1)), "tx": Out(1, init=1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        timer = Signal(range(self.divisor))
        tick = Signal()
        left = Signal(3)
        m.d.comb += tick.eq(timer == self.divisor - 1)
        m.d.sync += timer.eq(timer + 1)
        with m.If(tick):
            m.d.sync += timer.eq(0)
        with m.FSM():
            with m.State("REST"):
                m.d.sync += timer.eq(0)
                with m.If(self.i.valid):
                    m.d.sync += self.tx.eq(0)
                    m.next = "DATA"
            with m.State("DATA"), m.If(tick):
                m.d.comb += self.i.ready.eq(1)
                m.d.sync += [self.tx.eq(self.i.payload), left.eq(left + 1)]
                with m.If(left.all()):
                    m.next = "END"
            with m.State("END"), m.If(tick):
                m.d.sync += self.tx.eq(1)
                m.next = "STOP"
            with m.State("STOP"), m.If(tick):
                m.next = "REST"
        return m
