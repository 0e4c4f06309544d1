"""The sequencer always returns to idle, whatever the program is, if its blocks answer in time."""

from types import ModuleType

import pytest
from amaranth import Module, Mux, Signal, Value
from amaranth.hdl import Assert, Assume, Cover
from formal.any_rom import AnyRom
from formal.prover import (
    Harness,
    Method,
    assert_holds,
    assert_refuted,
    free,
    mutated,
)

from shiftwork.hw import rom, sequencer
from shiftwork.hw.config import ArrayConfig, ArrayShape
from shiftwork.hw.layouts import descriptor_words
from shiftwork.hw.sequencer import DONE_LATENCY, LOAD_OVERHEAD

COPIES = ArrayShape(rows=2, columns=4, column_bytes=64)
FIELDS = (("copies", 1, False), ("rest", 45, False))
HEADER_FIELDS = (("input_last", 16, False), ("layers_last", 8, False))
LATEST_ANSWER = 3
"""A copy is done no later than so many cycles after ``prepare``, a layer after its ``start``."""
COUNT_BITS = 16
DEPTH = 20
MUTANT_DEPTH = 35


class Liveness(Harness):
    """The sequencer with blocks that answer within a bound, beside the time that it takes.

    A copy or a layer may be done in any cycle of its bound, and never else.
    """

    def __init__(self, *, config: ArrayConfig, source: ModuleType = sequencer):
        super().__init__()
        self.config = config
        self.source = source

    def build(self, m: Module) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.source, "Rom", AnyRom)
            m.submodules.dut = dut = self.source.Sequencer(config=self.config, program=())
        m.d.comb += dut.frame_ready.eq(free(m, 1, "frame_ready"))
        self._add_bounds(m, dut, loading=dut.busy & ~self._add_phases(m, dut))
        self._add_header(m, dut)

    def _add_phases(self, m: Module, dut: sequencer.Sequencer) -> Value:
        """A layer is loaded, prepared, copied if need be, started, and ends.

        Returns whether it is past its loading.
        """
        copying = Signal()
        running = Signal()
        waited = Signal(range(LATEST_ANSWER + 1))
        copy_done, layer_done = free(m, 1, "copy_done"), free(m, 1, "layer_done")
        begins = dut.prepare | dut.start
        m.d.sync += waited.eq(Mux(begins | (waited == LATEST_ANSWER), 0, waited + 1))
        with m.If(begins):
            m.d.sync += [copying.eq(dut.prepare), running.eq(dut.start)]
        with m.Elif(layer_done):
            m.d.sync += running.eq(0)
        late = waited == LATEST_ANSWER - 1
        ended = Signal()
        m.d.sync += ended.eq(layer_done)
        m.d.comb += [
            dut.copy_done.eq(copy_done),
            dut.layer_done.eq(layer_done),
            Assume(~layer_done | running),
            Assume(~(running & late) | layer_done),
            Assume(~(copying & late) | copy_done),
            Assert(~dut.prepare | ~(copying | running)),
            Assert(~dut.start | copying),
            Assert(dut.layer_ended == ended),
            Assert(~(copying | running | ended) | dut.busy),
        ]
        return dut.prepare | copying | running | ended

    def _add_bounds(self, m: Module, dut: sequencer.Sequencer, loading: Value) -> None:
        words = descriptor_words(self.config.fields)
        bound = words + LOAD_OVERHEAD + 2 * LATEST_ANSWER + DONE_LATENCY
        age = Signal(8)
        layers = Signal(8)
        elapsed = Signal(COUNT_BITS)
        done = Signal()
        going_on = dut.busy & ~dut.frame_done
        m.d.sync += [
            age.eq(Mux(dut.busy & ~dut.layer_ended, age + 1, 0)),
            layers.eq(Mux(going_on, layers + dut.layer_ended, 0)),
            elapsed.eq(Mux(going_on, elapsed + 1, 0)),
            done.eq(dut.frame_done),
        ]
        last = dut.header.layers_last
        m.d.comb += [
            Assert(age < bound, "a layer ends within its bound"),
            Assert(elapsed <= layers * bound + age),
            Assert(~dut.busy | (layers <= last)),
            Assert(~dut.busy | (elapsed < (last + 1) * bound), "so does a frame"),
            Assert(dut.index == layers),
            Assert(dut.busy | (layers == 0)),
            Assert(dut.frame_done == (dut.layer_ended & (layers == last))),
            Assert(~(done & dut.busy), "idle behind the last layer"),
            Cover(dut.frame_done & (layers == 1)),
        ]
        if self.inductive:
            count = self.probe("dut.count", range(words + rom.LATENCY + 1))
            with m.If(dut.header_valid):
                m.d.comb += Assert(count == Mux(loading, age, 0))

    def _add_header(self, m: Module, dut: sequencer.Sequencer) -> None:
        """It is loaded in time, and then stays."""
        age = Signal(8)
        valid = Signal()
        before = Signal.like(dut.header.as_value(), reset_less=True)
        m.d.sync += [
            age.eq(Mux(dut.header_valid, 0, age + 1)),
            valid.eq(dut.header_valid),
            before.eq(dut.header.as_value()),
        ]
        bound = descriptor_words(self.config.header_fields) + rom.LATENCY
        m.d.comb += Assert(age <= bound)
        with m.If(valid):
            m.d.comb += [Assert(dut.header_valid), Assert(dut.header.as_value() == before)]


@pytest.fixture
def config(array_config) -> ArrayConfig:
    return array_config(COPIES, fields=FIELDS, header_fields=HEADER_FIELDS)


def test_idle_comes_within_the_bound(config):
    assert_holds(Liveness(config=config), depth=DEPTH)


def test_a_frame_of_two_layers_ends(config):
    assert_holds(Liveness(config=config), depth=MUTANT_DEPTH, method=Method.COVER)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("with m.If(self.copy_done):", "with m.If(self.layer_done):"),
        ("self.index.eq(self.index + 1)", "self.index.eq(self.index + 2)"),
        ("self.index == self.header.layers_last", "self.index > self.header.layers_last"),
        (
            "                with m.If(ended):",
            "                with m.If(ended & (self.index != 1)):",
        ),
        ('count.eq(0)\n                    m.next = "PREPARE"', "count.eq(0)\n"),
        ("[self.index.eq(0), address", "[address"),
    ],
)
def test_mutants_are_refuted(config, old, new):
    source = mutated(sequencer, old, new)
    assert_refuted(Liveness(config=config, source=source), depth=MUTANT_DEPTH)
