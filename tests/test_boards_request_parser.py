"""The request parser: how every kind of good and bad request ends, and what the core gets.

The CRC is the real one; the bytes come as from the receiver, each with its bits before it.
"""

from dataclasses import dataclass, field

import numpy as np
import pytest
from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from shiftwork.boards.link_crc import LinkCrc
from shiftwork.boards.link_protocol import REQUEST_HEADER_BYTES, SYNC, Kind, Status, request
from shiftwork.boards.request_parser import Request, RequestParser

FRAME = bytes([10, 0xA5, 0x5A, 40, 50])
IDLE_TICKS = 16
REST = None
"""In a list of bytes: the line rests until a request that is not complete is given up."""


class ParserAndCrc(wiring.Component):
    """The parser with its CRC."""

    def __init__(self):
        self.parser = RequestParser(frame_bytes=len(FRAME), idle_ticks=IDLE_TICKS)
        super().__init__({"unused": In(1), "request": Out(Request)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.parser = parser = self.parser
        m.submodules.crc = crc = LinkCrc()
        m.d.comb += [
            crc.start.eq(parser.crc_start),
            crc.valid.eq(parser.crc_valid),
            crc.unload.eq(parser.crc_unload),
            crc.data.eq(parser.bits.payload),
            parser.crc_value.eq(crc.value),
            parser.tick.eq(1),
        ]
        return m


@dataclass
class Seen:
    """Requests that were reported, as dictionaries, and frames that the core got."""

    requests: list = field(default_factory=list)
    core: list = field(default_factory=list)

    @property
    def statuses(self):
        return [Status(found["status"]) for found in self.requests]


@pytest.fixture
def parse(run_component):
    """A function that sends bytes and rests to the parser, and answers every request."""

    def run(data, *, refusal=Status.OK, stalled=None):
        dut = ParserAndCrc()
        parser, seen = dut.parser, Seen()

        async def send(ctx):
            ctx.set(parser.refusal, refusal)
            for byte in data:
                if byte is REST:
                    await ctx.tick().repeat(3 * IDLE_TICKS)
                    continue
                for index in range(8):
                    ctx.set(parser.bits.payload, byte >> index & 1)
                    ctx.set(parser.bits.valid, 1)
                    await ctx.tick()
                ctx.set(parser.bits.valid, 0)
                ctx.set(parser.i.payload, byte)
                ctx.set(parser.i.valid, 1)
                await ctx.tick()
                ctx.set(parser.i.valid, 0)
                await ctx.tick()
            await ctx.tick().repeat(3 * IDLE_TICKS)

        async def core(ctx):
            count = 0
            while True:
                ctx.set(parser.frame.ready, count != stalled)
                if ctx.get(parser.frame.valid):
                    if ctx.get(parser.frame.ready):
                        seen.core.append(ctx.get(parser.frame.payload))
                    count += 1
                await ctx.tick()

        async def answer(ctx):
            while True:
                await ctx.tick()
                if not ctx.get(parser.done):
                    continue
                found = ctx.get(parser.request)
                seen.requests.append(
                    {name: found[name] for name in ("infer", "sequence", "loaded", "status")}
                )
                ctx.set(parser.resume, 1)
                await ctx.tick()
                ctx.set(parser.resume, 0)

        run_component(dut, send, background=(core, answer), limit=100_000)
        assert len(seen.core) == len(FRAME) * sum(found["loaded"] for found in seen.requests)
        return seen

    return run


GOOD = request(Kind.INFER, 9, FRAME)
AFTER = [*request(Kind.INFER, 99, FRAME), REST]
"""A good request that must be understood after whatever came before."""


def test_a_good_request(parse):
    seen = parse(GOOD)
    assert seen.requests == [{"infer": 1, "sequence": 9, "loaded": 1, "status": Status.OK}]
    assert bytes(seen.core) == FRAME


def test_a_query(parse):
    seen = parse(request(Kind.IDENTIFY, 200))
    assert seen.requests == [{"infer": 0, "sequence": 200, "loaded": 0, "status": Status.OK}]


def test_requests_in_a_row(parse):
    frames = np.random.default_rng(0).integers(256, size=(20, len(FRAME))).astype(np.uint8)
    data = b"".join(request(Kind.INFER, n, frame.tobytes()) for n, frame in enumerate(frames))
    seen = parse(data)
    assert seen.statuses == [Status.OK] * len(frames)
    assert [found["sequence"] for found in seen.requests] == list(range(len(frames)))
    assert bytes(seen.core) == frames.tobytes()


def each_then_good(damaged):
    """Every one of ``damaged``, a rest, and a good request."""
    return [byte for data in damaged for byte in (*data, REST, *AFTER)]


def check_only_the_good_ones(seen, count):
    good = [found for found in seen.requests if found["status"] == Status.OK]
    assert [found["sequence"] for found in good] == [99] * count


@pytest.mark.parametrize("byte", range(len(GOOD)))
def test_flipped_bits(parse, byte):
    """A request that is damaged in any bit is no good one, and the next one is."""
    damaged = []
    for bit in range(8):
        data = bytearray(GOOD)
        data[byte] ^= 1 << bit
        damaged.append(data)
    check_only_the_good_ones(parse(each_then_good(damaged)), 8)


def test_half_requests(parse):
    """A frame that was begun is filled up; then the next request is understood."""
    seen = parse(each_then_good(GOOD[:length] for length in range(len(GOOD))))
    check_only_the_good_ones(seen, len(GOOD))
    begun = len(GOOD) - len(SYNC) - REQUEST_HEADER_BYTES
    assert seen.statuses.count(Status.INCOMPLETE) == begun
    assert len(seen.core) == len(FRAME) * (begun + len(GOOD))


def test_a_dropped_byte(parse):
    damaged = [GOOD[:n] + GOOD[n + 1 :] for n in range(len(GOOD))]
    check_only_the_good_ones(parse(each_then_good(damaged)), len(GOOD))


def test_an_additional_byte(parse):
    damaged = [GOOD[:n] + b"\x33" + GOOD[n:] for n in range(1, len(GOOD))]
    check_only_the_good_ones(parse(each_then_good(damaged)), len(damaged))


def test_statuses(parse):
    wrong_crc = GOOD[:-1] + bytes([GOOD[-1] ^ 0x80])
    other_kind = request(3, 4)
    short, long = request(Kind.INFER, 5, FRAME[1:]), request(Kind.INFER, 6, FRAME + b"!")
    query = request(Kind.IDENTIFY, 7, b"?")
    for data, status in [
        (wrong_crc, Status.DAMAGED),
        (other_kind, Status.UNKNOWN_KIND),
        (short, Status.WRONG_LENGTH),
        (long, Status.WRONG_LENGTH),
        (query, Status.WRONG_LENGTH),
    ]:
        seen = parse([*data, REST, *AFTER])
        # The frame contains SYNC: what follows it in a frame that nobody reads is no request.
        assert seen.statuses[0] == status
        assert seen.requests[0]["loaded"] == (status == Status.DAMAGED)
        check_only_the_good_ones(seen, 1)


@pytest.mark.parametrize("refusal", [Status.BUSY, Status.FLASH_DAMAGED])
def test_refusal(parse, refusal):
    """Nothing goes to a core that cannot take a frame; a query is answered."""
    seen = parse([*GOOD, REST, *request(Kind.IDENTIFY, 99)], refusal=refusal)
    assert seen.statuses[0] == refusal
    assert seen.core == []
    check_only_the_good_ones(seen, 1)


def test_a_byte_that_the_core_does_not_take(parse):
    """It is lost, and so the request is incomplete."""
    seen = parse([*GOOD, REST, *AFTER], stalled=2)
    assert seen.statuses == [Status.INCOMPLETE, Status.OK]


def test_garbage(parse):
    rng = np.random.default_rng(0)
    damaged = rng.integers(256, size=(8, 40)).astype(np.uint8)
    damaged[:, 10] = SYNC[0]
    damaged[::2, 11] = SYNC[1]
    check_only_the_good_ones(parse(each_then_good(damaged.tolist())), len(damaged))


def test_sync_after_half_a_sync(parse):
    assert parse(SYNC[:1] * 3 + GOOD).statuses == [Status.OK]
    assert parse(SYNC[:1] + b"x" + GOOD).statuses == [Status.OK]


def test_bits_count_even_if_their_byte_was_dropped(run_component):
    """Of a byte without a stop bit the receiver shows bits only: the CRC is wrong then."""
    dut = ParserAndCrc()
    parser = dut.parser

    async def bench(ctx):
        ctx.set(parser.frame.ready, 1)
        for place, byte in enumerate(GOOD):
            for index in range(8):
                ctx.set(parser.bits.payload, byte >> index & 1)
                ctx.set(parser.bits.valid, 1)
                await ctx.tick()
                if place == 8 and index == 0:
                    await ctx.tick()  # one bit twice
            ctx.set(parser.bits.valid, 0)
            ctx.set(parser.i.payload, byte)
            ctx.set(parser.i.valid, 1)
            await ctx.tick()
            ctx.set(parser.i.valid, 0)
        assert ctx.get(parser.done)
        assert ctx.get(parser.request.status) == Status.DAMAGED

    run_component(dut, bench)
