"""Errors, exit codes and interrupts of the command line."""

import json
import signal
import subprocess
import sys

import pytest

from shiftwork import __main__, cli_views
from shiftwork.boards import registry
from shiftwork.errors import CapacityError


@pytest.fixture
def fail(monkeypatch):
    """Makes the command ``boards`` raise an error."""

    def replace(error):
        class Raises:
            def __iter__(self):
                raise error

        monkeypatch.setattr(registry, "BOARDS", Raises())

    return replace


def test_help(capsys):
    assert __main__.run(["--help"]) == 0
    text = capsys.readouterr().out
    for command in (
        "quantize",
        "generate",
        "simulate",
        "synth",
        "bitstream",
        "build",
        "boards",
        "demo",
    ):
        assert command in text
    assert "shiftwork build NET.onnx" in " ".join(text.split())


def test_version(capsys):
    assert __main__.run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("shiftwork 0.")


@pytest.mark.parametrize(
    "arguments",
    [
        ["paint"],
        ["quantize"],
        ["synth", "net.npz"],
        ["boards", "--colour"],
        ["demo", "--limit", "0"],
    ],
)
def test_wrong_usage(capsys, arguments):
    assert __main__.run(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Usage: shiftwork" in captured.err


def test_rows_without_columns(capsys, tmp_path):
    arguments = ["synth", "net.npz", "--board", "icebreaker", "--rows", "4", "-o", str(tmp_path)]
    assert __main__.run(arguments) == 2
    assert "--rows and --columns must be given together" in capsys.readouterr().err


def test_boards(capsys):
    assert __main__.run(["boards"]) == 0
    assert "ulx3s-85f" in capsys.readouterr().out


def test_boards_json(capsys):
    assert __main__.run(["boards", "--json"]) == 0
    captured = capsys.readouterr()
    names = [board["name"] for board in json.loads(captured.out)["boards"]]
    assert names == [board.name for board in registry.BOARDS]
    assert captured.err == ""


def test_an_error_is_one_line(capsys, fail):
    fail(CapacityError("too large:\n  by 3"))
    assert __main__.run(["boards"]) == 1
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "error: too large: by 3\n")


@pytest.mark.parametrize("arguments", [["--debug", "boards"], ["boards", "--debug"]])
def test_debug_shows_the_traceback(capsys, fail, arguments):
    fail(CapacityError("too large"))
    assert __main__.run(arguments) == 1
    text = capsys.readouterr().err
    assert "Traceback" in text
    assert text.endswith("error: too large\n")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(28, "No space left on device", "net.npz"), "No space left on device: net.npz"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (ValueError("odd"), "ValueError: odd; this is a defect of Shiftwork, please report it"),
    ],
)
def test_other_errors(capsys, fail, error, message):
    fail(error)
    assert __main__.run(["boards"]) == 1
    text = capsys.readouterr().err
    assert text.startswith(f"error: {message}")
    assert text.count("\n") == 1


def test_interrupt(capsys, fail):
    fail(KeyboardInterrupt())
    assert __main__.run(["boards"]) == 130
    assert capsys.readouterr().err == "interrupted; run the same command again to resume\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_leave_nothing_half_written(tmp_path, number):
    code = f"""
import time
from shiftwork import __main__, cli, workspace
@cli.app.command()
def slow():
    def make(folder):
        (folder / "half").write_text("half")
        print("making", flush=True)
        time.sleep(60)
    with workspace.Workspace({str(tmp_path)!r}) as space:
        space.step("step", make, inputs={{}}, title="slow")
__main__.main(["slow"])
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "making\n"
    process.send_signal(number)
    _, text = process.communicate(timeout=20)
    assert process.returncode == 130
    assert text == "interrupted; run the same command again to resume\n"
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_a_closed_pipe_is_no_crash():
    command = f"{sys.executable} -m shiftwork boards --json | true"
    result = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=30)
    assert result.stderr == ""


def test_json_has_no_infinity():
    assert cli_views.finite({"a": [float("inf"), 1.0], "b": (float("nan"), "x")}) == {
        "a": [None, 1.0],
        "b": [None, "x"],
    }


def test_start_is_fast():
    code = (
        "import sys, shiftwork.cli; print(sorted(set(sys.modules) & {'amaranth', 'onnx', 'numpy'}))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert result.stdout.strip() == "[]"


def test_progress_says_how_long_it_took(capsys):
    show = cli_views.progress_printer()
    show("reading [bold]net[/bold]")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.endswith(" s  reading [bold]net[/bold]\n")
