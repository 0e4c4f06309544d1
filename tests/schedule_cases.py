"""Networks of one layer, and parts of the cycles that it takes."""

from typing import Any

import numpy as np

from shiftwork.hw.array import SUM_LATENCY
from shiftwork.hw.config import ArrayShape
from shiftwork.hw.drain import WRITE_LATENCY
from shiftwork.hw.fetch import TOKEN_LATENCY
from shiftwork.hw.schedule import LayerPlan, Schedule, make_schedule
from shiftwork.hw.sequencer import DONE_LATENCY, LOAD_OVERHEAD
from shiftwork.sim.example_programs import ProgramBuilder

PROGRAM_WORD = 32
ARRAY_WAY = TOKEN_LATENCY + 1 + SUM_LATENCY


def builder(*shape: int, **settings: Any) -> ProgramBuilder:
    height, width, channels = shape
    return ProgramBuilder("case", (height, width, channels), np.random.default_rng(0), **settings)


def load_cycles(schedule: Schedule) -> int:
    bits = sum(width for _, width, _ in schedule.config.fields)
    return -(-bits // PROGRAM_WORD) + LOAD_OVERHEAD


def last_layer(program: ProgramBuilder, **shape: Any) -> tuple[LayerPlan, int]:
    """The plan of the last layer, and its cycles without the load."""
    schedule = make_schedule(program.build(), ArrayShape(**shape))
    layer = schedule.layers[-1]
    return layer, layer.cycles - load_cycles(schedule)


def drained(steps: int, *, skew: int) -> int:
    """Cycles from the array's last byte to the last write."""
    return ARRAY_WAY + skew + steps - 1 + WRITE_LATENCY + DONE_LATENCY
