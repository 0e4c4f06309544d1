"""From the bytes of the serial line to requests, and to frames for the core."""

from amaranth import Cat, Const, Module, Mux, Signal, Value
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


Request = data.StructLayout({"infer": 1, "sequence": 8, "loaded": 1, "status": STATUS_BITS})
"""A request that has been read, and what is to be answered.

``infer``: it asks for an inference; ``sequence``: its number; ``loaded``: the core computes a frame
because of it; ``status``: a :class:`Status`; unless it is ``OK``, the frame is worthless.
"""


class RequestParser(wiring.Component):
    """Reads requests, one at a time, and streams their frames into the core while they arrive.

    Whatever is not a request is skipped up to the next ``SYNC``. Kind and length are judged before
    a byte goes to the core. A frame that was begun is always ended: if the line rests in the middle
    of it, it is filled up with anything. Whether it was good is known at its end, from the CRC; the
    core computes it meanwhile, and its output must be dropped unless ``request.status`` says
    ``OK``.

    Latency: ``done`` follows the last byte of a request by a cycle. Flow control: none at ``i`` and
    ``bits``: what comes between ``done`` and ``resume`` is lost. ``frame`` is a valid/ready stream;
    a byte that the core does not take at once is lost, and the request is incomplete then.

    Parameters:
        frame_bytes: length of a frame; with ``variable`` the greatest.
        variable: whether the length is the member ``length``.
        idle_ticks: least number of ticks without a byte that end a request; rounded up to a power
            of two.

    Members:
        i, bits, tick: of the receiver.
        length: of a frame, in bytes. Only if variable.
        refusal: what a request for an inference is answered with now, ``OK`` if the core
            can take a frame.
        frame: to the core.
        crc_start, crc_valid, crc_unload: to the CRC, which takes ``bits.payload``.
        crc_value: from it.
        done: there is a request; stays until ``resume``.
        request: what it is.
        resume: it has been answered.
    """

    def __init__(self, *, frame_bytes: int, idle_ticks: int, variable: bool = False):
        self.frame_bytes = frame_bytes
        self.variable = variable
        self.idle_bits = (idle_ticks - 1).bit_length()
        super().__init__(
            {
                "i": In(stream.Signature(8, always_ready=True)),
                "bits": In(stream.Signature(1, always_ready=True)),
                "tick": In(1),
                **({"length": In(frame_bytes.bit_length())} if variable else {}),
                "refusal": In(STATUS_BITS),
                "frame": Out(stream.Signature(8)),
                "crc_start": Out(1),
                "crc_valid": Out(1),
                "crc_unload": Out(1),
                "crc_value": In(1),
                "done": Out(1),
                "request": Out(Request),
                "resume": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        request = Signal(Request, reset_less=True)
        byte, arrived = self.i.payload, self.i.valid
        timeout = self._add_idle_timer(m)
        index = Signal(range(REQUEST_HEADER_BYTES), reset_less=True)
        wrong = Signal(reset_less=True)
        left = Signal(range(self.frame_bytes), reset_less=True)
        last = Signal()
        m.d.comb += [
            self.request.eq(request),
            self.frame.payload.eq(byte),
            self.crc_valid.eq(self.bits.valid),
            last.eq(self.frame.valid & self.frame.ready & (left == 0)),
        ]
        with m.If(self.frame.valid & self.frame.ready):
            m.d.sync += left.eq(left - 1)

        def end(status: Value | Status) -> None:
            m.d.sync += request.status.eq(status)
            m.next = "DONE"

        with m.FSM():
            with m.State("HUNT"):
                m.d.comb += self.crc_start.eq(1)
                with m.If(arrived & (byte == SYNC[0])):
                    m.next = "SYNC"
            with m.State("SYNC"):
                m.d.comb += self.crc_start.eq(1)
                m.d.sync += [index.eq(0), wrong.eq(0), request.loaded.eq(0)]
                with m.If(arrived & (byte == SYNC[1])):
                    m.next = "HEADER"
                with m.Elif(timeout | (arrived & (byte != SYNC[0]))):
                    m.next = "HUNT"
            with m.State("HEADER"):
                with m.If(arrived):
                    self._take_header(m, request, index, wrong)
                    m.d.sync += index.eq(index + 1)
                    with m.If(index == REQUEST_HEADER_BYTES - 1):
                        m.next = "JUDGE"
                with m.If(timeout):
                    m.next = "HUNT"
            with m.State("JUDGE"):
                m.d.sync += [index.eq(0), left.eq(self._length - 1)]
                m.next = "CRC"
                with m.If(request.status != Status.OK):
                    m.next = "DONE"
                with m.Elif(wrong):
                    end(Status.WRONG_LENGTH)
                with m.Elif(request.infer):
                    m.d.sync += request.loaded.eq(self.refusal == Status.OK)
                    m.next = "FRAME"
                    with m.If(self.refusal != Status.OK):
                        end(self.refusal)
            with m.State("FRAME"):
                m.d.comb += self.frame.valid.eq(arrived)
                with m.If(last):
                    m.next = "CRC"
                with m.Elif(timeout):
                    m.next = "PAD"
            with m.State("PAD"):
                m.d.comb += self.frame.valid.eq(1)
                with m.If(last):
                    end(Status.INCOMPLETE)
            with m.State("CRC"):
                m.d.comb += self.crc_unload.eq(1)
                with m.If(self.bits.valid & (self.bits.payload != self.crc_value)):
                    m.d.sync += wrong.eq(1)
                with m.If(arrived):
                    m.d.sync += index.eq(index + 1)
                with m.If(arrived & (index == CRC_BYTES - 1)):
                    end(Mux(wrong, Status.DAMAGED, Status.OK))
                with m.Elif(timeout):
                    end(Status.INCOMPLETE)
            with m.State("DONE"):
                m.d.comb += [self.done.eq(1), self.crc_valid.eq(0)]
                with m.If(self.resume):
                    m.next = "HUNT"
        return m

    @property
    def _length(self) -> int | Value:
        """Bytes of a frame."""
        return self.length if self.variable else self.frame_bytes

    def _take_header(self, m: Module, request: data.View, index: Signal, wrong: Signal) -> None:
        """Keeps the kind, as ``infer`` and an ``OK`` or not, and the sequence number."""
        byte = self.i.payload
        with m.If(index == 0):
            m.d.sync += [
                request.infer.eq(byte == Kind.INFER),
                request.status.eq(
                    Mux((byte == Kind.INFER) | (byte == Kind.IDENTIFY), 0, Status.UNKNOWN_KIND)
                ),
            ]
        with m.If(index == 1):
            m.d.sync += request.sequence.eq(byte)
        right: Value = Const(self.frame_bytes << 8 * LENGTH_INDEX, 8 << len(index))
        if self.variable:
            right = Cat(Const(0, 8 * LENGTH_INDEX), self.length) | Const(0, 8 << len(index))
        expected = Mux(request.infer, right.word_select(index, 8), 0)
        with m.If((index >= LENGTH_INDEX) & (byte != expected)):
            m.d.sync += wrong.eq(1)

    def _add_idle_timer(self, m: Module) -> Value:
        """Whether no byte has come for so long that no more of this request will."""
        ticks = Signal(self.idle_bits + 1)
        with m.If(self.i.valid):
            m.d.sync += ticks.eq(0)
        with m.Elif(self.tick):
            m.d.sync += ticks.eq(ticks + 1)
        return ticks[-1]
