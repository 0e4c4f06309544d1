"""The fetch unit: walks a layer's windows and feeds the rows of the array."""

from dataclasses import dataclass, fields
from itertools import pairwise

from amaranth import Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2, exact_log2

from shiftwork.hw.activation_memory import READ_LATENCY
from shiftwork.hw.config import ArrayConfig
from shiftwork.hw.layouts import FetchToken, descriptor_layout
from shiftwork.hw.loop_counter import LoopCounter

ADDRESS_STAGES = 3
ROW_LATENCY = ADDRESS_STAGES + READ_LATENCY + 1
"""Cycles from a turn to the word in the row's register."""
TOKEN_LATENCY = ROW_LATENCY - 2
"""Cycles from a turn to its token: the weight's way to the operand register is two longer."""


@dataclass(frozen=True)
class _Loops:
    """Where the fetch unit stands: in which loops this cycle is the last."""

    active: Value
    last_word: Value
    turn_last: Signal
    run_last: Signal
    line_last: Signal
    window_last: Signal
    chunk_last: Signal
    last_run: Value
    last_group: Value

    def registered(self, m: Module) -> "_Loops":
        """The same, a cycle later."""
        late = {field.name: Signal(name=f"late_{field.name}") for field in fields(self)}
        m.d.sync += [signal.eq(getattr(self, name)) for name, signal in late.items()]
        return _Loops(**late)


class Fetch(wiring.Component):
    """Walks tiles, channel groups, kernel lines and runs; one memory word a turn.

    A run is a contiguous piece of a window: ``kw * c_in`` bytes, or ``c_in`` where the window is
    dilated. The rows of the array take turns to fetch a word of their own pixel's run, and the
    turn is the skew that the array needs. A word lasts as many cycles as it has bytes, but no
    fewer than there are rows. Bytes outside the feature map are replaced by the border value.
    For pooling only row 0 fetches, one word of neighbouring channels a cycle.

    Latency: ``ROW_LATENCY`` cycles from a turn to the row's register, ``TOKEN_LATENCY`` to its
    token. Flow control: ``start`` begins a layer, ``done`` is high with its last cycle; nothing
    stalls in between.

    Parameters:
        config: the array's configuration.

    Members:
        layer: the layer's descriptor, stable from ``start`` to the end of the layer.
        origin: address of the first window, the input buffer's offset included.
        start, done: begin and end of a layer's turns.
        read_enable, read_address, read_data: to the activation memory.
        token: of the byte that stands in row 0 two cycles later.
        rows: for each row its current byte.
        word: the last word that row 0 fetched, for pooling.
    """

    def __init__(self, *, config: ArrayConfig):
        self.config = config
        shape = config.shape
        self._turn = Signal(ceil_log2(shape.full_word_cycles + 1), name="turn")
        super().__init__(
            {
                "layer": In(descriptor_layout(config.fields)),
                "origin": In(config.address_bits),
                "start": In(1),
                "done": Out(1),
                "read_enable": Out(1),
                "read_address": Out(config.address_bits),
                "read_data": In(8 * shape.word_bytes),
                "token": Out(FetchToken),
                "rows": Out(signed(8)).array(shape.rows),
                "word": Out(8 * shape.word_bytes),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        layer, shape = self.layer, self.config.shape
        first_group = Signal()
        fresh = Signal()
        loops = self._add_loops(m)
        with m.If(loops.turn_last):
            m.d.sync += fresh.eq(0)
        with m.If(loops.chunk_last):
            m.d.sync += [fresh.eq(1), first_group.eq(loops.last_group)]
        with m.If(self.start):
            m.d.sync += [fresh.eq(1), first_group.eq(1)]

        turn, issue = self._turn, Signal()
        word_bytes = Signal(range(shape.word_bytes + 1))
        m.d.comb += [
            issue.eq(loops.active & Mux(layer.pool, turn == 0, turn < shape.rows)),
            word_bytes.eq(Mux(loops.last_word, layer.last_bytes, shape.word_bytes)),
        ]
        first = Signal()
        m.d.comb += first.eq(fresh & (turn == 0))
        self._add_token(
            m,
            valid=loops.active & (turn < word_bytes),
            first=first,
            start=first & first_group,
            last=loops.last_word & loops.last_run & (turn == word_bytes - 1),
        )
        # The loops' decisions reach the addresses through registers: both are long paths.
        late = loops.registered(m)
        begin, late_issue, generate = Signal(), Signal(), Signal()
        late_turn = Signal.like(turn)
        m.d.sync += [
            begin.eq(self.start),
            late_issue.eq(issue),
            late_turn.eq(turn),
            generate.eq(fresh & first_group),
        ]
        window = self._add_window(m, late, begin=begin)
        pixel = self._add_pixels(m, begin=begin, issue=late_issue, generate=generate)
        self._add_address(m, issue=late_issue, turn=late_turn, window=window, pixel=pixel)
        return m

    def _position_layout(self) -> data.StructLayout:
        """A window's place: address of its line, byte position in the line, line number."""
        return data.StructLayout(
            {
                "line": unsigned(self.config.address_bits),
                "x": signed(self.config.x_bits),
                "y": signed(self.config.y_bits),
            }
        )

    def _add_loops(self, m: Module) -> "_Loops":
        """The nested loops, innermost first, and the idle cycles at the end of a chunk."""
        layer = self.layer
        active, padding, pads = Signal(), Signal(), Signal()
        counters = {
            name: LoopCounter(width=len(limit))
            for name, limit in (
                ("word", layer.run_words),
                ("run_x", layer.runs_x),
                ("run_y", layer.runs_y),
                ("pad", layer.chunk_pad),
                ("group", layer.groups),
                ("tile", layer.tiles),
            )
        }
        for name, counter in counters.items():
            m.submodules[name] = counter
            m.d.comb += counter.start.eq(self.start)
        word, run_x, run_y = counters["word"], counters["run_x"], counters["run_y"]
        pad, group, tile = counters["pad"], counters["group"], counters["tile"]
        turn_last = self._add_turn(m, active=active, word=word)
        loops = _Loops(
            active=active,
            last_word=word.last,
            turn_last=Signal(),
            run_last=Signal(),
            line_last=Signal(),
            window_last=Signal(),
            chunk_last=Signal(),
            last_run=run_x.last & run_y.last,
            last_group=group.last,
        )
        m.d.sync += pads.eq(layer.chunk_pad != 0)
        m.d.comb += [
            loops.turn_last.eq(turn_last & active),
            loops.run_last.eq(loops.turn_last & word.last),
            loops.line_last.eq(loops.run_last & run_x.last),
            loops.window_last.eq(loops.line_last & run_y.last),
            loops.chunk_last.eq((padding & pad.last) | (loops.window_last & ~pads)),
            self.done.eq(loops.chunk_last & group.last & tile.last),
            word.limit.eq(layer.run_words),
            word.step.eq(loops.turn_last),
            run_x.limit.eq(layer.runs_x),
            run_x.step.eq(loops.run_last),
            run_y.limit.eq(layer.runs_y),
            run_y.step.eq(loops.line_last),
            pad.limit.eq(layer.chunk_pad - 1),
            pad.step.eq(padding),
            group.limit.eq(layer.groups),
            group.step.eq(loops.chunk_last),
            tile.limit.eq(layer.tiles),
            tile.step.eq(loops.chunk_last & group.last),
        ]
        with m.If(loops.window_last):
            m.d.sync += [active.eq(~pads), padding.eq(pads)]
        with m.If(loops.chunk_last):
            m.d.sync += [active.eq(1), padding.eq(0)]
        with m.If(self.done):
            m.d.sync += active.eq(0)
        with m.If(self.start):
            m.d.sync += active.eq(1)
        return loops

    def _add_turn(self, m: Module, *, active: Value, word: LoopCounter) -> Signal:
        """Counts the turns of a word; returns whether this one is its last."""
        layer, full = self.layer, self.config.shape.full_word_cycles
        last = Signal()
        next_turn = Signal.like(self._turn)
        m.d.comb += next_turn.eq(self._turn + 1)
        with m.If(self.start):
            m.d.sync += [
                self._turn.eq(0),
                last.eq(Mux(layer.run_words == 0, layer.last_cycles == 0, full == 1)),
            ]
        with m.Elif(active):
            with m.If(last):
                m.d.sync += [
                    self._turn.eq(0),
                    last.eq(Mux(word.next_last, layer.last_cycles == 0, full == 1)),
                ]
            with m.Else():
                m.d.sync += [
                    self._turn.eq(next_turn),
                    last.eq(next_turn == Mux(word.last, layer.last_cycles, full - 1)),
                ]
        return last

    def _add_window(self, m: Module, loops: "_Loops", *, begin: Signal) -> data.View:
        """The offset within the window."""
        layer, width = self.layer, self.config.shape.word_bytes
        window = Signal(self._position_layout())
        run_start = Signal(signed(self.config.x_bits))
        group_start = Signal(signed(self.config.x_bits))
        next_group = Signal(signed(self.config.x_bits))
        next_run = Signal(signed(self.config.x_bits))
        m.d.comb += [
            next_group.eq(Mux(layer.pool & ~loops.last_group, group_start + width, 0)),
            next_run.eq(run_start + layer.run_step),
        ]
        with m.If(loops.turn_last):
            m.d.sync += window.x.eq(window.x + width)
        with m.If(loops.run_last):
            m.d.sync += [run_start.eq(next_run), window.x.eq(next_run)]
        with m.If(loops.line_last):
            m.d.sync += [
                run_start.eq(group_start),
                window.x.eq(group_start),
                window.line.eq(window.line + layer.line_run_step),
                window.y.eq(window.y + layer.y_run_step),
            ]
        with m.If(loops.chunk_last):
            m.d.sync += [
                window.line.eq(0),
                window.y.eq(0),
                window.x.eq(next_group),
                run_start.eq(next_group),
                group_start.eq(next_group),
            ]
        with m.If(begin):
            m.d.sync += [window.eq(0), run_start.eq(0), group_start.eq(0)]
        return window

    def _add_token(self, m: Module, **members: object) -> None:
        stages = [Signal(FetchToken, name=f"token_{i}") for i in range(TOKEN_LATENCY)]
        for name, value in members.items():
            m.d.sync += stages[0][name].eq(value)
        for before, after in pairwise(stages):
            m.d.sync += after.eq(before)
        m.d.comb += self.token.eq(stages[-1])

    def _add_pixels(
        self, m: Module, *, begin: Signal, issue: Signal, generate: Signal
    ) -> data.View:
        """Windows in raster order; each row keeps its own in a ring that turns with the turns."""
        layer, rows = self.layer, self.config.shape.rows
        layout = self._position_layout()
        following = Signal(layout)
        column = Signal.like(layer.out_width)
        ring = [Signal(layout, name=f"row_{r}") for r in range(rows)]
        current = Signal(layout)
        m.d.comb += current.eq(Mux(generate, following, ring[0]))
        with m.If(issue):
            for r in range(rows - 1):
                m.d.sync += ring[r].eq(ring[r + 1])
            m.d.sync += ring[-1].eq(current)
            with m.If(layer.pool):
                m.d.sync += ring[0].eq(current)
        with m.If(issue & generate):
            m.d.sync += [column.eq(column + 1), following.x.eq(following.x + layer.x_step)]
            with m.If(column == layer.out_width):
                m.d.sync += [
                    column.eq(0),
                    following.x.eq(layer.x_first),
                    following.line.eq(following.line + layer.line_step),
                    following.y.eq(following.y + layer.y_step),
                ]
        with m.If(begin):
            m.d.sync += [
                column.eq(0),
                following.line.eq(self.origin),
                following.x.eq(layer.x_first),
                following.y.eq(layer.y_first),
            ]
        return current

    def _add_address(
        self, m: Module, *, issue: Signal, turn: Signal, window: data.View, pixel: data.View
    ) -> None:
        """Adds, reads, masks, and loads the row's register, one stage each."""
        layer, shape = self.layer, self.config.shape
        width = shape.word_bytes
        place = Signal(self._position_layout())
        m.d.sync += [
            place.line.eq(pixel.line + window.line),
            place.x.eq(pixel.x + window.x),
            place.y.eq(pixel.y + window.y),
        ]
        address = Signal(self.config.address_bits)
        inside = Signal(width)
        m.d.sync += [
            address.eq(place.line + place.x),
            inside.eq(self._inside(m, place)),
        ]
        m.d.comb += self.read_address.eq(address)

        valid, row = issue, turn
        for stage in range(1, ADDRESS_STAGES + READ_LATENCY):
            next_valid = Signal(name=f"valid_{stage}")
            next_row = Signal(max(1, ceil_log2(shape.rows)), name=f"row_of_{stage}")
            m.d.sync += [next_valid.eq(valid), next_row.eq(row)]
            valid, row = next_valid, next_row
            if stage == ADDRESS_STAGES - 1:
                m.d.comb += self.read_enable.eq(valid)
        keep = inside
        for stage in range(READ_LATENCY):
            delayed = Signal(width, name=f"inside_{stage}")
            m.d.sync += delayed.eq(keep)
            keep = delayed
        masked = Cat(
            Mux(keep[i], self.read_data.word_select(i, 8), layer.border) for i in range(width)
        )
        for r in range(shape.rows):
            word = Signal(8 * width, name=f"word_{r}", reset_less=True)
            m.d.sync += word.eq(word[8:])
            with m.If(valid & (row == r)):
                m.d.sync += word.eq(masked)
            m.d.comb += self.rows[r].eq(word[:8].as_signed())
            if r == 0:
                m.d.comb += self.word.eq(word)

    def _inside(self, m: Module, place: data.View) -> Signal:
        """A bit for each byte of the word: does it lie inside the feature map?"""
        layer, width = self.layer, self.config.shape.word_bytes
        offset_bits = exact_log2(width)
        left = Signal(signed(self.config.x_bits + 1))
        line_inside, near, all_left, some_left = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            left.eq(layer.row_bytes - place.x),
            line_inside.eq((place.y >= 0) & (place.y < layer.height)),
            near.eq(place.x[offset_bits:].all()),
            some_left.eq(left > 0),
            all_left.eq(some_left & left[offset_bits:].any()),
        ]
        inside = Signal(width)
        for i in range(width):
            begun = (place.x >= 0) | (near & (place.x[:offset_bits] >= width - i))
            not_ended = all_left | (some_left & (left[:offset_bits] > i))
            m.d.comb += inside[i].eq(line_inside & begun & not_ended)
        return inside
