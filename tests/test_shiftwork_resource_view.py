from dataclasses import replace

import pytest
from page_examples import example_report

from shiftwork.boards.report import Resource
from shiftwork.resource_view import clock_section, resource_section


@pytest.fixture
def report():
    return example_report(
        bram=Resource(used=31, available=30),
        spram=Resource(used=0, available=0),
        blocks={"array": {"lut": 1320}, "drain": {"lut": 528, "bram": 3}, "rom": {"bram": 27}},
        seeds={1: 35.0, 2: 40.0, 3: 38.0},
        seed=2,
        critical_path="a <to> b",
    )


def test_shares_of_the_chip(report):
    text = resource_section(report, command="shiftwork synth net.npz")
    for part in ("2,640 of 5,280 (50 %)", "31 of 30 (103 %)", "1,320 (25.0 %)", "27 (90.0 %)"):
        assert part in text
    assert text.count("strip strong") == 1
    assert "SPRAM" not in text


def test_blocks_lie_one_behind_the_other(report):
    text = resource_section(report, command="shiftwork synth net.npz")
    assert 'x="0" y="0" width="1320"' in text
    assert 'x="1320" y="0" width="528"' in text


def test_the_spread_of_the_clock(report):
    text = clock_section(report, command="shiftwork synth net.npz")
    for part in ("seed 2, counts", "35.0 MHz, the median is 38.0 MHz", "14.3 % more", "&lt;to&gt;"):
        assert part in text
    assert text.count("#b3372f") == 1


def test_one_start_of_the_placer(report):
    text = clock_section(replace(report, seeds={2: 40.0}), command="shiftwork synth net.npz")
    assert "--seeds 8 shows the spread" in text
