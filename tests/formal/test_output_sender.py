"""The output sender reads every byte of a frame once, in order, and sends what it read."""

from types import ModuleType

import pytest
from amaranth import Array, Cat, Module, Mux, Signal, Value, unsigned
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

from shiftwork.hw import output_sender
from shiftwork.hw.activation_memory import READ_LATENCY
from shiftwork.hw.config import ArrayConfig
from shiftwork.hw.drain import PLANES
from shiftwork.hw.layouts import FramedByte, descriptor_layout
from shiftwork.hw.output_sender import BUFFERED_BYTES

NAMED = with_names(output_sender)
ADDRESS_BITS = 16
HEADER_FIELDS = (
    *((f"output_{name}", ADDRESS_BITS, False) for name in ("first", "pitch", "last", "plane_step")),
    ("output_flip", 1, False),
    ("output_raw", 1, False),
)
BUFFERS = 2
DEPTH = READ_LATENCY + 3
MUTANT_DEPTH = 15
WORDS = BUFFERED_BYTES - 1
"""Of the memory in the sender's buffer, beside its output register."""


class Transfers(Harness):
    """The sender beside the place of the next read, and one byte that is followed on its way.

    Memory answers a read ``READ_LATENCY`` cycles later with any byte; at any of them the harness
    begins to follow: it counts the bytes that must leave before that one. The environment finishes
    a frame only while a buffer is free. Everything else is free, both stalls included.

    Parameters:
        config: widths.
        source: the module of the sender.
        framed: the stream marks the last byte of a frame, and the followed byte keeps its mark.
    """

    def __init__(self, *, config: ArrayConfig, source: ModuleType = NAMED, framed: bool = False):
        super().__init__()
        self.framed = framed
        self.byte = FramedByte if framed else unsigned(8)
        self.config = config
        self.source = source

    def build(self, m: Module) -> None:
        m.submodules.dut = dut = self.source.OutputSender(config=self.config, framed=self.framed)
        self.header = constant(m, descriptor_layout(self.config.header_fields), "header")
        finish, read_ready = free(m, 1, "finish"), free(m, 1, "read_ready")
        read_data, ready = free(m, 8, "read_data"), free(m, 1, "ready")
        granted, popped = dut.read_enable & read_ready, dut.o.valid & ready
        held = Signal(range(BUFFERS + 1))
        computed = Signal()
        under_way = Signal(range(BUFFERED_BYTES + 1))
        frame_end = self._add_place(m, dut, granted, held)
        m.d.sync += [
            held.eq(held + finish - frame_end),
            computed.eq(computed ^ finish),
            under_way.eq(under_way + granted - popped),
        ]
        m.d.comb += [
            dut.header.eq(self.header),
            dut.finish.eq(finish),
            dut.read_ready.eq(read_ready),
            dut.read_data.eq(read_data),
            dut.o.ready.eq(ready),
            Assume(~finish | dut.free),
            Assert(dut.free == (held < BUFFERS)),
            Assert(dut.second == computed),
            Assert(~dut.read_enable | (held != 0), "only whole frames are read"),
            Assert(~dut.o.valid | (under_way != 0), "no byte is sent twice"),
            Assert(under_way <= BUFFERED_BYTES),
        ]
        self._add_promptness(m, dut, held, under_way)
        self._add_followed(m, dut, granted, popped, under_way, read_data, frame_end)
        self._add_stream(m, dut, ready)

    def _add_place(
        self, m: Module, dut: output_sender.OutputSender, granted: Value, held: Signal
    ) -> Value:
        """Where the next byte of the frame lies; returns whether the last one is read."""
        header = self.header
        element = Signal(ADDRESS_BITS)
        plane = Signal(range(PLANES))
        second = Signal()
        offset = Signal(ADDRESS_BITS)
        place = Signal(ADDRESS_BITS)
        value_end = ~header.output_raw | (plane == PLANES - 1)
        frame_end = granted & value_end & (element == header.output_last)
        with m.If(granted):
            m.d.sync += [
                plane.eq(Mux(value_end, 0, plane + 1)),
                offset.eq(Mux(value_end, 0, offset + header.output_plane_step)),
                element.eq(Mux(frame_end, 0, element + value_end)),
                second.eq(second ^ frame_end),
            ]
            m.d.comb += Assert(dut.read_address == place)
        base = header.output_first + Mux(second, header.output_pitch, 0)
        m.d.comb += [
            place.eq(base + element + offset),
            Cover(frame_end & second & header.output_raw & (header.output_last == 0)),
        ]
        if self.inductive:
            m.d.comb += Assert((plane != 0) | (offset == 0))
            self._add_place_lemmas(m, dut, held, base + element, place, element, plane, second)
        return frame_end

    def _add_place_lemmas(
        self,
        m: Module,
        dut: output_sender.OutputSender,
        held: Signal,
        value_place: Value,
        place: Signal,
        element: Signal,
        plane: Signal,
        second: Signal,
    ) -> None:
        full = self.probe("dut.full", BUFFERS)
        left = self.probe("dut.element.left", ADDRESS_BITS)
        last = self.probe("dut.element.last", 1)
        m.d.comb += [
            Assert(full.bit_select(second, 1) == (held != 0)),
            Assert(full.bit_select(~second, 1) == (held == BUFFERS)),
            Assert(self.probe("dut.send_second", 1) == second),
            Assert((dut.second == second) == (held != 1)),
            Assert(held <= BUFFERS),
        ]
        with m.If(self.probe("dut.reading", 1)):
            m.d.comb += [
                Assert(held != 0),
                Assert(self.probe("dut.address", ADDRESS_BITS) == place),
                Assert(self.probe("dut.value_address", ADDRESS_BITS) == value_place[:ADDRESS_BITS]),
                Assert(self.probe("dut.plane", range(PLANES)) == plane),
                Assert(element <= self.header.output_last),
                Assert(left == self.header.output_last - element),
                Assert(last == (left == 0)),
            ]
        with m.Else():
            m.d.comb += [Assert(element == 0), Assert(plane == 0)]

    def _add_promptness(
        self,
        m: Module,
        dut: output_sender.OutputSender,
        held: Signal,
        under_way: Signal,
    ) -> None:
        """Neither a frame that waits nor a byte that was read is forgotten."""
        idle = Signal(2)
        quiet = Signal(range(READ_LATENCY + 3))
        may_read = (held != 0) & (under_way < BUFFERED_BYTES)
        m.d.sync += [
            idle.eq(Mux(may_read & ~dut.read_enable, idle + 1, 0)),
            quiet.eq(Mux((under_way != 0) & ~dut.o.valid, quiet + 1, 0)),
        ]
        m.d.comb += [
            Assert(idle < 2, "a frame is read, or the bytes on their way fill the buffer"),
            Assert(quiet <= READ_LATENCY + 1, "the next byte arrives"),
        ]

    def _add_followed(
        self,
        m: Module,
        dut: output_sender.OutputSender,
        granted: Value,
        popped: Value,
        under_way: Signal,
        read_data: Signal,
        frame_end: Value,
    ) -> None:
        """The followed byte leaves after just those that were read before it."""
        following = Signal()
        ahead = Signal(range(BUFFERED_BYTES + 1))
        coming = Signal(READ_LATENCY)
        byte, marked = Signal(8), Signal()
        begin = Signal()
        m.d.comb += begin.eq(granted & ~following & free(m, 1, "follow"))
        m.d.sync += coming.eq(Cat(begin, coming[:-1]))
        with m.If(begin):
            m.d.sync += [following.eq(1), ahead.eq(under_way - popped), marked.eq(frame_end)]
        with m.Elif(popped):
            m.d.sync += [following.eq(following & (ahead != 0)), ahead.eq(ahead - 1)]
        with m.If(coming[-1]):
            m.d.sync += byte.eq(read_data ^ (self.header.output_flip << 7))
        with m.If(following & (ahead == 0) & dut.o.valid):
            m.d.comb += [
                Assert(~coming.any(), "it has been read"),
                Assert(Value.cast(dut.o.payload) == self._word(byte, marked)),
                Cover((byte == 0xA5) & self.header.output_flip),
            ]
        if self.inductive:
            self._add_lemmas(m, dut, under_way, following, ahead, coming, byte, marked)

    def _word(self, byte: Signal, marked: Signal) -> Value:
        """What the stream carries of a byte."""
        return Cat(byte, marked) if self.framed else byte

    def _add_stream(self, m: Module, dut: output_sender.OutputSender, ready: Value) -> None:
        """A byte that is offered stays until it is taken."""
        offered = Signal()
        payload = Signal(self.byte)
        m.d.sync += [offered.eq(dut.o.valid & ~ready), payload.eq(dut.o.payload)]
        with m.If(offered):
            m.d.comb += [Assert(dut.o.valid), Assert(dut.o.payload == payload)]

    def _add_lemmas(
        self,
        m: Module,
        dut: output_sender.OutputSender,
        under_way: Signal,
        following: Signal,
        ahead: Signal,
        coming: Signal,
        byte: Signal,
        marked: Signal,
    ) -> None:
        """The bytes under way: the oldest in the output register, then in memory, then to come."""
        arriving = self.probe("dut.arriving", READ_LATENCY)
        credits = self.probe("dut.credits", range(BUFFERED_BYTES + 1))
        produce = self.probe("dut.buffer.produce", range(WORDS))
        consume = self.probe("dut.buffer.consume", range(WORDS))
        stored = self.probe("dut.buffer.inner_level", range(WORDS + 1))
        width = len(self._word(byte, marked))
        words = [self.probe(f"dut.buffer.storage[{index}]", width) for index in range(WORDS)]
        present = dut.o.valid + stored
        m.d.comb += [
            Assert(credits == BUFFERED_BYTES - under_way),
            Assert(under_way == present + sum(arriving)),
            Assert((produce < WORDS) & (consume < WORDS) & (stored <= WORDS)),
            Assert(produce == (consume + stored) % WORDS),
            Assert(~following | (ahead < under_way)),
            Assert((coming & ~arriving) == 0),
            Assert(following | (coming == 0)),
        ]
        if self.framed:
            ending = self.probe("dut.ending", READ_LATENCY)
            m.d.comb += Assert((coming == 0) | ((coming & ending).any() == marked))
        for stage in range(READ_LATENCY):
            with m.If(coming[stage]):
                m.d.comb += [
                    Assert(ahead == present + sum(arriving[stage + 1 :])),
                    Assert((coming & ~(1 << stage)) == 0),
                ]
        with m.If(following & (coming == 0)):
            m.d.comb += Assert(ahead < present)
            place = ahead - dut.o.valid
            with m.If(~dut.o.valid | (ahead != 0)):
                m.d.comb += Assert(
                    Array(words)[(consume + place) % WORDS] == self._word(byte, marked)
                )


@pytest.fixture
def config(array_config) -> ArrayConfig:
    return array_config(address_bits=ADDRESS_BITS, header_fields=HEADER_FIELDS)


@pytest.mark.parametrize("framed", [False, True])
def test_bytes_are_sent_once_and_in_order(config, framed):
    assert_holds(Transfers(config=config, framed=framed), depth=DEPTH)


def test_bytes_that_the_stream_holds_back_for_a_while(config):
    assert_holds(Transfers(config=config), depth=MUTANT_DEPTH, method=Method.COVER)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("self.read_enable & self.read_ready)", "self.read_enable)"),
        ("credits + popped - granted", "credits + self.o.ready - granted"),
        ("arriving.eq(Cat(granted, arriving[:-1]))", "arriving.eq(Cat(reading, arriving[:-1]))"),
        ("                    address.eq(value_address + 1),\n", ""),
        ("plane == PLANES - 1", "plane == PLANES - 2"),
        ("send_second.eq(~send_second),", ""),
        ("element.step.eq(granted & value_end)", "element.step.eq(granted)"),
        ("Mux(send_second, header.output_pitch, 0)", "0"),
        ("buffer.r_en.eq(self.o.ready)", "buffer.r_en.eq(1)"),
        ("self.read_data[7] ^ header.output_flip", "self.read_data[7]"),
    ],
)
def test_mutants_are_refuted(config, old, new):
    source = mutated(output_sender, old, new)
    assert_refuted(Transfers(config=config, source=source), depth=MUTANT_DEPTH)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Cat(frame_end, ending[:-1])", "Cat(element.last, ending[:-1])"),
        ("Cat(byte[:8], ending[-1])", "Cat(byte[:8], ending[-2])"),
    ],
)
def test_mutants_of_the_mark_are_refuted(config, old, new):
    source = mutated(output_sender, old, new)
    assert_refuted(Transfers(config=config, source=source, framed=True), depth=MUTANT_DEPTH)
