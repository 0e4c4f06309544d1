"""Predicted a cycle too many: the last chunks but one drain when nothing is fetched any more."""
# fmt: off

import numpy as np

from shiftwork.hw.config import ArrayShape
from shiftwork.sim.network_case import Case
from shiftwork.sim.program_builder import ProgramBuilder

builder = ProgramBuilder("random", (1, 1, 2), signed=False)
builder.reshape((1, 1, 2), name="reshape0")
builder.reshape((1, 1, 2), name="reshape1")
builder.depthwise((1, 1), weights=[0, 0], bias=[0, 0], shift=[0, 0], name="conv2")
builder.conv(
    11,
    (1, 1),
    weights=[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    bias=[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    shift=[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    name="conv3",
)
builder.average_pool(
    (1, 3),
    (1, 1),
    padding=(0, 0, 0, 2),
    shift=0,
    unsigned=False,
    bounds=(-128, 127),
    name="average_pool4",
)
case = Case(
    program=builder.build(),
    shape=ArrayShape(rows=1, columns=3, word_bytes=2, single_port=True),
    q=np.array(
        [0, 0],
        np.int32,
    ).reshape((1, 1, 1, 2)),
    seed=0,
    stall_probability=0.0,
)
