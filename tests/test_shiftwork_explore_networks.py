import json

import numpy as np
import pytest
from onnx import helper

from shiftwork.errors import DataError, ProgramError
from shiftwork.explore_networks import Quantized, quantized, stored
from shiftwork.quant.importer import load
from shiftwork.quant.options import QuantizerOptions
from shiftwork.quant.program import Program
from shiftwork.quant.quantizer import quantize
from shiftwork.sim import golden
from shiftwork.sim.evaluation import evaluate
from shiftwork.sim.example_programs import small_cnn
from shiftwork.workspace import Workspace


@pytest.fixture
def workspace(tmp_path):
    with Workspace(tmp_path / "out") as made:
        yield made


@pytest.fixture
def model(write_onnx):
    nodes = [
        helper.make_node("Flatten", ["x"], ["f"], name="flatten"),
        helper.make_node("Gemm", ["f", "v"], ["y"], name="dense"),
    ]
    return write_onnx(nodes, [1, 2, 3, 3], {"v": (18, 4)})


def save(path, **arrays):
    np.savez(path, **arrays)
    return path


@pytest.fixture
def samples(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(24, 2, 3, 3)).astype(np.float32)
    return save(tmp_path / "samples.npz", x=x, y=rng.integers(4, size=24))


def test_quantizes_and_measures(workspace, model, samples):
    options = QuantizerOptions(weights="int4")
    found = quantized(workspace, "int4 signed", options, model, samples, None)
    data = np.load(samples)
    graph = load(model)
    program = quantize(graph, data["x"], options)
    measured = evaluate(graph, program, data["x"], data["y"])
    assert found.digest == program.digest
    assert (found.name, found.network, found.macs) == ("int4 signed", program.name, program.macs)
    assert found.options["weights"] == "int4"
    assert (found.samples, found.accuracy, found.sqnr_db) == (
        24,
        measured.accuracy_int8,
        measured.sqnr_db,
    )
    assert found.content == (workspace.folder / "quantize-int4-signed" / "net.npz").read_bytes()
    assert found.measures == ("accuracy", "sqnr")
    assert found.loss("accuracy") == 100.0 - measured.accuracy_int8
    assert found.loss("sqnr") == -measured.sqnr_db
    assert json.loads(json.dumps(found.as_dict()))["accuracy_float"] == measured.accuracy_float
    assert "content" not in found.as_dict()


def test_the_test_samples_measure(workspace, model, samples, tmp_path):
    x = np.load(samples)["x"][:5]
    np.save(tmp_path / "test.npy", x)
    found = quantized(workspace, "int8", QuantizerOptions(), model, samples, tmp_path / "test.npy")
    assert (found.samples, found.accuracy, found.measures) == (5, None, ("sqnr",))


def test_a_stored_network_as_it_is(workspace, tmp_path):
    program = small_cnn()
    program.save(tmp_path / "net.npz")
    found = stored(workspace, tmp_path / "net.npz", None)
    assert found.digest == program.digest
    assert (found.name, found.samples, found.measures) == ("as stored", 0, ())
    assert found.loss(None) == 0.0
    assert found.options is None
    (tmp_path / "copy.npz").write_bytes(found.content)
    assert Program.load(tmp_path / "copy.npz").digest == program.digest


def test_the_accuracy_of_a_stored_network(workspace, tmp_path):
    program = small_cnn()
    program.save(tmp_path / "net.npz")
    source = program.tensor(program.input)
    x = np.random.default_rng(3).integers(0, 200, size=(10, *source.shape)) * source.scales
    values = golden.run(program, program.quantize_input(x))
    right = program.dequantize_output(values).reshape(10, -1).argmax(axis=1)
    wrong = np.where(np.arange(10) < 3, (right + 1) % 10, right)
    found = stored(workspace, tmp_path / "net.npz", save(tmp_path / "t.npz", x=x, y=wrong))
    assert (found.samples, found.accuracy, found.measures) == (10, 70.0, ("accuracy",))
    assert found.loss("accuracy") == 30.0


def test_a_stored_network_needs_labels(workspace, tmp_path):
    program = small_cnn()
    program.save(tmp_path / "net.npz")
    x = np.zeros((4, *program.tensor(program.input).shape))
    with pytest.raises(DataError, match="has no labels 'y', and a quantized network has nothing"):
        stored(workspace, tmp_path / "net.npz", save(tmp_path / "t.npz", x=x))
    labels = np.array([0, 1, 2, 10])
    with pytest.raises(DataError, match=r"y must hold class numbers 0\.\.9, as 'small_cnn' has 10"):
        stored(workspace, tmp_path / "net.npz", save(tmp_path / "t.npz", x=x, y=labels))
    assert not (workspace.folder / "network").exists()


def test_no_program(workspace, tmp_path):
    with pytest.raises(ProgramError, match="no such file"):
        stored(workspace, tmp_path / "gone.npz", None)


def test_no_noise_is_best():
    values = {
        "name": "a",
        "network": "n",
        "digest": "0",
        "macs": 1,
        "options": None,
        "content": b"",
    }
    exact = Quantized(**values, samples=1, agreement=100.0)
    noisy = Quantized(**values, samples=1, agreement=100.0, sqnr_db=90.0)
    assert exact.loss("sqnr") < noisy.loss("sqnr")
