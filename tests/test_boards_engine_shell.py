"""An engine behind a UART, with one network after the other, bit by bit on its serial line."""

import numpy as np
import pytest
from test_boards_host_shell import CLOCK_HZ, DIVISOR, IDLE_TICKS, Host

from shiftwork.boards.engine_core import network_core
from shiftwork.boards.engine_shell import EngineShell
from shiftwork.boards.link_protocol import Identity, Kind, Status, request, short_digest
from shiftwork.hw.config import ArrayShape
from shiftwork.hw.engine import common_ground, merged, with_room
from shiftwork.hw.schedule import Outline, make_schedule
from shiftwork.sim import golden
from shiftwork.sim.layer_image import stream_bytes
from shiftwork.sim.program_builder import ProgramBuilder

SHAPE = ArrayShape(rows=1, columns=2)
PROGRAMS = (
    ProgramBuilder("bytes", (1, 1, 5), np.random.default_rng(0)).dense(3).build(),
    ProgramBuilder("words", (1, 1, 7), np.random.default_rng(3))
    .dense(6, unsigned=True)
    .dense(2, accumulators=True)
    .build(),
)
GROUND = common_ground([Outline(program, SHAPE).config for program in PROGRAMS])
CONFIG = with_room(
    merged([Outline(program, SHAPE, GROUND).config for program in PROGRAMS]), bank_depth=64
)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_identity_and_inferences_are_those_of_the_network(program, run_component) -> None:
    schedule = make_schedule(program, SHAPE, CONFIG)
    source, target = program.tensor(program.input), program.tensor(program.output)
    identity = Identity(
        version=1,
        state=Status.OK,
        clock_hz=CLOCK_HZ,
        cycles=schedule.cycles,
        input_bytes=source.bytes,
        output_bytes=target.bytes,
        digest=short_digest(program),
    )
    core = network_core(CONFIG, schedule.images, identity)
    baud = CLOCK_HZ // DIVISOR
    shell = EngineShell(core=core, clock_hz=CLOCK_HZ, baud=baud, idle_s=IDLE_TICKS / baud)
    host = Host(shell)
    q = np.random.default_rng(1).integers(-128, 128, (2, *source.shape)).astype(np.int32)
    frames = (q & 0xFF).astype(np.uint8)
    expected = stream_bytes(target, golden.run(program, q))

    async def conversation(ctx) -> None:
        await host.send(ctx, request(Kind.IDENTIFY, 77))
        answer = await host.answer(ctx)
        assert (answer.kind, answer.sequence, answer.status) == (Kind.IDENTIFY, 77, Status.OK)
        assert Identity.unpack(answer.payload) == identity
        for number, frame in enumerate(frames):
            await host.send(ctx, request(Kind.INFER, number, frame.tobytes()))
            answer = await host.answer(ctx)
            assert (answer.sequence, answer.status) == (number, Status.OK)
            assert answer.payload[:4] == schedule.cycles.to_bytes(4, "little")
            assert answer.payload[4:] == expected[number].tobytes()
        await host.send(ctx, request(Kind.INFER, 9, bytes(source.bytes + 1)))
        answer = await host.answer(ctx)
        assert (answer.status, answer.payload) == (Status.WRONG_LENGTH, b"")

    run_component(shell, conversation, background=(host.receive,), limit=20_000)


def test_a_damaged_frame_is_computed_and_dropped(run_component) -> None:
    program = PROGRAMS[1]
    schedule = make_schedule(program, SHAPE, CONFIG)
    identity = Identity(
        version=1,
        state=0,
        clock_hz=CLOCK_HZ,
        cycles=schedule.cycles,
        input_bytes=7,
        output_bytes=8,
        digest=short_digest(program),
    )
    core = network_core(CONFIG, schedule.images, identity)
    baud = CLOCK_HZ // DIVISOR
    shell = EngineShell(core=core, clock_hz=CLOCK_HZ, baud=baud, idle_s=IDLE_TICKS / baud)
    host = Host(shell)
    good = request(Kind.INFER, 1, bytes(7))

    async def conversation(ctx) -> None:
        await host.send(ctx, good[:-1] + bytes([good[-1] ^ 1]))
        assert (await host.answer(ctx)).status == Status.DAMAGED
        await host.send(ctx, good)
        answer = await host.answer(ctx)
        assert (answer.status, len(answer.payload)) == (Status.OK, 12)

    run_component(shell, conversation, background=(host.receive,), limit=20_000)
