"""Guard and input loader: no byte of a bad frame counts, and every good frame counts once."""

from types import ModuleType

import pytest
from amaranth import Module, Mux, Signal, Value
from amaranth.hdl import Assert, Assume, Cover
from amaranth.lib import wiring
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

from shiftwork.hw import frame_guard, input_loader
from shiftwork.hw.config import ArrayConfig, ArrayShape
from shiftwork.hw.frame_guard import FrameErrors, FrameEvent
from shiftwork.hw.layouts import FramedByte, descriptor_layout

GUARD, LOADER = with_names(frame_guard), with_names(input_loader)
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


class Frames(Harness):
    """Guard and loader beside a count of the bytes since the last ``last``.

    The count alone says which frames are good: those whose ``last`` is the byte of that number. A
    buffer is handed over for each of them, in the cycle after its end, and holds what was written
    since the frame's first byte, each at its place. The environment releases a buffer only while
    one is full. Everything else is free: when bytes come and which of them have ``last``, when
    memory takes them, when the header is valid and what it says, when errors are cleared.
    """

    def __init__(
        self, *, config: ArrayConfig, guard: ModuleType = GUARD, loader: ModuleType = LOADER
    ):
        super().__init__()
        self.config = config
        self.guard = guard
        self.loader = loader

    def build(self, m: Module) -> None:
        m.submodules.guard = guard = self.guard.FrameGuard()
        m.submodules.dut = dut = self.loader.InputLoader(config=self.config, framed=True)
        wiring.connect(m, guard.o, dut.i)
        header = constant(m, descriptor_layout(self.config.header_fields), "header")
        valid, payload = free(m, 1, "valid"), free(m, FramedByte, "payload")
        enable, release = free(m, 1, "enable"), free(m, 1, "release")
        write_ready = free(m, 1, "write_ready")
        m.d.comb += [
            guard.i.valid.eq(valid),
            guard.i.payload.eq(payload),
            guard.final.eq(dut.final),
            dut.discard.eq(guard.discard),
            dut.header.eq(header),
            dut.enable.eq(enable),
            dut.release.eq(release),
            dut.write_ready.eq(write_ready),
            Assume(~release | dut.full),
        ]
        transfer = valid & guard.i.ready
        position, surplus = self._add_count(m, transfer, payload.last, header)
        final = (position == header.input_last) & ~surplus
        good = transfer & payload.last & final
        held = self._add_buffers(m, dut, good, release)
        self._add_writes(m, dut, header, payload, transfer, write_ready, position, surplus, held)
        waits = valid & enable & ~guard.i.ready & write_ready & (held < self.buffers)
        waited = Signal(range(FRAME_GAP + 2))
        m.d.sync += waited.eq(Mux(waits, waited + 1, 0))
        m.d.comb += [
            Assert(waited <= FRAME_GAP, "a frame does not wait for ever"),
            Assert(~valid | ~surplus | guard.i.ready, "surplus bytes do not wait at all"),
        ]
        self._add_status(m, guard, transfer, payload.last, final, surplus)

    @property
    def buffers(self) -> int:
        return self.config.shape.input_buffers

    def _add_count(
        self, m: Module, transfer: Value, last: Value, header: Value
    ) -> tuple[Signal, Signal]:
        """The number of the next byte in its frame, and whether the frame is too long already."""
        position, surplus = Signal(ADDRESS_BITS), Signal()
        at_end = position == header.input_last
        with m.If(transfer):
            m.d.sync += [
                position.eq(Mux(last | at_end | surplus, 0, position + 1)),
                surplus.eq(~last & (surplus | at_end)),
            ]
        return position, surplus

    def _add_buffers(
        self, m: Module, dut: input_loader.InputLoader, good: Value, release: Value
    ) -> Signal:
        """The buffers that hold a frame; those are computed in their order."""
        held = Signal(range(self.buffers + 1))
        self.second, self.computed = Signal(name="second"), Signal(name="computed")
        m.d.sync += [
            held.eq(held + good - release),
            self.second.eq(self.second ^ good),
            self.computed.eq(self.computed ^ release),
        ]
        m.d.comb += [
            Assert(dut.full == (held != 0), "a buffer is handed over for each good frame"),
            Assert(dut.second == self.computed),
        ]
        return held

    def _add_writes(
        self,
        m: Module,
        dut: input_loader.InputLoader,
        header: Value,
        payload: Value,
        transfer: Value,
        write_ready: Value,
        position: Signal,
        surplus: Signal,
        held: Signal,
    ) -> None:
        """Every byte of a frame that may still be good is stored at its place, and no other."""
        place = Signal(ADDRESS_BITS)
        stored = dut.write_enable & write_ready
        m.d.comb += [
            place.eq(header.input_first + Mux(self.second, header.input_pitch, 0) + position),
            Assert(stored == (transfer & ~surplus)),
            Cover(
                stored
                & (position == 2)
                & (position == header.input_last)
                & (held + 1 == self.buffers)
            ),
        ]
        with m.If(dut.write_enable):
            m.d.comb += [
                Assert(held < self.buffers, "the buffer has been released"),
                Assert(dut.write_address == place),
                Assert(dut.write_data == payload.data ^ (header.input_flip << 7)),
            ]
        if self.inductive:
            self._add_lemmas(m, header, place, position, surplus, held)

    def _add_status(
        self,
        m: Module,
        guard: frame_guard.FrameGuard,
        transfer: Value,
        last: Value,
        final: Value,
        surplus: Signal,
    ) -> None:
        clear = free(m, 1, "clear")
        event, errors = Signal(FrameEvent), Signal(FrameErrors)
        discarded = Signal(len(guard.discarded))
        short, long = Signal(), Signal()
        m.d.comb += [
            guard.clear.eq(clear),
            short.eq(transfer & last & ~final & ~surplus),
            long.eq(transfer & ~last & final),
            Assert(guard.event == event),
            Assert(guard.errors.as_value() == errors.as_value()),
            Assert(guard.discarded == discarded),
            Cover((event == FrameEvent.SHORT_FRAME) & (discarded == 2) & errors.long_frame),
        ]
        told = Mux(short, FrameEvent.SHORT_FRAME, Mux(long, FrameEvent.LONG_FRAME, 0))
        m.d.sync += [
            event.eq(Mux(transfer & last & final, FrameEvent.TAKEN, told)),
            errors.short_frame.eq((errors.short_frame & ~clear) | short),
            errors.long_frame.eq((errors.long_frame & ~clear) | long),
            discarded.eq(Mux(clear, 0, discarded) + (short | long)),
        ]

    def _add_lemmas(
        self,
        m: Module,
        header: Value,
        place: Signal,
        position: Signal,
        surplus: Signal,
        held: Signal,
    ) -> None:
        left = self.probe("dut.count.left", ADDRESS_BITS)
        last = self.probe("dut.count.last", 1)
        full = self.probe("dut.full", 2)
        m.d.comb += [
            Assert(full.bit_select(self.computed, 1) == (held != 0)),
            Assert(full.bit_select(~self.computed, 1) == (held == 2)),
            Assert((self.second == self.computed) == (held != 1)),
            Assert(held <= self.buffers),
            Assert(self.probe("dut.load_second", 1) == self.second),
            Assert(self.probe("guard.swallowing", 1) == surplus),
            Assert(~surplus | (position == 0)),
        ]
        with m.If(self.probe("dut.accepting", 1)):
            m.d.comb += [
                Assert(held < self.buffers),
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
def test_good_frames_count_once_and_no_byte_of_a_bad_one(array_config, buffers):
    assert_holds(Frames(config=config_of(array_config, buffers)), depth=DEPTH)


@pytest.mark.parametrize("buffers", SHAPES)
def test_frames_of_every_kind(array_config, buffers):
    harness = Frames(config=config_of(array_config, buffers))
    assert_holds(harness, depth=MUTANT_DEPTH, method=Method.COVER)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("self.discard.eq(last ^ self.final)", "self.discard.eq(last & ~self.final)"),
        ("self.discard.eq(last ^ self.final)", "self.discard.eq(self.final & ~last)"),
        ("self.i.valid & ~swallowing", "self.i.valid"),
        ("self.o.ready | swallowing", "self.o.ready"),
        ("swallowing.eq(~last &", "swallowing.eq("),
        ("(self.o.ready & self.final)", "self.final"),
        ("with m.If(self.i.valid):", "with m.If(1):"),
        ("with m.If(transfer & last & self.final)", "with m.If(self.i.valid & last & self.final)"),
        ("Mux(self.clear, 0, self.discarded) + 1", "Mux(self.clear, 0, self.discarded + 1)"),
        ("transfer.eq(self.o.valid & self.o.ready)", "transfer.eq(self.i.valid & self.i.ready)"),
    ],
)
def test_mutants_of_the_guard_are_refuted(array_config, old, new):
    harness = Frames(config=config_of(array_config, 2), guard=mutated(frame_guard, old, new))
    assert_refuted(harness, depth=MUTANT_DEPTH)


@pytest.mark.parametrize(
    ("buffers", "old", "new"),
    [
        (2, "frame_ends = count.last | self.discard", "frame_ends = count.last"),
        (1, "frame_counts = count.last & ~self.discard", "frame_counts = count.last"),
        (
            2,
            "frame_counts = count.last & ~self.discard",
            "frame_counts = count.last ^ self.discard",
        ),
        (2, "with m.If(transfer & frame_counts)", "with m.If(transfer & frame_ends)"),
    ],
)
def test_mutants_of_the_loader_are_refuted(array_config, buffers, old, new):
    loader = mutated(input_loader, old, new)
    assert_refuted(
        Frames(config=config_of(array_config, buffers), loader=loader), depth=MUTANT_DEPTH
    )
