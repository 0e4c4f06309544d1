"""The window walker against a plain enumeration of the windows' bytes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from shiftwork.errors import CapacityError
from shiftwork.hw.config import ArrayShape
from shiftwork.hw.schedule import LayerPlan, Schedule, make_schedule
from shiftwork.hw.segments import Kind, Walk
from shiftwork.hw.window_walker import ADDRESS_STAGES, TOKEN_STAGES, WindowWalker
from shiftwork.sim.example_programs import ProgramBuilder, random_program

FEATURE_MAP = 0x5A
"""Address of the feature map's first byte."""
MOST_CYCLES = 3000


@dataclass(frozen=True)
class Byte:
    """A byte that a row reads: its line, and its place in the line; maybe outside of the map."""

    y: int
    x: int


@dataclass(frozen=True)
class Window:
    """A window of the layer: of a tile and a channel group.

    Attributes:
        pixels: for each row that has one, the line and column of its output pixel.
        group: number of the channel group.
        first, last: whether it is the first or last group of the tile.
    """

    pixels: list[tuple[int, int]]
    group: int
    first: bool
    last: bool


def windows(walk: Walk, layer: LayerPlan, height: int) -> Iterator[Window]:
    """All windows in the order in which the walker takes them."""
    width, rows = walk.out_width, walk.rows
    if walk.by_line:
        lines = [[(y, x) for x in range(width)] for y in range(height)]
    else:
        lines = [[(y, x) for y in range(height) for x in range(width)]]
    tiles = [line[start : start + rows] for line in lines for start in range(0, len(line), rows)]
    assert len(tiles) == layer.tiles
    for pixels in tiles:
        for group in range(layer.groups):
            yield Window(pixels, group, group == 0, group == layer.groups - 1)


def reads(walk: Walk, window: Window) -> dict[tuple[int, int], Byte]:
    """The first byte of every word that counts, by the cycle of its turn and its row."""
    segment = walk.segment
    (sy, sx), (dy, dx), (top, left) = segment.stride, segment.dilation, segment.padding[:2]
    found = {}
    for row, (oy, ox) in enumerate(window.pixels):
        for cycle, ky, kx, byte in _places(walk, window.group):
            y = oy * sy - top + (0 if segment.repeats else ky * dy)
            turn = 0 if walk.segment.kind is Kind.POOL else row
            start = (ox * sx - left + kx * dx) * walk.channels + byte
            found[cycle + turn, row if segment.kind is Kind.ROWS else 0] = Byte(y, start)
    return found


def _places(walk: Walk, group: int) -> Iterator[tuple[int, int, int, int]]:
    """For row 0 the turn of each word, and which line, column and byte of the window it is."""
    kernel_y, kernel_x = walk.segment.kernel
    shape = walk.shape
    if walk.segment.kind is Kind.ROWS:
        run = (walk.words - 1) * shape.full_word_cycles + walk.last_cycles
        for number, (ky, run_x) in enumerate(np.ndindex(kernel_y, walk.runs_x)):
            for word in range(walk.words):
                turn = number * run + word * shape.full_word_cycles
                yield turn, ky, run_x, word * shape.word_bytes
        return
    step = shape.columns if walk.segment.kind is Kind.CHANNELS else shape.word_bytes
    loops = np.ndindex(walk.blocks, walk.phases, kernel_y, walk.taps)
    for block, phase, ky, tap in loops:
        kx = tap * walk.phases + phase
        if kx < kernel_x:
            line = (block * walk.phases + phase) * kernel_y + ky
            yield line * walk.runs_x + tap, ky, kx, group * step + block * shape.word_bytes


def tokens(walk: Walk, window: Window) -> list[dict[str, int]]:
    """What the token is in every cycle of the window; its other members are free if not valid."""
    own = np.zeros(walk.cycles, bool)
    advance = np.zeros(walk.cycles, bool)
    if walk.segment.kind is Kind.ROWS:
        whole = [walk.shape.word_bytes] * (walk.words - 1) + [walk.last_bytes]
        cycles = [walk.shape.full_word_cycles] * (walk.words - 1) + [walk.last_cycles]
        run = [k < size for size, length in zip(whole, cycles, strict=True) for k in range(length)]
        own[:] = run * (walk.runs_x * walk.runs_y)
        advance[:] = True
    else:
        line = [True] * walk.taps + [False] * (walk.runs_x - walk.taps)
        own[:] = line * (walk.runs_y * walk.phases * walk.blocks)
        ends = np.flatnonzero(own).reshape(walk.blocks, -1)[:, -1]
        advance[ends] = True
        advance |= not walk.hold
    last = int(np.flatnonzero(own)[-1])
    assert last == walk.last_token
    if walk.segment.weights is not None:
        assert (own & advance).sum() == walk.weight_bytes
    return [
        {
            "valid": int(own[cycle]),
            "start": int(cycle == 0 and window.first),
            "first": int(cycle == 0),
            "last": int(cycle == last),
            "broadcast": int(walk.broadcast),
            "advance": int(advance[cycle]),
        }
        for cycle in range(walk.cycles)
    ]


@dataclass(frozen=True)
class Seen:
    """What left the walker, and in which cycles its windows began.

    Attributes:
        starts: first turn of each window.
        requests: row, address and mask by cycle.
        tokens: by cycle.
    """

    starts: list[int]
    requests: dict[int, tuple[int, int, int]]
    tokens: list[dict[str, int]]


def observe(run: Any, schedule: Schedule, walk: Walk, todo: list[Window], gaps: bool) -> Seen:
    """Walks all windows, one right behind the other, or with idle cycles in between."""
    config = schedule.config
    dut = WindowWalker(config=config, fields=config.segment_fields)
    values = {name: 0 for name, _, _ in config.segment_fields} | walk.fields()
    top = walk.segment.padding[0] * walk.fields()["row_bytes"]
    names = ("valid", "start", "first", "last", "broadcast", "advance")
    rng = np.random.default_rng(1)
    seen = Seen([], {}, [])

    async def bench(ctx: Any) -> None:
        ctx.set(dut.segment, values)
        ctx.set(dut.origin, (FEATURE_MAP - top) % (1 << config.address_bits))
        ctx.set(dut.start, 1)
        begin, waiting, number, ended = True, 0, 0, None
        cycle, last_group = 0, 0
        while ended is None or cycle < ended + ADDRESS_STAGES + 1:
            if ctx.get(dut.window_last):
                assert cycle == seen.starts[-1] + walk.cycles - 1
                number += 1
                ended = cycle if number == len(todo) else None
                waiting = int(rng.integers(4)) if gaps else 0
                begin = ended is None and not waiting
            elif waiting:
                waiting -= 1
                begin = not waiting and number < len(todo)
            ctx.set(dut.begin, int(begin))
            watch(ctx, cycle)
            await ctx.tick()
            cycle += 1
            ctx.set(dut.start, 0)
            ctx.set(dut.last_group, last_group)
            if begin:
                begin = False
                seen.starts.append(cycle)
                ctx.set(dut.first_group, int(todo[number].first))
                # The walker asks a cycle after the window's last, in the first one of the next.
                last_group = int(todo[number].last)

    def watch(ctx: Any, cycle: int) -> None:
        seen.tokens.append({name: ctx.get(dut.token[name]) for name in names})
        if ctx.get(dut.valid):
            seen.requests[cycle] = ctx.get(dut.row), ctx.get(dut.address), ctx.get(dut.inside)

    run(dut, bench, limit=3 * MOST_CYCLES)
    return seen


def check_requests(walk: Walk, todo: list[Window], seen: Seen, address_bits: int) -> None:
    """Every turn has its request; those of pixels and bytes that exist are the right ones."""
    height, width, channels = walk.segment.source.shape
    row_bytes, word = width * channels, walk.shape.word_bytes
    turns = [k for k, turn in enumerate(walk.read_pattern()) if turn]
    due = {start + ADDRESS_STAGES + turn for start in seen.starts for turn in turns}
    assert set(seen.requests) == due
    for start, window in zip(seen.starts, todo, strict=True):
        for (turn, row), byte in reads(walk, window).items():
            got_row, address, inside = seen.requests[start + ADDRESS_STAGES + turn]
            assert got_row == row
            assert address == (FEATURE_MAP + byte.y * row_bytes + byte.x) % (1 << address_bits)
            mask = [0 <= byte.y < height and 0 <= byte.x + k < row_bytes for k in range(word)]
            assert [bool(inside >> k & 1) for k in range(word)] == mask


def check_tokens(walk: Walk, todo: list[Window], seen: Seen) -> None:
    due = {}
    for start, window in zip(seen.starts, todo, strict=True):
        for cycle, token in enumerate(tokens(walk, window)):
            due[start + TOKEN_STAGES + cycle] = token
    for cycle, got in enumerate(seen.tokens):
        expected = due.get(cycle, {"valid": 0})
        if not expected["valid"]:
            assert not got["valid"]
            continue
        assert got == expected


def check_layer(run: Any, schedule: Schedule, layer: LayerPlan, *, gaps: bool = False) -> None:
    for walk in layer.walks:
        todo = list(windows(walk, layer, schedule.program.tensor(layer.output).shape[0]))
        most = max(1, MOST_CYCLES // walk.cycles)
        seen = observe(run, schedule, walk, todo[:most], gaps)
        check_requests(walk, todo[:most], seen, schedule.config.address_bits)
        check_tokens(walk, todo[:most], seen)


def builder(*shape: int, **settings: Any) -> ProgramBuilder:
    height, width, channels = shape
    return ProgramBuilder("case", (height, width, channels), np.random.default_rng(3), **settings)


CASES = {
    "unequal padding": lambda: builder(3, 4, 2).conv(4, (3, 4), padding=(0, 3, 2, 1)),
    "windows in the border": lambda: builder(3, 3, 2).conv(3, (2, 2), padding=(3, 2, 3, 4)),
    "dilation": lambda: builder(5, 6, 3).conv(9, (3, 3), dilation=(2, 3), padding=(2, 3, 0, 3)),
    "long runs": lambda: builder(4, 5, 7).conv(5, (2, 3), stride=(2, 2), padding=(1, 1, 1, 1)),
    "dense": lambda: builder(1, 1, 21).dense(9),
    "depthwise": lambda: builder(5, 6, 5).depthwise((3, 2), padding=(1, 1, 1, 1)),
    "two phases": lambda: builder(4, 9, 5).depthwise((2, 5), stride=(1, 2), padding=(0, 2, 1, 2)),
    "a phase without taps": lambda: builder(4, 9, 3).depthwise((2, 2), stride=(2, 3)),
    "one column": lambda: builder(6, 7, 3).depthwise((3, 1), stride=(1, 2), padding=(1, 0, 2, 0)),
    "blocks and groups": lambda: builder(3, 5, 19).depthwise((2, 2), padding=(1, 0, 0, 1)),
    "average": lambda: builder(6, 7, 11).average_pool((4, 4), (2, 2), (1, 1, 1, 1)),
    "residual": lambda: (
        builder(3, 5, 11)
        .conv(11, (3, 3), padding=(1, 1, 1, 1))
        .residual("input", np.full(11, 8, np.int64))
    ),
    "shortcut by line": lambda: (
        builder(5, 7, 3)
        .conv(9, (1, 1), stride=(2, 2))
        .depthwise((3, 3), padding=(1, 1, 1, 1))
        .shortcut("input", (2, 2), stride=(2, 2), padding=(0, 0, 1, 1))
    ),
    "maximum": lambda: builder(6, 7, 11).max_pool((3, 2), (2, 3), (1, 0, 1, 1)),
}
SHAPES = [
    ArrayShape(rows=1, columns=8),
    ArrayShape(rows=3, columns=8, word_bytes=8),
    ArrayShape(rows=5, columns=4, word_bytes=2),
]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape.rows}x{shape.columns}")
@pytest.mark.parametrize("name", CASES)
def test_windows(run_component: Any, name: str, shape: ArrayShape) -> None:
    schedule = make_schedule(CASES[name]().build(), shape)
    check_layer(run_component, schedule, schedule.layers[-1])


@pytest.mark.parametrize("name", ["long runs", "two phases", "blocks and groups"])
def test_windows_with_idle_cycles_between_them(run_component: Any, name: str) -> None:
    schedule = make_schedule(CASES[name]().build(), SHAPES[1])
    check_layer(run_component, schedule, schedule.layers[-1], gaps=True)


def random_schedule(seed: int) -> Schedule:
    rng = np.random.default_rng(seed)
    program = random_program(rng, size=7, depth=2)
    while True:
        shape = ArrayShape(
            rows=int(rng.integers(1, 7)),
            columns=int(rng.integers(1, 13)),
            word_bytes=int(rng.choice([2, 4, 8])),
        )
        try:
            return make_schedule(program, shape)
        except CapacityError:
            continue


@pytest.mark.parametrize("seed", range(10))
def test_random_layers(run_component: Any, seed: int) -> None:
    schedule = random_schedule(seed)
    for layer in schedule.layers:
        check_layer(run_component, schedule, layer)


@pytest.mark.heavy
@pytest.mark.parametrize("seed", range(10, 200))
def test_more_random_layers(run_component: Any, seed: int) -> None:
    schedule = random_schedule(seed)
    for layer in schedule.layers:
        check_layer(run_component, schedule, layer, gaps=bool(seed % 2))
