"""The commands that generate, simulate, synthesize and build, on a network of a few weights."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from shiftwork import __main__
from shiftwork.boards import yowasp
from shiftwork.errors import ToolError
from shiftwork.quant.program import Program
from shiftwork.sim import executor
from shiftwork.sim.example_programs import ProgramBuilder

GENERATED = {
    "rows",
    "columns",
    "cycles",
    "macs",
    "utilization",
    "verilog",
    "rom_bytes",
    "activation_bytes",
    "word_bytes",
    "activations_in",
    "weights_in",
}
SIMULATED = {
    "engine",
    "inputs",
    "mismatches",
    "first_mismatch",
    "cycles_predicted",
    "cycles_measured",
    "cycles_per_second",
}
SYNTHESIZED = {
    "board",
    "rows",
    "columns",
    "lut",
    "ff",
    "bram",
    "dsp",
    "fmax_mhz",
    "target_mhz",
    "latency_us",
}


@pytest.fixture
def command(capsys):
    """Runs a command; returns exit code, stdout and stderr."""

    def run(*arguments):
        code = __main__.run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def net(command, tmp_path, model, samples):
    path = tmp_path / "net.npz"
    assert command("quantize", model, "--calibration", samples, "-o", path)[0] == 0
    return path


@pytest.fixture
def large_net(command, tmp_path, write_onnx):
    """A network whose weights are more than the memory of the smaller board."""
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], name="wide")]
    model = write_onnx(nodes, [1, 384, 2, 2], {"w": (384, 384, 1, 1)}, name="large.onnx")
    np.save(tmp_path / "large.npy", np.ones((2, 384, 2, 2), np.float32))
    path = tmp_path / "large.npz"
    code, _, _ = command("quantize", model, "--calibration", tmp_path / "large.npy", "-o", path)
    assert code == 0
    return path


@pytest.fixture
def flash_net(tmp_path):
    """A network whose weights are more than the block RAM of an iCEBreaker, but not its SPRAM."""
    builder = ProgramBuilder("deep", (1, 1, 64), np.random.default_rng(0))
    for _ in range(5):
        builder.dense(64, unsigned=True)
    path = tmp_path / "deep.npz"
    builder.build().save(path)
    return path


def last_line(text):
    return text.strip().splitlines()[-1]


def files(folder: Path):
    return {path.name for path in folder.iterdir() if path.name != ".lock"}


def test_generate(command, tmp_path, net):
    arguments = ("generate", net, "--rows", 2, "--columns", 3, "-o", tmp_path / "out", "--json")
    code, out, _ = command(*arguments)
    record = json.loads(out)
    assert code == 0
    assert set(record) >= GENERATED
    assert (record["rows"], record["columns"], record["macs"]) == (2, 3, 276)
    assert {"core.v", "manifest.json"} <= files(tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["cycles"] == record["cycles"]
    text = Path(record["verilog"]).read_text()
    assert command(*arguments)[0] == 0
    assert Path(record["verilog"]).read_text() == text


def test_generate_with_axi_stream_ports(command, tmp_path, net):
    arguments = ("generate", net, "--rows", 2, "--columns", 3, "-o", tmp_path / "out", "--json")
    code, out, _ = command(*arguments, "--interface", "axi-stream")
    record = json.loads(out)
    assert code == 0
    assert record["verilog"] == str(tmp_path / "out" / "axi_stream.v")
    assert "module shiftwork_axi_stream(" in Path(record["verilog"]).read_text()
    names = files(tmp_path / "out")
    assert {"axi_stream.v", "shiftwork_axi_stream.core", "manifest.json"} <= names
    assert "core.v" not in names


def test_generate_with_products_that_are_shifts(command, tmp_path, net, model, samples):
    """What the manifest says, what follows, and the error for weights that are no powers of two."""
    powers, out = tmp_path / "powers.npz", tmp_path / "out"
    arguments = ("--calibration", samples, "--weights", "pow2", "-o", powers)
    assert command("quantize", model, *arguments)[0] == 0
    board = ("--board", "ice40-hx8k", "--rows", 1, "--columns", 2, "-o", out, "--json")
    for options, products in (((), "shift"), (("--products", "multiply"), None)):
        code, text, _ = command("generate", powers, *board, *options)
        record = json.loads(text)
        assert code == 0
        assert record.get("products") == products
        assert json.loads((out / "manifest.json").read_text()).get("products") == products
        assert ("--products multiply" in record["next"]) == (products is None)
    before = (out / "manifest.json").read_text()
    code, text, err = command("generate", net, *board, "--products", "shift")
    assert (code, text) == (1, "")
    assert last_line(err) == (
        "error: products by shifting need weights that are 0 or signed powers of two: 'model' has "
        "no codebook; quantize it with --weights pow2, or leave out --products shift"
    )
    assert (out / "manifest.json").read_text() == before


def test_generate_chooses_an_array(command, tmp_path, net):
    code, out, err = command("generate", net, "-o", tmp_path / "out")
    assert code == 0
    assert "processing elements" in err
    assert "utilization" in out


def test_generate_within_an_area(command, tmp_path, net):
    arguments = ("generate", net, "--board", "icebreaker", "--elements", 4, "-o", tmp_path / "out")
    code, out, _ = command(*arguments, "--json")
    record = json.loads(out)
    assert code == 0
    assert record["rows"] * record["columns"] <= 4
    assert record["word_bytes"] in (4, 8)
    assert record["activations_in"] == "SPRAM, single-ported"
    assert record["weights_in"] == "block RAM"
    assert "flash_image" not in record
    assert "flash.bin" not in files(tmp_path / "out")


def test_generate_within_a_time(command, tmp_path, net):
    arguments = ("generate", net, "--board", "icebreaker", "-o", tmp_path / "out", "--json")
    fast = json.loads(command(*arguments)[1])
    slow = json.loads(command(*arguments, "--latency-us", 1000)[1])
    assert (slow["rows"], slow["columns"]) == (1, 1)
    assert fast["cycles"] < slow["cycles"] <= 1000 * 36
    code, out, err = command(*arguments, "--latency-us", 0.5)
    assert (code, out) == (1, "")
    assert "no array on iCEBreaker" in last_line(err)
    assert "allow more --elements" in last_line(err)


def test_generate_tells_how_to_write_the_flash(command, tmp_path, flash_net):
    folder = tmp_path / "out"
    arguments = ("generate", flash_net, "--board", "icebreaker", "-o", folder)
    code, out, _ = command(*arguments, "--json")
    record = json.loads(out)
    assert code == 0
    assert record["weights_in"] == "activation memory, loaded from flash"
    assert record["flash_image"] == str(folder / "flash.bin")
    assert record["write_flash_with"] == f"iceprog -o 1M {folder / 'flash.bin'}"
    assert (folder / "flash.bin").read_bytes().startswith(b"SWF1")
    code, out, _ = command(*arguments)
    assert code == 0
    assert "iceprog -o 1M" in out


@pytest.mark.parametrize("name", ["generate", "simulate", "synth", "build"])
@pytest.mark.parametrize("target", [("--elements", 4), ("--latency-us", 50)])
def test_a_size_and_a_target(command, tmp_path, net, samples, name, target):
    arguments = {
        "generate": (net, "-o", tmp_path / "out"),
        "simulate": (net, samples),
        "synth": (net, "--board", "icebreaker", "-o", tmp_path / "out"),
        "build": (
            *(net, "--calibration", samples, "--board", "icebreaker"),
            *("-o", tmp_path / "out"),
        ),
    }[name]
    code, out, err = command(name, *arguments, "--rows", 1, "--columns", 2, *target)
    assert (code, out) == (2, "")
    assert "--elements and --latency-us choose the array" in " ".join(err.split())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["generate", "simulate", "synth", "build"])
def test_the_help_names_the_targets(command, name):
    code, out, _ = command(name, "--help")
    assert code == 0
    assert "--elements" in out
    assert "--latency-us" in out


@pytest.mark.slow
def test_simulate_from_power_up(command, tmp_path, flash_net):
    np.save(tmp_path / "x.npy", np.ones((1, 1, 1, 64)))
    arguments = ("simulate", flash_net, tmp_path / "x.npy", "--board", "icebreaker")
    code, out, _ = command(*arguments, "--elements", 16, "--json")
    record = json.loads(out)
    assert code == 0
    assert (record["engine"], record["mismatches"]) == ("verilator", 0)
    assert record["cycles_measured"] == record["cycles_predicted"]


def test_weights_in_flash_with_amaranth(command, tmp_path, flash_net):
    np.save(tmp_path / "x.npy", np.ones((1, 1, 1, 64)))
    arguments = ("simulate", flash_net, tmp_path / "x.npy", "--board", "icebreaker")
    code, out, _ = command(*arguments, "--engine", "amaranth", "--json")
    assert code == 0
    assert json.loads(out)["mismatches"] == 0


@pytest.mark.parametrize("engine", ["golden", "amaranth"])
def test_simulate(command, net, samples, engine):
    arguments = ("simulate", net, samples, "--rows", 1, "--columns", 2, "--engine", engine)
    code, out, _ = command(*arguments, "--limit", 2, "--json")
    record = json.loads(out)
    assert code == 0
    assert set(record) >= SIMULATED
    assert (record["engine"], record["inputs"], record["mismatches"]) == (engine, 2, 0)
    assert record["cycles_measured"] in (None, record["cycles_predicted"])


def test_simulate_finds_a_difference(command, net, samples, monkeypatch):
    run = executor.simulate

    def differ(*arguments, **options):
        first = {"layer": "conv", "index": (0, 1, 2), "expected": 3, "got": 4, "text": "conv: 4"}
        return replace(run(*arguments, **options), mismatches=1, first_mismatch=first)

    monkeypatch.setattr(executor, "simulate", differ)
    code, out, err = command("simulate", net, samples, "--engine", "golden", "--json")
    assert code == 1
    assert json.loads(out)["first_mismatch"]["index"] == [0, 1, 2]
    assert last_line(err).startswith("error: the hardware differs from the golden model: 1 bytes")


def test_a_missing_compiler(command, tmp_path, net, samples, monkeypatch):
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    monkeypatch.setenv("YOWASP_CACHE_DIR", os.environ.get("YOWASP_CACHE_DIR", f"{cache}/YoWASP"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # no simulator from another run
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    code, out, err = command("simulate", net, samples, "--limit", 1)
    assert (code, out) == (1, "")
    assert "compiler" in last_line(err)
    assert "defect" not in err


def test_missing_tools(command, tmp_path, net, monkeypatch):
    def missing(tool):
        raise ToolError(f"{tool} is missing")

    monkeypatch.setattr(yowasp, "executable", missing)
    code, _, err = command("generate", net, "-o", tmp_path / "out")
    assert code == 1
    assert last_line(err) == "error: yosys is missing"
    assert files(tmp_path / "out") == set()


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 cut", None])
@pytest.mark.parametrize("name", ["generate", "synth"])
def test_a_damaged_program(command, tmp_path, content, name):
    path = tmp_path / "damaged.npz"
    if content is not None:
        path.write_bytes(content)
    code, out, err = command(name, path, "--board", "icebreaker", "-o", tmp_path / "out")
    assert (code, out) == (1, "")
    assert last_line(err).startswith("error: ")
    assert "damaged.npz" in err
    assert "defect" not in err


@pytest.mark.parametrize("name", ["generate", "synth"])
def test_an_unknown_board(command, tmp_path, net, name):
    code, _, err = command(name, net, "--board", "arty", "-o", tmp_path / "out")
    assert code == 1
    assert "unknown board 'arty'; supported boards: icebreaker, upduino3, " in err


@pytest.mark.parametrize("name", ["generate", "synth"])
def test_a_folder_that_cannot_be_written(command, tmp_path, net, name):
    (tmp_path / "file").touch()
    code, _, err = command(name, net, "--board", "icebreaker", "-o", tmp_path / "file" / "out")
    assert code == 1
    assert "cannot write" in last_line(err)
    assert "-o" in last_line(err)


@pytest.mark.parametrize("name", ["generate", "synth"])
def test_a_network_that_does_not_fit(command, tmp_path, large_net, name):
    code, _, err = command(name, large_net, "--board", "icebreaker", "-o", tmp_path / "out")
    assert code == 1
    assert "fit" in last_line(err)
    assert "wide" in last_line(err)
    assert "bytes" in last_line(err)
    assert not (tmp_path / "out").exists() or files(tmp_path / "out") == set()


def build(model, samples, folder):
    return (
        *("build", model, "--calibration", samples, "--test", samples, "--board", "ulx3s-85f"),
        *("--rows", 1, "--columns", 2, "--engine", "amaranth", "--limit", 2, "-o", folder),
    )


@pytest.mark.slow
def test_build(command, tmp_path, model, samples):
    arguments = build(model, samples, tmp_path / "out")
    code, out, _ = command(*arguments, "--json")
    record = json.loads(out)
    assert code == 0
    assert set(record["generate"]) >= GENERATED
    assert set(record["simulate"]) >= SIMULATED
    assert set(record["synth"]) >= SYNTHESIZED
    assert record["synth"]["fmax_mhz"] >= record["synth"]["target_mhz"]
    assert Program.load(tmp_path / "out" / "quantize" / "net.npz").macs == 276
    page = Path(record["report_page"]).read_text()
    assert "ULX3S" in page

    code, out, err = command(*arguments, "--json")
    assert code == 0
    assert json.loads(out) == record
    assert err.count("unchanged, kept from the last run") == 6
    assert Path(record["report_page"]).read_text() == page


@pytest.mark.slow
def test_an_interrupted_build_resumes(command, tmp_path, model, samples):
    folder = tmp_path / "out"
    arguments = [str(argument) for argument in build(model, samples, folder)]
    process = subprocess.Popen(
        [sys.executable, "-m", "shiftwork", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not (folder / "synth" / "yosys.log").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.terminate()
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "")
    assert last_line(err) == "interrupted; run the same command again to resume"
    assert not list(folder.rglob(".partial*"))
    assert not (folder / "synth" / "netlist").exists()

    code, _, err = command(*arguments)
    assert code == 0
    assert err.count("unchanged, kept from the last run") == 4


@pytest.mark.slow
def test_synth(command, tmp_path, net):
    arguments = ("synth", net, "--board", "icebreaker", "--rows", 1, "--columns", 1)
    code, out, _ = command(*arguments, "-o", tmp_path, "--clock", 12, "--json")
    record = json.loads(out)
    assert code == 0
    assert set(record) >= SYNTHESIZED
    assert record["target_mhz"] == 12.0
    assert {"used", "available"} <= set(record["dsp"])
    assert record.pop("next").startswith(f"shiftwork bitstream {net} --board icebreaker --rows 1")
    assert record == json.loads((tmp_path / "report.json").read_text())
    code, _, err = command(*arguments, "-o", tmp_path, "--clock", 500)
    assert code == 1
    assert "MHz less than the 500.0 MHz asked for" in last_line(err)
