"""The commands for a board in the hand: run, on the simulated board, and flash, with fake tools."""

import json
from dataclasses import replace

import numpy as np
import pytest

from shiftwork import __main__
from shiftwork.boards.accelerator import Accelerator
from shiftwork.boards.programmer import INSTALL, OTHERS
from shiftwork.boards.registry import BOARDS
from shiftwork.link import Link
from shiftwork.quant.softmax import Softmax
from shiftwork.quant.top_score import with_top_score
from shiftwork.sim import golden
from shiftwork.sim.example_programs import dense_net, random_inputs
from shiftwork.sim.link_simulator import SimulatedBoard
from shiftwork.sim.program_builder import ProgramBuilder

SHAPE = ("--rows", 1, "--columns", 4)
SAMPLES = 3


@pytest.fixture
def command(capsys):
    """Runs a command; returns exit code, stdout and stderr."""

    def run(*arguments):
        code = __main__.run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def program():
    return dense_net()


@pytest.fixture
def samples(program):
    q = random_inputs(program, np.random.default_rng(5), SAMPLES)
    return program.input_layout.from_nhwc(program.tensor(program.input).dequantize(q))


@pytest.fixture
def files(tmp_path, program, samples):
    program.save(tmp_path / "net.npz")
    np.save(tmp_path / "x.npy", samples)
    return tmp_path / "net.npz", tmp_path / "x.npy"


def check_record(text, program, samples):
    record = json.loads(text)
    expected = golden.predict(program, samples).reshape(len(samples), -1)
    accelerator = Accelerator(program, rows=1, columns=4)
    assert record["network"] == "dense_net"
    assert record["digest"] == program.digest
    assert record["inputs"] == len(samples)
    assert record["outputs"] == expected.tolist()
    assert record["cycles"] == [accelerator.schedule.cycles] * len(samples)
    assert record["clock_mhz"] == 12.0
    assert record["latency_us"] == pytest.approx([accelerator.schedule.cycles / 12] * len(samples))
    assert len(record["classes"]) == len(samples)
    return record


def test_run_on_the_simulated_board(command, files, program, samples):
    code, out, err = command("run", *files, "--port", "sim", *SHAPE, "--compare", "--json")
    assert code == 0, err
    record = check_record(out, program, samples)
    assert (record["compared"], record["mismatches"]) == (SAMPLES, 0)
    assert "building the simulator: 1 x 4 processing elements" in err
    assert "connected: 'dense_net' at 12 MHz" in err


def test_run_at_a_port(command, files, program, samples):
    """The same with the name of a port, as it is given for a board in the hand."""
    with SimulatedBoard(Accelerator(program, rows=1, columns=4)) as board:
        arguments = ("--port", board.port, "--baud", 9600, "--limit", 2)
        code, out, err = command("run", *files, *arguments, "--json")
        assert code == 0, err
        record = check_record(out, program, samples[:2])
        assert "mismatches" not in record
        code, out, _ = command("run", *files, *arguments, "--compare")
        assert code == 0
        for text in ("class", "194", "16.2 us", "values that differ from golden"):
            assert text in out


def test_classes_of_a_top_score(command, tmp_path, program, samples):
    """The board answers with classes, and with none where the score is too low."""
    scores = golden.predict(program, samples).reshape(SAMPLES, -1)
    best = scores.max(axis=1)
    top = with_top_score(program, float(np.sort(best)[1]))
    top.save(tmp_path / "top.npz")
    np.save(tmp_path / "x.npy", samples)
    arguments = ("run", tmp_path / "top.npz", tmp_path / "x.npy", "--port", "sim", *SHAPE)
    code, out, err = command(*arguments, "--compare", "--json")
    assert code == 0, err
    record = json.loads(out)
    known = [int(row.argmax()) if row.max() >= np.sort(best)[1] else None for row in scores]
    assert record["classes"] == known
    assert [output[1] for output in record["outputs"]] == best.tolist()
    assert None in known
    code, out, _ = command(*arguments)
    assert code == 0
    assert "none" in out


def test_probabilities(command, tmp_path, samples):
    """The host makes them of the bytes that the board answers with."""
    builder = ProgramBuilder("exponentials", samples.shape[1:], np.random.default_rng(0))
    table = [max(1, min(255, round(2.0 ** (i / 16)))) for i in (*range(128), *range(-128, 0))]
    plain = builder.dense(3).table(table, unsigned=True).build()
    program = replace(plain, softmax=Softmax(power=2, reference=0.0))
    program.save(tmp_path / "net.npz")
    np.save(tmp_path / "x.npy", samples)
    arguments = ("run", tmp_path / "net.npz", tmp_path / "x.npy", "--port", "sim", *SHAPE)
    code, out, err = command(*arguments, "--compare", "--json")
    assert code == 0, err
    record = json.loads(out)
    outputs = np.array(record["outputs"], float) ** 2
    np.testing.assert_allclose(
        record["probabilities"], outputs / outputs.sum(axis=1, keepdims=True)
    )
    code, out, _ = command(*arguments)
    assert code == 0
    for label, chances in zip(record["classes"], record["probabilities"], strict=True):
        assert f"{label} ({100 * max(chances):.1f} %)" in out


def test_a_difference_fails(command, files, program, samples, monkeypatch):
    infer = Link.infer
    count = iter(range(100))

    def wrong(self, frame):
        answer = infer(self, frame)
        if next(count) != 1:
            return answer
        output = bytes([answer.output[0] ^ 1]) + answer.output[1:]
        return type(answer)(output=output, cycles=answer.cycles)

    monkeypatch.setattr(Link, "infer", wrong)
    code, out, err = command("run", *files, "--port", "sim", *SHAPE, "--compare", "--json")
    expected = int(golden.predict(program, samples)[1].reshape(-1)[0])
    record = json.loads(out)
    assert code == 1
    first = record["first_mismatch"]
    assert (first["input"], first["expected"], first["got"]) == (1, expected, expected ^ 1)
    assert "the board differs from the golden model in 1 values; the first: input 1, index" in err
    assert f"expected {expected}, got {expected ^ 1}" in err


def test_a_port_that_is_not_there(command, files):
    code, _, err = command("run", *files, "--port", "/dev/none")
    assert code == 1
    assert "the port /dev/none cannot be opened" in err


@pytest.mark.parametrize("options", [SHAPE, ("--board", "icebreaker")])
def test_a_size_is_for_the_simulation(command, files, options):
    code, _, err = command("run", *files, "--port", "/dev/none", *options)
    assert code == 2
    assert "--port sim" in err


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """A function that installs fake tools, alone on PATH; each writes down its arguments."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def install(*names, status=0):
        for name in names:
            path = folder / name
            path.write_text(
                f'#!/bin/sh\necho "{name} $*" >> "{tmp_path}/calls"\n'
                f'echo "ERROR: no device"\nexit {status}\n'
            )
            path.chmod(0o755)

    return install


@pytest.fixture
def calls(tmp_path):
    """A function that returns the calls of the fake tools."""
    return lambda: (tmp_path / "calls").read_text().splitlines()


@pytest.fixture
def bitstream(tmp_path):
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / "top.bin").write_bytes(b"bits")
    return folder / "top.bin"


def test_flash_with_iceprog(command, tools, calls, bitstream):
    tools("iceprog", "openFPGALoader")
    code, out, err = command("flash", bitstream, "--board", "icebreaker")
    assert code == 0, err
    assert calls() == [f"iceprog {bitstream}"]
    assert f"iceprog {bitstream}" in out.replace("\n", "")


def test_flash_image_first(command, tools, calls, bitstream):
    tools("iceprog")
    image = bitstream.with_name("flash.bin")
    image.write_bytes(b"weights")
    code, out, _ = command("flash", bitstream.parent, "--board", "icebreaker", "--json")
    assert code == 0
    assert calls() == [f"iceprog -o 1M {image}", f"iceprog {bitstream}"]
    assert json.loads(out)["board"] == "icebreaker"
    assert len(json.loads(out)["commands"]) == 2


def test_flash_with_openfpgaloader(command, tools, calls, bitstream):
    tools("openFPGALoader")
    image = bitstream.with_name("flash.bin")
    image.write_bytes(b"weights")
    assert command("flash", bitstream, "--board", "icebreaker")[0] == 0
    assert calls() == [
        f"openFPGALoader -b ice40_generic -f -o 1048576 {image}",
        f"openFPGALoader -b ice40_generic {bitstream}",
    ]


def test_flash_another_family(command, tools, calls, tmp_path):
    tools("iceprog", "openFPGALoader")
    path = tmp_path / "design.bit"
    path.write_bytes(b"bits")
    assert command("flash", path, "--board", "ulx3s-85f")[0] == 0
    assert calls() == [f"openFPGALoader -b ulx3s {path}"]


def test_the_record_names_the_bitstream(command, tools, calls, bitstream):
    tools("iceprog")
    folder = bitstream.parent
    (folder / "other.bin").write_bytes(b"older")
    record = {"board": "icebreaker", "file": "top.bin"}
    (folder / "bitstream.json").write_text(json.dumps(record))
    assert command("flash", folder, "--board", "icebreaker")[0] == 0
    assert calls() == [f"iceprog {bitstream}"]
    code, _, err = command("flash", folder, "--board", "ulx3s-85f")
    assert code == 1
    assert "was made for icebreaker, not for ulx3s-85f; name that board" in err


@pytest.mark.usefixtures("tools")
def test_no_tool(command, bitstream):
    code, _, err = command("flash", bitstream, "--board", "icebreaker")
    assert code == 1
    assert "neither iceprog nor openFPGALoader is on PATH" in err
    assert "apt install fpga-icestorm" in err
    assert "brew install openfpgaloader" in err
    code, _, err = command("flash", bitstream, "--board", "ulx3s-85f")
    assert code == 1
    assert "openFPGALoader is not on PATH, which loads bitstreams into ulx3s-85f" in err


def test_a_tool_that_fails(command, tools, bitstream, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    tools("iceprog", status=3)
    code, _, err = command("flash", bitstream, "--board", "icebreaker")
    assert code == 1
    assert "iceprog failed with status 3: ERROR: no device; its output is in" in err


def test_no_bitstream(command, tools, tmp_path):
    tools("iceprog")
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "flash.bin").write_bytes(b"weights")
    code, _, err = command("flash", empty, "--board", "icebreaker")
    assert code == 1
    assert "must hold one bitstream (.bin, .bit, .fs)" in err
    assert "holds none; name the file" in err
    (empty / "a.bin").write_bytes(b"")
    (empty / "b.bin").write_bytes(b"")
    assert (
        "holds a.bin, b.bin; name the file" in command("flash", empty, "--board", "icebreaker")[2]
    )
    missing = tmp_path / "none.bin"
    code, _, err = command("flash", missing, "--board", "icebreaker")
    assert code == 1
    assert f"there is no bitstream {missing}" in err
    assert not (tmp_path / "calls").exists()


def test_the_board_says_what_loads_it(command, tools, calls, tmp_path):
    tools("openFPGALoader", "dfu-util")
    path = tmp_path / "design.bit"
    path.write_bytes(b"bits")
    assert command("flash", path, "--board", "orangecrab")[0] == 0
    assert calls() == [f"dfu-util -d 1209:5af0 -a 0 -D {path}"]


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_it_is_known_how_to_install_what_loads_a_board(board):
    tool = board.load.split()[0]
    assert {tool, *(text.split()[0] for text in OTHERS.get(tool, ()))} <= set(INSTALL)
    assert "{file}" in board.load
