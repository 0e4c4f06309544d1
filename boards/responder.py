"""From requests to the bits of their answers."""

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from shiftwork.boards.link_protocol import (
    ANSWER,
    ANSWER_HEADER_BYTES,
    CRC_BYTES,
    CYCLES_BYTES,
    IDENTITY_BYTES,
    STATUS_BITS,
    SYNC,
    Identity,
    Kind,
    Status,
)
from shiftwork.boards.request_parser import Request

KIND_INDEX = len(SYNC)
SEQUENCE_INDEX = KIND_INDEX + 1
STATUS_INDEX = SEQUENCE_INDEX + 1
LENGTH_INDEX = STATUS_INDEX + 1
PAYLOAD_INDEX = KIND_INDEX + ANSWER_HEADER_BYTES
STATE_INDEX = PAYLOAD_INDEX + 1
"""Of bytes in an answer; the state is the second byte of an identity."""
PLACE_BITS = 8
"""An answer up to its output or CRC is at most so many bits as they can count: 32 bytes."""


class Responder(wiring.Component):
    """Sends the answer to a request; takes the core's output for it, or away.

    If the core computes a frame, the answer waits for its output. With a status other than ``OK``
    all of the output is thrown away before.

    Latency: the first bit is valid a cycle after ``done``, or after the first byte of the core's
    output is there; ``resume`` comes with the transfer of the last bit. Flow control: ``o`` and
    ``result`` are valid/ready streams; within a byte, ``o`` stays valid.

    Parameters:
        identity: what is told of the board; its ``state`` does not matter. With ``variable``
            only the greatest length of an output.
        variable: whether the answers come from a memory, as of
            :class:`shiftwork.boards.link_rom.LinkRom`; it must answer within the time of two bits
            on the line, which pass between two bytes.

    Members:
        done, request: of the parser.
        resume: the request has been answered.
        refusal: state of the core, for the identity.
        cycles: that the core has computed for.
        result: output of the core.
        link_index: of the byte of the answer that is sent. Only if variable.
        link_data: that byte, up to what depends on the request. Only if variable.
        output_bytes: length of an output. Only if variable.
        o: bits for the line.
        crc_start, crc_valid, crc_unload: to the CRC, which takes ``o.payload``.
        crc_value: from it.
    """

    def __init__(self, *, identity: Identity, variable: bool = False):
        self.identity = identity
        self.variable = variable
        super().__init__(
            {
                "done": In(1),
                "request": In(Request),
                "resume": Out(1),
                "refusal": In(STATUS_BITS),
                "cycles": In(8 * CYCLES_BYTES),
                "result": In(stream.Signature(8)),
                **(_link_members(identity) if variable else {}),
                "o": Out(stream.Signature(1)),
                "crc_start": Out(1),
                "crc_valid": Out(1),
                "crc_unload": Out(1),
                "crc_value": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        request, result = self.request, self.result
        good = Signal()
        sent = Signal()
        byte_sent = Signal()
        place = Signal(PLACE_BITS, reset_less=True)
        index = place[3:]
        last_index = Signal(len(index))
        left = Signal(range(self.identity.output_bytes), reset_less=True)
        m.d.comb += [
            good.eq(request.status == Status.OK),
            sent.eq(self.o.valid & self.o.ready),
            byte_sent.eq(sent & place[:3].all()),
            last_index.eq(PAYLOAD_INDEX - 1 + Mux(good, self._fixed_bytes(), 0)),
        ]
        if self.variable:
            m.d.comb += self.link_index.eq(index)
        with m.If(sent):
            m.d.sync += place.eq(place + 1)
        with m.If(result.valid & result.ready):
            m.d.sync += left.eq(left - 1)
        with m.FSM():
            with m.State("REST"):
                m.d.sync += [place.eq(0), left.eq(self._output_bytes - 1)]
                with m.If(self.done & (result.valid | ~request.loaded)):
                    m.next = "FIXED"
                    with m.If(request.loaded & ~good):
                        m.next = "DROP"
            with m.State("DROP"):
                m.d.comb += result.ready.eq(1)
                with m.If(result.valid & (left == 0)):
                    m.next = "FIXED"
            with m.State("FIXED"):
                m.d.comb += [
                    self.o.valid.eq(1),
                    self.o.payload.eq(self._fixed_bit(place, good)),
                    self.crc_start.eq(index < KIND_INDEX),
                    self.crc_valid.eq(sent),
                ]
                with m.If(byte_sent & (index == last_index)):
                    m.d.sync += place.eq(0)
                    m.next = "CRC"
                    with m.If(good & request.infer):
                        m.next = "OUTPUT"
            with m.State("OUTPUT"):
                m.d.comb += [
                    self.o.valid.eq(result.valid),
                    self.o.payload.eq(result.payload.bit_select(place[:3], 1)),
                    self.crc_valid.eq(sent),
                    result.ready.eq(byte_sent),
                ]
                with m.If(byte_sent & (left == 0)):
                    m.d.sync += place.eq(0)
                    m.next = "CRC"
            with m.State("CRC"):
                m.d.comb += [
                    self.o.valid.eq(1),
                    self.o.payload.eq(self.crc_value),
                    self.crc_unload.eq(1),
                    self.crc_valid.eq(sent),
                    self.resume.eq(byte_sent & (index == CRC_BYTES - 1)),
                ]
                with m.If(self.resume):
                    m.next = "REST"
        return m

    @property
    def _output_bytes(self) -> int | Value:
        """The length of the output."""
        return self.output_bytes if self.variable else self.identity.output_bytes

    def _fixed_bytes(self) -> Value:
        """Bytes of a payload before the output."""
        return Mux(self.request.infer, CYCLES_BYTES, IDENTITY_BYTES)

    def _fixed_bit(self, place: Signal, good: Value) -> Value:
        """The bit of an answer before its output or CRC, by its place.

        Sequence number and status lie side by side, so that one multiplexer selects both.
        """
        request, index = self.request, place[3:]
        zero = Const(0, 8 - STATUS_BITS)
        numbers = Cat(request.status, zero, request.sequence).bit_select(place[:4], 1)
        sequence_or_status = (index == SEQUENCE_INDEX) | (index == STATUS_INDEX)
        constant = self._header_bit(place)
        header = (constant & (good | (index < LENGTH_INDEX))) | (numbers & sequence_or_status)
        state = self.refusal.bit_select(place[:2], 1) & ~place[2] & (index == STATE_INDEX)
        body = self._identity_bit(place) | state
        payload = Mux(request.infer, self.cycles.bit_select(place[:5], 1), body)
        return Mux(index < PAYLOAD_INDEX, header, payload)

    def _header_bit(self, place: Signal) -> Value:
        """The bit of the header at that place, as far as it is the same in all answers."""
        if self.variable:
            return self.link_data.bit_select(place[:3], 1)
        identify = answer_header(Kind.IDENTIFY, IDENTITY_BYTES)
        infer = answer_header(Kind.INFER, CYCLES_BYTES + self.identity.output_bytes)
        return Mux(self.request.infer, _table(place[:6], infer), _table(place[:6], identify))

    def _identity_bit(self, place: Signal) -> Value:
        """The bit of the identity at that place, its state left out."""
        if self.variable:
            return self.link_data.bit_select(place[:3], 1)
        return _table(place, bytes(PAYLOAD_INDEX) + self.identity.pack())


def _link_members(identity: Identity) -> dict[str, wiring.Member]:
    """What a memory with the answers is connected to."""
    return {
        "link_index": Out(PLACE_BITS - 3),
        "link_data": In(8),
        "output_bytes": In(identity.output_bytes.bit_length()),
    }


def answer_header(kind: Kind, payload_bytes: int) -> bytes:
    """Up to the payload, with zeros for what is not constant."""
    begin = SYNC + bytes([ANSWER | kind])
    length = payload_bytes.to_bytes(PAYLOAD_INDEX - LENGTH_INDEX, "little")
    return begin.ljust(LENGTH_INDEX, b"\0") + length


def _table(place: Value, content: bytes) -> Value:
    """The bit at ``place``, as logic rather than a memory."""
    return Const(int.from_bytes(content, "little"), 1 << len(place)).bit_select(place, 1)
