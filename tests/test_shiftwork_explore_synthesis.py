"""The synthesis of points, with a stand-in for place and route."""

import json
from dataclasses import replace

import pytest

from shiftwork import explore_synthesis as module
from shiftwork.boards.registry import find
from shiftwork.boards.report import Report, Resource
from shiftwork.errors import CapacityError, TimingError
from shiftwork.explore import Sweep, explore
from shiftwork.explore_synthesis import synthesize_front
from shiftwork.sim.example_programs import dense_net

FMAX_MHZ = 45.0


@pytest.fixture
def found(tmp_path):
    dense_net().save(tmp_path / "net.npz")
    sweep = Sweep(
        network=tmp_path / "net.npz",
        options={},
        boards=(find("icebreaker"),),
        rows=(1,),
        columns=(1, 4, 12),
        clocks=(20.0, "max"),
    )
    return explore(sweep, tmp_path / "out", processes=1)


def report(accelerator, board, target_mhz):
    none = Resource(used=0, available=1)
    return Report(
        network="dense_net",
        board=board.name,
        title=board.title,
        rows=accelerator.config.shape.rows,
        columns=accelerator.config.shape.columns,
        lut=Resource(used=1234, available=board.lut),
        ff=none,
        bram=Resource(used=9, available=board.bram),
        dsp=none,
        spram=none,
        blocks={},
        fmax_mhz=FMAX_MHZ,
        seeds={1: FMAX_MHZ},
        seed=1,
        target_mhz=target_mhz,
        critical_path="",
        cycles=accelerator.schedule.cycles,
        macs=1,
        io_bytes=(1, 1),
        rom_bytes=1,
        activation_bytes=1,
        versions={},
    )


@pytest.fixture
def asked(monkeypatch):
    """What was asked for; more than 45 MHz is missed, 12 columns do not fit."""
    calls = []

    def synthesize(accelerator, *, board, seeds, folder, clock_mhz, progress):
        del progress
        shape = accelerator.config.shape
        calls.append((shape.columns, seeds, folder.name, clock_mhz))
        if shape.columns == 12:
            raise CapacityError("too large")
        made = report(accelerator, board, clock_mhz)
        folder.mkdir(parents=True)
        (folder / "report.json").write_text(json.dumps(made.as_dict()))
        if clock_mhz > FMAX_MHZ:
            raise TimingError("too slow")
        return made

    monkeypatch.setattr(module, "synthesize", synthesize)
    return calls


def test_points_of_the_front_in_its_order(found, tmp_path, asked):
    told = []
    results = synthesize_front(found, tmp_path / "out", progress=told.append)
    assert [result.index for result in results] == list(found.front)
    points = [found.points[index] for index in found.front]
    assert asked == [
        (p.columns, 1, f"as-stored-1x{p.columns}-icebreaker", round(p.runs_at_mhz, 1))
        for p in points
    ]
    assert {p.columns for p in points} == {1, 4, 12}
    for result, point in zip(results, points, strict=True):
        if point.columns == 12:
            assert (result.problem, result.routed) == ("too large", False)
            continue
        assert (result.lut, result.bram, result.routed, result.problem) == (1234, 9, True, "")
        assert result.fmax_mhz == FMAX_MHZ
        assert result.latency_us == round(point.design.cycles / FMAX_MHZ, 3)
    assert any(line.endswith("icebreaker: too large") for line in told)


def test_no_more_than_asked_for(found, tmp_path, asked):
    assert synthesize_front(found, tmp_path / "out", most=0) == ()
    (result,) = synthesize_front(found, tmp_path / "out", most=1, seeds=3)
    assert result.index == found.front[0]
    assert [seeds for _, seeds, _, _ in asked] == [3]


def test_a_clock_that_was_asked_for(found, tmp_path, asked):
    slow = next(i for i, p in enumerate(found.points) if p.clock_mhz == 20.0 and p.columns == 4)
    (result,) = synthesize_front(replace(found, front=(slow,)), tmp_path / "out")
    assert asked == [(4, 1, "as-stored-1x4-icebreaker-20MHz", 20.0)]
    assert result.latency_us == round(found.points[slow].design.cycles / 20.0, 3)


@pytest.mark.slow
def test_the_netlist_alone(found, tmp_path):
    (result,) = synthesize_front(found, tmp_path / "out", most=1, route=False)
    design = found.points[result.index].design
    assert (result.problem, result.routed, result.fmax_mhz) == ("", False, None)
    assert (result.bram, result.dsp, result.spram) == (design.bram, design.dsp, design.spram)
    assert result.lut == pytest.approx(design.lut, rel=0.1)
    told = []
    again = synthesize_front(found, tmp_path / "out", most=1, route=False, progress=told.append)
    assert again == (result,)
    assert any("yosys: synthesis: unchanged" in line for line in told)
