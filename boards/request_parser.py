"""From the bytes of the serial line to requests, and to frames for the core."""

from amaranth import Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from shiftwork.boards.link_protocol import (
    CRC_BYTES,
    REQUEST_HEADER_BYTES,
    STATUS_BITS,
    SYNC,
    Kind,
    Status,
)

LENGTH_INDEX = 2
"""Of the length's first byte in the header, after kind and sequence number."""


class Request(data.Struct):
    """A request that has been read, and what is to be answered.

    ``infer``: it asks for an inference; ``sequence``: its number; ``loaded``: the core computes a
    frame because of it; ``status``: a :class:`Status`; unless it is ``OK``, the frame is worthless.
    """

    infer: 1
    sequence: 8
    loaded: 1
    status: STATUS_BITS


class RequestParser(wiring.Component):
    """Reads requests, one at a time, and streams their frames into the core while they arrive.

    Whatever is not a request is skipped up to the next ``SYNC``. Kind and length are judged before
    a byte goes to the core. A frame that was begun is always ended: if the line rests in the middle
    of it, zeros fill it up. Whether it was good is known at its end, from the CRC; the core computes
    it meanwhile, and its output must be dropped unless ``request.status`` says ``OK``.

    Latency: ``done`` follows the last byte of a request by ``link_crc.CYCLES`` + 2 cycles. Flow
    control: ``i`` has none: bytes that come between ``done`` and ``resume`` are lost, and so is one
    for the core that comes before the core has taken the last; the request is incomplete then.
    ``frame`` is a valid/ready stream.

    Parameters:
        frame_bytes: length of a frame.
        idle_ticks: least number of ticks without a byte that end a request; rounded up to a power
            of two.

    Members:
        i: bytes from the line.
        tick: of the receiver.
        refusal: what a request for an inference is answered with if it comes now, ``OK`` if the core
            can take a frame.
        frame: to the core.
        crc_start, crc_valid: to the CRC, which takes the bytes of ``i``.
        crc_working, crc_match: from it.
        done: there is a request; stays until ``resume``.
        request: what it is.
        resume: it has been answered.
    """

    def __init__(self, *, frame_bytes: int, idle_ticks: int):
        self.frame_bytes = frame_bytes
        self.idle_bits = (idle_ticks - 1).bit_length()
        super().__init__(
            {
                "i": In(stream.Signature(8, always_ready=True)),
                "tick": In(1),
                "refusal": In(STATUS_BITS),
                "frame": Out(stream.Signature(8)),
                "crc_start": Out(1),
                "crc_valid": Out(1),
                "crc_working": In(1),
                "crc_match": In(1),
                "done": Out(1),
                "request": Out(Request),
                "resume": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        request = self.request
        byte, arrived = self.i.payload, self.i.valid
        timeout = self._add_idle_timer(m)
        index = Signal(range(REQUEST_HEADER_BYTES))
        known = Signal()
        wrong_length = Signal()
        left = Signal(range(self.frame_bytes))
        transfer = Signal()
        m.d.comb += transfer.eq(self.frame.valid & self.frame.ready)
        with m.If(transfer):
            m.d.sync += [self.frame.valid.eq(0), left.eq(left - 1)]

        def end(status: Value | Status) -> None:
            m.d.sync += request.status.eq(status)
            m.next = "DONE"

        with m.FSM():
            with m.State("HUNT"):
                m.d.comb += self.crc_start.eq(1)
                m.d.sync += [index.eq(0), wrong_length.eq(0), request.loaded.eq(0)]
                with m.If(arrived & (byte == SYNC[0])):
                    m.next = "SYNC"
            with m.State("SYNC"):
                m.d.comb += self.crc_start.eq(1)
                with m.If(arrived & (byte == SYNC[1])):
                    m.next = "HEADER"
                with m.Elif(timeout | (arrived & (byte != SYNC[0]))):
                    m.next = "HUNT"
            with m.State("HEADER"):
                m.d.comb += self.crc_valid.eq(arrived)
                with m.If(arrived):
                    m.d.sync += index.eq(index + 1)
                    with m.If(index == 0):
                        m.d.sync += [
                            request.infer.eq(byte == Kind.INFER),
                            known.eq((byte == Kind.INFER) | (byte == Kind.IDENTIFY)),
                        ]
                    with m.If(index == 1):
                        m.d.sync += request.sequence.eq(byte)
                    with m.If((index >= LENGTH_INDEX) & (byte != self._length_byte(index))):
                        m.d.sync += wrong_length.eq(1)
                    with m.If(index == REQUEST_HEADER_BYTES - 1):
                        m.next = "JUDGE"
                with m.If(timeout):
                    m.next = "HUNT"
            with m.State("JUDGE"):
                m.d.sync += [index.eq(0), left.eq(self.frame_bytes - 1)]
                m.next = "CRC"
                with m.If(~known):
                    end(Status.UNKNOWN_KIND)
                with m.Elif(wrong_length):
                    end(Status.WRONG_LENGTH)
                with m.Elif(request.infer):
                    with m.If(self.refusal == Status.OK):
                        m.d.sync += request.loaded.eq(1)
                        m.next = "FRAME"
                    with m.Else():
                        end(self.refusal)
            with m.State("FRAME"):
                m.d.comb += self.crc_valid.eq(arrived)
                with m.If(arrived & ~self.frame.valid):
                    m.d.sync += [self.frame.valid.eq(1), self.frame.payload.eq(byte)]
                with m.If(transfer & (left == 0)):
                    m.next = "CRC"
                with m.Elif(timeout):
                    m.next = "PAD"
            with m.State("PAD"):
                m.d.sync += request.status.eq(Status.INCOMPLETE)
                with m.If(~self.frame.valid):
                    m.d.sync += [self.frame.valid.eq(1), self.frame.payload.eq(0)]
                with m.If(transfer & (left == 0)):
                    m.next = "DONE"
            with m.State("CRC"):
                m.d.comb += self.crc_valid.eq(arrived)
                with m.If(arrived):
                    m.d.sync += index.eq(index + 1)
                    with m.If(index == CRC_BYTES - 1):
                        m.next = "CHECK"
                with m.If(timeout):
                    end(Status.INCOMPLETE)
            with m.State("CHECK"), m.If(~self.crc_working):
                end(Mux(self.crc_match, Status.OK, Status.DAMAGED))
            with m.State("DONE"):
                m.d.comb += self.done.eq(1)
                with m.If(self.resume):
                    m.next = "HUNT"
        return m

    def _add_idle_timer(self, m: Module) -> Value:
        """Whether no byte has come for so long that no more of this request will."""
        ticks = Signal(self.idle_bits + 1)
        with m.If(self.i.valid):
            m.d.sync += ticks.eq(0)
        with m.Elif(self.tick):
            m.d.sync += ticks.eq(ticks + 1)
        return ticks[-1]

    def _length_byte(self, index: Signal) -> Value:
        """What the header's byte of that index must be, if it belongs to the length."""
        right = self.frame_bytes << 8 * LENGTH_INDEX
        expected = Const(right, 8 * (1 << len(index))).word_select(index, 8)
        return Mux(self.request.infer, expected, 0)
