"""The drain: from finished sums to bytes in activation memory."""

import functools
import operator
from collections.abc import Sequence
from dataclasses import dataclass

from amaranth import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from shiftwork.hw import activation_table, requantizer, rom
from shiftwork.hw.activation_table import ActivationTable
from shiftwork.hw.config import ArrayConfig
from shiftwork.hw.layouts import DrainTag, Move, descriptor_layout
from shiftwork.hw.loop_counter import LoopCounter
from shiftwork.hw.requantizer import Requantizer
from shiftwork.hw.rom import Rom

CHUNK_GAP = 1
"""Least number of cycles between the last step of a chunk and the first of the next."""
WRITE_LATENCY = requantizer.LATENCY + 1
"""Enabled cycles from a step to the write request of its word, in a network without tables."""
PLANES = 4
"""Bytes of an accumulator."""
WIDE_PLANES = 2
"""Bytes of a value of 16 bits."""


def write_latency(config: ArrayConfig) -> int:
    """Enabled cycles from a step to the write request of its word."""
    return WRITE_LATENCY + (activation_table.LATENCY if config.tables else 0)


@dataclass(frozen=True)
class _Position:
    """A value of a tile: its place among the columns of a lane, and its byte.

    The counters know where rows, channels and lines of columns end, from ``captured`` on;
    ``value_end`` whether the byte is the value's last.
    """

    place: Signal
    plane: Signal
    value_end: Signal
    channels: Signal
    full_place: LoopCounter
    last_place: LoopCounter
    last_row: LoopCounter


class Drain(wiring.Component):
    """Steps through the values of a finished tile, requantizes, packs and writes them.

    A step takes one value a lane; with raw accumulators four steps take its four bytes, and with
    values of 16 bits two. Only
    values that exist are visited up to the last row and channel of the tile. Bytes are collected
    to words; a word that cannot be written holds the whole drain. With a single memory port, one
    more word can wait before that happens.

    Latency: ``write_latency(config)`` enabled cycles from a step to its write request, and one more
    cycle with a single memory port. Flow control:
    ``write_ready`` holds the drain; the schedule guarantees that it is done in time. The first
    ``captured`` must come at least 4 cycles after ``start``.

    Parameters:
        config: the array's configuration.
        parameters: the words of the parameter ROM.
        tables: the bytes of all tables, ``config.tables`` times 256.

    Members:
        layer: the layer's descriptor.
        origin: address of the layer's output.
        start: begin a layer.
        captured: the sums of a tile and group are complete from the next cycle on.
        sums: the values of the next step, one for each lane.
        shift: move the drain chains to the next values.
        write_enable, write_address, write_data, write_mask, write_ready: to activation memory.
        done: the layer's last word is written in this cycle.
    """

    def __init__(
        self, *, config: ArrayConfig, parameters: Sequence[int], tables: Sequence[int] = ()
    ):
        self.config = config
        self.tables = tuple(tables)
        shape = config.shape
        parameter_bits = config.accumulator_bits + config.shift_bits
        self._rom = Rom(
            width=shape.lanes * parameter_bits, contents=parameters, family=shape.family
        )
        super().__init__(
            {
                "layer": In(descriptor_layout(config.fields)),
                "origin": In(config.address_bits),
                "start": In(1),
                "captured": In(1),
                "sums": In(signed(config.accumulator_bits)).array(shape.lanes),
                "shift": Out(1),
                "write_enable": Out(1),
                "write_address": Out(config.address_bits),
                "write_data": Out(8 * shape.word_bytes),
                "write_mask": Out(shape.word_bytes),
                "write_ready": In(1),
                "done": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        enable = Signal()
        step = Signal()
        # A copy of its own: the first value comes much later, and the way to all blocks is long.
        begin = Signal()
        m.d.sync += begin.eq(self.start)
        tag, mask = self._add_counters(m, begin=begin, enable=enable, step=step)
        depth = write_latency(self.config) - 1
        tags = requantizer.tag_pipeline(m, enable, tag, depth)
        masks = _delayed(m, enable, mask, depth)
        values = self._add_lanes(m, enable=enable, plane=tags[rom.LATENCY].plane)
        cursor = self._add_cursor(m, begin=begin, enable=enable, before=tags[-2])
        self._add_packer(
            m, cursor=cursor, enable=enable, tag=tags[-1], mask=masks[-1], values=values
        )
        return m

    def _add_counters(
        self, m: Module, *, begin: Signal, enable: Signal, step: Signal
    ) -> tuple[data.View, Signal]:
        """Row, channel and byte within a tile; returns the tag and byte mask of the step."""
        active = Signal()
        counters = self._add_loops(m, begin=begin)
        group, tile, line = counters
        at = self._add_position(m, group=group, tile=tile)
        # Kept as signals: synthesis would else mix them into the logic of every counter.
        chunk_end = Signal(attrs={"keep": 1})
        chunk_step = Signal(attrs={"keep": 1})
        # A cycle late: nothing asks for it before the next chunk.
        line_ended = Signal()
        m.d.sync += line_ended.eq(chunk_step & group.last & tile.last)
        m.d.comb += [
            step.eq(active & enable),
            chunk_end.eq(at.value_end & at.last_row.last & at.last_place.last),
            chunk_step.eq(step & chunk_end),
            group.step.eq(chunk_step),
            tile.step.eq(chunk_step & group.last),
            line.step.eq(line_ended),
            self.shift.eq(step & at.value_end),
        ]
        planar = self._planar
        with m.If(step):
            m.d.sync += [
                at.plane.eq(self._next_plane(at.plane)),
                at.value_end.eq(~planar | self._before_last(at.plane)),
            ]
            with m.If(at.value_end):
                m.d.sync += at.place.eq(Mux(at.full_place.last, 0, at.place + 1))
            with m.If(chunk_end):
                m.d.sync += active.eq(0)
        with m.If(self.captured):
            m.d.sync += [active.eq(1), at.place.eq(0), at.value_end.eq(~planar)]
        value = step & at.value_end
        for counter, start, counted in (
            (at.full_place, 0, 1),
            (at.last_place, value & at.full_place.last, 1),
            (at.last_row, 0, at.full_place.last),
        ):
            m.d.comb += [
                counter.start.eq(self.captured | start),
                counter.step.eq(value & counted),
            ]
        self._add_parameters(
            m,
            begin=begin,
            enable=enable,
            next_value=value,
            row_end=at.full_place.last,
            chunk_step=chunk_step,
            tile_end=group.last,
        )
        return self._tag(
            m,
            at,
            active=active,
            chunk_end=chunk_end,
            tile_end=group.last,
            line_end=tile.last,
            layer_end=group.last & tile.last & line.last,
        )

    @property
    def _planar(self) -> Value:
        """Whether the bytes of a value lie in planes, and take a step each."""
        return self.layer.raw | self.layer.wide if self.config.output_bits > 8 else self.layer.raw

    def _next_plane(self, plane: Signal) -> Value:
        """The plane of the next step; the last one of a value is followed by the first."""
        following = Mux(self.layer.raw, plane + 1, 0)
        if self.config.output_bits == 8:
            return following
        return Mux(self.layer.wide, ~plane[0], following)

    def _before_last(self, plane: Signal) -> Value:
        """Whether only the value's last plane follows."""
        found = plane == PLANES - 2
        if self.config.output_bits == 8:
            return found
        return Mux(self.layer.wide, plane == WIDE_PLANES - 2, found)

    def _add_loops(self, m: Module, *, begin: Signal) -> list[LoopCounter]:
        """Groups, tiles of a line of tiles, and lines of tiles."""
        layer = self.layer
        counters = []
        for name, limit in (
            ("group", layer.groups),
            ("tile", layer.line_tiles),
            ("line", layer.tile_lines),
        ):
            counter = LoopCounter(width=len(limit))
            m.submodules[name] = counter
            m.d.comb += [counter.limit.eq(limit), counter.start.eq(begin)]
            counters.append(counter)
        return counters

    def _add_position(self, m: Module, *, group: LoopCounter, tile: LoopCounter) -> "_Position":
        """Where in the tile the drain stands, and what the last of it is."""
        layer, shape = self.layer, self.config.shape
        lanes, width = shape.lanes, shape.word_bytes
        places = max(shape.columns, width) // lanes
        place = Signal(range(places))
        row = Signal(range(shape.rows))
        full = Mux(layer.pool, width, shape.columns)
        full_place = Mux(layer.pool, width // lanes - 1, shape.columns // lanes - 1)
        counters = {name: LoopCounter(width=len(place)) for name in ("full_place", "last_place")}
        counters["last_row"] = LoopCounter(width=len(row))
        for name, limit in (
            ("full_place", full_place),
            ("last_place", Mux(group.last, layer.last_place, full_place)),
            ("last_row", Mux(tile.last, layer.last_rows, Mux(layer.pool, 0, shape.rows - 1))),
        ):
            m.submodules[name] = counters[name]
            m.d.comb += counters[name].limit.eq(limit)
        at = _Position(
            place=place,
            plane=Signal(2),
            value_end=Signal(),
            channels=Signal(range(max(shape.columns, width) + 1)),
            **counters,
        )
        # Registered, since a chunk never begins in the cycle after the one before.
        m.d.sync += at.channels.eq(Mux(group.last, layer.last_channels, full))
        return at

    def _add_parameters(
        self,
        m: Module,
        *,
        begin: Signal,
        enable: Signal,
        next_value: Value,
        row_end: Value,
        chunk_step: Value,
        tile_end: Value,
    ) -> None:
        """The address of bias and shift; pooling has one pair for all channels."""
        layer, shape = self.layer, self.config.shape
        group_words = shape.columns // shape.lanes
        parameter = Signal.like(self._rom.address, reset_less=True)
        group_parameter = Signal.like(self._rom.address, reset_less=True)
        # A cycle late, which the gap between chunks allows: few levels of logic.
        chunk_ended = Signal()
        tile_ended = Signal()
        m.d.sync += [chunk_ended.eq(chunk_step & ~layer.pool), tile_ended.eq(tile_end)]
        following = Signal.like(parameter)
        m.d.comb += following.eq(
            Mux(tile_ended, layer.parameter_base, group_parameter + group_words)
        )
        with m.If(next_value & ~layer.pool):
            m.d.sync += parameter.eq(Mux(row_end, group_parameter, parameter + 1))
        with m.If(chunk_ended):
            m.d.sync += [parameter.eq(following), group_parameter.eq(following)]
        with m.If(begin):
            m.d.sync += [
                parameter.eq(layer.parameter_base),
                group_parameter.eq(layer.parameter_base),
            ]
        m.d.comb += [self._rom.address.eq(parameter), self._rom.enable.eq(enable)]

    def _tag(
        self,
        m: Module,
        at: "_Position",
        *,
        active: Value,
        chunk_end: Value,
        tile_end: Value,
        line_end: Value,
        layer_end: Value,
    ) -> tuple[data.View, Signal]:
        """What the step's bytes need to find their place, and which of them exist.

        Both count in enabled cycles only, when ``active`` means a step.
        """
        shape = self.config.shape
        lanes, slots = shape.lanes, shape.word_bytes // shape.lanes
        exists = Signal(lanes)
        word_full = Signal()
        tag = Signal(DrainTag)
        m.d.comb += [
            exists.eq(Cat(active & (at.place * lanes + q < at.channels) for q in range(lanes))),
            word_full.eq(self._planar | (at.place % slots == slots - 1) | at.last_place.last),
            tag.emit.eq(exists[0] & word_full),
            tag.layer_end.eq(active & chunk_end & layer_end),
            tag.line_end.eq(line_end),
            tag.plane.eq(at.plane),
        ]
        with m.If(active & chunk_end):
            m.d.comb += tag.move.eq(Mux(tile_end, Move.TILE, Move.GROUP))
        with m.Elif(active & at.value_end & at.full_place.last):
            m.d.comb += tag.move.eq(Move.ROW)
        with m.Elif(tag.emit):
            m.d.comb += tag.move.eq(Mux(at.value_end, Move.WORD, Move.PLANE))
        return tag, exists

    def _add_lanes(self, m: Module, *, enable: Signal, plane: Value) -> Value:
        """A requantizer for each lane; returns the bytes of a step."""
        layer, bits = self.layer, self.config.accumulator_bits
        m.submodules.parameter_rom = self._rom
        results = []
        for q in range(self.config.shape.lanes):
            m.submodules[f"requantizer_{q}"] = lane = Requantizer(config=self.config)
            word = self._rom.data.word_select(q, bits + self.config.shift_bits)
            m.d.comb += [
                lane.enable.eq(enable),
                lane.sum.eq(self.sums[q]),
                lane.bias.eq(word[:bits].as_signed()),
                lane.shift.eq(word[bits:]),
                lane.plane.eq(plane),
                lane.lo.eq(layer.lo),
                lane.hi.eq(layer.hi),
                lane.raw.eq(layer.raw),
                lane.flip.eq(layer.flip),
            ]
            if self.config.output_bits > 8:
                m.d.comb += lane.wide.eq(layer.wide)
            results.append(self._add_table(m, q, enable, lane.byte))
        return Cat(results)

    def _add_table(self, m: Module, q: int, enable: Signal, byte: Signal) -> Signal:
        """The byte of lane ``q`` behind its table, if the network has any."""
        if not self.config.tables:
            return byte
        m.submodules[f"table_{q}"] = table = ActivationTable(
            contents=self.tables, family=self.config.shape.family
        )
        m.d.comb += [
            table.enable.eq(enable),
            table.used.eq(self.layer.table_used),
            table.number.eq(self.layer.table_number),
            table.index.eq(byte),
        ]
        return table.byte

    def _add_packer(
        self,
        m: Module,
        *,
        cursor: Signal,
        enable: Signal,
        tag: data.View,
        mask: Value,
        values: Value,
    ) -> None:
        """Collects the lanes' bytes to words and addresses them."""
        shape = self.config.shape
        lanes, width = shape.lanes, shape.word_bytes
        slots = width // lanes
        slot = Signal(range(slots))
        pending = Signal(self._request_layout(), reset_less=True)
        complete = Signal()
        self._add_request(m, enable=enable, emit=tag.emit, complete=complete, pending=pending)
        with m.If(enable):
            m.d.sync += complete.eq(tag.emit)
            m.d.sync += pending.final.eq(tag.layer_end)
            with m.If(tag.emit):
                m.d.sync += [pending.address.eq(cursor), slot.eq(0)]
            with m.If(mask.any()):
                with m.If(~tag.emit):
                    m.d.sync += slot.eq(slot + 1)
                with m.If(slot == 0):
                    m.d.sync += pending.mask.eq(0)
                for s in range(slots):
                    # A comparison: no case of a switch on a signal of no bits becomes Verilog.
                    with m.If(slot == s):
                        m.d.sync += [
                            pending.data[8 * lanes * s : 8 * lanes * (s + 1)].eq(values),
                            pending.mask[lanes * s : lanes * (s + 1)].eq(mask),
                        ]

    def _request_layout(self) -> data.StructLayout:
        """A word on its way to memory."""
        width = self.config.shape.word_bytes
        return data.StructLayout(
            {"data": 8 * width, "mask": width, "address": self.config.address_bits, "final": 1}
        )

    def _add_request(
        self, m: Module, *, enable: Signal, emit: Value, complete: Signal, pending: data.View
    ) -> None:
        """The write request. A single port is often taken: a word may wait outside of the drain."""
        request, waiting = pending, complete
        if self.config.shape.single_port:
            request = Signal(self._request_layout(), reset_less=True)
            waiting = Signal()
            # Known a cycle ahead, as all of the drain hangs on it: not while two words are ready.
            going = Signal(init=1)
            stays = complete | (waiting & ~self.write_ready)
            m.d.sync += going.eq(Mux(going, ~(emit & stays), self.write_ready))
            m.d.comb += enable.eq(going)
            with m.If(~waiting | self.write_ready):
                m.d.sync += [waiting.eq(complete), request.eq(pending)]
                with m.If(~enable):
                    m.d.sync += complete.eq(0)
        else:
            m.d.comb += enable.eq(~complete | self.write_ready)
        m.d.comb += [
            self.write_enable.eq(waiting),
            self.write_data.eq(request.data),
            self.write_mask.eq(request.mask),
            self.write_address.eq(request.address),
            self.done.eq(waiting & request.final & self.write_ready),
        ]

    def _add_cursor(self, m: Module, *, begin: Signal, enable: Signal, before: data.View) -> Signal:
        """Address of the next word; walks words, rows, groups and tiles with the tags.

        Args:
            before: the tag an enabled cycle before its word is addressed: all that selects and
                enables is registered, so that no logic stands before the additions.
        """
        layer, shape = self.layer, self.config.shape
        bits = self.config.address_bits
        cursor, value, row, group, tile = (
            Signal(bits, name=name, reset_less=True)
            for name in ("cursor", "value", "row", "group", "tile")
        )
        tile_step = Signal(bits)
        word_step = Signal(bits)
        group_step = Signal(bits)
        m.d.sync += [
            word_step.eq(Mux(self._planar, shape.lanes, shape.word_bytes)),
            group_step.eq(Mux(layer.pool, shape.word_bytes, shape.columns)),
        ]
        with m.If(enable):
            m.d.sync += tile_step.eq(Mux(before.line_end, layer.line_end_step, layer.tile_step))
        following = {
            Move.PLANE: cursor + layer.plane_step,
            Move.WORD: value + word_step,
            Move.ROW: row + layer.pixel_step,
            Move.GROUP: group + group_step,
            Move.TILE: tile + tile_step,
        }
        moves = {move: Signal(name=f"moves_{move.name.lower()}") for move in following}
        ends = {move: Signal(name=f"ends_{move.name.lower()}") for move in following}
        with m.If(enable):
            for move in following:
                m.d.sync += [
                    moves[move].eq(before.move == move),
                    ends[move].eq(before.move >= move),
                ]
        target = Signal(bits)
        # A layer begins when nothing moves.
        picked = [Mux(begin, self.origin, 0), *(Mux(moves[k], following[k], 0) for k in following)]
        m.d.comb += target.eq(functools.reduce(operator.or_, picked))
        for register, least in (
            (cursor, Move.PLANE),
            (value, Move.WORD),
            (row, Move.ROW),
            (group, Move.GROUP),
            (tile, Move.TILE),
        ):
            with m.If(begin | (enable & ends[least])):
                m.d.sync += register.eq(target)
        return cursor


def _delayed(m: Module, enable: Signal, value: Signal, depth: int) -> list[Signal]:
    """``value`` delayed by 1 to ``depth`` enabled cycles."""
    stages: list[Signal] = []
    for index in range(depth):
        stage = Signal.like(value, name=f"mask_{index + 1}")
        with m.If(enable):
            m.d.sync += stage.eq(stages[-1] if stages else value)
        stages.append(stage)
    return stages
