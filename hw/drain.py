"""The drain: from finished sums to bytes in activation memory."""

from collections.abc import Sequence

from amaranth import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from shiftwork.hw import requantizer
from shiftwork.hw.config import ArrayConfig
from shiftwork.hw.layouts import DrainTag, Move, descriptor_layout
from shiftwork.hw.loop_counter import LoopCounter
from shiftwork.hw.requantizer import Requantizer
from shiftwork.hw.rom import Rom

CHUNK_GAP = 1
"""Least number of cycles between the last step of a chunk and the first of the next."""
WRITE_LATENCY = requantizer.LATENCY + 1
"""Enabled cycles from a step to the write request of its word."""
PLANES = 4
"""Bytes of an accumulator."""


class Drain(wiring.Component):
    """Steps through the values of a finished tile, requantizes, packs and writes them.

    A step takes one value a lane; with raw accumulators four steps take its four bytes. Only
    values that exist are visited up to the last row and channel of the tile. Bytes are collected
    to words; a word that cannot be written holds the whole drain.

    Latency: ``WRITE_LATENCY`` enabled cycles from a step to its write request. Flow control:
    ``write_ready`` holds the drain; the schedule guarantees that it is done in time. The first
    ``captured`` must come at least 4 cycles after ``start``.

    Parameters:
        config: the array's configuration.
        parameters: the words of the parameter ROM.

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

    def __init__(self, *, config: ArrayConfig, parameters: Sequence[int]):
        self.config = config
        shape = config.shape
        parameter_bits = config.accumulator_bits + config.shift_bits
        self._rom = Rom(width=shape.lanes * parameter_bits, contents=parameters)
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
        enable, step = Signal(), Signal()
        m.d.comb += enable.eq(~self.write_enable | self.write_ready)
        # A copy of its own: the first value comes much later, and the way to all blocks is long.
        begin = Signal()
        m.d.sync += begin.eq(self.start)
        tag, mask = self._add_counters(m, begin=begin, enable=enable, step=step)
        tags = requantizer.tag_pipeline(m, enable, tag, requantizer.LATENCY)
        masks = _delayed(m, enable, mask, requantizer.LATENCY)
        values = self._add_lanes(m, enable=enable, plane=tags[1].plane)
        self._add_packer(m, begin=begin, enable=enable, tag=tags[-1], mask=masks[-1], values=values)
        return m

    def _add_counters(
        self, m: Module, *, begin: Signal, enable: Signal, step: Signal
    ) -> tuple[data.View, Signal]:
        """Row, channel and byte within a tile; returns the tag and byte mask of the step."""
        layer, shape = self.layer, self.config.shape
        lanes, width = shape.lanes, shape.word_bytes
        active = Signal()
        row = Signal(max(1, ceil_log2(shape.rows)))
        place = Signal(range(max(shape.columns, width) // lanes))
        plane = Signal(2)
        m.submodules.group = group = LoopCounter(width=len(layer.groups))
        m.submodules.tile = tile = LoopCounter(width=len(layer.tiles))
        parameter = Signal.like(self._rom.address)
        group_parameter = Signal.like(self._rom.address)
        last_group, last_tile, last_row, last_place = Signal(), Signal(), Signal(), Signal()
        row_full, value_end, chunk_end = Signal(), Signal(), Signal()
        channels = Signal(range(max(shape.columns, width) + 1))
        full = Mux(layer.pool, width, shape.columns)
        full_place = Mux(layer.pool, width // lanes - 1, shape.columns // lanes - 1)
        final_row, final_place = Signal.like(row), Signal.like(place)
        # Registered, since a chunk never begins in the cycle after the one before.
        m.d.sync += [
            final_row.eq(Mux(last_tile, layer.last_rows, Mux(layer.pool, 0, shape.rows - 1))),
            final_place.eq(Mux(last_group, layer.last_place, full_place)),
            channels.eq(Mux(last_group, layer.last_channels, full)),
        ]
        m.d.comb += [
            step.eq(active & enable),
            group.limit.eq(layer.groups),
            group.start.eq(begin),
            group.step.eq(step & chunk_end),
            tile.limit.eq(layer.tiles),
            tile.start.eq(begin),
            tile.step.eq(step & chunk_end & last_group),
            last_group.eq(group.last),
            last_tile.eq(tile.last),
            last_row.eq(row == final_row),
            last_place.eq(place == final_place),
            row_full.eq(place == full_place),
            value_end.eq(~layer.raw | (plane == PLANES - 1)),
            chunk_end.eq(value_end & last_row & last_place),
            self.shift.eq(step & value_end),
        ]
        with m.If(step):
            m.d.sync += plane.eq(Mux(layer.raw, plane + 1, 0))
            with m.If(value_end):
                m.d.sync += place.eq(place + 1)
                with m.If(~layer.pool):
                    m.d.sync += parameter.eq(parameter + 1)
                with m.If(row_full):
                    m.d.sync += [place.eq(0), row.eq(row + 1), parameter.eq(group_parameter)]
            with m.If(chunk_end):
                m.d.sync += [active.eq(0), place.eq(0), row.eq(0)]
                with m.If(~layer.pool):
                    m.d.sync += [
                        parameter.eq(group_parameter + shape.columns // lanes),
                        group_parameter.eq(group_parameter + shape.columns // lanes),
                    ]
                with m.If(last_group):
                    m.d.sync += [
                        parameter.eq(layer.parameter_base),
                        group_parameter.eq(layer.parameter_base),
                    ]
        with m.If(self.captured):
            m.d.sync += active.eq(1)
        with m.If(begin):
            m.d.sync += [
                parameter.eq(layer.parameter_base),
                group_parameter.eq(layer.parameter_base),
            ]
        m.d.comb += [self._rom.address.eq(parameter), self._rom.enable.eq(enable)]

        exists, word_full = Signal(lanes), Signal()
        m.d.comb += exists.eq(Cat(step & (place * lanes + q < channels) for q in range(lanes)))
        slots = width // lanes
        m.d.comb += word_full.eq(layer.raw | (place % slots == slots - 1) | last_place)
        tag = Signal(DrainTag)
        m.d.comb += [
            tag.emit.eq(exists[0] & word_full),
            tag.layer_end.eq(step & chunk_end & last_group & last_tile),
            tag.plane.eq(plane),
        ]
        with m.If(step & chunk_end):
            m.d.comb += tag.move.eq(Mux(last_group, Move.TILE, Move.GROUP))
        with m.Elif(step & value_end & row_full):
            m.d.comb += tag.move.eq(Move.ROW)
        with m.Elif(tag.emit):
            m.d.comb += tag.move.eq(Mux(value_end, Move.WORD, Move.PLANE))
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
            results.append(lane.byte)
        return Cat(results)

    def _add_packer(
        self,
        m: Module,
        *,
        begin: Signal,
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
        pending, final = Signal(), Signal()
        write_data = Signal(8 * width, reset_less=True)
        write_mask = Signal(width, reset_less=True)
        write_address = Signal(self.config.address_bits, reset_less=True)
        m.d.comb += [
            self.write_enable.eq(pending),
            self.write_data.eq(write_data),
            self.write_mask.eq(write_mask),
            self.write_address.eq(write_address),
            self.done.eq(pending & final & self.write_ready),
        ]
        cursor = self._add_cursor(m, begin=begin, enable=enable, tag=tag)
        with m.If(enable):
            m.d.sync += [pending.eq(tag.emit), final.eq(tag.layer_end)]
            with m.If(tag.emit):
                m.d.sync += [write_address.eq(cursor), slot.eq(0)]
            with m.If(mask.any()):
                with m.If(~tag.emit):
                    m.d.sync += slot.eq(slot + 1)
                with m.If(slot == 0):
                    m.d.sync += write_mask.eq(0)
                with m.Switch(slot):
                    for s in range(slots):
                        with m.Case(s):
                            m.d.sync += [
                                write_data[8 * lanes * s : 8 * lanes * (s + 1)].eq(values),
                                write_mask[lanes * s : lanes * (s + 1)].eq(mask),
                            ]

    def _add_cursor(self, m: Module, *, begin: Signal, enable: Signal, tag: data.View) -> Signal:
        """Address of the next word; walks words, rows, groups and tiles with the tags."""
        layer, shape = self.layer, self.config.shape
        bits = self.config.address_bits
        cursor, value = Signal(bits), Signal(bits)
        row, group, tile = Signal(bits), Signal(bits), Signal(bits)
        target = Signal(bits)
        next_word, next_plane = Signal(bits), Signal(bits)
        next_row, next_group, next_tile = Signal(bits), Signal(bits), Signal(bits)
        m.d.comb += [
            next_word.eq(value + Mux(layer.raw, shape.lanes, shape.word_bytes)),
            next_plane.eq(cursor + layer.plane_step),
            next_row.eq(row + layer.pixel_step),
            next_group.eq(group + Mux(layer.pool, shape.word_bytes, shape.columns)),
            next_tile.eq(tile + layer.tile_step),
        ]
        with m.Switch(tag.move):
            for move, address in (
                (Move.PLANE, next_plane),
                (Move.WORD, next_word),
                (Move.ROW, next_row),
                (Move.GROUP, next_group),
                (Move.TILE, next_tile),
            ):
                with m.Case(move):
                    m.d.comb += target.eq(address)
        for register, least in (
            (cursor, Move.PLANE),
            (value, Move.WORD),
            (row, Move.ROW),
            (group, Move.GROUP),
            (tile, Move.TILE),
        ):
            with m.If(begin):
                m.d.sync += register.eq(self.origin)
            with m.Elif(enable & (tag.move >= least)):
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
