"""Every command ends with the next one; a newcomer needs three from a network to a bitstream."""

import contextlib
import io
import json
import shlex
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from onnx import helper
from page_examples import example_report

from shiftwork import __main__
from shiftwork.next_steps import (
    after_bitstream,
    after_flash,
    after_hardware,
    after_quantize,
    serial_port,
)

MOST_COMMANDS = 3
DRAWN = "samples = np.random.default_rng(0).normal(size=(40, 1, 6, 6))"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A current folder with a space in its name."""
    path = tmp_path / "my work"
    path.mkdir()
    monkeypatch.chdir(path)
    return path


@pytest.fixture
def model(write_onnx, folder):
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], name="conv"),
        helper.make_node("Relu", ["c"], ["r"], name="relu"),
        helper.make_node("Flatten", ["r"], ["f"], name="flatten"),
        helper.make_node("Gemm", ["f", "v"], ["y"], name="dense"),
    ]
    path = write_onnx(nodes, [1, 1, 6, 6], {"w": (2, 1, 3, 3), "b": (2,), "v": (32, 3)})
    return path.rename(folder / "my net.onnx").relative_to(folder)


def run(line):
    """Runs a printed line as it stands; returns exit code, stdout and stderr."""
    words = shlex.split(line)
    assert words[0] == "shiftwork"
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = __main__.run(words[1:])
    return code, out.getvalue(), err.getvalue()


def following(text):
    """The command in the last line."""
    return text.rstrip().splitlines()[-1].split("next: ")[1]


def make_samples(guide):
    """Does what the guide says, with random samples."""
    lines = [line.strip() for line in guide.splitlines() if line.startswith("    ")]
    assert lines[0] == "import numpy as np"
    exec("\n".join([lines[0], DRAWN, *lines[1:]]), {})


def test_without_samples_it_says_how_to_make_them(model):
    code, out, err = run(f"shiftwork build {shlex.quote(str(model))}")
    assert (code, out) == (2, "")
    assert "my net.onnx: the input 'x' takes samples of the shape [1, 6, 6]" in err
    assert err.splitlines()[-1] == (
        "error: build needs --calibration and --board; next: shiftwork build 'my net.onnx' "
        "--calibration inputs.npz --board icebreaker"
    )
    make_samples(err)
    assert np.load("inputs.npz")["x"].shape == (40, 1, 6, 6)


@pytest.mark.usefixtures("model")
def test_what_was_given_is_kept():
    code, _, err = run("shiftwork build 'my net.onnx' --weights int4 --calibration a.npz -o 'b c'")
    assert code == 2
    assert following(err) == (
        "shiftwork build 'my net.onnx' --weights int4 --calibration a.npz -o 'b c' "
        "--board icebreaker"
    )
    assert "samples" not in err


@pytest.mark.usefixtures("model")
def test_quantize_and_generate():
    code, _, err = run("shiftwork quantize 'my net.onnx' -o 'a net.npz'")
    assert code == 2
    make_samples(err)
    code, out, _ = run(following(err))
    assert code == 0
    assert following(out) == "shiftwork generate 'a net.npz' --board icebreaker --output verilog"
    code, out, _ = run(f"{following(out)} --rows 1 --columns 2 --json")
    assert code == 0
    assert json.loads(out)["next"] == (
        "shiftwork bitstream 'a net.npz' --board icebreaker --rows 1 --columns 2 --output bitstream"
    )


def test_nothing_follows_without_a_board():
    assert after_hardware(Path("net.npz"), None, rows=1) is None
    assert after_quantize(Path("net.npz")).startswith("shiftwork generate net.npz ")


def test_flash_knows_what_to_run(folder, monkeypatch):
    ports = [SimpleNamespace(device=f"/dev/ttyUSB{n}", vid=0x0403) for n in (2, 1)]
    ports.append(SimpleNamespace(device="/dev/ttyZ9", vid=None))
    monkeypatch.setattr("serial.tools.list_ports.comports", lambda: ports)
    net = Path("out/quantize/net.npz")
    net.parent.mkdir(parents=True)
    (net.parent / "evaluation.json").write_text('{"evaluated_on": "my samples.npz"}')
    Path("my samples.npz").touch()
    assert after_bitstream(Path("bit"), "icebreaker", net) == (
        "shiftwork flash bit --board icebreaker"
    )
    expected = "shiftwork run out/quantize/net.npz 'my samples.npz' --compare --port /dev/ttyUSB2"
    assert after_flash(Path("bit")) == after_flash(Path("bit/bitstream.bin")) == expected
    monkeypatch.chdir("out")
    assert str(folder / "my samples.npz") in shlex.split(after_flash(folder / "bit"))


@pytest.mark.usefixtures("folder")
def test_what_is_not_known_is_left_to_the_user(monkeypatch):
    monkeypatch.setattr("serial.tools.list_ports.comports", list)
    assert serial_port() is None
    assert after_flash(Path("bit")) is None
    after_bitstream(Path("bit"), "icebreaker", Path("net.npz"))
    assert after_flash(Path("bit")) == "shiftwork run net.npz INPUTS.npz --compare --port PORT"
    Path("bit/run.json").write_text("[]")
    assert after_flash(Path("bit")) is None


@pytest.mark.usefixtures("folder")
def test_after_the_demonstration(monkeypatch):
    """The same clock is asked for; and what to do with a network of one's own."""
    built = SimpleNamespace(
        folder=Path("shiftwork-demo"),
        page=Path("shiftwork-demo/report.html"),
        program=Path("shiftwork-demo/quantize/net.npz"),
        report=example_report(),
        evaluation={"accuracy_float": 99.0, "accuracy_int8": 98.5, "samples": 200},
        simulation={"inputs": 20},
        as_dict=dict,
    )
    monkeypatch.setattr("shiftwork.build.build", lambda *_, **__: built)
    expected = (
        "shiftwork bitstream shiftwork-demo/quantize/net.npz --board icebreaker --clock 30.0 "
        "--output shiftwork-demo/bitstream"
    )
    code, out, _ = run("shiftwork demo")
    assert (code, following(out)) == (0, expected)
    assert "your own network: shiftwork build NET.onnx --board icebreaker" in out
    assert json.loads(run("shiftwork demo --json")[1]) == {"next": expected}


@pytest.mark.heavy
def test_from_a_network_to_a_bitstream(model):
    """As printed, but for the network's name in the first line."""
    line, lines = f"shiftwork build {shlex.quote(str(model))}", []
    while "flash" not in line:
        lines.append(line)
        code, out, err = run(line)
        assert code == (0 if len(lines) > 1 else 2), err
        if len(lines) == 1:
            make_samples(err)
        line = following(out or err)
        assert len(lines) <= MOST_COMMANDS
    assert [shlex.split(line)[1] for line in lines] == ["build", "build", "bitstream"]
    assert line == "shiftwork flash out/bitstream --board icebreaker"
    assert Path("out/bitstream/bitstream.bin").stat().st_size > 100_000
    assert Path("out/report.html").is_file()
    following_flash = after_flash(Path("out/bitstream"))
    assert following_flash.startswith("shiftwork run out/quantize/net.npz inputs.npz --compare")
