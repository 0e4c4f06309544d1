import pytest

from shiftwork.boards.flow import FLOWS
from shiftwork.boards.registry import BOARDS
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
    ],
)
def test_resource(family, cell, expected):
    assert FLOWS[family].resource(cell) == expected
