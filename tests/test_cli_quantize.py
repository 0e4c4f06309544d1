import json

import numpy as np
import pytest
from onnx import helper

from shiftwork import __main__
from shiftwork.quant.program import Program

KEYS = {"accuracy_float", "accuracy_int8", "agreement", "layers", "program", "evaluated_on"}
LAYER_KEYS = {"name", "op", "sqnr_db", "shift_min", "shift_max", "accumulator_bits"}


def quantize(capsys, model, calibration, output, *options):
    arguments = ["quantize", model, "--calibration", calibration, "-o", output, *options]
    code = __main__.run([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def last_line(text):
    return text.strip().splitlines()[-1]


def test_json(capsys, tmp_path, model, samples):
    net = tmp_path / "net.npz"
    code, out, _ = quantize(capsys, model, samples, net, "--test", samples, "--json")
    record = json.loads(out)
    assert code == 0
    assert set(record) >= KEYS
    assert [set(layer) for layer in record["layers"]] == [LAYER_KEYS] * 2
    assert 0 <= record["accuracy_int8"] <= 100
    assert Program.load(net).macs == 2 * 2 * 3 * 18 + 60


def test_table(capsys, tmp_path, model, samples):
    code, out, err = quantize(capsys, model, samples, tmp_path / "net.npz")
    assert code == 0
    assert "conv" in out
    assert "quantized with 20 samples" in err


@pytest.mark.parametrize(
    "options",
    [
        ["--scales", "max"],
        ["--per-tensor"],
        ["--activations", "signed"],
        ["--headroom", "2"],
        ["--no-equalize"],
        ["--rounding", "nearest"],
        ["--weights", "shared16"],
    ],
)
def test_options(capsys, tmp_path, model, samples, options):
    digests = set()
    for extra in ([], options):
        net = tmp_path / "net.npz"
        assert quantize(capsys, model, samples, net, *extra)[0] == 0
        digests.add(Program.load(net).digest)
    assert len(digests) == 2


def test_class_and_score(capsys, tmp_path, model, samples):
    net = tmp_path / "net.npz"
    code, out, _ = quantize(capsys, model, samples, net, "--top-score")
    assert code == 0
    assert "output: class and score, 5 bytes instead of 20" in out
    assert Program.load(net).top_score.threshold is None
    options = ("--top-score", "--threshold", "0.3", "--json")
    record = json.loads(quantize(capsys, model, samples, net, *options)[1])
    least = Program.load(net).top_score.threshold
    assert record["threshold"]["integer"] == least
    assert 0.3 <= record["threshold"]["real"] < 0.31
    assert 0 <= record["unclassified"] <= 100
    code, out, _ = quantize(capsys, model, samples, net, *options[:-1])
    assert f"threshold: a score of {least}, which is 0.3" in out
    assert "below the threshold" in " ".join(out.split())


def test_probabilities(capsys, tmp_path, model, samples):
    net = tmp_path / "net.npz"
    code, out, _ = quantize(capsys, model, samples, net, "--softmax")
    assert code == 0
    softmax = Program.load(net).softmax
    assert f"a byte for each class; its power of {softmax.power} over the sum of all is" in out
    record = json.loads(quantize(capsys, model, samples, net, "--softmax", "--json")[1])
    assert record["softmax"] == {"power": softmax.power, "reference": softmax.reference}
    assert 0.0 < record["probabilities"]["mean"] <= record["probabilities"]["greatest"] <= 100.0
    assert f"the probability, {record['probabilities']['mean']:.2g} % off in the mean" in out
    code, out, _ = quantize(capsys, model, samples, net, "--json")
    record = json.loads(out)
    assert record["probabilities"] is None
    assert "softmax" not in record


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        (["--softmax", "--top-score"], 1, "a top score leaves out what the host needs for"),
        (["--threshold", "1"], 2, "--threshold needs --top-score"),
        (["--top-score", "--threshold", "1e9"], 1, "the threshold 1e+09 leaves no class"),
        (["--top-score", "--threshold=-1e9"], 1, "the threshold -1e+09 makes no difference"),
        (["--input-scale", "2"], 2, "--input-scale and --input-offset need --input-bytes"),
        (["--input-bytes", "int8", "--input-scale", "a,2"], 2, "must be a number, or several"),
        (["--input-bytes", "int8", "--input-scale", "1,2,3"], 1, "one for each of the 2 channels"),
        (["--input-bytes", "int8", "--input-scale", "0"], 1, "must be positive and finite, not 0"),
    ],
)
def test_ends_that_cannot_be(capsys, tmp_path, model, samples, options, code, text):
    found, _, err = quantize(capsys, model, samples, tmp_path / "net.npz", *options)
    assert found == code
    assert text in " ".join(err.replace("│", " ").split())
    assert not (tmp_path / "net.npz").exists()


def test_raw_bytes(capsys, tmp_path, model):
    """Bytes, and the real numbers that they stand for, make the same program."""
    raw = np.random.default_rng(0).integers(0, 256, (20, 2, 4, 4)).astype(np.uint8)
    scale, offset = np.array([0.5, 0.25]), np.array([-1.0, 2.0])
    real = raw * scale[:, None, None] + offset[:, None, None]
    options = ("--input-bytes", "uint8", "--input-scale", "0.5,0.25", "--input-offset=-1,2")
    programs = []
    for name, x in (("raw", raw), ("real", real.astype(np.float32))):
        np.savez(tmp_path / f"{name}.npz", x=x)
        net = tmp_path / f"net_{name}.npz"
        code, out, _ = quantize(capsys, model, tmp_path / f"{name}.npz", net, *options)
        assert code == 0
        programs.append(Program.load(net))
    assert "input: uint8 bytes as they are, real = byte * 0.5, 0.25 + -1, 2" in out
    assert programs[0].digest == programs[1].digest
    np.testing.assert_array_equal(programs[0].quantize_input(real), programs[0].quantize_input(raw))


def test_an_unknown_option_value(capsys, tmp_path, model, samples):
    code, _, err = quantize(capsys, model, samples, tmp_path / "net.npz", "--scales", "best")
    assert code == 2
    assert "'best' is not one of" in err
    assert not (tmp_path / "net.npz").exists()


def test_no_labels(capsys, tmp_path, model):
    np.save(tmp_path / "x.npy", np.ones((3, 2, 4, 4), np.float32))
    code, out, _ = quantize(capsys, model, tmp_path / "x.npy", tmp_path / "net.npz", "--json")
    assert code == 0
    assert json.loads(out)["accuracy_float"] is None


def bad_models(write_onnx, tmp_path):
    relu = helper.make_node("Relu", ["x"], ["y"], name="relu")
    conv = helper.make_node("Conv", ["x", "w"], ["y"], name="conv")
    nan = np.full((3, 2, 3, 3), np.nan, np.float32)
    whole = write_onnx([conv], [1, 2, 4, 4], {"w": (3, 2, 3, 3)}, name="whole.onnx").read_bytes()
    (tmp_path / "text.onnx").write_text("not a network, but a text")
    (tmp_path / "cut.onnx").write_bytes(whole[: len(whole) // 2])
    lstm = helper.make_node("Sin", ["x"], ["y"], name="wave")
    return {
        "missing": (tmp_path / "missing.onnx", "missing.onnx"),
        "text": (tmp_path / "text.onnx", "ONNX"),
        "truncated": (tmp_path / "cut.onnx", "cut.onnx"),
        "op": (write_onnx([lstm], [1, 2, 4, 4], name="op.onnx"), "wave"),
        "dynamic": (write_onnx([relu], [1, 2, "height", 4], name="dynamic.onnx"), "x"),
        "nan": (write_onnx([conv], [1, 2, 4, 4], {"w": nan}, name="nan.onnx"), "NaN"),
        "infinite": (
            write_onnx([conv], [1, 2, 4, 4], {"w": nan + np.inf}, name="infinite.onnx"),
            "infinite",
        ),
    }


@pytest.mark.parametrize(
    "case", ["missing", "text", "truncated", "op", "dynamic", "nan", "infinite"]
)
def test_bad_models(capsys, tmp_path, write_onnx, samples, case):
    model, message = bad_models(write_onnx, tmp_path)[case]
    code, out, err = quantize(capsys, model, samples, tmp_path / "net.npz")
    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    assert err.startswith("error: ")
    assert "defect" not in err
    assert message in err
    assert not list(tmp_path.glob("net.npz*"))


BAD_SAMPLES = {
    "shape": (np.zeros((3, 2, 5, 4)), "[2, 4, 4]"),
    "dtype": (np.zeros((3, 2, 4, 4), np.complex64), "complex64"),
    "text": (np.full((3, 2, 4, 4), "a"), "real numbers"),
    "empty": (np.zeros((0, 2, 4, 4)), "is empty"),
    "nan": (np.full((3, 2, 4, 4), np.nan), "finite"),
    "objects": (np.full((3, 2, 4, 4), None), "objects.npz"),
}


@pytest.mark.parametrize("case", BAD_SAMPLES)
def test_bad_calibration_data(capsys, tmp_path, model, case):
    array, message = BAD_SAMPLES[case]
    path = tmp_path / f"{case}.npz"
    np.savez(path, x=array)
    code, out, err = quantize(capsys, model, path, tmp_path / "net.npz")
    assert (code, out) == (1, "")
    assert last_line(err).startswith("error: ")
    assert message in last_line(err)
    assert "defect" not in err
    assert not list(tmp_path.glob("net.npz*"))


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 cut"])
def test_damaged_calibration_data(capsys, tmp_path, model, content):
    path = tmp_path / "damaged.npz"
    path.write_bytes(content)
    code, _, err = quantize(capsys, model, path, tmp_path / "net.npz")
    assert code == 1
    assert "damaged.npz" in last_line(err)
    assert "defect" not in err


def test_a_folder_that_cannot_be_written(capsys, tmp_path, model, samples):
    (tmp_path / "file").touch()
    code, out, err = quantize(capsys, model, samples, tmp_path / "file" / "net.npz")
    assert (code, out) == (1, "")
    assert last_line(err).startswith("error: cannot write")
