"""How the chunks of a layer drain: how many idle cycles each of them needs."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

from shiftwork.errors import CapacityError
from shiftwork.hw import fetch, pooling, window_walker
from shiftwork.hw.array import SUM_LATENCY
from shiftwork.hw.config import ArrayShape
from shiftwork.hw.drain import CHUNK_GAP
from shiftwork.hw.drain_timing import DrainWork, Pipeline, Reads, drain_work, run_interval
from shiftwork.hw.layer_work import Work
from shiftwork.quant.program_ops import Conv

CHUNK_PAD_LIMIT = 1 << 14


@dataclass(frozen=True)
class DrainPlan:
    """How the chunks of a layer drain: idle cycles a chunk needs, and the state before the last."""

    pad: int
    pipeline: Pipeline


def plan_drain(
    descriptor: dict[str, int], work: Work, shape: ArrayShape, still: Pipeline
) -> DrainPlan:
    """The fewest idle cycles a chunk needs, so that the one before has left the drain in time.

    Args:
        still: the drain's pipeline without a word.
    """
    if work.tiles * work.groups == 1:
        return DrainPlan(0, still)
    last_channels = descriptor["last_channels"]
    kinds = {
        (rows, channels): chunk_work(work, shape, rows=rows, channels=channels)
        for rows in {work.rows if work.line_tiles > 1 else work.last_rows, work.last_rows}
        for channels in {work.columns if work.groups > 1 else last_channels, last_channels}
    }
    # The first element of the drain chain takes its next sum this much before the chain is full.
    lead = max(CHUNK_GAP, 0 if work.pool else shape.skew)
    # Row 0's last byte of a chunk comes before the chunk's end, by the same span in every chunk.
    longest = max(kind.steps for kind in kinds.values())
    least = max(0, longest + lead - work.cycles)
    if not shape.single_port:
        return DrainPlan(least, still)
    for pad in range(least, least + CHUNK_PAD_LIMIT):
        pipeline = _settle(kinds, work, shape, pad, lead, still, last_channels=last_channels)
        if pipeline is not None:
            return DrainPlan(pad, pipeline)
    raise CapacityError(
        f"op '{work.op.name}': a tile does not drain in time; use an array of more rows or columns"
    )


def _settle(
    kinds: dict[tuple[int, int], DrainWork],
    work: Work,
    shape: ArrayShape,
    pad: int,
    lead: int,
    still: Pipeline,
    *,
    last_channels: int,
) -> Pipeline | None:
    """The pipeline's state before the last chunk; None if a chunk before is late."""
    length = work.cycles + pad
    start = drain_start(work, shape)
    tiles_and_groups = work.line_tiles * work.groups
    chunks = work.tile_lines * tiles_and_groups

    def settled(kind: tuple[int, int], pipeline: Pipeline | None, reads: Reads) -> Pipeline | None:
        if pipeline is None:
            return None
        interval = run_interval(kinds[kind], pipeline, start, length, reads)
        if interval.last_step is None or interval.last_step >= start + length - lead:
            return None
        return interval.pipeline

    endless = chunk_reads(work, pad, chunks=None)

    @cache
    def chunk(kind: tuple[int, int], pipeline: Pipeline | None) -> Pipeline | None:
        return settled(kind, pipeline, endless)

    def groups(rows: int, pipeline: Pipeline | None, count: int) -> Pipeline | None:
        return _repeated(partial(chunk, (rows, work.columns)), pipeline, count)

    def tile(rows: int, pipeline: Pipeline | None) -> Pipeline | None:
        return chunk((rows, last_channels), groups(rows, pipeline, work.groups - 1))

    def tiles(pipeline: Pipeline | None, count: int) -> Pipeline | None:
        return _repeated(partial(tile, work.rows), pipeline, count)

    def line(pipeline: Pipeline | None) -> Pipeline | None:
        return tile(work.last_rows, tiles(pipeline, work.line_tiles - 1))

    def place(index: int) -> tuple[int, int, int, int]:
        """Whole lines and tiles before a chunk, rows of its tile, number of its group."""
        lines, rest = divmod(index, tiles_and_groups)
        before, group = divmod(rest, work.groups)
        return lines, before, work.last_rows if before == work.line_tiles - 1 else work.rows, group

    # While the last chunks but one drain, the fetch unit has come to its end.
    steady = max(0, chunks - 1 - _ending_chunks(start, length))
    lines, before, rows, group = place(steady)
    pipeline = groups(rows, tiles(_repeated(line, still, lines), before), group)
    for index in range(steady, chunks - 1):
        _, _, rows, group = place(index)
        kind = (rows, last_channels if group == work.groups - 1 else work.columns)
        pipeline = settled(kind, pipeline, chunk_reads(work, pad, chunks=chunks - index))
    return pipeline


def _ending_chunks(start: int, length: int) -> int:
    """How many chunks before the last one still drain when the fetch unit no longer reads.

    A chunk that ``n - 1`` others follow sees reads up to ``n`` chunks from its first turn on.

    Args:
        start: cycle of a chunk's first drain step, counted from its first turn.
        length: cycles of a chunk.
    """
    return max(0, (start + length - window_walker.ADDRESS_STAGES - 1) // length - 1)


def _repeated(
    step: Callable[[Pipeline | None], Pipeline | None], state: Pipeline | None, count: int
) -> Pipeline | None:
    """The state after ``count`` steps; one that a step leaves as it is stays."""
    for _ in range(count):
        before, state = state, step(state)
        if state == before:
            break
    return state


def chunk_reads(work: Work, pad: int, chunks: int | None) -> Reads:
    """Whether a cycle, counted from the first turn of a chunk, reads the memory.

    Args:
        chunks: how many chunks follow, this one included; None for no end.
    """
    pattern = work.read_pattern() + [False] * pad

    def reads(cycle: int) -> bool:
        turn = cycle - window_walker.ADDRESS_STAGES
        if turn < 0 or (chunks is not None and turn >= chunks * len(pattern)):
            return False
        return pattern[turn % len(pattern)]

    return reads


def chunk_work(work: Work, shape: ArrayShape, *, rows: int, channels: int) -> DrainWork:
    """What a chunk of so many rows and channels leaves for the drain."""
    return drain_work(
        rows=rows,
        channels=channels,
        places=work.columns // shape.lanes,
        lanes=shape.lanes,
        word_bytes=shape.word_bytes,
        raw=isinstance(work.op, Conv) and work.op.accumulators,
        wide=work.wide,
    )


def drain_start(work: Work, shape: ArrayShape) -> int:
    """Cycle of a chunk's first drain step, counted from its first turn."""
    if work.pool:
        return work.last_token + fetch.ROW_LATENCY + pooling.SUM_LATENCY
    address = work.last_token + fetch.TOKEN_LATENCY + 1
    return address + SUM_LATENCY + shape.skew
