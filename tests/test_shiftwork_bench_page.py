import json
from dataclasses import replace

import pytest

from shiftwork.bench import Outcome, Quality, Result
from shiftwork.bench_networks import PUBLISHED, Row
from shiftwork.bench_page import (
    JSON,
    MARKDOWN,
    command_line,
    hardware_cells,
    markdown,
    quality_cells,
    write,
)
from shiftwork.bench_quality import Measure

ROW = Row(network="kws", board="icebreaker", elements=16, cycles=200_000, fmax_mhz=40.0)
RESULT = Result(row=ROW, rows=2, columns=8, cycles=180_000)
ROUTED = replace(RESULT, fmax_mhz=45.04, seed=3, latency_ms=3.9964, lut=4000, dsp=8)


def outcome(*results, agreement=99.0):
    quality = Quality(
        network="kws",
        title="keyword spotting",
        macs=2_656_768,
        weights=22_016,
        calibrated_on="100 inputs",
        measured_on="400 others",
        measures=(
            Measure(name="accuracy", value=90.0, unit="%"),
            Measure(name="agreement", value=agreement, unit="%", least=98.5),
        ),
    )
    return Outcome(
        qualities={"kws": quality},
        results=results,
        published=tuple(item for item in PUBLISHED if item.network == "kws"),
        versions={"shiftwork": "1.2", "amaranth": "0.5"},
    )


def line(text, start):
    (found,) = [line for line in text.splitlines() if line.startswith(start)]
    return [cell.strip() for cell in found.strip("|").split("|")]


def table_row(*results, **options):
    return line(markdown(outcome(*results, **options), command="shiftwork"), "| KWS | acc")


def test_a_routed_row():
    cells = table_row(ROUTED)
    assert cells[:9] == [
        "KWS",
        "accuracy 90.00 %; agreement 99.00 % (at least 98.5)",
        "icebreaker",
        "2 x 8",
        "180,000",
        "200,000",
        "45.0 MHz, seed 3",
        "40 MHz",
        "4 ms",
    ]
    assert "2.15 ms (Zynq 7010 (ZyBo))" in cells[9]
    assert "about 25 million cycles (iCE40 UP5K" in cells[9]


def test_a_row_that_was_not_routed():
    assert table_row(RESULT)[6:9] == ["-", "40 MHz", "-"]


def test_missed_bounds_stand_out():
    cells = table_row(replace(ROUTED, cycles=250_000, fmax_mhz=30.0), agreement=90.0)
    assert cells[1].endswith("**agreement 90.00 % (at least 98.5): missed**")
    assert cells[4] == "**250,000: missed**"
    assert cells[6] == "**30.0 MHz, seed 3: missed**"


def test_a_row_that_is_not_possible():
    cells = table_row(Result(row=ROW, problem="no room"))
    assert cells[3:5] == ["-", "-"]
    assert cells[8] == "not possible: no room"


def test_the_page_says_how_it_was_made_and_where_others_publish():
    text = markdown(outcome(ROUTED), command="shiftwork bench mlperf-tiny")
    assert "2,656,768 multiply-accumulates and 22,016 weights" in text
    assert "Calibrated on 100 inputs; measured on 400 others." in text
    assert "```sh\nshiftwork bench mlperf-tiny\n```" in text
    assert "shiftwork 1.2, amaranth 0.5." in text
    cells = line(text, "| KWS | fpgaConvNet | Zynq 7010")
    assert cells[3:] == [
        "2.15 ms",
        "125 MHz",
        "60",
        "MLPerf Tiny v1.1, closed division, submission of fpgaConvNet",
    ]


def test_cells_cannot_break_the_table():
    text = markdown(outcome(Result(row=ROW, problem="a|b\nc")), command="shiftwork")
    assert "not possible: a\\|b c" in text


def test_tables_for_the_terminal():
    assert quality_cells(outcome(agreement=90.0)) == [
        ["KWS", "accuracy 90.00 %", ""],
        ["KWS", "agreement 90.00 % (at least 98.5)", "missed"],
    ]
    slow = replace(ROUTED, fmax_mhz=30.0)
    assert hardware_cells(outcome(RESULT, slow)) == [
        ["KWS", "icebreaker", "2 x 8", "180,000", "-", "-"],
        ["KWS", "icebreaker", "2 x 8", "180,000", "30.0 MHz, seed 3 (at least 40)", "4 ms"],
    ]


def test_the_files_of_the_result(tmp_path):
    also = tmp_path / "table.md"
    options = {"--files": tmp_path, "--board": None, "-o": "my out"}
    record = write(outcome(ROUTED), tmp_path / "out", options, route=False, also=also)
    assert json.loads((tmp_path / "out" / JSON).read_text()) == json.loads(json.dumps(record))
    assert (tmp_path / "out" / MARKDOWN).read_text() == also.read_text()
    assert record["rows"][0]["cycles_met"] is True
    assert record["rows"][0]["row"]["elements"] == 16
    assert record["networks"]["kws"]["measures"][1]["met"] is True
    assert record["command"].endswith("-o 'my out' --no-route")
    assert "--board" not in record["command"]


@pytest.mark.parametrize(("route", "end"), [(True, "--seeds 3"), (False, "--seeds 3 --no-route")])
def test_the_command_line(route, end):
    options = {"--networks": "kws", "--seeds": 3}
    assert command_line(options, route=route) == (
        f"shiftwork bench mlperf-tiny --networks kws {end}"
    )
