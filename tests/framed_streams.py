"""A host of a framed core, for the tests: small networks, their frames and answers, and stalls."""

from collections import deque
from typing import Any

import numpy as np

from shiftwork.hw.core import Core
from shiftwork.hw.frame_guard import FrameEvent
from shiftwork.quant.program import Program
from shiftwork.sim import golden
from shiftwork.sim.example_programs import ProgramBuilder, random_inputs
from shiftwork.sim.layer_image import stream_bytes

PATIENCE = 400
"""Cycles without any transfer after which nothing more will come."""


def values_net() -> Program:
    """Two layers; unsigned bytes in and out."""
    builder = ProgramBuilder("values", (2, 2, 3), np.random.default_rng(5), signed=False)
    return builder.conv(4, (2, 2), unsigned=True).conv(3, (1, 1), unsigned=True).build()


def accumulators_net() -> Program:
    """One layer whose accumulators are the answer."""
    builder = ProgramBuilder("sums", (1, 3, 2), np.random.default_rng(6))
    return builder.dense(2, accumulators=True).build()


def answer_net() -> Program:
    """One layer, of whose accumulators the greatest is the answer, if it is not too small."""
    builder = ProgramBuilder("answer", (1, 3, 2), np.random.default_rng(6))
    return builder.dense(3, accumulators=True).top_score(1500).build()


class Frames:
    """Good frames of a network and their answers, as bytes on the streams.

    Parameters:
        program: the network.
        seed: of the inputs.
    """

    def __init__(self, program: Program, *, seed: int = 0, count: int = 12) -> None:
        q = random_inputs(program, np.random.default_rng(seed), count)
        source, result = program.tensor(program.input), program.tensor(program.output)
        self.inputs = [bytes(row) for row in stream_bytes(source, q)]
        self.answers = [bytes(row) for row in stream_bytes(result, golden.run(program, q))]


class Host:
    """Offers bytes, takes answers and notes what the core says, with random stalls.

    Parameters:
        core: a framed core.
        seed: of the stalls.
        stalls: probability that a cycle brings no new byte, and that it takes none.
    """

    def __init__(self, core: Core, *, seed: int = 0, stalls: tuple[float, float] = (0, 0)) -> None:
        self.core = core
        self.rng = np.random.default_rng(seed)
        self.stalls = stalls
        self.restart()

    def restart(self) -> None:
        """Forgets everything, as the core does with a reset."""
        self.pending: deque[tuple[int, int]] = deque()
        self.offered: tuple[int, int] | None = None
        self.answer = bytearray()
        self.answers: list[bytes] = []
        self.events: list[FrameEvent] = []
        self.waiting: int | None = None
        self.idle = 0

    def send(self, content: bytes, *, last: bool = True) -> None:
        """Puts a frame in the queue, or with ``last`` False the beginning of one."""
        marks = [0] * (len(content) - 1) + [int(last)]
        self.pending.extend(zip(content, marks, strict=True))

    async def cycle(self, ctx: Any) -> None:
        """A clock cycle."""
        core = self.core
        in_stall, out_stall = self.rng.random(2) < self.stalls
        if self.offered is None and self.pending and not in_stall:
            self.offered = self.pending.popleft()
        data, last = self.offered or (0xEE, 1)
        ctx.set(core.i.valid, int(self.offered is not None))
        ctx.set(core.i.payload, {"data": data, "last": last})
        ctx.set(core.o.ready, int(not out_stall))
        accepted = self.offered is not None and ctx.get(core.i.ready)
        sent = self._take(ctx, ready=not out_stall)
        if event := ctx.get(core.frame_event):
            self.events.append(FrameEvent(event))
        if accepted:
            self.offered = None
        self.idle = 0 if accepted or sent else self.idle + 1
        await ctx.tick()

    def _take(self, ctx: Any, *, ready: bool) -> bool:
        valid = bool(ctx.get(self.core.o.valid))
        payload = int(ctx.get(self.core.o.payload.as_value()))
        if self.waiting is not None:
            assert valid and payload == self.waiting, "a byte that waits does not change"
        self.waiting = payload if valid and not ready else None
        if valid and ready:
            self.answer.append(payload & 0xFF)
            if payload >> 8:
                self.answers.append(bytes(self.answer))
                self.answer.clear()
        return valid and ready

    async def settle(self, ctx: Any) -> None:
        """Until there is nothing more to send, and nothing comes any more."""
        self.idle = 0
        while self.pending or self.offered or self.idle < PATIENCE:
            assert self.idle <= 2 * PATIENCE, "the core takes no more bytes"
            await self.cycle(ctx)
        assert not self.answer, "the last byte of an answer is marked"
