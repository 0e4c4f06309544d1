"""The input was never freed where its last reader is a reshape that nothing reads."""
# fmt: off

import numpy as np

from shiftwork.hw.config import ArrayShape
from shiftwork.sim.network_case import Case
from shiftwork.sim.program_builder import ProgramBuilder

builder = ProgramBuilder("random", (1, 2, 2), signed=True)
builder.conv(2, (1, 1), weights=[1, 2, 3, 4], bias=[0, 5], shift=[0, 1], name="conv0")
builder.at("input")
builder.reshape((1, 1, 4), name="reshape1")
builder.at("conv0")
builder.conv(1, (1, 2), weights=[5, 6, 7, 8], bias=[9], shift=[3], name="conv2")
case = Case(
    program=builder.build(),
    shape=ArrayShape(rows=1, columns=2, stage_columns=1, word_bytes=2),
    q=np.array(
        [1, 2, 3, 4, -5, -6, -7, -8],
        np.int32,
    ).reshape((2, 1, 2, 2)),
    seed=1,
    stall_probability=0.25,
)
