"""How long tiles take to drain, cycle by cycle; mirrors ``shiftwork.hw.drain``."""

from collections.abc import Callable
from dataclasses import dataclass

from shiftwork.hw.drain import PLANES, WIDE_PLANES, WRITE_LATENCY

Reads = Callable[[int], bool]
"""Whether the memory is read in a cycle, so that a single port cannot write."""

Pipeline = tuple[bool, ...]
"""For each stage behind the step, the first stage first: does it hold the end of a word?

The last stage is the word that waits for the memory's single port, outside of the drain.
"""

EMPTY: Pipeline = (False,) * (WRITE_LATENCY + 1)
"""In a network without tables."""


def empty(latency: int) -> Pipeline:
    """No word anywhere; ``latency`` as of ``write_latency``."""
    return (False,) * (latency + 1)


@dataclass(frozen=True)
class DrainWork:
    """The steps of one tile and channel group.

    Attributes:
        writes: for each step, whether it completes a word.
    """

    writes: tuple[bool, ...]

    @property
    def steps(self) -> int:
        """Number of steps; the last one always completes a word."""
        return len(self.writes)


def drain_work(
    *,
    rows: int,
    channels: int,
    places: int,
    lanes: int,
    word_bytes: int,
    raw: bool,
    wide: bool = False,
) -> DrainWork:
    """The steps for ``rows`` valid rows of ``channels`` valid channels.

    Args:
        rows, channels: that exist in this tile and group.
        places: steps of a whole row: ``columns / lanes``, or ``word_bytes / lanes`` for pooling.
        lanes, word_bytes: of the array.
        raw: accumulators: four steps a value, each of them a word.
        wide: values of 16 bits: two steps, alike.
    """
    slots = word_bytes // lanes
    used = -(-channels // lanes)
    planes = PLANES if raw else WIDE_PLANES if wide else 1
    writes = []
    for row in range(rows):
        for place in range(used if row == rows - 1 else places):
            full = planes > 1 or place % slots == slots - 1 or place == used - 1
            writes += [place < used and full] * planes
    return DrainWork(tuple(writes))


@dataclass(frozen=True)
class Interval:
    """What happens from a tile's first step to that of the next.

    Attributes:
        last_step: cycle of the tile's last step; None if it does not come in time.
        pipeline: the pipeline's state at the end.
    """

    last_step: int | None
    pipeline: Pipeline


def run_interval(
    work: DrainWork, pipeline: Pipeline, start: int, length: int, reads: Reads
) -> Interval:
    """Steps through ``length`` cycles from ``start``, when the first step of ``work`` is due."""
    done, last_step = 0, None
    for cycle in range(start, start + length):
        completes = done < work.steps and work.writes[done]
        pipeline, stepped = _advanced(pipeline, completes, taken=reads(cycle))
        done += stepped
        if stepped and done == work.steps:
            last_step = cycle
        if done >= work.steps and not any(pipeline):
            break
    return Interval(last_step, pipeline)


def _advanced(pipeline: Pipeline, completes: bool, *, taken: bool) -> tuple[Pipeline, bool]:
    """The pipeline a cycle later, and whether the drain took a step.

    Args:
        pipeline: its state.
        completes: whether the next step ends a word.
        taken: whether the memory reads in this cycle.
    """
    *stages, waiting = pipeline
    if waiting and stages[-1]:
        return (pipeline if taken else (*stages[:-1], False, True)), False
    if waiting and taken:
        return (completes, *stages[:-1], True), True
    return (completes, *stages), True


def last_write(work: DrainWork, pipeline: Pipeline, start: int, reads: Reads | None) -> int:
    """Cycle in which the last word of ``work`` is written; its first step is due at ``start``.

    Args:
        pipeline: the state before; its length tells the latency.
        reads: None where the memory has a write port of its own.
    """
    if reads is None:
        return start + work.steps - 1 + len(pipeline) - 1
    cycle, done = start, 0
    while True:
        taken = reads(cycle)
        if done >= work.steps and not any(pipeline[:-1]) and not taken:
            return cycle
        completes = done < work.steps and work.writes[done]
        pipeline, stepped = _advanced(pipeline, completes, taken=taken)
        done += stepped
        cycle += 1
