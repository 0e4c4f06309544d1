"""The input loader stores every byte of the stream once, in order, in a buffer that is free."""

from types import ModuleType

import pytest
from amaranth import Module, Mux, Signal, Value
from amaranth.hdl import Assert, Assume, Cover
from formal.prover import (
    Harness,
    Method,
    assert_holds,
    assert_refuted,
    constant,
    free,
    mutated,
    with_names,
)

from shiftwork.hw import input_loader
from shiftwork.hw.config import ArrayConfig, ArrayShape
from shiftwork.hw.layouts import descriptor_layout

NAMED = with_names(input_loader)
ADDRESS_BITS = 16
HEADER_FIELDS = (
    ("input_first", ADDRESS_BITS, False),
    ("input_pitch", ADDRESS_BITS, False),
    ("input_last", ADDRESS_BITS, False),
    ("input_flip", 1, False),
)
SHAPES = {buffers: ArrayShape(rows=2, columns=4, input_buffers=buffers) for buffers in (1, 2)}
FRAME_GAP = 2
"""Cycles for which a byte waits for a buffer that is free."""
DEPTH = 4
MUTANT_DEPTH = 12


class Transfers(Harness):
    """The loader beside the place where the next byte of the stream belongs.

    The environment releases a buffer only while one is full. Everything else is free: when bytes
    come, when memory takes them, when the header is valid, what the header says.
    """

    def __init__(self, *, config: ArrayConfig, source: ModuleType = NAMED):
        super().__init__()
        self.config = config
        self.source = source

    def build(self, m: Module) -> None:
        m.submodules.dut = dut = self.source.InputLoader(config=self.config)
        layout = descriptor_layout(self.config.header_fields)
        header = constant(m, layout, "header")
        valid, payload = free(m, 1, "valid"), free(m, 8, "payload")
        enable, release = free(m, 1, "enable"), free(m, 1, "release")
        write_ready = free(m, 1, "write_ready")
        buffers = self.config.shape.input_buffers
        position = Signal(ADDRESS_BITS)
        second = Signal()
        held = Signal(range(buffers + 1))
        computed = Signal()
        transfer = valid & dut.i.ready
        frame_end = transfer & (position == header.input_last)
        m.d.sync += held.eq(held + frame_end - release)
        with m.If(transfer):
            m.d.sync += position.eq(Mux(frame_end, 0, position + 1))
        with m.If(frame_end):
            m.d.sync += second.eq(~second)
        with m.If(release):
            m.d.sync += computed.eq(~computed)
        place = Signal(ADDRESS_BITS)
        stored = dut.write_enable & write_ready
        waits = valid & write_ready & enable & (held < buffers) & ~dut.i.ready
        waited = Signal(range(FRAME_GAP + 2))
        m.d.sync += waited.eq(Mux(waits, waited + 1, 0))
        m.d.comb += [
            dut.header.eq(header),
            dut.i.valid.eq(valid),
            dut.i.payload.eq(payload),
            dut.enable.eq(enable),
            dut.release.eq(release),
            dut.write_ready.eq(write_ready),
            place.eq(header.input_first + Mux(second, header.input_pitch, 0) + position),
            Assume(~release | dut.full),
            Assert(transfer == stored, "a byte is taken when it is stored"),
            Assert(dut.full == (held != 0)),
            Assert(dut.second == computed),
            Assert(waited <= FRAME_GAP, "a buffer that is free is filled"),
            Cover((held == buffers) & (header.input_last == 2) & release),
        ]
        with m.If(dut.write_enable):
            m.d.comb += [
                Assert(held < buffers, "the buffer has been released"),
                Assert(dut.write_address == place),
                Assert(dut.write_data == payload ^ (header.input_flip << 7)),
            ]
        if self.inductive:
            self._add_lemmas(m, header, place, position, second, computed, held)

    def _add_lemmas(
        self,
        m: Module,
        header: Value,
        place: Signal,
        position: Signal,
        second: Signal,
        computed: Signal,
        held: Signal,
    ) -> None:
        left = self.probe("dut.count.left", ADDRESS_BITS)
        last = self.probe("dut.count.last", 1)
        full = self.probe("dut.full", 2)
        m.d.comb += [
            Assert(full.bit_select(computed, 1) == (held != 0)),
            Assert(full.bit_select(~computed, 1) == (held == 2)),
            Assert((second == computed) == (held != 1)),
            Assert(held <= self.config.shape.input_buffers),
            Assert(self.probe("dut.load_second", 1) == second),
        ]
        with m.If(self.probe("dut.accepting", 1)):
            m.d.comb += [
                Assert(held < self.config.shape.input_buffers),
                Assert(self.probe("dut.address", ADDRESS_BITS) == place),
                Assert(position <= header.input_last),
                Assert(left == header.input_last - position),
                Assert(last == (left == 0)),
            ]
        with m.Else():
            m.d.comb += Assert(position == 0)


def config_of(array_config, buffers: int) -> ArrayConfig:
    return array_config(SHAPES[buffers], address_bits=ADDRESS_BITS, header_fields=HEADER_FIELDS)


@pytest.mark.parametrize("buffers", SHAPES)
def test_bytes_are_stored_once_and_in_order(array_config, buffers):
    assert_holds(Transfers(config=config_of(array_config, buffers)), depth=DEPTH)


@pytest.mark.parametrize("buffers", SHAPES)
def test_buffers_fill_up(array_config, buffers):
    harness = Transfers(config=config_of(array_config, buffers))
    assert_holds(harness, depth=MUTANT_DEPTH, method=Method.COVER)


@pytest.mark.parametrize(
    ("buffers", "old", "new"),
    [
        (2, "self.i.ready.eq(self.write_ready & accepting)", "self.i.ready.eq(accepting)"),
        (2, "self.i.valid & accepting", "self.i.valid & self.enable"),
        (2, "address + 1,", "address + self.i.payload[0],"),
        (2, "with m.If(begin | transfer)", "with m.If(begin | self.i.valid)"),
        (2, "count.step.eq(transfer)", "count.step.eq(self.i.valid & accepting)"),
        (2, "load_second.eq(~load_second)", "load_second.eq(load_second)"),
        (2, "self.enable & ~taken)", "self.enable)"),
        (1, "full.any()", "full.all()"),
        (1, "compute_second, 1).eq(0)", "compute_second, 1).eq(self.second)"),
    ],
)
def test_mutants_are_refuted(array_config, buffers, old, new):
    source = mutated(input_loader, old, new)
    harness = Transfers(config=config_of(array_config, buffers), source=source)
    assert_refuted(harness, depth=MUTANT_DEPTH)
