"""From the serial line to bits and bytes."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from shiftwork.errors import CapacityError

LEAST_DIVISOR = 4
"""Clock cycles a bit: with fewer, the middle of a bit is not met well enough."""
SYNCHRONIZER_STAGES = 2


class UartReceiver(wiring.Component):
    """Receives bytes of eight bits, no parity and one stop bit, least significant bit first.

    Every bit is sampled once, in its middle as seen from the edge of the start bit. What is no
    longer low there was a glitch and no start bit. A byte whose stop bit is low is dropped, and the
    line has to be high before the next one can begin: a break is no byte.

    Latency: a byte is valid ``latency`` cycles after its first low cycle on ``rx``, a cycle after
    its stop bit was sampled. Flow control: none; bits and bytes are there for one cycle.

    Parameters:
        divisor: clock cycles a bit, at least ``LEAST_DIVISOR``.

    Members:
        rx: the line, high at rest; not synchronous to the clock.
        o: the bytes.
        bits: their bits, as they are sampled; those of a byte that is dropped too.
        tick: once in the time of a bit, whether or not anything is received.

    Raises:
        CapacityError: if the divisor is too small.
    """

    def __init__(self, *, divisor: int):
        check_divisor(divisor)
        self.divisor = divisor
        super().__init__(
            {
                "rx": In(1, init=1),
                "o": Out(stream.Signature(8, always_ready=True)),
                "bits": Out(stream.Signature(1, always_ready=True)),
                "tick": Out(1),
            }
        )

    @property
    def _half(self) -> int:
        """Cycles from the first one in which the line is seen low to the start bit's middle."""
        return (self.divisor - 1) // 2

    @property
    def latency(self) -> int:
        """Cycles from the first in which ``rx`` is low to the one in which the byte is valid."""
        return SYNCHRONIZER_STAGES + self._half + 9 * self.divisor + 1

    def elaborate(self, platform: object) -> Module:
        m = Module()
        line = Signal(init=1)
        m.submodules.synchronizer = FFSynchronizer(
            self.rx, line, init=1, stages=SYNCHRONIZER_STAGES
        )
        timer = Signal(range(self.divisor))
        byte = Signal(8, reset_less=True)
        left = Signal(3)
        m.d.comb += [
            self.tick.eq(timer == 0),
            self.o.payload.eq(byte),
            self.bits.payload.eq(line),
        ]
        m.d.sync += [
            timer.eq(Mux(self.tick, self.divisor - 1, timer - 1)),
            self.o.valid.eq(0),
        ]
        with m.FSM():
            with m.State("IDLE"), m.If(~line):
                m.d.sync += timer.eq(self._half - 1)
                m.next = "START"
            with m.State("START"), m.If(self.tick):
                m.next = "DATA"
                with m.If(line):
                    m.next = "IDLE"
            with m.State("DATA"), m.If(self.tick):
                m.d.comb += self.bits.valid.eq(1)
                m.d.sync += [byte.eq(Cat(byte[1:], line)), left.eq(left + 1)]
                with m.If(left.all()):
                    m.next = "STOP"
            with m.State("STOP"), m.If(self.tick):
                m.d.sync += self.o.valid.eq(line)
                m.next = "REST"
            with m.State("REST"), m.If(line):
                m.next = "IDLE"
        return m


def check_divisor(divisor: int) -> None:
    """Raises CapacityError if a receiver needs more clock cycles a bit."""
    if divisor < LEAST_DIVISOR:
        raise CapacityError(
            f"a UART needs at least {LEAST_DIVISOR} clock cycles a bit, not {divisor}; "
            "use a lower baud rate or a faster clock"
        )
