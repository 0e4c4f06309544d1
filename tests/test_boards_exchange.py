"""Engines that are routed once, and bitstreams of networks on them; tools have stand-ins."""

import hashlib
import json
from pathlib import Path

import pytest
from engine_tools import EngineTools, cells_of, routed_of

from shiftwork.boards import exchange as exchange_module
from shiftwork.boards import tools, whole_design
from shiftwork.boards.engine import Engine
from shiftwork.boards.exchange import exchange, exchanged_core
from shiftwork.boards.link_protocol import Identity
from shiftwork.boards.responder import PAYLOAD_INDEX
from shiftwork.boards.routed_engine import make_engine
from shiftwork.errors import CapacityError, DataError
from shiftwork.sim.example_programs import dense_net, residual_net, small_cnn

NETWORKS = (small_cnn(), dense_net())


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(NETWORKS, board="icebreaker", rows=1, columns=2)


@pytest.fixture
def stand_in(engine, monkeypatch) -> EngineTools:
    made = EngineTools(engine.config)
    monkeypatch.setattr(whole_design, "make_sources", made.sources)
    monkeypatch.setattr(exchange_module, "make_sources", made.sources)
    monkeypatch.setattr(tools, "run", made.run)
    return made


def test_every_network_is_an_exchange(stand_in, engine, tmp_path) -> None:
    made = make_engine(engine, folder=tmp_path / "engine")
    stand_in.calls.clear()
    for program in NETWORKS:
        folder = tmp_path / program.name
        result = exchange(program, engine=tmp_path / "engine", folder=folder)
        schedule = engine.schedule(program)
        packed = (folder / "bitstream.bin").read_bytes()
        core = exchanged_core(made, schedule)
        assert packed.decode() == "packed\n" + routed_of(cells_of(core.roms))
        assert json.loads((folder / "bitstream.json").read_text()) == json.loads(
            json.dumps(result.as_dict())
        )
        assert (result.network, result.digest) == (program.name, program.digest)
        assert (result.cycles, result.rows, result.columns) == (schedule.cycles, 1, 2)
        assert result.sha256 == hashlib.sha256(packed).hexdigest()
        assert result.commands == (f"iceprog {folder / 'bitstream.bin'}",)
        assert (result.clock_mhz, result.seed, result.flash) == (30.0, 1, None)
    assert stand_in.calls == ["icepack", "icepack"]


@pytest.mark.usefixtures("stand_in")
def test_what_the_host_is_told(engine, tmp_path) -> None:
    made = make_engine(engine, folder=tmp_path)
    program = dense_net()
    core = exchanged_core(made, engine.schedule(program))
    size = len(Identity(**IDENTITY).pack())
    told = Identity.unpack(core.link[PAYLOAD_INDEX : PAYLOAD_INDEX + size])
    assert told == Identity(
        version=1,
        state=0,
        clock_hz=30_000_000,
        cycles=engine.schedule(program).cycles,
        input_bytes=35,
        output_bytes=5,
        digest=program.digest[:16],
    )
    assert core.link[64:70] == bytes([35, 0, 0, 5, 0, 0])


IDENTITY = {
    "version": 1,
    "state": 0,
    "clock_hz": 1,
    "cycles": 1,
    "input_bytes": 1,
    "output_bytes": 1,
    "digest": "00" * 8,
}


@pytest.mark.usefixtures("stand_in")
def test_a_network_that_does_not_fit_leaves_nothing(engine, tmp_path) -> None:
    make_engine(engine, folder=tmp_path / "engine")
    with pytest.raises(CapacityError, match="'residual_net' does not fit the engine: "):
        exchange(residual_net(), engine=tmp_path / "engine", folder=tmp_path / "bit")
    assert not (tmp_path / "bit").exists()


def test_no_engine(tmp_path) -> None:
    with pytest.raises(DataError) as caught:
        exchange(dense_net(), engine=tmp_path / "none", folder=tmp_path / "bit")
    assert str(caught.value) == (
        f"there is no engine in {tmp_path / 'none'}: No such file or directory; make it with "
        "'shiftwork engine'"
    )


def changed_code(folder: Path) -> None:
    record = json.loads((folder / "engine.json").read_text())
    (folder / "engine.json").write_text(json.dumps(record | {"code": "0"}))


@pytest.mark.usefixtures("stand_in")
def test_an_engine_of_another_version_with_the_same_hardware(engine, tmp_path) -> None:
    make_engine(engine, folder=tmp_path / "engine")
    changed_code(tmp_path / "engine")
    assert exchange(dense_net(), engine=tmp_path / "engine", folder=tmp_path / "bit").cycles > 0


def test_an_engine_of_other_hardware(stand_in, engine, tmp_path) -> None:
    make_engine(engine, folder=tmp_path / "engine")
    changed_code(tmp_path / "engine")
    stand_in.design = "another design"
    with pytest.raises(DataError) as caught:
        exchange(dense_net(), engine=tmp_path / "engine", folder=tmp_path / "bit")
    assert str(caught.value) == (
        f"the engine in {tmp_path / 'engine'} was made by another version of Shiftwork or "
        "Amaranth, whose hardware differs; make it again with 'shiftwork engine'"
    )
