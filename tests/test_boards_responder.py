"""The responder: every kind of answer, with the real CRC, at any pace of line and core."""

import numpy as np
import pytest
from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from shiftwork.boards.link_crc import LinkCrc
from shiftwork.boards.link_protocol import Answer, AnswerReader, Identity, Kind, Status
from shiftwork.boards.responder import Responder

OUTPUT = bytes([7, 0xA5, 0x5A, 200, 1])
CYCLES = 0x00C0FFEE
IDENTITY = Identity(
    version=1,
    state=Status.OK,
    clock_hz=25_000_000,
    cycles=123_456_789,
    input_bytes=70_000,
    output_bytes=len(OUTPUT),
    digest="fedcba9876543210",
)


class ResponderAndCrc(wiring.Component):
    """The responder with its CRC."""

    def __init__(self):
        self.responder = Responder(identity=IDENTITY)
        super().__init__({"unused": In(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.responder = responder = self.responder
        m.submodules.crc = crc = LinkCrc()
        m.d.comb += [
            crc.start.eq(responder.crc_start),
            crc.valid.eq(responder.crc_valid),
            crc.unload.eq(responder.crc_unload),
            crc.data.eq(responder.o.payload),
            responder.crc_value.eq(crc.value),
        ]
        return m


@pytest.fixture
def respond(run_component):
    """A function that has requests answered, ``(request, output, pause)`` each.

    ``pause`` is the number of cycles before each byte of the core's output. Returns the bytes that
    went to the line.
    """

    def run(requests, *, refusal=Status.OK, pace=3):
        dut = ResponderAndCrc()
        responder = dut.responder
        bits, outputs = [], []

        async def line(ctx):
            o, cycle = responder.o, 0
            while True:
                ctx.set(o.ready, cycle % pace == 0)
                *_, valid, ready, payload = await ctx.tick().sample(o.valid, o.ready, o.payload)
                cycle += 1
                if valid and ready:
                    bits.append(payload)

        async def core(ctx):
            result = responder.result
            while True:
                if not outputs:
                    await ctx.tick()
                    continue
                byte, pause = outputs[0]
                if pause:
                    await ctx.tick().repeat(pause)
                ctx.set(result.payload, byte)
                ctx.set(result.valid, 1)
                ready = 0
                while not ready:
                    *_, ready = await ctx.tick().sample(result.ready)
                ctx.set(result.valid, 0)
                outputs.pop(0)

        async def parser(ctx):
            ctx.set(responder.refusal, refusal)
            ctx.set(responder.cycles, CYCLES)
            for request, output, pause in requests:
                outputs.extend((byte, pause) for byte in output)
                ctx.set(responder.request, request)
                ctx.set(responder.done, 1)
                resume = 0
                while not resume:
                    *_, resume = await ctx.tick().sample(responder.resume)
                ctx.set(responder.done, 0)
                assert not outputs, "the answer is complete, but not all output was taken"
                await ctx.tick().repeat(3)
                assert not ctx.get(responder.o.valid)

        run_component(dut, parser, background=(core, line), limit=10_000)
        assert len(bits) % 8 == 0
        return np.packbits(bits, bitorder="little").tobytes()

    return run


def request(infer, sequence, status=Status.OK, loaded=None):
    loaded = infer if loaded is None else loaded
    return {"infer": infer, "sequence": sequence, "loaded": loaded, "status": status}


def expected(kind, sequence, status=Status.OK, payload=b""):
    return Answer(kind=kind, sequence=sequence, status=status, payload=payload).pack()


RESULT = CYCLES.to_bytes(4, "little") + OUTPUT


@pytest.mark.parametrize("pace", [1, 2, 5])
@pytest.mark.parametrize("pause", [0, 1, 40])
def test_inference(respond, pace, pause):
    data = respond([(request(1, 0x5A), OUTPUT, pause)] * 2, pace=pace)
    assert data == expected(Kind.INFER, 0x5A, payload=RESULT) * 2


@pytest.mark.parametrize("refusal", [Status.OK, Status.BUSY, Status.FLASH_DAMAGED])
def test_identity(respond, refusal):
    data = respond([(request(0, 255), b"", 0)], refusal=refusal)
    identity = bytearray(IDENTITY.pack())
    identity[1] = refusal
    assert data == expected(Kind.IDENTIFY, 255, payload=bytes(identity))


@pytest.mark.parametrize("status", [status for status in Status if status])
def test_errors_have_no_payload(respond, status):
    data = respond([(request(1, 3, status, loaded=0), b"", 0), (request(0, 4, status), b"", 0)])
    assert data == expected(Kind.INFER, 3, status) + expected(Kind.IDENTIFY, 4, status)


@pytest.mark.parametrize("pause", [0, 7])
def test_the_output_of_a_bad_frame_is_dropped(respond, pause):
    """All of it and nothing else: the next answer has its own output."""
    bad = (request(1, 1, Status.DAMAGED), bytes(len(OUTPUT)), pause)
    data = respond([bad, (request(1, 2), OUTPUT, pause), bad])
    error = expected(Kind.INFER, 1, Status.DAMAGED)
    assert data == error + expected(Kind.INFER, 2, payload=RESULT) + error
    assert len(AnswerReader(longest=100).feed(data)) == 3
