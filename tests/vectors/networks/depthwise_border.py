"""Of a run of random networks: depthwise border."""
# fmt: off

import numpy as np

from shiftwork.hw.config import ArrayShape
from shiftwork.sim.network_case import Case
from shiftwork.sim.program_builder import ProgramBuilder

builder = ProgramBuilder("random", (3, 3, 7), signed=True, zero_point=-54)
builder.depthwise(
    (1, 1),
    stride=(4, 1),
    padding=(2, 0, 0, 0),
    dilation=(3, 1),
    weights=[-17, -44, 87, -88, 2, -33, -61],
    bias=[0, 0, 0, 0, 0, 0, 0],
    shift=[0, 0, 0, 0, 0, 0, 0],
    unsigned=True,
    name="conv0",
)
builder.reshape((3, 7, 2), name="reshape1")
builder.reshape((1, 42, 1), name="reshape2")
case = Case(
    program=builder.build(),
    shape=ArrayShape(rows=4, columns=8, lanes=2, stage_columns=8),
    q=np.array(
        [
            -128, 127, 127, -128, 127, 127, 127, 127, -128, 127, 127, -128, -128, 127, 127, -128,
            127, -128, -128, 127, -128, -128, -128, 127, -128, -128, 127, -128, -128, 127, -128,
            127, -128, 127, -128, -128, -128, 127, -128, -128, -128, 127, -128, -128, -128, -128,
            127, -128, -128, 127, -128, 127, 127, 127, 127, 127, -128, 127, 127, 127, -128, 127,
            127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127,
            127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127,
            127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127,
            127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127,
        ],
        np.int32,
    ).reshape((2, 3, 3, 7)),
    seed=396,
    stall_probability=0.0,
)
