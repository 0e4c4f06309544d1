"""The host shell with a small network in Amaranth's simulator, bit by bit on its serial line."""

import numpy as np
import pytest

from shiftwork.boards.accelerator import Accelerator
from shiftwork.boards.host_shell import HostShell
from shiftwork.boards.link_protocol import (
    CYCLES_BYTES,
    AnswerReader,
    Identity,
    Kind,
    Status,
    request,
)
from shiftwork.errors import CapacityError
from shiftwork.quant.program import Program
from shiftwork.sim import golden
from shiftwork.sim.layer_image import stream_bytes
from shiftwork.sim.program_builder import ProgramBuilder

CLOCK_HZ = 1_000_000
DIVISOR = 4
IDLE_TICKS = 16
PATIENCE = 4000
REST = None


def tiny_program() -> Program:
    builder = ProgramBuilder("tiny", (1, 1, 5), np.random.default_rng(0))
    return builder.dense(3).build()


@pytest.fixture(scope="module")
def accelerator():
    return Accelerator(tiny_program(), rows=1, columns=2)


def make_shell(accelerator):
    baud = CLOCK_HZ // DIVISOR
    return HostShell(
        accelerator=accelerator, clock_hz=CLOCK_HZ, baud=baud, idle_s=IDLE_TICKS / baud
    )


class Host:
    """The other end of a shell's line: sends bytes, and rests of the line (None); reads answers."""

    def __init__(self, shell):
        self.shell = shell
        self.reader = AnswerReader(longest=1000)
        self.answers = []

    async def send(self, ctx, data):
        for byte in data:
            if byte is REST:
                await ctx.tick().repeat(3 * IDLE_TICKS * DIVISOR)
                continue
            for bit in (0, *(byte >> index & 1 for index in range(8)), 1):
                ctx.set(self.shell.rx, bit)
                await ctx.tick().repeat(DIVISOR)

    async def receive(self, ctx):
        """In the background: a byte at a time, each sampled in the middle of its bits."""
        while True:
            if ctx.get(self.shell.tx):
                await ctx.tick()
                continue
            bits = []
            await ctx.tick().repeat(DIVISOR // 2)
            for _ in range(9):
                await ctx.tick().repeat(DIVISOR)
                bits.append(ctx.get(self.shell.tx))
            assert bits.pop() == 1
            byte = sum(bit << index for index, bit in enumerate(bits))
            self.answers += self.reader.feed(bytes([byte]))

    async def answer(self, ctx):
        for _ in range(PATIENCE):
            if self.answers:
                return self.answers.pop(0)
            await ctx.tick()
        pytest.fail("no answer came")


@pytest.fixture
def converse(run_component, accelerator):
    """Runs a conversation ``async def bench(ctx, host)`` with a shell."""

    def run(conversation):
        shell = make_shell(accelerator)
        host = Host(shell)

        async def bench(ctx):
            await conversation(ctx, host)

        run_component(shell, bench, background=(host.receive,), limit=100_000)

    return run


def test_identity(converse, accelerator):
    async def conversation(ctx, host):
        await host.send(ctx, request(Kind.IDENTIFY, 77))
        answer = await host.answer(ctx)
        assert (answer.kind, answer.sequence, answer.status) == (Kind.IDENTIFY, 77, Status.OK)
        assert Identity.unpack(answer.payload) == Identity(
            version=1,
            state=Status.OK,
            clock_hz=CLOCK_HZ,
            input_bytes=5,
            output_bytes=3,
            cycles=accelerator.schedule.cycles,
            digest=accelerator.program.digest[:16],
        )

    converse(conversation)


def test_inferences(converse, accelerator):
    program = accelerator.program
    q = np.random.default_rng(1).integers(-128, 128, (3, 1, 1, 5)).astype(np.int32)
    frames = stream_bytes(program.tensor("input"), q)
    expected = stream_bytes(program.tensor(program.output), golden.run(program, q))

    async def conversation(ctx, host):
        for index, frame in enumerate(frames):
            await host.send(ctx, request(Kind.INFER, index, frame.tobytes()))
            answer = await host.answer(ctx)
            assert (answer.kind, answer.sequence, answer.status) == (Kind.INFER, index, Status.OK)
            cycles = int.from_bytes(answer.payload[:CYCLES_BYTES], "little")
            assert cycles == accelerator.schedule.cycles
            assert answer.payload[CYCLES_BYTES:] == expected[index].tobytes()

    converse(conversation)


def test_bad_requests(converse, accelerator):
    """Damaged, incomplete and unreadable requests between good ones, over one shell."""
    program = accelerator.program
    q = np.random.default_rng(2).integers(-128, 128, (2, 1, 1, 5)).astype(np.int32)
    frames = stream_bytes(program.tensor("input"), q)
    expected = stream_bytes(program.tensor(program.output), golden.run(program, q))
    good = request(Kind.INFER, 5, frames[0].tobytes())
    bad = [
        (Status.DAMAGED, [*good[:9], good[9] ^ 4, *good[10:]]),
        (Status.INCOMPLETE, [*good[:9], REST]),
        (Status.WRONG_LENGTH, request(Kind.INFER, 5, b"1234")),
    ]

    async def conversation(ctx, host):
        for status, data in bad:
            await host.send(ctx, data)
            answer = await host.answer(ctx)
            assert (answer.sequence, answer.status, answer.payload) == (5, status, b"")
            assert ctx.get(host.shell.error)
            await host.send(ctx, [*b"noise", REST])
            for number, frame in enumerate(frames):
                await host.send(ctx, request(Kind.INFER, number, frame.tobytes()))
                answer = await host.answer(ctx)
                assert (answer.sequence, answer.status) == (number, Status.OK)
                assert answer.payload[CYCLES_BYTES:] == expected[number].tobytes()
            await ctx.tick().repeat(2)
            assert not ctx.get(host.shell.error)

    converse(conversation)


def test_ports(accelerator):
    assert set(make_shell(accelerator).signature.members) == {"rx", "tx", "busy", "error"}
    builder = ProgramBuilder("deep", (1, 1, 64), np.random.default_rng(0))
    for _ in range(5):
        builder.dense(64, unsigned=True)
    with_flash = make_shell(Accelerator(builder.build(), board="icebreaker", rows=1, columns=4))
    flash = {"flash_cs_n", "flash_sck", "flash_mosi", "flash_miso"}
    assert set(with_flash.signature.members) == {"rx", "tx", "busy", "error"} | flash


def test_verilog(accelerator):
    shell = make_shell(accelerator)
    text = shell.verilog()
    assert text == make_shell(accelerator).verilog()
    assert text.startswith("// Accelerator for 'tiny' behind a UART, made by Shiftwork\n")
    assert f"// network {accelerator.program.digest}\n" in text
    assert "module shiftwork_host(" in text
    assert "/wt-" not in text and "boards/" not in text


@pytest.mark.parametrize(
    ("clock_hz", "baud", "text"),
    [
        (12_000_000, 4_000_000, "at least 4 clock cycles a bit, not 3"),
        (
            12_000_000,
            1_600_000,
            "1,600,000 baud cannot be made from a clock of 12,000,000 Hz: 8 cycles a bit are 6.2% "
            "off, more than 1%; use a lower baud rate",
        ),
    ],
)
def test_clocks_that_do_not_fit(accelerator, clock_hz, baud, text):
    with pytest.raises(CapacityError, match=text):
        HostShell(accelerator=accelerator, clock_hz=clock_hz, baud=baud)
