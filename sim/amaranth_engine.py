"""The bench of ``bench.v`` in Python, on Amaranth's simulator: slow, but nothing to install.

It has no model of a flash: a core with flash-loaded weights comes with them in memory, so that
what this bench does not see is the way from power-up to the first frame.
"""

import contextlib
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from amaranth.lib.wiring import Component
from amaranth.sim import Simulator
from numpy.typing import NDArray

from shiftwork.errors import OutputError
from shiftwork.sim.layer_image import ExpectedFrames, expected_frames
from shiftwork.sim.observation import Difference, Job, Kind, Observation

LINGER_CYCLES = 64
CLOCK_PERIOD = 1e-8


class Checker:
    """Compares every write of the core with the expected image; as the checks of ``bench.v``.

    Parameters:
        job: the job.
        frames: of the golden model.
    """

    def __init__(self, job: Job, frames: Iterator[ExpectedFrames]) -> None:
        self.job = job
        self.images = (image for part in frames for image in part.images)
        self.frame = -1
        self.image = np.empty(0, np.uint8)
        self.written = np.empty(0, bool)
        self.first: Difference | None = None
        self.layer_mismatches = [0] * len(job.images)
        self.mismatches = 0

    def start_frame(self) -> None:
        """Another inference begins."""
        self.finish_frame()
        self.frame += 1
        if self.frame >= len(self.job.q):
            self.report(Kind.EXTRA_FRAME, None, 0, None, None)
            return
        self.image = next(self.images)
        self.written = np.zeros(len(self.image), bool)

    def write(self, layer: int, offset: int, data: int, mask: int) -> None:
        """A write of one word into activation memory."""
        lane = 0
        while mask >> lane:
            if mask >> lane & 1:
                self._write_byte(layer, offset + lane, data >> 8 * lane & 0xFF)
            lane += 1

    def _write_byte(self, layer: int, offset: int, got: int) -> None:
        images = self.job.images
        if self.frame < 0 or layer >= len(images) or not images[layer].owns(offset):
            self.report(Kind.OUTSIDE, layer, offset, None, got)
            return
        position = images[layer].base + offset
        expected = int(self.image[position])
        if self.written[position]:
            self.report(Kind.WRITTEN_TWICE, layer, offset, expected, got)
        elif got != expected:
            self.report(Kind.WRONG_VALUE, layer, offset, expected, got)
        self.written[position] = True

    def finish_frame(self) -> None:
        """No more writes are due: reports what is missing."""
        for image in self.job.images if len(self.written) else ():
            written = self.written[image.base : image.base + image.reach]
            own = np.arange(image.reach) % image.pitch < image.channels
            for offset in np.flatnonzero(own & ~written):
                expected = int(self.image[image.base + offset])
                self.report(Kind.NEVER_WRITTEN, image.index, int(offset), expected, None)

    def report(
        self, kind: Kind, layer: int | None, offset: int, expected: int | None, got: int | None
    ) -> None:
        """Counts a difference, and keeps the first."""
        self.mismatches += 1
        if layer is not None and layer < len(self.layer_mismatches):
            self.layer_mismatches[layer] += 1
        self.first = self.first or Difference(
            kind=kind, frame=self.frame, layer=layer, offset=offset, expected=expected, got=got
        )


class Driver:
    """Streams the frames into the core, takes its output, and watches ``busy``.

    Parameters:
        core: a component with the ports of ``shiftwork_core``.
        job: the job.
        checker: told of every write.
        inputs: the bytes of the input stream, frame by frame.
    """

    def __init__(
        self, core: Any, job: Job, checker: Checker, inputs: Iterator[NDArray[np.uint8]]
    ) -> None:
        self.core = core
        self.job = job
        self.checker = checker
        self.pending = itertools.chain.from_iterable(frame.tolist() for frame in inputs)
        self.random = Random(job.seed)
        self.output: list[int] = []
        self.cycles: list[int] = []
        self.busy_cycles = self.clock_cycles = self.idle_cycles = self.linger = 0
        self.input_count = 0
        self.waiting: int | None = None
        self.was_busy = self.hung = False

    async def testbench(self, ctx: Any) -> None:
        """One round a clock cycle, until all is done."""
        core = self.core
        trace = (core.trace_layer, core.trace_offset, core.trace_data, core.trace_mask)
        watched = (core.busy, core.i.ready, core.o.valid, core.o.payload, core.trace_valid, *trace)
        offered, o_ready = None, 0
        while not self.done:
            sample = await ctx.tick().sample(*watched)
            busy, i_ready, o_valid, o_payload, trace_valid, *write = sample[2:]
            accepted = offered is not None and i_ready
            self._follow_busy(bool(busy))
            if trace_valid:
                self.checker.write(*write)
            self._follow_output(bool(o_valid), o_payload, o_ready)
            self._follow_progress(bool(accepted or (o_valid and o_ready) or busy != self.was_busy))
            self.was_busy = bool(busy)
            if accepted or offered is None:
                self.input_count += bool(accepted)
                offered = None if self._stalls() else next(self.pending, None)
            o_ready = int(not self._stalls())
            ctx.set(core.i.valid, int(offered is not None))
            ctx.set(core.i.payload, offered or 0)
            ctx.set(core.o.ready, o_ready)
        self.checker.finish_frame()

    @property
    def done(self) -> bool:
        """Whether nothing more is to come, or should come."""
        return self.hung or self.linger >= LINGER_CYCLES or self.checker.frame >= len(self.job.q)

    def _stalls(self) -> bool:
        return self.random.random() < self.job.stall_probability

    def _follow_busy(self, busy: bool) -> None:
        if busy and not self.was_busy:
            self.checker.start_frame()
            self.busy_cycles = 0
        self.busy_cycles += busy
        if self.was_busy and not busy:
            self.cycles.append(self.busy_cycles)

    def _follow_output(self, valid: bool, payload: int, ready: int) -> None:
        if self.waiting is not None and (not valid or payload != self.waiting):
            place = len(self.output)
            self.checker.report(Kind.UNSTABLE, None, place, self.waiting, payload)
        self.waiting = payload if valid and not ready else None
        if valid and ready:
            self.output.append(payload)

    def _follow_progress(self, progress: bool) -> None:
        self.clock_cycles += 1
        self.idle_cycles = 0 if progress else self.idle_cycles + 1
        frames, count = len(self.job.q), len(self.output)
        if len(self.cycles) >= frames and count >= frames * self.job.output_bytes:
            self.linger += 1
        self.hung = (
            self.idle_cycles > self.job.patience or count > (frames + 1) * self.job.output_bytes
        )


def run(core: Component, job: Job, *, waves: Path | None = None) -> Observation:
    """Runs a job on Amaranth's simulator.

    Parameters:
        core: a component with the ports of ``shiftwork_core``, without vendor primitives and
            without those of a flash.
        job: the frames and the settings.
        waves: a VCD file to write.

    Raises:
        OutputError: if the waves cannot be written.
    """
    frames, again = itertools.tee(expected_frames(job.program, job.images, job.q))
    checker = Checker(job, frames)
    driver = Driver(core, job, checker, (row for part in again for row in part.inputs))
    simulator = Simulator(core)
    simulator.add_clock(CLOCK_PERIOD)
    began = time.perf_counter()
    with _waves(simulator, waves):
        simulator.add_testbench(driver.testbench)
        simulator.run()
    return Observation(
        mismatches=checker.mismatches,
        layer_mismatches=tuple(checker.layer_mismatches),
        first=checker.first,
        hung=driver.hung,
        frames_started=checker.frame + 1,
        frames_finished=len(driver.cycles),
        input_count=driver.input_count,
        output=np.array(driver.output, dtype=np.int16),
        cycles_min=min(driver.cycles, default=0),
        cycles_max=max(driver.cycles, default=0),
        clock_cycles=driver.clock_cycles,
        seconds=time.perf_counter() - began,
    )


@contextlib.contextmanager
def _waves(simulator: Simulator, target: Path | None) -> Iterator[None]:
    if target is None:
        yield
        return
    partial = target.with_name(target.name + ".partial")
    try:
        with simulator.write_vcd(str(partial)):
            yield
        partial.replace(target)
    except OSError as error:
        raise OutputError(f"cannot write {target}: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)
