"""The drain writes every word of a layer once, in order and in its place, however memory stalls."""

from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.hdl import Assert, Assume, Cover
from amaranth.utils import exact_log2
from formal.prover import Harness, Method, assert_holds, assert_refuted, free, mutated

from shiftwork.hw import drain
from shiftwork.hw.config import ArrayShape
from shiftwork.hw.schedule import make_schedule
from shiftwork.sim.example_programs import ProgramBuilder

FIRST_SUMS = 5
"""Cycles from a layer's start to its first sums: no fewer than the ways through fetch and array."""
ORIGIN = 37
WORD = 4
PIXELS, CHANNELS = 2, 5
PIXEL_WORDS = -(-CHANNELS // WORD)
"""Each pixel has a whole word and one with a single byte."""
DEPTH = 32
SHAPES = {
    f"{'one port' if single_port else 'two ports'}, {lanes} lanes": ArrayShape(
        rows=1, columns=8, lanes=lanes, word_bytes=WORD, single_port=single_port
    )
    for single_port in (True, False)
    for lanes in (1, 2)
}


class Stalls(Harness):
    """A layer whose values are their numbers, so that each word is known before it is written.

    Free are the stalls of memory, and when the sums of a chunk come, once the chunk before is done.
    """

    def __init__(self, *, shape: ArrayShape, source: ModuleType = drain):
        super().__init__()
        builder = ProgramBuilder("drained", (1, PIXELS, 4), np.random.default_rng(1))
        schedule = make_schedule(builder.conv(CHANNELS, (1, 1)).build(), shape)
        # Neither bias nor shift: the value of a sum is its byte.
        self.config = replace(schedule.config, accumulator_bits=9, shift_base=0, shift_bits=1)
        self.descriptor = schedule.layers[0].descriptor
        self.parameters = (0,) * schedule.config.parameter_depth
        self.source = source

    def build(self, m: Module) -> None:
        m.submodules.dut = dut = self.source.Drain(config=self.config, parameters=self.parameters)
        ready = free(m, 1, "ready")
        m.d.comb += [
            dut.layer.eq(dut.layer.shape().const(self.descriptor)),
            dut.origin.eq(ORIGIN),
            dut.write_ready.eq(ready),
        ]
        self._add_sums(m, dut)
        self._add_words(m, dut, ready)
        self._add_request(m, dut, ready)

    def _add_sums(self, m: Module, dut: drain.Drain) -> None:
        """A chunk is a pixel; its sums are what the drain chains give, step by step."""
        lanes = self.config.shape.lanes
        steps = -(-CHANNELS // lanes)
        age = Signal(range(FIRST_SUMS + 2))
        step = Signal(range(steps))
        pixel = Signal(range(PIXELS + 1))
        active = Signal()
        last = dut.shift & (step == steps - 1)
        captured = free(m, 1, "captured")
        with m.If(age <= FIRST_SUMS):
            m.d.sync += age.eq(age + 1)
        with m.If(captured):
            m.d.sync += [active.eq(1), step.eq(0)]
        with m.Elif(dut.shift):
            m.d.sync += [step.eq(step + 1), active.eq(~last), pixel.eq(pixel + last)]
        m.d.comb += [
            dut.start.eq(age == 0),
            dut.captured.eq(captured),
            Assume(~captured | ((age > FIRST_SUMS) & ~active & (pixel != PIXELS))),
            Assert(~dut.shift | active, "only sums that are there are taken"),
        ]
        for q in range(lanes):
            m.d.comb += dut.sums[q].eq(1 + pixel * CHANNELS + step * lanes + q)

    def _add_words(self, m: Module, dut: drain.Drain, ready: Value) -> None:
        """Word by word: the address, which bytes, what they are, and whether it is the last one."""
        word = Signal(range(PIXEL_WORDS))
        pixel = Signal(range(PIXELS + 1))
        written = dut.write_enable & ready
        row_end = word == PIXEL_WORDS - 1
        done = Signal()
        with m.If(written):
            m.d.sync += [word.eq(Mux(row_end, 0, word + 1)), pixel.eq(pixel + row_end)]
        with m.If(dut.done):
            m.d.sync += done.eq(1)
        first = pixel * CHANNELS + (word << exact_log2(WORD))
        m.d.comb += [
            Assert(dut.done == (written & row_end & (pixel == PIXELS - 1))),
            Assert(~(dut.write_enable & done), "nothing follows the last word"),
            Cover(done),
        ]
        with m.If(dut.write_enable):
            m.d.comb += Assert(dut.write_address == ORIGIN + first)
            for k in range(WORD):
                exists = (word << exact_log2(WORD)) + k < CHANNELS
                m.d.comb += [
                    Assert(dut.write_mask[k] == exists),
                    Assert(~exists | (dut.write_data.word_select(k, 8) == 1 + first + k)),
                ]

    def _add_request(self, m: Module, dut: drain.Drain, ready: Value) -> None:
        """A request stays as it is until it is granted."""
        names = ("write_address", "write_data", "write_mask")
        now = Cat(getattr(dut, name) for name in names)
        before = Signal()
        request = Signal(len(now))
        m.d.sync += [before.eq(dut.write_enable & ~ready), request.eq(now)]
        with m.If(before):
            m.d.comb += [Assert(dut.write_enable), Assert(now == request)]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if shape.lanes == 1 else pytest.mark.heavy)
        for name, shape in SHAPES.items()
    ],
)
def test_words_are_written_once_and_in_order(name):
    assert_holds(Stalls(shape=SHAPES[name]), depth=DEPTH, method=Method.BMC)


@pytest.mark.parametrize("name", SHAPES)
def test_the_layer_ends(name):
    assert_holds(Stalls(shape=SHAPES[name]), depth=DEPTH, method=Method.COVER)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("two ports, 1 lanes", "enable.eq(~complete | self.write_ready)", "enable.eq(1)"),
        ("one port, 1 lanes", "with m.If(~waiting | self.write_ready):", "with m.If(1):"),
        ("one port, 1 lanes", "waiting.eq(complete)", "waiting.eq(complete | waiting)"),
    ],
)
def test_mutants_are_refuted(name, old, new):
    assert_refuted(Stalls(shape=SHAPES[name], source=mutated(drain, old, new)), depth=DEPTH)
