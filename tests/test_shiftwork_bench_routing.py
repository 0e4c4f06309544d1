"""What a missed clock leaves: the report, as a reached one does."""

import json

import pytest

from shiftwork import bench_routing
from shiftwork.boards.accelerator import Accelerator
from shiftwork.boards.registry import find
from shiftwork.boards.synthesis import REPORT
from shiftwork.errors import CapacityError, TimingError
from shiftwork.sim.example_programs import small_cnn
from shiftwork.workspace import silent


@pytest.fixture
def accelerator():
    return Accelerator(small_cnn(), board=find("icebreaker"), rows=1, columns=4)


class Report:
    def as_dict(self):
        return {"fmax_mhz": 41.0}


def stand_in(monkeypatch, error=None):
    asked = {}

    def synthesize(_, **options):
        asked.update(options)
        if error is not None:
            (options["folder"] / REPORT).write_text(json.dumps({"fmax_mhz": 33.0}))
            raise error
        return Report()

    monkeypatch.setattr(bench_routing, "synthesize", synthesize)
    return asked


def test_more_is_asked_for_than_most_designs_reach(accelerator, monkeypatch, tmp_path):
    asked = stand_in(monkeypatch)
    found = bench_routing.routed_report(accelerator, tmp_path, seeds=2, progress=silent)
    assert found == {"fmax_mhz": 41.0}
    assert (asked["clock_mhz"], asked["seeds"], asked["board"].name) == (40.0, 2, "icebreaker")


def test_a_missed_clock_is_a_result(accelerator, monkeypatch, tmp_path):
    stand_in(monkeypatch, TimingError("33 MHz"))
    found = bench_routing.routed_report(accelerator, tmp_path, seeds=1, progress=silent)
    assert found == {"fmax_mhz": 33.0}


def test_a_design_that_does_not_fit_is_none(accelerator, monkeypatch, tmp_path):
    stand_in(monkeypatch, CapacityError("too large"))
    with pytest.raises(CapacityError, match="too large"):
        bench_routing.routed_report(accelerator, tmp_path, seeds=1, progress=silent)
