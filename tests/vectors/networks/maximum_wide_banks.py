"""Of a run of random networks: maximum wide banks."""
# fmt: off

import numpy as np

from shiftwork.hw.config import ArrayShape
from shiftwork.sim.network_case import Case
from shiftwork.sim.program_builder import ProgramBuilder

builder = ProgramBuilder("random", (1, 4, 4), signed=False, zero_point=189, bounds=(148, 239))
builder.max_pool((2, 1), (4, 4), padding=(0, 0, 1, 0), name="max_pool0")
builder.conv(
    11,
    (1, 1),
    weights=[
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ],
    bias=[
        516370, 294259, 300210, -360762, 717105, 500558, -373208, -247183, -704283, 734741, 16702,
    ],
    shift=[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    pad_value=191,
    accumulators=True,
    name="conv1",
)
case = Case(
    program=builder.build(),
    shape=ArrayShape(
        rows=3,
        columns=2,
        lanes=2,
        word_bytes=8,
        bank_bytes=4,
        column_bytes=64,
        input_buffers=1,
    ),
    q=np.array(
        [
            180, 232, 152, 224, 175, 232, 225, 185, 225, 158, 224, 197, 209, 237, 212, 230,
        ],
        np.int32,
    ).reshape((1, 1, 4, 4)),
    seed=173,
    stall_probability=0.75,
)
