"""From requests to the bytes of their answers."""

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
FIXED_BYTES = 64
"""That ``index`` can count; an answer up to its output or CRC is no longer."""


class Responder(wiring.Component):
    """Sends the answer to a request; takes the core's output for it, or away.

    If the core computes a frame, the answer waits for its output. With a status other than ``OK``
    all of the output is thrown away before.

    Latency: the first byte is valid two cycles after ``done``, or after the first byte of the
    core's output is there; ``resume`` comes with the transfer of the last byte. Flow control: ``o``
    and ``result`` are valid/ready streams.

    Parameters:
        identity: what is told of the board; its ``state`` does not matter.

    Members:
        done, request: of the parser.
        resume: the request has been answered.
        refusal: state of the core, for the identity.
        cycles: that the core has computed for.
        result: output of the core.
        o: bytes for the line.
        crc_start, crc_valid: to the CRC, which takes the bytes of ``o``.
        crc_working, crc_value: from it.
    """

    def __init__(self, *, identity: Identity):
        self.identity = identity
        super().__init__(
            {
                "done": In(1),
                "request": In(Request),
                "resume": Out(1),
                "refusal": In(STATUS_BITS),
                "cycles": In(8 * CYCLES_BYTES),
                "result": In(stream.Signature(8)),
                "o": Out(stream.Signature(8)),
                "crc_start": Out(1),
                "crc_valid": Out(1),
                "crc_working": In(1),
                "crc_value": In(8 * CRC_BYTES),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        request, result = self.request, self.result
        good = Signal()
        sent = Signal()
        index = Signal(range(FIXED_BYTES))
        last_index = Signal(range(FIXED_BYTES))
        left = Signal(range(self.identity.output_bytes))
        m.d.comb += [
            good.eq(request.status == Status.OK),
            sent.eq(self.o.valid & self.o.ready),
            last_index.eq(PAYLOAD_INDEX - 1),
        ]
        with m.If(good):
            m.d.comb += last_index.eq(
                PAYLOAD_INDEX - 1 + Mux(request.infer, CYCLES_BYTES, IDENTITY_BYTES)
            )
        with m.If(sent):
            m.d.sync += index.eq(index + 1)
        with m.If(result.valid & result.ready):
            m.d.sync += left.eq(left - 1)
        with m.FSM():
            with m.State("REST"):
                m.d.sync += [index.eq(0), left.eq(self.identity.output_bytes - 1)]
                with m.If(self.done & ~request.loaded):
                    m.next = "FIXED"
                with m.Elif(self.done & result.valid):
                    m.next = "FIXED"
                    with m.If(~good):
                        m.next = "DROP"
            with m.State("DROP"):
                m.d.comb += result.ready.eq(1)
                with m.If(result.valid & (left == 0)):
                    m.next = "FIXED"
            with m.State("FIXED"):
                m.d.comb += [
                    self.o.valid.eq(1),
                    self.o.payload.eq(self._fixed_byte(index, good)),
                    self.crc_start.eq(index < KIND_INDEX),
                    self.crc_valid.eq(sent & (index >= KIND_INDEX)),
                ]
                with m.If(sent & (index == last_index)):
                    m.d.sync += index.eq(0)
                    m.next = "CRC"
                    with m.If(good & request.infer):
                        m.next = "OUTPUT"
            with m.State("OUTPUT"):
                m.d.comb += [
                    self.o.valid.eq(result.valid),
                    self.o.payload.eq(result.payload),
                    result.ready.eq(self.o.ready),
                    self.crc_valid.eq(sent),
                ]
                m.d.sync += index.eq(0)
                with m.If(sent & (left == 0)):
                    m.next = "CRC"
            with m.State("CRC"):
                m.d.comb += [
                    self.o.valid.eq(~self.crc_working),
                    self.o.payload.eq(self.crc_value.word_select(index[:2], 8)),
                ]
                with m.If(sent & (index == CRC_BYTES - 1)):
                    m.d.comb += self.resume.eq(1)
                    m.next = "REST"
        return m

    def _fixed_byte(self, index: Signal, good: Value) -> Value:
        """The byte of an answer before its output or CRC, by its index."""
        request = self.request
        fixed = _table(index, self._identity_answer())
        with_cycles = request.infer & (index >= PAYLOAD_INDEX)
        byte = Mux(with_cycles, self.cycles.word_select((index - PAYLOAD_INDEX)[:2], 8), fixed)
        inference = CYCLES_BYTES + self.identity.output_bytes
        length = Mux(request.infer, _table(index, _at_length(inference)), fixed)
        in_length = (index >= LENGTH_INDEX) & (index < PAYLOAD_INDEX)
        byte = Mux(in_length, Mux(good, length, 0), byte)
        byte = Mux(index == KIND_INDEX, _kind(request), byte)
        byte = Mux(index == SEQUENCE_INDEX, request.sequence, byte)
        byte = Mux(index == STATUS_INDEX, request.status, byte)
        return Mux((index == STATE_INDEX) & ~request.infer, self.refusal, byte)

    def _identity_answer(self) -> bytes:
        """SYNC, length and identity at their places; the rest of the answer is zeros."""
        head = SYNC + bytes(LENGTH_INDEX - len(SYNC))
        length = IDENTITY_BYTES.to_bytes(PAYLOAD_INDEX - LENGTH_INDEX, "little")
        return head + length + self.identity.pack()


def _kind(request: Value) -> Value:
    return Mux(request.infer, ANSWER | Kind.INFER, ANSWER | Kind.IDENTIFY)


def _at_length(length: int) -> bytes:
    return bytes(LENGTH_INDEX) + length.to_bytes(PAYLOAD_INDEX - LENGTH_INDEX, "little")


def _table(index: Signal, content: bytes) -> Value:
    """The byte at ``index``, as logic: a lookup table a bit, rather than a memory."""
    planes = []
    for bit in range(8):
        column = sum((byte >> bit & 1) << place for place, byte in enumerate(content))
        planes.append(Const(column, 1 << len(index)).bit_select(index, 1))
    return Cat(*planes)
