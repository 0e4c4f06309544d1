"""The command ``explore``."""

import json

import numpy as np
import pytest
from onnx import helper

from shiftwork import __main__, explore_synthesis
from shiftwork.boards.registry import BOARDS
from shiftwork.explore_synthesis import MOST, Synthesized
from shiftwork.sim.example_programs import small_cnn

ARRAYS = ("--boards", "icebreaker,ulx3s-25f", "--rows", "1,2", "--columns", "4,8")


@pytest.fixture
def network(tmp_path):
    path = tmp_path / "net.npz"
    small_cnn().save(path)
    return path


@pytest.fixture
def model(write_onnx):
    nodes = [
        helper.make_node("Flatten", ["x"], ["f"], name="flatten"),
        helper.make_node("Gemm", ["f", "v"], ["y"], name="dense"),
    ]
    return write_onnx(nodes, [1, 2, 3, 3], {"v": (18, 4)})


@pytest.fixture
def samples(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "samples.npz"
    np.savez(path, x=rng.normal(size=(24, 2, 3, 3)).astype(np.float32), y=rng.integers(4, size=24))
    return path


def run(capsys, *arguments):
    code = __main__.run(["explore", *(str(argument) for argument in arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_prints_tables_and_writes_files(capsys, tmp_path, network):
    code, out, err = run(capsys, network, *ARRAYS, "-o", tmp_path / "out")
    assert code == 0
    assert "small_cnn: the Pareto front, " in out
    assert out.index("the Pareto front") < out.index("board by board")
    assert "ulx3s-25f" in out
    assert "quantizations" not in out
    assert "8 designs, 0 of them kept from earlier runs" in err
    page = (tmp_path / "out" / "explore.html").read_text()
    assert "--rows 1,2 --columns 4,8 --clocks max --area lut" in page


def test_json(capsys, tmp_path, network):
    folder = tmp_path / "out"
    options = (*ARRAYS, "--clocks", "12,board,max", "--area", "share", "-o", folder)
    code, out, _ = run(capsys, network, *options, "--jobs", 1, "--json")
    assert code == 0
    record = json.loads(out)
    assert record.pop("page") == str(folder / "explore.html")
    assert record == json.loads((folder / "explore.json").read_text())
    assert "--jobs" not in record["command"]
    assert "lut_percent" in record["axes"]
    clocks = [entry["clock_mhz"] for entry in record["points"]]
    assert clocks == [12.0, 36.0, None] * 4 + [12.0, 50.0, None] * 4
    assert record["synthesized"] == []


def test_all_boards_by_default(capsys, tmp_path, network):
    options = ("--rows", 1, "--columns", 2, "-o", tmp_path / "out", "--json")
    code, out, _ = run(capsys, network, *options)
    assert code == 0
    boards = [entry["board"] for entry in json.loads(out)["points"]]
    assert boards == [board.name for board in BOARDS]


def test_sweeps_quantizations(capsys, tmp_path, model, samples):
    options = ("--calibration", samples, "--weights", "int8,pow2", "--activations", "signed")
    code, out, _ = run(capsys, model, *options, *ARRAYS, "-o", tmp_path / "out")
    assert code == 0
    assert "int8 signed" in out
    assert "pow2 signed" in out
    assert "accuracy" in out
    record = json.loads((tmp_path / "out" / "explore.json").read_text())
    first = record["quantizations"][0]
    assert (first["options"]["weights"], first["options"]["activations"]) == ("int8", "signed")
    assert "--weights int8,pow2 --activations signed" in record["command"]


@pytest.mark.parametrize(("asked", "most"), [("front", MOST), ("2", 2), (None, 0)])
def test_synthesizes_the_front(capsys, tmp_path, network, monkeypatch, asked, most):
    calls = []

    def synthesize(found, folder, *, most, route, seeds, progress):
        del folder, progress
        calls.append((most, route, seeds))
        return tuple(Synthesized(index=index, lut=1000) for index in found.front[:most])

    monkeypatch.setattr(explore_synthesis, "synthesize_front", synthesize)
    options = ("--no-route", "--seeds", 2, "-o", tmp_path / "out")
    given = [] if asked is None else ["--synthesize", asked]
    code, out, _ = run(capsys, network, *ARRAYS, *given, *options)
    assert code == 0
    assert calls == [(most, False, 2)]
    assert ("synthesized, beside the estimates" in out) is (most > 0)
    record = json.loads((tmp_path / "out" / "explore.json").read_text())
    assert len(record["synthesized"]) == min(most, len(record["front"]))
    assert ("--no-route" in record["command"]) is (most > 0)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--rows", "1,x"), "--rows must be numbers from 1 with commas between them, not '1,x'"),
        (("--columns", "0"), "--columns must be numbers from 1"),
        (("--clocks", "fast"), "--clocks must be numbers of MHz, 'board' or 'max', not 'fast'"),
        (("--synthesize", "all"), "--synthesize must be a number or 'front', not 'all'"),
        (("--weights", "int4"), "is quantized already: leave out --weights, or give the trained"),
    ],
)
def test_wrong_usage(capsys, tmp_path, network, arguments, text):
    code, out, err = run(capsys, network, *arguments, "-o", tmp_path / "out")
    assert (code, out) == (2, "")
    assert text in " ".join(err.replace("│", " ").split())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--boards", "arty"), "unknown board 'arty'"),
        (("--boards", ","), "there are no boards to explore"),
        (("--clocks", "-1"), "a clock must be more than 0 MHz, not -1"),
    ],
)
def test_errors(capsys, tmp_path, network, arguments, text):
    code, out, err = run(capsys, network, *arguments, "-o", tmp_path / "out")
    assert (code, out) == (1, "")
    assert text in err
    assert err.count("\n") == 1


def test_options_of_the_quantizer_are_checked(capsys, tmp_path, model, samples):
    options = ("--calibration", samples, "--weights", "int3", "-o", tmp_path / "out")
    code, _, err = run(capsys, model, *options)
    assert code == 1
    assert "option weights must be int8 or int4 or shared16 or pow2, not 'int3'" in err


def test_a_trained_network_needs_samples(capsys, tmp_path, model):
    code, _, err = run(capsys, model, "-o", tmp_path / "out")
    assert code == 1
    assert "is to be quantized, which needs sample inputs: give --calibration" in err
