from dataclasses import replace

import pytest

from shiftwork import explore_views as views
from shiftwork.boards.registry import find
from shiftwork.explore import Exploration
from shiftwork.explore_networks import Quantized
from shiftwork.explore_points import Design, Point
from shiftwork.explore_synthesis import Synthesized

PLAIN = {"network": "net", "digest": "0", "macs": 1, "options": None, "content": b""}
DESIGN = Design(
    cycles=1000, lut=1234, lut_percent=23.4, bram=12, dsp=4, fmax_mhz=40.0, energy=2345.678
)


def point(board, rows=1, clock=None, **changes):
    return Point(
        quantization="int8",
        board=board,
        rows=rows,
        columns=8,
        clock_mhz=clock,
        design=replace(DESIGN, **changes),
    )


@pytest.fixture
def found():
    points = (
        point("ulx3s-25f"),
        point("ulx3s-25f", rows=2, lut=1500),
        point("orangecrab"),
        point("orangecrab", rows=3, problem="too large"),
    )
    return Exploration(
        network="net",
        area="lut",
        measure="sqnr",
        quantized=(Quantized(name="int8", samples=3, agreement=50.0, sqnr_db=31.26, **PLAIN),),
        boards=(find("ulx3s-25f"), find("orangecrab")),
        points=points,
        front=(0, 2, 1),
        board_fronts=frozenset({0, 1, 2}),
        reused=0,
        versions={},
    )


def test_a_row_for_all_boards_on_which_a_design_is_the_same(found):
    assert views.short_columns(found) == ["array, board", "MHz", "latency", "LUT", "energy", "SQNR"]
    assert views.short_cells(found) == [
        ["1 x 8, ulx3s-25f +1", "40.0", "25 µs", "1,234", "2,345.7", "31.3 dB"],
        ["2 x 8, ulx3s-25f", "40.0", "25 µs", "1,500", "2,345.7", "31.3 dB"],
    ]


def test_the_weights_are_named_where_there_are_several(found):
    other = Quantized(name="int4", samples=3, agreement=50.0, sqnr_db=None, **PLAIN)
    several = replace(found, quantized=(*found.quantized, other))
    assert views.short_columns(several)[1] == "weights"
    assert views.short_cells(several)[0][1] == "int8"
    assert views.quantization_cells(several) == [
        ["int8", "-", "-", "50.00 %", "31.3 dB", "3"],
        ["int4", "-", "-", "50.00 %", "exact", "3"],
    ]


def test_all_cells_of_a_point(found):
    assert dict(zip(views.columns(found), views.cells(found, 0), strict=True)) == {
        "board": "ulx3s-25f",
        "array": "1 x 8",
        "quantization": "int8",
        "clock": "40.0 MHz",
        "latency": "25 µs",
        "cycles": "1,000",
        "LUT": "1,234 (23 %)",
        "block RAM": "12",
        "DSP": "4",
        "energy": "2,345.7",
        "SQNR": "31.3 dB",
    }
    assert views.columns(replace(found, measure=None))[-1] == "energy"
    assert views.cells(replace(found, measure=None), 0)[-1] == "2,345.7"


def test_a_clock_that_is_missed():
    assert views.clock(point("orangecrab", clock=48.0)) == "40.0 MHz, not 48"
    assert views.clock(point("orangecrab", clock=24.0)) == "24.0 MHz"


@pytest.mark.parametrize(
    ("value", "text"), [(0.1234, "0.123 µs"), (48.04, "48 µs"), (1234.5, "1,234 µs")]
)
def test_times(value, text):
    assert views.microseconds(value) == text


def test_boards_and_misfits(found):
    assert views.board_cells(found) == [
        ["ulx3s-25f", "2", "2", "int8 1 x 8", "25 µs", "23 %", "2"],
        ["orangecrab", "2", "1", "int8 1 x 8", "25 µs", "23 %", "1"],
    ]
    assert [(p.board, reason) for p, reason in views.misfits(found)] == [
        ("orangecrab", "too large")
    ]


def test_results_beside_estimates(found):
    counted = Synthesized(index=0, lut=1200, bram=12, dsp=4)
    failed = Synthesized(index=2, problem="no yosys")
    assert views.synthesis_cells(found, (counted, failed)) == [
        ["int8 1 x 8", "ulx3s-25f", "1,200", "1,234 (+2.8 %)", "12 (12)", "4 (4)", "-", "40.0 MHz"],
        ["int8 1 x 8", "orangecrab", "-", "1,234", "-", "-", "-", "-"],
    ]
