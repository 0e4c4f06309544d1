import importlib.resources

import numpy as np
import pytest

from shiftwork.errors import DataError
from shiftwork.quant.calibration import read_samples
from shiftwork.quant.importer import load
from shiftwork.quant.quantizer import QuantizerOptions, quantize
from shiftwork.sim import golden
from shiftwork.sim.comparison import compare
from shiftwork.sim.evaluation import evaluate

ROUGH = QuantizerOptions(scales="max", rounding="nearest", per_channel=False, accumulators=False)


@pytest.fixture(scope="module")
def digits():
    """The bundled network, two quantizations of it, and labelled images."""
    with importlib.resources.as_file(importlib.resources.files("shiftwork.examples")) as folder:
        graph = load(folder / "mnist_cnn.onnx")
        calibration = read_samples(folder / "mnist_calibration.npz").x[:20]
        test = read_samples(folder / "mnist_samples.npz")
    programs = {"fine": quantize(graph, calibration), "rough": quantize(graph, calibration, ROUGH)}
    return graph, programs, test.x[:100], test.y[:100]


def test_each_is_compared_with_the_float_network(digits):
    graph, programs, x, y = digits
    found = compare(programs, x, y, graph=graph)
    assert [result.name for result in found.results] == ["float", "fine", "rough"]
    for result in found.results[1:]:
        expected = evaluate(graph, programs[result.name], x, y)
        assert result.accuracy == expected.accuracy_int8
        assert result.agreement == expected.agreement
        assert result.sqnr_db == expected.sqnr_db
        totals = [(layer.name, layer.total_db) for layer in result.layers]
        assert totals == [(layer.name, layer.sqnr_db) for layer in expected.layers]
        assert "costs most" in result.blame
    assert found.results[0].accuracy == expected.accuracy_float
    assert found.results[0].layers is None
    assert found.results[1].sqnr_db > found.results[2].sqnr_db


def test_probabilities_are_compared_with_probabilities(digits):
    graph, programs, x, y = digits
    ending = quantize(graph, x[:20], QuantizerOptions(softmax=True))
    seen = {}

    def metric(given, outputs, labels):
        del given, labels
        seen[len(seen)] = outputs
        return 0.0

    found = compare(programs | {"bytes": ending}, x, y, graph=graph, metric=metric)
    assert [result.name for result in found.results] == ["float", "fine", "rough", "bytes"]
    assert len(seen) == 4
    for outputs in seen.values():
        np.testing.assert_allclose(outputs.sum(axis=1), 1.0)
    real, fine, _, made = seen.values()
    integers = golden.run(ending, ending.quantize_input(x))
    np.testing.assert_array_equal(made, ending.probabilities(integers))
    assert np.abs(fine - real).max(axis=1).mean() < 0.01
    assert np.abs(made - real).max(axis=1).mean() < 0.01


def test_confusion_counts_labels_by_answers(digits):
    graph, programs, x, y = digits
    for result in compare(programs, x, y, graph=graph).results:
        matrix = np.array(result.confusion)
        assert matrix.shape == (10, 10)
        np.testing.assert_array_equal(matrix.sum(axis=1), np.bincount(y, minlength=10))
        assert 100 * np.trace(matrix) / len(y) == pytest.approx(result.accuracy)
    wrong = (y + 1) % 10
    shifted = compare(programs, x, wrong, graph=graph).results[0].confusion
    assert shifted[3] == compare(programs, x, y, graph=graph).results[0].confusion[2]


def test_without_the_float_network_two_programs_are_compared(digits):
    _, programs, x, y = digits
    found = compare(programs, x, y)
    assert [(r.name, r.layers, r.blame) for r in found.results] == [
        ("fine", None, None),
        ("rough", None, None),
    ]
    outputs = [
        program.dequantize_output(golden.run(program, program.quantize_input(x)))
        for program in programs.values()
    ]
    classes = [output.reshape(100, 10).argmax(axis=1) for output in outputs]
    assert found.agreement == 100 * (classes[0] == classes[1]).mean()
    noise = np.square(outputs[1] - outputs[0]).sum()
    assert found.sqnr_db == pytest.approx(10 * np.log10(np.square(outputs[0]).sum() / noise))
    same = compare({"a": programs["fine"], "b": programs["fine"]}, x)
    assert (same.agreement, same.sqnr_db) == (100.0, None)


def test_a_metric_sees_inputs_outputs_and_labels(digits):
    graph, programs, x, y = digits
    seen = []

    def metric(inputs, outputs, labels):
        seen.append((inputs.shape, outputs.shape, outputs.dtype, labels))
        return np.float32(len(seen))

    found = compare(programs, x, None, graph=graph, metric=metric)
    assert [result.metric for result in found.results] == [1.0, 2.0, 3.0]
    assert seen == [(x.shape, (100, 10), np.float64, None)] * 3
    compare(programs, x, y, metric=metric)
    assert seen[-1][3] is y


def test_programs_of_other_networks_are_refused(digits, float_network):
    graph, programs, x, y = digits
    build = float_network((28, 28, 1))
    build.conv(build.conv("x", 2, stride=(5, 5)), 7, (6, 6))
    other = build.build()
    stranger = quantize(other, x.reshape(-1, 28, 28, 1)[:10].astype(np.float32))
    with pytest.raises(DataError, match=r"stranger is no program of 'mnist_cnn', which has no"):
        compare({"stranger": stranger}, x, graph=graph)
    with pytest.raises(DataError, match="same number of outputs, not 10 of fine, 7 of stranger"):
        compare({"fine": programs["fine"], "stranger": stranger}, x)
    with pytest.raises(DataError, match=r"one class number 0\.\.9 for each of the 100 samples"):
        compare(programs, x, y + 1)


@pytest.mark.slow
def test_an_autoencoder_is_compared_by_its_reconstruction(shared):
    graph = load(shared / "models" / "mlperf_tiny" / "ad01_fp32.tflite")
    with np.load(shared / "data" / "mlperf_tiny_golden" / "ad6.npz") as data:
        frames = data["extra_normal_float32"].reshape(200, 128).astype(np.float32)
    x = np.lib.stride_tricks.sliding_window_view(frames, 5, axis=0).transpose(0, 2, 1)
    x = x.reshape(196, 640)
    options = QuantizerOptions(headroom=2.0, equalization=False, rounding="nearest")
    program = quantize(graph, x[::2], options)

    def error(inputs, outputs, labels):
        assert labels is None
        return np.square(inputs - outputs).mean()

    found = compare({"int8": program}, x[1::2], graph=graph, metric=error)
    real, integer = found.results
    assert integer.confusion is None
    assert integer.metric == pytest.approx(real.metric, rel=0.02)
    assert integer.sqnr_db > 35
