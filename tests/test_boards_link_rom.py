"""The ROM with an engine's answers."""

from shiftwork.boards.link_protocol import Identity
from shiftwork.boards.link_rom import SIZES, LinkRom, link_depth, link_words
from shiftwork.boards.responder import PAYLOAD_INDEX
from shiftwork.hw import rom

IDENTITY = Identity(
    version=1,
    state=0,
    clock_hz=30_000_000,
    cycles=1234,
    input_bytes=0x1234,
    output_bytes=0x56,
    digest="0123456789abcdef",
)


def test_the_words_are_both_answers_and_the_lengths() -> None:
    words = link_words(IDENTITY)
    payload = IDENTITY.pack()
    assert words[:3] == b"\xa5\x5a\x81"
    assert words[5:PAYLOAD_INDEX] == len(payload).to_bytes(3, "little")
    assert words[PAYLOAD_INDEX : PAYLOAD_INDEX + len(payload)] == payload
    assert words[32:35] == b"\xa5\x5a\x82"
    assert words[37 : 32 + PAYLOAD_INDEX] == (4 + 0x56).to_bytes(3, "little")
    assert words[SIZES:] == bytes([0x34, 0x12, 0, 0x56, 0, 0])


def test_it_takes_one_block_ram() -> None:
    assert (link_depth("ice40up"), link_depth("ecp5")) == (256, 512)
    assert link_depth("generic") == len(link_words(IDENTITY))


def test_lengths_then_bytes_of_the_answers(run_component) -> None:
    words = link_words(IDENTITY)
    dut = LinkRom(contents=words, family="generic", input_bits=13, output_bits=7)

    async def bench(ctx):
        await ctx.tick().repeat(LinkRom.SETTLED)
        assert ctx.get(dut.input_bytes) == 0x1234
        assert ctx.get(dut.output_bytes) == 0x56
        for infer in (0, 1):
            for index in range(PAYLOAD_INDEX):
                ctx.set(dut.infer, infer)
                ctx.set(dut.index, index)
                await ctx.tick().repeat(rom.LATENCY)
                assert ctx.get(dut.data) == words[32 * infer + index]
        assert ctx.get(dut.input_bytes) == 0x1234

    run_component(dut, bench)
