"""The window walker: the addresses of a layer's windows, chunk after chunk."""

import functools
import operator
from dataclasses import dataclass, fields

from amaranth import Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2, exact_log2

from shiftwork.hw.config import ArrayConfig
from shiftwork.hw.layouts import descriptor_layout, fetch_token_layout
from shiftwork.hw.loop_counter import LoopCounter

ADDRESS_STAGES = 4
"""Cycles from a turn to its read request."""
TOKEN_STAGES = 1
"""Cycles from a turn to its token."""


@dataclass(frozen=True)
class _Loops:
    """Where the walker stands: in which loops this cycle is the last, innermost first.

    The end of a loop is one of all loops within.
    """

    turn_last: Signal
    run_last: Signal
    line_last: Signal
    plane_last: Signal
    block_last: Signal
    window_last: Signal


@dataclass(frozen=True)
class _Moves:
    """What the offset does, a cycle after the loops.

    Attributes:
        ends: for each loop, whether it ended or the layer began.
        outermost: for each loop, whether it ended and the one around it did not: one of them.
    """

    ends: dict[str, Signal]
    outermost: dict[str, Signal]


@dataclass(frozen=True)
class _Taps:
    """What row 0 sees: a run of its own, the last word of a block, the last of the window."""

    own: Value
    block_end: Value
    last: Value


class WindowWalker(wiring.Component):
    """Walks the windows of one input of a layer: blocks, phases, kernel lines, runs and words.

    A run is a contiguous piece of a window, ``kw * c_in`` bytes, or ``c_in`` where the window is
    dilated; the rows of the array take turns to fetch a word of their own pixel's run. A word lasts
    as many cycles as it has bytes, but no fewer than there are rows.

    With ``broadcast`` (depthwise layers, pooling) a run is one word, for all rows and for a cycle:
    the words of a kernel line follow each other at the distance of the input pixels that
    neighbouring rows begin with (a phase of the stride). The first ``taps`` of them belong to row
    0; row r sees its own r words later.

    Latency: ``ADDRESS_STAGES`` cycles from a turn to its read request, ``TOKEN_STAGES`` to its
    token. Flow control: ``begin`` starts a window, ``window_last`` is high with its last cycle;
    nothing stalls in between, and ``begin`` may come with ``window_last``.

    Parameters:
        config: the array's configuration.
        fields: of the walker's part of the descriptor.

    Members:
        segment: the walker's part of the layer's descriptor, stable while the layer runs.
        origin: address of the first window, the input buffer's offset included.
        start: the layer begins: all loops and the pixels start anew.
        begin: a window begins in the next cycle.
        first_group: this chunk is the first of its tile: the windows lie at new pixels.
        last_group: this chunk is the last of its tile; a cycle after ``window_last``.
        window_last: the window's last cycle.
        valid, row, address, inside: a read request: for which row, where, and a bit for each byte
            that lies inside the feature map.
        token: of the byte that ``TOKEN_STAGES`` cycles before had its turn in row 0.
    """

    def __init__(self, *, config: ArrayConfig, fields: tuple[tuple[str, int, bool], ...]):
        self.config = config
        shape = config.shape
        self._turn = Signal(range(shape.full_word_cycles), name="turn")
        super().__init__(
            {
                "segment": In(descriptor_layout(fields)),
                "origin": In(config.address_bits),
                "start": In(1),
                "begin": In(1),
                "first_group": In(1),
                "last_group": In(1),
                "window_last": Out(1),
                "valid": Out(1),
                "row": Out(max(1, ceil_log2(shape.rows))),
                "address": Out(config.address_bits),
                "inside": Out(shape.word_bytes),
                "token": Out(fetch_token_layout(scaled=config.scaled)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        segment, shape, turn = self.segment, self.config.shape, self._turn
        active = Signal()
        fresh = Signal()
        loops, taps = self._add_loops(m, active=active)
        with m.If(loops.turn_last):
            m.d.sync += fresh.eq(0)
        with m.If(loops.window_last | self.start):
            m.d.sync += fresh.eq(1)

        issue = Signal()
        m.d.comb += issue.eq(active & Mux(segment.broadcast, turn == 0, turn < shape.rows))
        self._add_token(m, active=active, fresh=fresh, taps=taps)
        # The loops' decisions reach the addresses through registers: both are long paths.
        moves = self._add_moves(m, loops)
        begin = Signal()
        late_issue = Signal()
        generate = Signal()
        late_turn = Signal.like(turn)
        m.d.sync += [
            begin.eq(self.start),
            late_issue.eq(issue),
            late_turn.eq(turn),
            generate.eq(fresh & self.first_group),
        ]
        window = self._add_window(m, moves)
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

    def _add_loops(self, m: Module, *, active: Signal) -> tuple[_Loops, "_Taps"]:
        """The nested loops, innermost first, and what row 0 sees of them."""
        segment = self.segment
        counters = {
            name: LoopCounter(width=len(limit))
            for name, limit in (
                ("word", segment.run_words),
                ("run_x", segment.runs_x),
                ("run_y", segment.runs_y),
                ("phase", segment.phases),
                ("block", segment.blocks),
            )
        }
        word, run_x, run_y = counters["word"], counters["run_x"], counters["run_y"]
        phase, block = counters["phase"], counters["block"]
        turn_end = self._add_turn(m, active=active, word=word)
        loops = _Loops(
            turn_last=Signal(),
            run_last=Signal(),
            line_last=Signal(),
            plane_last=Signal(),
            block_last=Signal(),
            window_last=Signal(),
        )
        turn_last = active & turn_end
        # Kept as one signal: else synthesis builds it from the inner loops' ends, in a long path.
        outer_last = Signal(attrs={"keep": 1})
        line_end = word.last & run_x.last
        m.d.comb += [
            loops.turn_last.eq(turn_last),
            loops.run_last.eq(turn_last & word.last),
            loops.line_last.eq(turn_last & line_end),
            loops.plane_last.eq(turn_last & line_end & run_y.last),
            loops.block_last.eq(turn_last & line_end & run_y.last & phase.last),
            outer_last.eq(line_end & run_y.last & phase.last & block.last),
            loops.window_last.eq(turn_last & outer_last),
            self.window_last.eq(loops.window_last),
        ]
        steps = {
            "word": (segment.run_words, loops.turn_last),
            "run_x": (segment.runs_x, loops.run_last),
            "run_y": (segment.runs_y, loops.line_last),
            "phase": (segment.phases, loops.plane_last),
            "block": (segment.blocks, loops.block_last),
        }
        for name, (limit, step) in steps.items():
            counter = counters[name]
            m.submodules[name] = counter
            m.d.comb += [
                counter.limit.eq(limit),
                counter.step.eq(step),
                counter.start.eq(self.start),
            ]
        with m.If(loops.window_last):
            m.d.sync += active.eq(0)
        with m.If(self.begin):
            m.d.sync += active.eq(1)
        own, tap_last = self._add_taps(m, loops)
        block_end = word.last & tap_last & run_y.last & phase.last
        return loops, _Taps(own=own, block_end=block_end, last=block_end & block.last)

    def _add_taps(self, m: Module, loops: _Loops) -> tuple[Value, Value]:
        """Whether the run belongs to row 0, and whether it is the last one of its line."""
        in_taps = Signal(init=1)
        tap = LoopCounter(width=len(self.segment.taps))
        m.submodules.tap = tap
        m.d.comb += [
            tap.limit.eq(self.segment.taps),
            tap.step.eq(loops.run_last & in_taps),
            tap.start.eq(self.start),
        ]
        with m.If(loops.run_last & tap.last):
            m.d.sync += in_taps.eq(0)
        with m.If(loops.line_last | self.start):
            m.d.sync += in_taps.eq(1)
        return in_taps, tap.last

    def _add_turn(self, m: Module, *, active: Value, word: LoopCounter) -> Signal:
        """Counts the turns of a word; returns whether this one is its last."""
        segment, full = self.segment, self.config.shape.full_word_cycles
        last = Signal()
        next_turn = Signal(range(full + 1))
        m.d.comb += next_turn.eq(self._turn + 1)
        with m.If(self.start):
            m.d.sync += [
                self._turn.eq(0),
                last.eq(Mux(segment.run_words == 0, segment.last_cycles == 0, full == 1)),
            ]
        with m.Elif(active):
            with m.If(last):
                m.d.sync += [
                    self._turn.eq(0),
                    last.eq(Mux(word.next_last, segment.last_cycles == 0, full == 1)),
                ]
            with m.Else():
                m.d.sync += [
                    self._turn.eq(next_turn),
                    last.eq(next_turn == Mux(word.last, segment.last_cycles, full - 1)),
                ]
        return last

    def _add_token(self, m: Module, *, active: Value, fresh: Value, taps: "_Taps") -> None:
        segment, shape, turn = self.segment, self.config.shape, self._turn
        word_bytes = Signal(range(shape.word_bytes + 1))
        last_word = m.submodules.word.last
        m.d.comb += word_bytes.eq(Mux(last_word, segment.last_bytes, shape.word_bytes))
        first = Signal()
        m.d.comb += first.eq(fresh & (turn == 0))
        m.d.sync += [
            self.token.valid.eq(active & taps.own & (turn < word_bytes)),
            self.token.first.eq(first),
            self.token.start.eq(first & self.first_group),
            self.token.last.eq(taps.last & (turn == word_bytes - 1)),
            self.token.broadcast.eq(segment.broadcast),
            self.token.advance.eq(~segment.hold | taps.block_end),
        ]
        if self.config.scaled:
            m.d.sync += self.token.scale.eq(first & segment.scale)

    def _add_moves(self, m: Module, loops: _Loops) -> _Moves:
        """Registers all that selects and enables, so that no logic stands before the addresses."""
        names = [field.name.removesuffix("_last") for field in fields(loops)]
        lasts = [getattr(loops, field.name) for field in fields(loops)]
        ends = {name: Signal(name=f"{name}_ended") for name in names}
        outermost = {name: Signal(name=f"{name}_moves") for name in names}
        for name, last, outer in zip(names, lasts, [*lasts[1:], Const(0)], strict=True):
            m.d.sync += [ends[name].eq(last | self.start), outermost[name].eq(last & ~outer)]
        return _Moves(ends, outermost)

    def _add_window(self, m: Module, moves: _Moves) -> data.View:
        """The offset within the window; all of it is 0 when the layer begins."""
        segment, width = self.segment, self.config.shape.word_bytes
        window = Signal(self._position_layout(), reset_less=True)
        run, plane, block, group = (
            Signal(signed(self.config.x_bits), name=f"{name}_start", reset_less=True)
            for name in ("run", "plane", "block", "group")
        )
        following = {
            "turn": window.x + width,
            "run": run + segment.run_step,
            "line": plane,
            "plane": plane + segment.phase_step,
            "block": block + width,
            "window": Mux(self.last_group, 0, group + segment.group_step),
        }
        for target, innermost in (
            (window.x, "turn"),
            (run, "run"),
            (plane, "plane"),
            (block, "block"),
            (group, "window"),
        ):
            with m.If(moves.ends[innermost]):
                m.d.sync += target.eq(_selected(moves.outermost, following, innermost))
        for target, step in (
            (window.line, segment.line_run_step),
            (window.y, segment.y_run_step),
        ):
            with m.If(moves.ends["line"]):
                m.d.sync += target.eq(Mux(moves.outermost["line"], target + step, 0))
        return window

    def _add_pixels(
        self, m: Module, *, begin: Signal, issue: Signal, generate: Signal
    ) -> data.View:
        """Windows in raster order; each row keeps its own in a ring that turns with the turns."""
        segment, rows = self.segment, self.config.shape.rows
        layout = self._position_layout()
        following = Signal(layout, reset_less=True)
        column = Signal(len(segment.out_width), reset_less=True)
        ring = [Signal(layout, name=f"row_{r}", reset_less=True) for r in range(rows)]
        current = Signal(layout)
        m.d.comb += current.eq(Mux(generate, following, ring[0]))
        with m.If(issue):
            for r in range(rows - 1):
                m.d.sync += ring[r].eq(ring[r + 1])
            m.d.sync += ring[-1].eq(current)
            with m.If(segment.broadcast):
                m.d.sync += ring[0].eq(current)
        with m.If(issue & generate):
            m.d.sync += [column.eq(column + 1), following.x.eq(following.x + segment.x_step)]
            with m.If(column == segment.out_width):
                m.d.sync += [
                    column.eq(0),
                    following.x.eq(segment.x_first),
                    following.line.eq(following.line + segment.line_step),
                    following.y.eq(following.y + segment.y_step),
                ]
        with m.If(begin):
            m.d.sync += [
                column.eq(0),
                following.line.eq(self.origin),
                following.x.eq(segment.x_first),
                following.y.eq(segment.y_first),
            ]
        return current

    def _add_address(
        self, m: Module, *, issue: Signal, turn: Signal, window: data.View, pixel: data.View
    ) -> None:
        """Adds offset and pixel; line and position; then masks, a stage each."""
        place = Signal(self._position_layout(), reset_less=True)
        address = Signal.like(self.address, reset_less=True)
        m.d.sync += [
            place.line.eq(pixel.line + window.line),
            place.x.eq(pixel.x + window.x),
            place.y.eq(pixel.y + window.y),
            address.eq(place.line + place.x),
            self.address.eq(address),
        ]
        self._add_inside(m, place)
        valid, row = issue, turn
        for stage in range(ADDRESS_STAGES - 2):
            next_valid = Signal(name=f"valid_{stage}")
            next_row = Signal.like(self.row, name=f"row_{stage}_late")
            m.d.sync += [next_valid.eq(valid), next_row.eq(row)]
            valid, row = next_valid, next_row
        m.d.sync += [self.valid.eq(valid), self.row.eq(row)]

    def _add_inside(self, m: Module, place: data.View) -> None:
        """A bit for each byte of the word: does it lie inside the feature map?"""
        segment, width = self.segment, self.config.shape.word_bytes
        offset_bits = exact_log2(width)
        line_inside = Signal()
        begun = Signal()
        near = Signal()
        left = Signal(signed(self.config.x_bits + 1), reset_less=True)
        skipped = Signal(offset_bits, reset_less=True)
        m.d.sync += [
            left.eq(segment.row_bytes - place.x),
            line_inside.eq((place.y >= 0) & (place.y < segment.height)),
            begun.eq(place.x >= 0),
            near.eq(place.x[offset_bits:].all()),
            skipped.eq(place.x[:offset_bits]),
        ]
        many_left = left[offset_bits:-1].any()
        for i in range(width):
            here = begun | (near & (skipped >= width - i))
            still = ~left[-1] & (many_left | (left[:offset_bits] > i))
            m.d.sync += self.inside[i].eq(line_inside & here & still)


def _selected(outermost: dict[str, Signal], following: dict[str, Value], innermost: str) -> Value:
    """What follows for the outermost loop that ended, of those from ``innermost`` on; 0 if none."""
    names = list(following)
    picked = [Mux(outermost[name], following[name], 0) for name in names[names.index(innermost) :]]
    return functools.reduce(operator.or_, picked)
