"""The fetch unit walks each window of a layer once, in order, whenever layers follow each other."""

from dataclasses import replace
from types import ModuleType

import pytest
from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.hdl import Assert, Assume, Cover
from formal.prover import Harness, Method, assert_holds, assert_refuted, free, mutated, with_names

from shiftwork.hw import fetch
from shiftwork.hw.config import ArrayConfig, ArrayShape
from shiftwork.hw.layouts import descriptor_layout
from shiftwork.hw.window_walker import WindowWalker

SEGMENTS = 2
COUNTS = (("chunk_pad", 3, False), ("groups", 2, False), ("tiles", 3, False))
FIELDS = (*COUNTS, ("segments", 1, False))
ONE_CHUNK = (("chunk_pad", 2, False), ("groups", 0, False), ("tiles", 0, False))
"""Of a network whose layers have one tile and one group each: no counters."""
SEGMENT_FIELDS = (("border", 8, False),)
DEPTH = 3
MUTANT_DEPTH = 16
COVER_DEPTH = 24


class AnyWalker(WindowWalker):
    """In place of a ``WindowWalker``: windows of any length, from one cycle on.

    Parameters:
        config, fields: as the real one's.
        seen: signals of the harness that show what the walker is told, and when its window ends.
    """

    def __init__(
        self, *, config: ArrayConfig, fields: tuple[tuple[str, int, bool], ...], seen: "Seen"
    ):
        self.seen = seen
        super().__init__(config=config, fields=fields)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        active = Signal()
        m.d.comb += self.window_last.eq(active & free(m, 1, "ends"))
        m.d.sync += active.eq(self.begin | (active & ~self.window_last))
        for name, signal in vars(self.seen).items():
            m.d.comb += signal.eq(getattr(self, name))
        return m


class Seen:
    """What passes between the fetch unit and a walker."""

    def __init__(self, index: int) -> None:
        self.begin = Signal(name=f"begin_{index}")
        self.first_group = Signal(name=f"first_group_{index}")
        self.last_group = Signal(name=f"last_group_{index}")
        self.window_last = Signal(name=f"window_last_{index}")


class Chunks(Harness):
    """The fetch unit beside the chunk, the segment and the idle cycle in which it must be.

    Free are the descriptor of each layer, the lengths of all windows, and when a layer starts once
    the last window of the one before has ended. Idle cycles may still follow that window then; the
    descriptor may change in them, and is there a cycle before the start.

    Parameters:
        config: widths; with ``overtakes`` the start may come in such idle cycles.
        overtaken: let it come so, whether or not the hardware is made for it.
        source: the module of the fetch unit.
    """

    def __init__(
        self,
        *,
        config: ArrayConfig,
        overtaken: bool | None = None,
        source: ModuleType | None = None,
    ):
        super().__init__()
        self.config = config
        self.overtaken = config.overtakes if overtaken is None else overtaken
        self.source = source or with_names(fetch)
        self.seen = [Seen(index) for index in range(config.segments)]

    def build(self, m: Module) -> None:
        unused = iter(self.seen)
        self.source.WindowWalker = lambda **given: AnyWalker(**given, seen=next(unused))
        m.submodules.dut = dut = self.source.Fetch(config=self.config)
        self.layer = Signal(descriptor_layout(self.config.fields))
        self.start = free(m, 1, "start")
        m.d.comb += [dut.layer.eq(self.layer), dut.start.eq(self.start)]
        self._add_place(m)
        self._add_environment(m)
        self._add_claims(m)
        if self.inductive:
            self._add_lemmas(m)

    def _add_place(self, m: Module) -> None:
        """Which window is walked, or which idle cycle it is; the layer's end."""
        layer = self.layer
        self.working, self.resting = Signal(), Signal(init=1)
        self.segment = Signal(range(self.config.segments + 1))
        self.idle_left = Signal.like(layer.chunk_pad)
        self.group, self.tile = Signal(4), Signal(4)
        final_group, final_tile = self.group == layer.groups, self.tile == layer.tiles
        self.final = final_group & final_tile
        self.ends = Cat(seen.window_last for seen in self.seen).any()
        self.windows_end = self.ends & (self.segment == self._segments())
        self.rest_begins = self.windows_end & self.final
        self.chunk_end = Mux(
            self.windows_end, layer.chunk_pad == 0, (self.idle_left == 1) & ~self.resting
        )
        self.following = self.chunk_end & ~self.final
        m.d.sync += self.idle_left.eq(Mux(self.idle_left == 0, 0, self.idle_left - 1))
        with m.If(self.ends):
            m.d.sync += self.segment.eq(self.segment + 1)
        with m.If(self.windows_end):
            m.d.sync += [self.working.eq(0), self.idle_left.eq(layer.chunk_pad)]
        with m.If(self.rest_begins):
            m.d.sync += self.resting.eq(1)
        with m.If(self.chunk_end):
            m.d.sync += self.group.eq(Mux(final_group, 0, self.group + 1))
            with m.If(final_group):
                m.d.sync += self.tile.eq(self.tile + 1)
        with m.If(self.following):
            m.d.sync += [self.working.eq(1), self.segment.eq(0)]
        with m.If(self.start):
            m.d.sync += [self.working.eq(1), self.segment.eq(0), self.idle_left.eq(0)]
            m.d.sync += [self.resting.eq(0), self.group.eq(0), self.tile.eq(0)]

    def _segments(self) -> Value | int:
        return self.layer.segments if self.config.segments > 1 else 0

    def _add_environment(self, m: Module) -> None:
        """What the sequencer, the schedule and the walkers guarantee."""
        change = free(m, 1, "change")
        descriptor = free(m, self.layer.shape(), "descriptor")
        changed = Signal()
        young = Signal()
        # A layer with several chunks takes two cycles for each of them.
        single = (self.layer.groups == 0) & (self.layer.tiles == 0)
        with m.If(change):
            m.d.sync += self.layer.eq(descriptor)
        m.d.sync += [changed.eq(change), young.eq(self.start | self.following)]
        m.d.comb += [
            Assume(~(change | self.start) | self.resting),
            Assume(~self.start | ~(change | changed)),
            Assume(~(young & self.windows_end & (self.layer.chunk_pad == 0)) | single),
        ]
        if not self.overtaken:
            m.d.comb += Assume(~self.start | (self.idle_left == 0) | (self.layer.chunk_pad == 0))

    def _add_claims(self, m: Module) -> None:
        """Windows begin in their cycles, and no others; the groups' flags are right when read."""
        late = Signal()
        ended = Signal()
        m.d.sync += [ended.eq(self.ends), late.eq(self.group == self.layer.groups)]
        first, *others = self.seen
        m.d.comb += Assert(first.begin == (self.start | self.following), "a chunk begins")
        for index, (seen, before) in enumerate(zip(others, self.seen, strict=False), start=1):
            m.d.comb += Assert(
                seen.begin == (before.window_last & (self._segments() >= index)),
                "a further segment begins",
            )
        for index, seen in enumerate(self.seen):
            walked = self.working & (self.segment == index)
            m.d.comb += [
                Assert(~seen.window_last | walked, "one window at a time"),
                Assert(~walked | (seen.first_group == (self.group == 0)), "first group"),
                Assert(~ended | (seen.last_group == late), "last group, a cycle late"),
            ]
        again = Signal(2)
        m.d.sync += again.eq(Mux(self.start & ~again.all(), again + 1, again))
        second = self.rest_begins & (again == 2) & (self._segments() == len(self.seen) - 1)
        several = (self.group == min(1, len(self.layer.groups))) & (self.tile == self.group)
        m.d.comb += Cover(second & several & (self.layer.chunk_pad == 1))
        if self.overtaken:
            m.d.comb += Cover(self.start & (self.idle_left == 2) & (self.layer.chunk_pad == 3))

    def _add_lemmas(self, m: Module) -> None:
        pads, more, window_ended = (
            self.probe(f"dut.{name}", 1) for name in ("pads", "more_padding", "window_ended")
        )
        padded, ended = Signal(), Signal()
        m.d.sync += [padded.eq(self.layer.chunk_pad != 0), ended.eq(self.windows_end)]
        padding = pads & (window_ended | more)
        m.d.comb += [
            Assert(pads == padded),
            Assert(window_ended == ended),
            Assert(~padding | (self.idle_left != 0)),
            Assert(self.resting | (padding == (self.idle_left != 0))),
            Assert(self.resting | (self.working == (self.idle_left == 0))),
            Assert(~(self.resting & self.working)),
        ]
        for index in range(self.config.segments):
            active = self.probe(f"dut.walker_{index}.active", 1)
            m.d.comb += Assert(active == (self.working & (self.segment == index)))
        m.d.comb += Assert(~self.working | (self.segment <= self._segments()))
        self._add_counters(m, padding)

    def _add_counters(self, m: Module, padding: Value) -> None:
        """What the loop counters hold; those of groups and tiles step a cycle after the chunk."""
        layer = self.layer
        group, tile = Signal.like(self.group), Signal.like(self.tile)
        follows = Signal()
        m.d.sync += [group.eq(self.group), tile.eq(self.tile), follows.eq(self.following)]
        last_group, last_tile = group == layer.groups, tile == layer.tiles
        inside = (self.group <= layer.groups) & (self.tile <= layer.tiles)
        before = (group <= layer.groups) & (tile <= layer.tiles) & ~(last_group & last_tile)
        stepped = (self.group == Mux(last_group, 0, group + 1)) & (self.tile == tile + last_group)
        m.d.comb += [
            Assert(self.resting | inside),
            Assert(self.resting | self.working | ~self.final),
            Assert(~follows | (self.working & before & stepped)),
            Assert(self.resting | (self.probe("dut.chunk_ended", 1) == follows)),
        ]
        counted = padding | ~self.resting
        padded = padding | (~self.resting & (layer.chunk_pad != 0))
        pads = Mux(self.idle_left != 0, self.idle_left, layer.chunk_pad) - 1
        groups = layer.groups - Mux(follows, group, self.group)
        tiles = layer.tiles - Mux(follows, tile, self.tile)
        self._add_counter(m, "pad", len(layer.chunk_pad), padded, pads)
        self._add_counter(m, "group", len(layer.groups), counted, Mux(self.resting, 0, groups))
        self._add_counter(m, "tile", len(layer.tiles), counted, Mux(self.resting, 0, tiles))

    def _add_counter(self, m: Module, name: str, width: int, counted: Value, left: Value) -> None:
        if width:
            m.d.comb += [
                Assert(~counted | (self.probe(f"dut.{name}.left", width) == left)),
                Assert(~counted | (self.probe(f"dut.{name}.last", 1) == (left == 0))),
            ]


@pytest.fixture
def small(array_config) -> ArrayConfig:
    """Layers of one input and one chunk."""
    shape = ArrayShape(rows=1, columns=4)
    return array_config(shape, fields=ONE_CHUNK, segment_fields=SEGMENT_FIELDS)


@pytest.fixture
def large(small) -> ArrayConfig:
    """Layers of any number of chunks, with two inputs or one."""
    return replace(small, fields=FIELDS, segments=SEGMENTS)


@pytest.mark.parametrize("overtakes", [False, True])
@pytest.mark.parametrize("size", ["small", "large"])
def test_each_window_begins_in_its_cycle(request, size, overtakes):
    config = replace(request.getfixturevalue(size), overtakes=overtakes)
    assert_holds(Chunks(config=config), depth=DEPTH)


@pytest.mark.parametrize("size", ["small", "large"])
def test_layers_follow_each_other(request, size):
    config = replace(request.getfixturevalue(size), overtakes=True)
    assert_holds(Chunks(config=config), depth=COVER_DEPTH, method=Method.COVER)


def test_without_the_option_idle_cycles_must_have_ended(large):
    assert_refuted(Chunks(config=large, overtaken=True), depth=MUTANT_DEPTH)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[more_padding.eq(0), chunk_ended.eq(0)]", "[more_padding.eq(0)]"),
        ("[more_padding.eq(0), chunk_ended.eq(0)]", "[chunk_ended.eq(0)]"),
        ("(window_ended | more_padding)", "window_ended"),
        ("padding & pad.last, window_last", "padding, window_last"),
        ("padding & ~pad.last)", "padding)"),
        ("layer.chunk_pad - 1", "layer.chunk_pad"),
        ("pads.eq(layer.chunk_pad != 0)", "pads.eq(layer.chunk_pad > 1)"),
        ("chunk_ended & group.last", "chunk_ended"),
        ("~(group.last & tile.last)", "~tile.last"),
        ("~(group.last & tile.last)", "~group.last"),
        ("last_group.eq(group.last)", "last_group.eq(group.next_last)"),
        ("(group, layer.groups, chunk_ended)", "(group, layer.groups, chunk_last)"),
        ("first_group.eq(group.last)", "first_group.eq(tile.last)"),
        ("m.d.sync += first_group.eq(1)", "pass"),
        ("(self.layer.segments >= index)", "(self.layer.segments > index)"),
        (".bit_select(self.layer.segments, 1)", "[-1]"),
        ("if index else self.start | more", "if index else more"),
    ],
)
def test_mutants_are_refuted(large, old, new):
    config = replace(large, overtakes=True)
    source = mutated(fetch, old, new)
    assert_refuted(Chunks(config=config, source=source), depth=MUTANT_DEPTH)
