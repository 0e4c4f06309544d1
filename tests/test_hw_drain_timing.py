"""The model of the drain's time against the drain itself, cycle by cycle."""

from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
import pytest

from shiftwork.hw.config import ArrayShape
from shiftwork.hw.drain import PLANES, WRITE_LATENCY, Drain
from shiftwork.hw.drain_timing import EMPTY, drain_work, last_write, run_interval
from shiftwork.hw.schedule import make_schedule
from shiftwork.sim.example_programs import ProgramBuilder

FIRST_STEP = 10
"""Cycle of the first step; the sums are captured in the cycle before."""


@dataclass(frozen=True)
class Layer:
    """A convolution with one channel group: pixels by channels."""

    pixels: int
    channels: int
    raw: bool
    shape: ArrayShape
    wide: bool = False

    def schedule(self):
        builder = ProgramBuilder("drained", (1, self.pixels, 2), np.random.default_rng(0))
        builder.conv(self.channels, (1, 1), accumulators=self.raw, wide_output=self.wide)
        if self.wide:
            builder.conv(1, (1, 1))
        return make_schedule(builder.build(), self.shape)

    def work(self, rows):
        return drain_work(
            rows=rows,
            channels=self.channels,
            places=self.shape.columns // self.shape.lanes,
            lanes=self.shape.lanes,
            word_bytes=self.shape.word_bytes,
            raw=self.raw,
            wide=self.wide,
        )


def _shape(rows, columns, lanes, word_bytes):
    return ArrayShape(rows=rows, columns=columns, lanes=lanes, word_bytes=word_bytes)


SHAPES = [_shape(3, 4, 1, 4), _shape(2, 6, 2, 4), _shape(1, 8, 4, 8)]


def _layers():
    for shape in SHAPES:
        for channels in sorted({max(1, shape.columns - 3), shape.columns}):
            for raw in (False, True):
                yield shape, channels, raw


def _measure(run_component, layer, starts, reads):
    """Cycles of the shifts of the drain chain and of the writes, and the cycle of ``done``."""
    schedule = layer.schedule()
    dut = Drain(config=schedule.config, parameters=schedule.images.parameters)
    shifts, writes, done = [], [], []

    async def bench(ctx):
        ctx.set(dut.layer, schedule.layers[0].descriptor)
        cycle = 0
        while not done:
            ctx.set(dut.start, int(cycle == 0))
            ctx.set(dut.captured, int(cycle + 1 in starts))
            ctx.set(dut.write_ready, int(not reads(cycle)))
            if ctx.get(dut.shift):
                shifts.append(cycle)
            if ctx.get(dut.write_enable) and ctx.get(dut.write_ready):
                writes.append(cycle)
            if ctx.get(dut.done):
                done.append(cycle)
            await ctx.tick()
            cycle += 1

    run_component(dut, bench, limit=2000)
    return shifts, writes, done[0]


def _lost_cycles(writes):
    """Of the drain before its last word, behind a single port that is never read.

    Of words that follow each other without a gap, every second one holds the drain for a cycle:
    the word before it still waits. The tile's last word holds nothing that is left.
    """
    runs = [len(list(run)) for whole, run in groupby(writes[:-1]) if whole]
    return sum(length // 2 for length in runs)


def _random_reads(seed, share):
    pattern = np.random.default_rng(seed).random(4000) < share
    return lambda cycle: bool(pattern[cycle])


def _never(_cycle):
    return False


@pytest.mark.parametrize(("shape", "channels", "raw"), list(_layers()))
def test_last_write_of_one_tile(run_component, shape, channels, raw):
    layer = Layer(shape.rows, channels, raw, shape)
    work = layer.work(shape.rows)
    _, writes, done = _measure(run_component, layer, [FIRST_STEP], _never)
    assert done == writes[-1] == last_write(work, EMPTY, FIRST_STEP, None)
    assert done == FIRST_STEP + work.steps - 1 + WRITE_LATENCY
    assert len(writes) == sum(work.writes)


@pytest.mark.parametrize(("shape", "channels", "raw"), list(_layers()))
@pytest.mark.parametrize("share", [0, 0.6, 0.9])
def test_last_write_behind_a_busy_port(run_component, shape, channels, raw, share):
    """With a single port a word takes a cycle more, and waits for the reads and the word before."""
    layer = Layer(shape.rows, channels, raw, replace(shape, single_port=True))
    work = layer.work(shape.rows)
    reads = _random_reads(channels, share)
    _, writes, done = _measure(run_component, layer, [FIRST_STEP], reads)
    assert done == writes[-1] == last_write(work, EMPTY, FIRST_STEP, reads)
    least = FIRST_STEP + work.steps - 1 + WRITE_LATENCY + 1 + _lost_cycles(work.writes)
    assert done == least if share == 0 else done >= least
    assert len(writes) == sum(work.writes)


@pytest.mark.parametrize(("shape", "channels", "raw"), list(_layers()))
@pytest.mark.parametrize("share", [0.4, 0.8])
def test_a_tile_behind_another(run_component, shape, channels, raw, share):
    """The second tile has one row; its first step is due when the first has just left."""
    layer = Layer(shape.rows + 1, channels, raw, replace(shape, single_port=True))
    work = layer.work(shape.rows)
    reads = _random_reads(channels, share)
    length = 2
    while run_interval(work, EMPTY, FIRST_STEP, length, reads).last_step is None:
        length += 1
    length += 1
    interval = run_interval(work, EMPTY, FIRST_STEP, length, reads)
    second = FIRST_STEP + length
    shifts, writes, done = _measure(run_component, layer, [FIRST_STEP, second], reads)
    assert [cycle for cycle in shifts if cycle < second][-1] == interval.last_step
    last = layer.work(1)
    assert done == writes[-1] == last_write(last, interval.pipeline, second, reads)
    assert len(writes) == sum(work.writes) + sum(last.writes)


def test_the_pipeline_is_empty_long_after_the_last_step():
    work = drain_work(rows=2, channels=4, places=4, lanes=1, word_bytes=4, raw=False)
    written = work.steps + len(EMPTY)
    for length in (written, written + 1, written + 100):
        assert run_interval(work, EMPTY, 3, length, _never).pipeline == EMPTY
    assert run_interval(work, EMPTY, 3, written - 1, _never).pipeline != EMPTY


def _always(_cycle):
    return True


def test_a_port_that_is_always_taken_fills_the_pipeline():
    """A word a step: one for each stage, and the drain stands still."""
    work = drain_work(rows=4, channels=4, places=1, lanes=4, word_bytes=4, raw=True)
    interval = run_interval(work, EMPTY, 0, 100, _always)
    assert interval.pipeline == (True,) * len(EMPTY)
    assert interval.last_step is None


def test_interval_that_is_too_short():
    work = drain_work(rows=2, channels=4, places=4, lanes=1, word_bytes=4, raw=False)
    assert run_interval(work, EMPTY, 0, work.steps - 1, _never).last_step is None
    assert run_interval(work, EMPTY, 0, work.steps, _never).last_step == work.steps - 1


def test_work_visits_a_whole_row_except_the_last():
    work = drain_work(rows=2, channels=3, places=4, lanes=1, word_bytes=2, raw=False)
    full, idle, last = True, False, True
    assert work.writes == (idle, full, last, idle, idle, full, last)
    assert work.steps == 7


def test_work_of_accumulators_is_a_word_for_each_byte():
    work = drain_work(rows=1, channels=3, places=2, lanes=2, word_bytes=4, raw=True)
    assert work.writes == (True,) * (2 * PLANES)


@pytest.mark.parametrize("raw", [False, True])
def test_work_has_a_write_for_every_word(raw):
    for lanes, word_bytes, places in [(1, 2, 5), (2, 4, 3), (4, 4, 2), (2, 8, 4)]:
        for channels in range(1, places * lanes + 1):
            for rows in (1, 2, 3):
                work = drain_work(
                    rows=rows,
                    channels=channels,
                    places=places,
                    lanes=lanes,
                    word_bytes=word_bytes,
                    raw=raw,
                )
                words = PLANES * -(-channels // lanes) if raw else -(-channels // word_bytes)
                assert sum(work.writes) == rows * words
                assert work.writes[-1]


def test_the_model_has_every_stage_and_the_waiting_word():
    assert len(EMPTY) == WRITE_LATENCY + 1


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("share", [0, 0.6])
def test_values_of_16_bits_take_two_steps_and_a_word_each(run_component, shape, share):
    channels = shape.columns - 1
    layer = Layer(shape.rows, channels, False, shape, wide=True)
    work = layer.work(shape.rows)
    assert work.steps == 2 * replace(layer, wide=False).work(shape.rows).steps
    _, writes, done = _measure(run_component, layer, [FIRST_STEP], _never)
    assert done == writes[-1] == last_write(work, EMPTY, FIRST_STEP, None)
    assert len(writes) == sum(work.writes)
    single = replace(layer, shape=replace(shape, single_port=True))
    reads = _random_reads(channels, share)
    _, writes, done = _measure(run_component, single, [FIRST_STEP], reads)
    assert done == writes[-1] == last_write(work, EMPTY, FIRST_STEP, reads)
