import importlib.resources
import json

import numpy as np
import pytest

from shiftwork import __main__
from shiftwork.quant.program import Program
from shiftwork.quant.program_ops import Conv
from shiftwork.quant.raw_input import RawInput
from shiftwork.quant.search import PASSES
from shiftwork.quant.search_bounds import stored_bytes


@pytest.fixture
def _few_passes(monkeypatch):
    short = tuple(row for row in PASSES if row[0] in ("rounding", "equalization"))
    monkeypatch.setattr("shiftwork.quant.search.PASSES", short)


@pytest.fixture
def inputs(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "inputs.npz"
    np.savez(path, x=rng.normal(size=(30, 2, 4, 4)).astype(np.float32), y=rng.integers(5, size=30))
    return path


def quantize(capsys, model, inputs, output, *options):
    arguments = ["quantize", model, "--calibration", inputs, "-o", output, *options]
    code = __main__.run([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def last_line(text):
    return text.strip().splitlines()[-1]


@pytest.mark.usefixtures("_few_passes")
def test_json(capsys, tmp_path, model, inputs):
    net, trials = tmp_path / "net.npz", tmp_path / "trials"
    options = ["--search", "--weight-bytes", "100", "--trials", trials, "--json"]
    texts = []
    for _ in range(2):
        code, out, err = quantize(capsys, model, inputs, net, *options)
        assert code == 0
        texts.append(out)
    assert texts[0] == texts[1]
    assert "unchanged, kept from the last run" in err
    assert "20 samples calibrate, 10 others are measured on" in err
    found = json.loads(out)["search"]
    assert set(found) == {"bounds", "reason", "choice", "gains", "trials"}
    assert found["bounds"] == {"weight_bytes": 100, "max_loss": None, "min_sqnr_db": None}
    assert found["choice"] in found["trials"]
    assert found["choice"]["samples"] == 10
    assert found["choice"]["options"]["sums"] == ["conv"]
    assert found["choice"]["weight_bytes"] == 54 + 30
    assert Program.load(net).info["sums"] == "conv"
    assert "seconds" not in out


@pytest.mark.usefixtures("_few_passes")
def test_tables(capsys, tmp_path, model, inputs):
    net = tmp_path / "net.npz"
    code, out, _ = quantize(capsys, model, inputs, net, "--search", "--min-sqnr", "10")
    assert code == 0
    text = " ".join(out.split())
    assert "recipes tried, measured on 10 samples" in text
    assert "what each pass is worth in the recipe chosen" in text
    assert "no weights tried are smaller, and it keeps an SQNR of at least 10 dB" in text
    assert text.count("<-") == 1


@pytest.mark.usefixtures("_few_passes")
def test_other_inputs_to_measure_on(capsys, tmp_path, model, inputs):
    code, _, err = quantize(
        capsys, model, inputs, tmp_path / "net.npz", "--search", "--validate", inputs
    )
    assert code == 0
    assert "30 samples calibrate, 30 others are measured on" in err


def test_16_bits_without_a_search(capsys, tmp_path, model, inputs):
    net = tmp_path / "net.npz"
    assert quantize(capsys, model, inputs, net, "--wide", "dense")[0] == 0
    assert Program.load(net).info["wide"] == "dense"
    assert quantize(capsys, model, inputs, net, "--wide", "all")[0] == 0
    assert Program.load(net).info["wide"] == "conv, dense"
    before = net.read_bytes()
    code, out, err = quantize(capsys, model, inputs, net, "--wide", "relu")
    assert (code, out) == (1, "")
    assert last_line(err).endswith(
        "option wide names 'relu', but the layers that have weights are conv, dense"
    )
    code, _, err = quantize(capsys, model, inputs, net, "--wide", "conv", "--weights", "int4")
    assert code == 1
    assert "option wide gives layers 16 bits among those of int8" in err
    code, _, err = quantize(capsys, model, inputs, net, "--wide-activations", "dense")
    assert code == 1
    assert last_line(err).endswith(
        "of which neither a maximum nor the network's output is made, are conv"
    )
    code, _, err = quantize(capsys, model, inputs, net, "--wide", "conv", "--search")
    assert code == 2
    words = " ".join(err.replace("│", " ").split())
    assert "leave out --wide and --wide-activations, or --search" in words
    code, _, err = quantize(capsys, model, inputs, net, "--wide-activations", "conv", "--search")
    assert code == 2 and "leave out --wide and" in " ".join(err.replace("│", " ").split())
    assert net.read_bytes() == before
    assert quantize(capsys, model, inputs, net, "--wide-activations", "all")[0] == 0
    assert Program.load(net).info["wide_activations"] == "conv"


@pytest.mark.usefixtures("_few_passes")
def test_a_network_that_takes_bytes(capsys, tmp_path, model):
    """The recipes are tried on bytes: the program has the weights of the trial that was chosen."""
    raw = np.random.default_rng(0).integers(0, 256, (30, 2, 4, 4)).astype(np.uint8)
    np.savez(tmp_path / "raw.npz", x=raw)
    net, trials = tmp_path / "net.npz", tmp_path / "trials"
    options = ["--input-bytes", "uint8", "--input-scale", "0.01", "--input-offset=-1"]
    options += ["--search", "--weight-bytes", "100", "--trials", trials, "--json"]
    code, out, _ = quantize(capsys, model, tmp_path / "raw.npz", net, *options)
    assert code == 0
    program, choice = Program.load(net), json.loads(out)["search"]["choice"]
    assert program.raw_input == RawInput(dtype="uint8", scale=(0.01,), offset=(-1.0,))
    assert [program.info["sums"]] == choice["options"]["sums"]
    assert choice["weight_bytes"] == stored_bytes(program)
    weights = [op.weights.tobytes() for op in program.ops if isinstance(op, Conv)]
    tried = [Program.load(path) for path in trials.glob("trial-*/net.npz")]
    assert weights in [
        [op.weights.tobytes() for op in trial.ops if isinstance(op, Conv)] for trial in tried
    ]


def test_sums_without_a_search(capsys, tmp_path, model, inputs):
    net = tmp_path / "net.npz"
    options = ["--weights", "int4", "--sums", "conv, dense"]
    assert quantize(capsys, model, inputs, net, *options)[0] == 0
    assert Program.load(net).info["sums"] == "conv, dense"
    code, _, err = quantize(capsys, model, inputs, net, "--weights", "int4", "--sums", "relu")
    assert code == 1
    assert last_line(err).endswith("can have sums of two values as weights: conv, dense")


@pytest.mark.usefixtures("_few_passes")
def test_nothing_is_written_if_no_recipe_will_do(capsys, tmp_path, model, inputs):
    net = tmp_path / "net.npz"
    code, out, err = quantize(capsys, model, inputs, net, "--search", "--weight-bytes", "50")
    assert (code, out) == (1, "")
    assert last_line(err).startswith("error: the network's weights take 57 bytes at 4 bits each")
    assert not net.exists()


@pytest.mark.parametrize(
    ("options", "flag"),
    [
        (["--weight-bytes", "9"], "--weight-bytes"),
        (["--max-loss", "1"], "--max-loss"),
        (["--min-sqnr", "1"], "--min-sqnr"),
        (["--trials", "t"], "--trials"),
        (["--validate", "x.npz"], "--validate"),
    ],
)
def test_options_of_a_search_without_one(capsys, tmp_path, model, inputs, options, flag):
    code, _, err = quantize(capsys, model, inputs, tmp_path / "net.npz", *options)
    assert code == 2
    assert f"{flag} is for a search: add --search" in " ".join(err.split())


@pytest.mark.slow
def test_the_bundled_network(capsys, tmp_path):
    """What 5,000 bytes allow loses less than 4 bits for all weights do."""
    with importlib.resources.as_file(importlib.resources.files("shiftwork.examples")) as examples:
        code, out, _ = quantize(
            capsys,
            examples / "mnist_cnn.onnx",
            examples / "mnist_calibration.npz",
            tmp_path / "net.npz",
            *["--test", examples / "mnist_samples.npz"],
            *["--search", "--weight-bytes", "5000", "--json"],
        )
    assert code == 0
    record = json.loads(out)
    choice, trials = record["search"]["choice"], record["search"]["trials"]
    assert 3492 < choice["weight_bytes"] <= 5000
    single = [trial["sqnr_db"] for trial in trials if trial["weight_bytes"] == 3492]
    assert choice["sqnr_db"] > max(single)
    assert record["accuracy_float"] - record["accuracy_int8"] <= 1.0
    gains = {gain["name"]: gain["gain_db"] for gain in record["search"]["gains"]}
    assert gains["rounding"] > 3.0
