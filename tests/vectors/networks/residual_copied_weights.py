"""Of a run of random networks: residual copied weights."""
# fmt: off

import numpy as np

from shiftwork.hw.config import ArrayShape
from shiftwork.sim.network_case import Case
from shiftwork.sim.program_builder import ProgramBuilder

builder = ProgramBuilder("random", (7, 3, 4), signed=True)
builder.max_pool((3, 3), (4, 4), padding=(2, 1, 2, 2), name="max_pool0")
builder.at("input")
builder.max_pool((3, 2), (3, 1), padding=(2, 1, 1, 1), name="max_pool1")
builder.conv(
    2,
    (2, 1),
    stride=(2, 3),
    padding=(3, 0, 3, 0),
    weights=[65, -67, -106, -119, 83, -115, -30, -43, 20, 63, -32, -4, -52, -75, 92, -7],
    bias=[2872, 1122],
    shift=[6, 7],
    unsigned=True,
    bounds=(157, 255),
    name="conv2",
)
builder.shortcut(
    "max_pool1",
    (3, 2),
    stride=(2, 3),
    padding=(7, 1, 1, 1),
    dilation=(2, 2),
    weights=[
        1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
        1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    ],
)
builder.reshape((1, 1, 16), name="reshape3")
builder.conv(
    2,
    (1, 1),
    weights=[
        -76, -98, 104, -27, 83, -101, 103, -100, -112, -3, 112, 116, 23, -4, -26, -2, -51, -125,
        -38, 14, 75, -29, 92, -58, 62, 70, -89, -80, 50, -18, 74, -92,
    ],
    bias=[-284, 1381],
    shift=[12, 12],
    pad_value=179,
    bounds=(-128, 20),
    name="conv4",
)
builder.shortcut(
    "conv2",
    (2, 1),
    stride=(2, 4),
    padding=(0, 0, 0, 2),
    dilation=(2, 2),
    weights=[-128, -128, -128, -128, -128, -128, -128, -128],
)
builder.conv(
    2,
    (1, 1),
    weights=[0, 0, -45, 0],
    bias=[266704, 351525],
    shift=[0, 0],
    pad_value=-128,
    accumulators=True,
    name="conv5",
)
builder.residual("conv4", [4, 7])
case = Case(
    program=builder.build(),
    shape=ArrayShape(rows=4, columns=8, lanes=4, column_bytes=64, input_buffers=1),
    q=np.array(
        [
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -49, -108,
            82, -62, 28, -72, 96, 61, 5, -11, 14, -78, -116, -3, 111, 126, 100, 49, 9, -11, 100, 90,
            51, -92, 72, 115, 118, 61, 126, -101, -81, -74, 109, 78, -78, 97, -108, 24, 21, -127,
            -36, 58, -44, -39, 89, -75, 88, -65, -1, -86, -82, 106, -110, 7, 28, -57, -114, 36, -22,
            19, -40, -107, -55, -92, 122, -52, 75, 104, 125, -78, 36, 67, -68, -46, 122, 69, 108,
            -105, 113, -64, 10, -38, -4, 72, -128, 127, -128, 127, -128, 127, -128, -128, -128, 127,
            127, 127, -128, -128, 127, -128, 127, 127, 127, 127, 127, -128, 127, 127, 127, 127, 127,
            -128, 127, 127, -128, 127, 127, -128, -128, -128, -128, 127, -128, -128, 127, -128,
            -128, 127, 127, -128, 127, -128, 127, -128, 127, -128, 127, 127, 127, 127, 127, -128,
            -128, -128, -128, 127, -128, -128, -128, 127, -128, -128, 127, 127, -128, -128, 127,
            -128, 127, -128, -128, 127, -128, -128, -128, -128, -128, -128,
        ],
        np.int32,
    ).reshape((3, 7, 3, 4)),
    seed=999,
    stall_probability=0.0,
)
