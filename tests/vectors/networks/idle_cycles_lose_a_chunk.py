"""The same: the layer lost chunks, and its bytes were wrong."""
# fmt: off

import numpy as np

from shiftwork.hw.config import ArrayShape
from shiftwork.sim.network_case import Case
from shiftwork.sim.program_builder import ProgramBuilder

builder = ProgramBuilder("random", (1, 5, 3), signed=False)
builder.average_pool(
    (1, 3),
    (1, 1),
    padding=(0, 1, 0, 2),
    shift=0,
    unsigned=False,
    bounds=(-128, 127),
    name="avg",
)
builder.max_pool((1, 2), (1, 1), name="mp")
case = Case(
    program=builder.build(),
    shape=ArrayShape(rows=5, columns=8, word_bytes=8),
    q=np.array(
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        np.int32,
    ).reshape((1, 1, 5, 3)),
    seed=0,
    stall_probability=0.0,
)
