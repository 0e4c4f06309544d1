"""Planes of accumulators at odd addresses of banks of two bytes; with four lanes it is refused."""
# fmt: off

import numpy as np

from shiftwork.hw.config import ArrayShape
from shiftwork.sim.network_case import Case
from shiftwork.sim.program_builder import ProgramBuilder

builder = ProgramBuilder("random", (1, 1, 1), signed=False)
builder.conv(
    5,
    (1, 1),
    weights=[0, 0, 0, 0, 0],
    bias=[179, 70, 6, -118, -98],
    shift=[0, 0, 0, 0, 0],
    accumulators=True,
    name="conv0",
)
case = Case(
    program=builder.build(),
    shape=ArrayShape(rows=1, columns=4, lanes=2, bank_bytes=2),
    q=np.array(
        [0],
        np.int32,
    ).reshape((1, 1, 1, 1)),
    seed=0,
    stall_probability=0.0,
)
