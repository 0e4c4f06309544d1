"""In front of the input loader: tells good frames of a framed stream from bad ones."""

from enum import IntEnum

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from shiftwork.hw.layouts import FramedByte

DISCARDED_BITS = 8
"""Of the number of discarded frames."""


class FrameEvent(IntEnum):
    """What the guard says of a frame."""

    NONE = 0
    TAKEN = 1
    SHORT_FRAME = 2
    LONG_FRAME = 3


FrameErrors = data.StructLayout({"short_frame": 1, "long_frame": 1})
"""The kinds of bad frames that there have been."""


class FrameGuard(wiring.Component):
    """Hands the bytes of a framed stream on, and has the frames discarded that have a wrong length.

    A frame whose ``last`` comes before its final byte is short: it is discarded with that byte. One
    whose final byte has no ``last`` is long: it is discarded with that byte, and what follows up
    to and including its ``last`` is swallowed. The byte after a ``last`` begins a frame, whatever
    was before.

    Latency: none from ``i`` to ``o``; ``event`` is told in the cycle after the byte that decides,
    which is the frame's ``last`` or, for a long frame, the first byte that should have been it.
    Flow control: ``i`` and ``o`` are valid/ready streams; surplus bytes are taken without waiting.

    Members:
        i: bytes of the frames.
        o: those that go to the input loader.
        final: the byte that ``o`` takes next is the last of its frame.
        discard: the frame ends with the byte at ``o``, and does not count.
        event: a :class:`FrameEvent`, for one cycle: exactly one for each frame, in their order.
        errors: kinds of bad frames since reset or ``clear``; stays.
        discarded: the number of bad frames since reset or ``clear``, modulo 256.
        clear: forget errors and number; a frame that is found bad in this cycle still counts.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "i": In(stream.Signature(FramedByte)),
                "o": Out(stream.Signature(8)),
                "final": In(1),
                "discard": Out(1),
                "event": Out(FrameEvent),
                "errors": Out(FrameErrors),
                "discarded": Out(DISCARDED_BITS),
                "clear": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        last = self.i.payload.last
        swallowing = Signal()
        transfer = Signal()
        m.d.comb += [
            self.o.payload.eq(self.i.payload.data),
            self.o.valid.eq(self.i.valid & ~swallowing),
            self.i.ready.eq(self.o.ready | swallowing),
            self.discard.eq(last ^ self.final),
            transfer.eq(self.o.valid & self.o.ready),
        ]
        with m.If(self.i.valid):
            m.d.sync += swallowing.eq(~last & (swallowing | (self.o.ready & self.final)))
        m.d.sync += self.event.eq(FrameEvent.NONE)
        with m.If(self.clear):
            m.d.sync += [self.errors.eq(0), self.discarded.eq(0)]
        with m.If(transfer & self.discard):
            m.d.sync += self.discarded.eq(Mux(self.clear, 0, self.discarded) + 1)
        with m.If(transfer & last & self.final):
            m.d.sync += self.event.eq(FrameEvent.TAKEN)
        with m.If(transfer & last & ~self.final):
            m.d.sync += [self.event.eq(FrameEvent.SHORT_FRAME), self.errors.short_frame.eq(1)]
        with m.If(transfer & ~last & self.final):
            m.d.sync += [self.event.eq(FrameEvent.LONG_FRAME), self.errors.long_frame.eq(1)]
        return m
