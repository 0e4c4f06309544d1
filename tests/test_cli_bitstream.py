"""The command that makes a bitstream, with a stand-in for the tools."""

import json

import pytest

from shiftwork import __main__
from shiftwork.boards import bitstream
from shiftwork.boards.bitstream import Bitstream
from shiftwork.boards.report import Resource
from shiftwork.errors import TimingError
from shiftwork.sim.example_programs import dense_net

MADE = Bitstream(
    board="upduino3",
    title="UPduino 3",
    network="dense_net",
    digest="00",
    rows=1,
    columns=2,
    cycles=3000,
    clock_mhz=30.0,
    asked_mhz=30.0,
    seeds={1: 28.0, 2: 41.5},
    seed=2,
    baud=9600,
    resources={"lut": Resource(used=10, available=5280), "dsp": Resource(used=0, available=0)},
    file="bitstream.bin",
    sha256="11",
    flash=None,
    commands=("iceprog out/bitstream.bin",),
    note="close the jumper",
    tools={},
)


@pytest.fixture
def command(capsys, monkeypatch, tmp_path):
    """Runs the command; returns code, output, errors and the arguments of ``make_bitstream``."""
    net = tmp_path / "net.npz"
    dense_net().save(net)

    def run(*arguments, error=None):
        asked = {}

        def make(accelerator, **options):
            asked.update(options, accelerator=accelerator)
            if error:
                raise error
            return MADE

        monkeypatch.setattr(bitstream, "make_bitstream", make)
        given = ["bitstream", net, "--board", "upduino3", "-o", tmp_path / "out", *arguments]
        code = __main__.run([str(argument) for argument in given])
        captured = capsys.readouterr()
        return code, captured.out, captured.err, asked

    return run


def test_the_result_and_the_next_command(command):
    code, out, _, asked = command("--rows", "1", "--columns", "2")
    assert code == 0
    assert "28.0, 41.5 MHz" in out
    assert "41.5 MHz (seed 2)" in out
    assert "100.0 us" in out
    assert "close the jumper" in out
    *_, loaded_by, following = out.rstrip().splitlines()
    assert loaded_by == "  iceprog out/bitstream.bin"
    assert following.startswith("next: shiftwork flash ")
    assert "DSP" not in out
    assert asked["accelerator"].config.shape.elements == 2
    assert (asked["clock_mhz"], asked["seeds"], asked["baud"]) == (None, None, 115_200)
    assert (asked["fastest"], asked["toolchain"]) == (False, "yowasp")


def test_json_and_options(command):
    options = ["--clock", "24", "--seeds", "3", "--baud", "9600", "--toolchain", "native"]
    code, out, _, asked = command("--json", "--fastest", *options)
    assert code == 0
    record = json.loads(out)
    assert record.pop("next").startswith("shiftwork flash ")
    assert record == json.loads(json.dumps(MADE.as_dict()))
    assert (asked["clock_mhz"], asked["seeds"], asked["baud"]) == (24.0, 3, 9600)
    assert (asked["fastest"], asked["toolchain"]) == (True, "native")


def test_a_missed_clock_is_a_failure(command):
    code, out, err, _ = command(error=TimingError("net reaches 20.0 MHz"))
    assert (code, out) == (1, "")
    assert "error: net reaches 20.0 MHz" in err


def test_an_unknown_board(capsys, tmp_path):
    dense_net().save(tmp_path / "net.npz")
    arguments = ["bitstream", str(tmp_path / "net.npz"), "--board", "arty", "-o", str(tmp_path)]
    assert __main__.run(arguments) == 1
    assert "unknown board 'arty'" in capsys.readouterr().err
