"""Of a run of random networks: shortcut accumulators."""
# fmt: off

import numpy as np

from shiftwork.hw.config import ArrayShape
from shiftwork.sim.network_case import Case
from shiftwork.sim.program_builder import ProgramBuilder

builder = ProgramBuilder("random", (6, 1, 1), signed=False)
builder.conv(
    11,
    (1, 3),
    stride=(3, 1),
    padding=(2, 0, 0, 6),
    dilation=(1, 3),
    weights=[
        -40, 12, -105, 62, 122, 126, -117, 64, 112, 44, -128, -71, -44, -42, 31, 113, 112, -3, -64,
        73, -24, -64, -66, -77, -123, -105, 107, -128, 114, 2, -80, 0, -47,
    ],
    bias=[-148, -215, 110, 79, -207, -243, 112, -26, 138, 104, 188],
    shift=[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    pad_value=204,
    accumulators=True,
    name="conv0",
)
builder.shortcut(
    "input",
    (3, 2),
    stride=(3, 1),
    padding=(4, 1, 1, 0),
    dilation=(2, 1),
    weights=[
        44, 78, 79, 39, -8, -77, -47, -33, -70, -71, 48, -104, -112, 79, 16, 46, -104, 25, 107, -70,
        64, -86, 62, 4, -4, 22, 62, -47, 111, 127, -104, -21, -117, -109, 32, 6, -34, 0, -63, 50,
        79, 116, -62, 8, 74, 23, -103, -96, 119, 20, -122, -6, 27, -121, -87, 51, -20, -28, -82, 75,
        25, -72, -19, 91, 61, 104,
    ],
    pad_value=147,
)
case = Case(
    program=builder.build(),
    shape=ArrayShape(rows=5, columns=8, lanes=4, stage_columns=6, word_bytes=8, single_port=True),
    q=np.array(
        [255, 255, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 0, 255],
        np.int32,
    ).reshape((3, 6, 1, 1)),
    seed=404,
    stall_probability=0.75,
)
