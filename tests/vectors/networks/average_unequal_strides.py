"""Of a run of random networks: average unequal strides."""
# fmt: off

import numpy as np

from shiftwork.hw.config import ArrayShape
from shiftwork.sim.network_case import Case
from shiftwork.sim.program_builder import ProgramBuilder

builder = ProgramBuilder("random", (1, 7, 2), signed=False, zero_point=4, bounds=(4, 38))
builder.max_pool((4, 2), (2, 1), padding=(2, 0, 1, 1), name="max_pool0")
builder.average_pool(
    (1, 1),
    (3, 4),
    unsigned=True,
    shift=0,
    bounds=(4, 38),
    pad_value=180,
    name="average_pool1",
)
case = Case(
    program=builder.build(),
    shape=ArrayShape(rows=5, columns=6, stage_columns=4, word_bytes=2, input_buffers=1),
    q=np.array(
        [
            4, 38, 4, 38, 38, 38, 4, 38, 38, 4, 4, 4, 38, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4,
            4, 4, 38, 38, 38, 38, 38, 4, 38, 38, 4, 38, 38, 38, 38,
        ],
        np.int32,
    ).reshape((3, 1, 7, 2)),
    seed=312,
    stall_probability=0.0,
)
