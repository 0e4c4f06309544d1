"""Engines that are placed and routed once, with stand-ins for the tools."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from engine_tools import EngineTools, routed_of

from shiftwork.boards import routed_engine, tools, whole_design
from shiftwork.boards.engine import Engine
from shiftwork.boards.routed_engine import RoutedEngine, load_engine, make_engine
from shiftwork.errors import DataError, TimingError
from shiftwork.sim.example_programs import dense_net, small_cnn

NETWORKS = (small_cnn(), dense_net())


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(NETWORKS, board="icebreaker", rows=1, columns=2)


@pytest.fixture
def stand_in(engine, monkeypatch) -> EngineTools:
    made = EngineTools(engine.config)
    monkeypatch.setattr(whole_design, "make_sources", made.sources)
    monkeypatch.setattr(tools, "run", made.run)
    return made


def test_an_engine_is_routed_once(stand_in, engine, tmp_path) -> None:
    made = make_engine(engine, folder=tmp_path)
    assert stand_in.calls == ["yosys", "nextpnr-ice40"]
    assert (made.board, made.networks) == ("icebreaker", ("small_cnn", "dense_net"))
    assert (made.clock_mhz, made.fmax_mhz, made.seeds, made.baud) == (30.0, 40.0, {1: 40.0}, 115200)
    assert made.resources["lut"].used == 5
    loaded, routed = load_engine(tmp_path)
    assert loaded == made
    assert routed == routed_of(stand_in.cells)
    assert make_engine(engine, folder=tmp_path) == made
    assert stand_in.calls == ["yosys", "nextpnr-ice40"]


def test_a_missed_clock(engine, monkeypatch, tmp_path) -> None:
    slow = EngineTools(engine.config, fmax=20.0)
    monkeypatch.setattr(whole_design, "make_sources", slow.sources)
    monkeypatch.setattr(tools, "run", slow.run)
    with pytest.raises(TimingError) as caught:
        make_engine(engine, folder=tmp_path, seeds=1)
    assert str(caught.value).startswith(
        "an engine for small_cnn, dense_net reaches 20.0 MHz on icebreaker with its link"
    )
    assert not (tmp_path / "engine.json").exists()


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize(
    ("name", "change", "text"),
    [
        ("engine.json", lambda text: text[:-9], "engine.json is damaged: "),
        (
            "engine.json",
            lambda text: text.replace('"format": 1', '"format": 2'),
            "engine.json is of another version of Shiftwork; make it with 'shiftwork engine' again",
        ),
        (
            "engine.json",
            lambda text: text.replace('"asked_mhz"', '"asked"'),
            "engine.json is damaged: ",
        ),
        (
            "engine.txt",
            lambda text: text.replace(".comment", ".remark"),
            "engine.txt is not the routed design that engine.json was written with; make it with "
            "'shiftwork engine' again",
        ),
    ],
)
def test_a_damaged_engine(engine, tmp_path, name, change, text) -> None:
    make_engine(engine, folder=tmp_path)
    path: Path = tmp_path / name
    path.write_text(change(path.read_text()))
    with pytest.raises(DataError) as caught:
        load_engine(tmp_path)
    assert text in str(caught.value)


@pytest.mark.usefixtures("stand_in")
def test_the_record_is_json_and_back(engine, tmp_path) -> None:
    made = make_engine(engine, folder=tmp_path)
    again = RoutedEngine.from_dict(json.loads(json.dumps(made.as_dict())))
    assert again == made
    assert replace(again, seed=2) != made
    assert made.as_dict()["format"] == routed_engine.FORMAT
