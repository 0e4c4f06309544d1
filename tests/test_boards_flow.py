import pytest

from shiftwork.boards.flow import FLOWS
from shiftwork.boards.registry import BOARDS, find
from shiftwork.boards.report import LABELS


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_every_board_has_a_flow(board):
    flow = FLOWS[board.family]
    assert set(flow.utilization) <= set(LABELS)
    assert set(flow.cells) <= set(LABELS)
    assert flow.synth.startswith("synth_")


@pytest.mark.parametrize(
    ("family", "cell", "expected"),
    [
        ("ice40up", "SB_LUT4", ("lut", 1)),
        ("ice40up", "SB_DFFESR", ("ff", 1)),
        ("ice40up", "SB_RAM40_4K", ("bram", 1)),
        ("ice40up", "SB_CARRY", None),
        ("ecp5", "CCU2C", ("lut", 2)),
        ("ecp5", "MULT18X18D", ("dsp", 1)),
        ("ecp5", "$scopeinfo", None),
        ("ice40hx", "SB_LUT4", ("lut", 1)),
        ("gowin", "LUT4", ("lut", 1)),
        ("gowin", "ALU", ("lut", 1)),
        ("gowin", "MUX2_LUT5", None),
        ("gowin", "DFFRE", ("ff", 1)),
        ("gowin", "SDPX9B", ("bram", 1)),
        ("gowin", "SPX9", ("bram", 1)),
        ("gowin", "MULT9X9", ("dsp", 1)),
    ],
)
def test_resource(family, cell, expected):
    assert FLOWS[family].resource(cell) == expected


@pytest.mark.parametrize(
    ("board", "expected"),
    [
        ("icebreaker", ["--up5k", "--package", "sg48"]),
        ("orangecrab", ["--25k", "--package", "CSFBGA285", "--speed", "8"]),
        ("tang-nano-9k", ["--device", "GW1NR-LV9QN88PC6/I5", "--vopt", "family=GW1N-9C"]),
    ],
)
def test_the_chip_as_nextpnr_names_it(board, expected):
    assert FLOWS[find(board).family].chip(find(board)) == expected


@pytest.mark.parametrize(
    ("board", "expected"),
    [
        ("ice40-hx8k", "icepack routed.txt bitstream.bin"),
        ("orangecrab", "ecppack --compress --freq 38.8 routed.txt bitstream.bit"),
        (
            "tang-nano-20k",
            "gowin_pack --sspi_as_gpio --mspi_as_gpio -d GW2A-18C -o bitstream.fs routed.txt",
        ),
    ],
)
def test_the_packer_and_its_arguments(board, expected):
    assert FLOWS[find(board).family].packing(find(board)) == expected.split()
