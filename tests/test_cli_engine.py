"""The commands for engines, with stand-ins for the tools."""

import json

import numpy as np
import pytest
from engine_tools import EngineTools

from shiftwork import __main__, exchange_check
from shiftwork.boards import tools, whole_design
from shiftwork.boards.engine import Engine
from shiftwork.sim.example_programs import dense_net, residual_net, small_cnn


@pytest.fixture
def command(capsys, monkeypatch, tmp_path):
    """Runs a command in a folder with networks; returns code, output and errors."""
    networks = [small_cnn(), dense_net()]
    for program in (*networks, residual_net()):
        program.save(tmp_path / f"{program.name}.npz")
    engine = Engine(networks, board="icebreaker", rows=1, columns=2)
    stand_in = EngineTools(engine.config)
    monkeypatch.setattr(whole_design, "make_sources", stand_in.sources)
    monkeypatch.setattr(tools, "run", stand_in.run)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(text: str) -> tuple[int, str, str]:
        code = __main__.run(text.split())
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


MAKE = "engine small_cnn.npz dense_net.npz --board icebreaker --rows 1 --columns 2 -o engine"
EXCHANGE = "exchange dense_net.npz --engine engine -o bit"


def test_an_engine_and_what_to_do_with_it(command):
    code, out, err = command(MAKE)
    assert (code, "Traceback" in err) == (0, False)
    assert "made for" in out
    assert "small_cnn, dense_net" in out
    assert "30 MHz" in out
    assert "bytes in each of 2 columns" in out
    assert "wrote engine/engine.json" in out
    assert "shiftwork exchange small_cnn.npz --engine engine --output bit" in out


def test_an_exchange_and_what_to_do_with_it(command):
    command(MAKE)
    code, out, err = command(EXCHANGE)
    assert (code, "Traceback" in err) == (0, False)
    assert "exchanging the contents of the block RAMs" in err
    assert "wrote bit/bitstream.bin" in out
    assert "iceprog bit/bitstream.bin" in out
    assert "shiftwork flash bit --board icebreaker" in out
    assert "exchanged in " in out


def test_one_json_object_each(command):
    code, out, _ = command(f"{MAKE} --json")
    made = json.loads(out)
    assert (code, made["networks"], made["clock_mhz"]) == (0, ["small_cnn", "dense_net"], 30.0)
    assert "places" not in made
    code, out, _ = command(f"{EXCHANGE} --json")
    record = json.loads(out)
    assert (code, record["network"]) == (0, "dense_net")
    assert record["seconds"] >= 0


def test_a_network_that_does_not_fit(command, tmp_path):
    command(MAKE)
    code, out, err = command("exchange residual_net.npz --engine engine -o bit")
    assert (code, out) == (1, "")
    assert "'residual_net' does not fit the engine: " in err
    assert not (tmp_path / "bit").exists()


def test_no_engine(command):
    code, out, err = command(EXCHANGE)
    assert (code, out) == (1, "")
    assert "there is no engine in engine" in err


@pytest.fixture
def verify(command, monkeypatch, tmp_path):
    """Runs an exchange with ``--verify``; the simulation has found what is given."""
    np.save(tmp_path / "x.npy", np.zeros((4, 35)))

    def run(**found):
        def stand_in(program, x, made, *, engine, folder, limit, progress):
            assert (program.name, x.shape, limit) == ("dense_net", (4, 35), 2)
            assert (str(engine), str(folder), made.file) == ("engine", "bit", "bitstream.bin")
            progress("simulating")
            return {
                "compared": 2,
                "mismatches": 0,
                "first_mismatch": None,
                "cycles_predicted": made.cycles,
                "cycles_measured": [made.cycles] * 2,
            } | found

        monkeypatch.setattr(exchange_check, "verify_exchange", stand_in)
        command(MAKE)
        return command(f"{EXCHANGE} --verify x.npy --limit 2 --json")

    return run


def test_a_verified_exchange(verify):
    code, out, err = verify()
    record = json.loads(out)
    assert code == 0
    assert record["verified"]["mismatches"] == 0
    assert "simulating" in err
    assert f"2 inputs as the golden model has them, in {record['cycles']:,} cycles" in err


def test_a_bitstream_that_computes_something_else(verify):
    code, out, err = verify(mismatches=7, first_mismatch={"text": "input 0: expected 1, got 2"})
    assert (code, out) == (1, "")
    assert (
        "what is in bit/bitstream.bin differs from the golden model in 7 values; the first: "
        "input 0: expected 1, got 2"
    ) in err


def test_a_bitstream_that_takes_other_cycles(verify):
    code, _, err = verify(cycles_measured=[9999, 1])
    assert code == 1
    assert "what is in bit/bitstream.bin takes 9,999 cycles, not " in err
