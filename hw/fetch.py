"""The fetch unit: feeds the rows of the array, chunk after chunk."""

from itertools import pairwise

from amaranth import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from shiftwork.hw import rom, window_walker
from shiftwork.hw.activation_memory import READ_LATENCY
from shiftwork.hw.config import ArrayConfig
from shiftwork.hw.layouts import descriptor_layout, fetch_token_layout
from shiftwork.hw.loop_counter import LoopCounter
from shiftwork.hw.window_walker import ADDRESS_STAGES, WindowWalker

ROW_LATENCY = ADDRESS_STAGES + READ_LATENCY + 1
"""Cycles from a turn to the word in the row's register."""
TOKEN_LATENCY = ROW_LATENCY - 1 - rom.LATENCY
"""Cycles from a turn to its token: the weight's way to the multiplier is that much longer."""


class Fetch(wiring.Component):
    """Walks tiles and channel groups; for each, a chunk, the windows of the layer's segments.

    A segment is one input of the layer's dot product: its own feature map, and what is added to it
    before the requantization. Each has a walker of its own; they take turns, and after the last
    one the chunk may have idle cycles. Bytes outside the feature map are replaced by the segment's
    border value.

    Latency: ``ROW_LATENCY`` cycles from a turn to the row's register, ``TOKEN_LATENCY`` to its
    token. Flow control: ``start`` begins a layer; nothing stalls until its end.

    Parameters:
        config: the array's configuration.

    Members:
        layer: the layer's descriptor, stable from ``start`` to the end of the layer.
        segments: the segments' descriptors.
        origins: for each segment the address of its first window, the input buffer's offset
            included.
        start: begin a layer.
        read_enable, read_address, read_data: to the activation memory.
        token: of the byte that stands in row 0 ``ROW_LATENCY - TOKEN_LATENCY`` cycles later.
        rows: for each row its current byte.
        word: the last word that row 0 fetched, for depthwise layers and pooling.
    """

    def __init__(self, *, config: ArrayConfig):
        self.config = config
        self._token = fetch_token_layout(scaled=config.scaled)
        shape = config.shape
        super().__init__(
            {
                "layer": In(descriptor_layout(config.fields)),
                "segments": In(descriptor_layout(config.segment_fields)).array(config.segments),
                "origins": In(config.address_bits).array(config.segments),
                "start": In(1),
                "read_enable": Out(1),
                "read_address": Out(config.address_bits),
                "read_data": In(8 * shape.word_bytes),
                "token": Out(self._token),
                "rows": Out(signed(8)).array(shape.rows),
                "word": Out(8 * shape.word_bytes),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        walkers = [
            WindowWalker(config=self.config, fields=self.config.segment_fields)
            for _ in range(self.config.segments)
        ]
        for index, walker in enumerate(walkers):
            m.submodules[f"walker_{index}"] = walker
            m.d.comb += [
                walker.segment.eq(self.segments[index]),
                walker.origin.eq(self.origins[index]),
                walker.start.eq(self.start),
            ]
        self._add_chunks(m, walkers)
        self._add_token(m, walkers)
        self._add_rows(m, walkers)
        return m

    def _add_chunks(self, m: Module, walkers: list[WindowWalker]) -> None:
        """Segments, idle cycles, groups and tiles."""
        layer = self.layer
        counters = {
            name: LoopCounter(width=len(limit))
            for name, limit in (
                ("pad", layer.chunk_pad),
                ("group", layer.groups),
                ("tile", layer.tiles),
            )
        }
        pad, group, tile = counters["pad"], counters["group"], counters["tile"]
        padding = Signal()
        more_padding = Signal()
        pads = Signal()
        first_group = Signal()
        window_last = Signal()
        window_ended = Signal()
        chunk_last = Signal()
        m.d.comb += [
            window_last.eq(self._last_of(walkers)),
            padding.eq(pads & (window_ended | more_padding)),
            chunk_last.eq(Mux(pads, padding & pad.last, window_last)),
        ]
        m.d.sync += [
            pads.eq(layer.chunk_pad != 0),
            window_ended.eq(window_last),
            more_padding.eq(padding & ~pad.last),
        ]
        # A chunk that others follow takes two cycles at least: its loops may step a cycle later.
        chunk_ended = Signal()
        m.d.sync += chunk_ended.eq(chunk_last)
        if self.config.overtakes:
            # Idle cycles of the layer before must not end a chunk of this one.
            with m.If(self.start):
                m.d.sync += [more_padding.eq(0), chunk_ended.eq(0)]
        for counter, limit, step in (
            (pad, layer.chunk_pad - 1, padding),
            (group, layer.groups, chunk_ended),
            (tile, layer.tiles, chunk_ended & group.last),
        ):
            m.d.comb += [
                counter.limit.eq(limit),
                counter.step.eq(step),
                counter.start.eq(self.start),
            ]
        for name, counter in counters.items():
            m.submodules[name] = counter
        with m.If(chunk_last):
            m.d.sync += first_group.eq(group.last)
        with m.If(self.start):
            m.d.sync += first_group.eq(1)
        more = chunk_last & ~(group.last & tile.last)
        for index, walker in enumerate(walkers):
            m.d.comb += [
                walker.first_group.eq(first_group),
                walker.last_group.eq(group.last),
                walker.begin.eq(self._begin(walkers, index) if index else self.start | more),
            ]

    def _begin(self, walkers: list[WindowWalker], index: int) -> Value:
        """A further segment follows the one before it, if the layer has it."""
        return walkers[index - 1].window_last & (self.layer.segments >= index)

    def _last_of(self, walkers: list[WindowWalker]) -> Value:
        """The last cycle of the layer's last segment."""
        if len(walkers) == 1:
            return walkers[0].window_last
        return Cat(walker.window_last for walker in walkers).bit_select(self.layer.segments, 1)

    def _add_token(self, m: Module, walkers: list[WindowWalker]) -> None:
        merged = Signal(self._token)
        m.d.comb += merged.eq(walkers[0].token)
        for index, walker in enumerate(walkers):
            final = 1 if len(walkers) == 1 else self.layer.segments == index
            with m.If(walker.token.valid):
                m.d.comb += [
                    merged.eq(walker.token),
                    merged.last.eq(walker.token.last & final),
                ]
                if index:
                    m.d.comb += [merged.first.eq(0), merged.start.eq(0)]
        depth = TOKEN_LATENCY - window_walker.TOKEN_STAGES
        stages = [merged] + [Signal(self._token, name=f"token_{i}") for i in range(depth)]
        for before, after in pairwise(stages):
            m.d.sync += after.eq(before)
        m.d.comb += self.token.eq(stages[-1])

    def _add_rows(self, m: Module, walkers: list[WindowWalker]) -> None:
        """Reads, replaces what is outside, and loads the row's register."""
        width = self.config.shape.word_bytes
        request = {
            name: Signal.like(getattr(walkers[0], name), name=f"request_{name}")
            for name in ("valid", "row", "address", "inside")
        }
        border = Signal(8)
        m.d.comb += [signal.eq(getattr(walkers[0], name)) for name, signal in request.items()]
        m.d.comb += border.eq(self.segments[0].border)
        for walker, segment in zip(walkers[1:], list(self.segments)[1:], strict=True):
            with m.If(walker.valid):
                m.d.comb += [signal.eq(getattr(walker, name)) for name, signal in request.items()]
                m.d.comb += border.eq(segment.border)
        m.d.comb += [
            self.read_enable.eq(request["valid"]),
            self.read_address.eq(request["address"]),
        ]
        arrived = [request["valid"], request["row"], request["inside"]]
        if len(walkers) > 1:
            arrived.append(border)
        for stage in range(READ_LATENCY):
            delayed = [Signal.like(signal, name=f"{signal.name}_{stage}") for signal in arrived]
            m.d.sync += [after.eq(before) for before, after in zip(arrived, delayed, strict=True)]
            arrived = delayed
        valid, row, inside = arrived[:3]
        outside = arrived[3] if len(walkers) > 1 else border
        masked = Cat(
            Mux(inside[i], self.read_data.word_select(i, 8), outside) for i in range(width)
        )
        for r in range(self.config.shape.rows):
            word = Signal(8 * width, name=f"word_{r}", reset_less=True)
            m.d.sync += word.eq(word[8:])
            with m.If(valid & (row == r)):
                m.d.sync += word.eq(masked)
            m.d.comb += self.rows[r].eq(word[:8].as_signed())
            if r == 0:
                m.d.comb += self.word.eq(word)
