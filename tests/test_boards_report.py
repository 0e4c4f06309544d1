import dataclasses
import json

import pytest
from rich.console import Console

from shiftwork.boards.report import (
    Report,
    Resource,
    block_table,
    resource_table,
    timing_table,
)


@pytest.fixture
def report():
    return Report(
        network="lenet",
        board="icebreaker",
        title="iCEBreaker",
        rows=4,
        columns=4,
        lut=Resource(used=2640, available=5280),
        ff=Resource(used=1000, available=5280),
        bram=Resource(used=29, available=30),
        dsp=Resource(used=8, available=8),
        spram=Resource(used=0, available=0),
        blocks={"array": {"lut": 1500, "ff": 900, "dsp": 8}, "core": {"lut": 10}},
        fmax_mhz=40.0,
        seeds={1: 38.0, 2: 40.0},
        seed=2,
        target_mhz=36.0,
        critical_path="a to b: 10.0 ns logic, 5.0 ns routing",
        cycles=56_000,
        macs=800_000,
        io_bytes=(784, 40),
        rom_bytes=6000,
        activation_bytes=3000,
        versions={"shiftwork": "0.1.0"},
    )


def text(table):
    console = Console(width=120)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def test_latency(report):
    assert report.latency_us == 1400.0
    assert report.latency_with_io_us == pytest.approx((56_000 + 824) / 40.0)
    assert report.inferences_per_second == pytest.approx(40e6 / 56_000)


def test_throughput_is_bounded_by_the_streams(report):
    report = dataclasses.replace(report, cycles=100)
    assert report.inferences_per_second == pytest.approx(40e6 / 784)


def test_throughput_is_bounded_by_a_single_input_buffer(report):
    held = dataclasses.replace(report, input_held_cycles=55_900)
    assert held.inferences_per_second == pytest.approx(40e6 / (55_900 + 784))
    assert held.latency_us == report.latency_us


@pytest.mark.parametrize(("target", "met"), [(36.0, True), (40.0, True), (40.1, False)])
def test_met(report, target, met):
    assert dataclasses.replace(report, target_mhz=target).met is met


def test_percent():
    assert Resource(used=1, available=4).percent == 25.0
    assert Resource(used=0, available=0).percent == 0.0


def test_resources_leave_out_what_the_board_lacks(report):
    assert list(report.resources) == ["lut", "ff", "bram", "dsp"]


def test_as_dict_is_json(report):
    record = json.loads(json.dumps(report.as_dict()))
    assert record["lut"] == {"used": 2640, "available": 5280, "percent": 50.0}
    assert record["latency_us"] == 1400.0
    assert record["met"] is True
    names = {"board", "rows", "columns", "ff", "bram", "dsp", "fmax_mhz", "target_mhz", "blocks"}
    assert names <= set(record)


def test_tables(report):
    assert "2640" in text(resource_table(report))
    assert "SPRAM" not in text(resource_table(report))
    assert "array" in text(block_table(report))
    assert "1,400.0 us" in text(timing_table(report))
