"""Probabilities from bytes, and the function that makes the bytes."""

import json
from dataclasses import replace

import numpy as np
import pytest

from shiftwork.errors import DataError, ModelError, ProgramError
from shiftwork.quant import float_executor
from shiftwork.quant import program_ops as ops
from shiftwork.quant.array_file import read_arrays, write_arrays
from shiftwork.quant.graph import MaxPool, Unary
from shiftwork.quant.options import QuantizerOptions
from shiftwork.quant.program import Program
from shiftwork.quant.quantizer import quantize
from shiftwork.quant.raw_input import RawInput
from shiftwork.quant.softmax import POWERS, Softmax, probabilities, with_exponentials
from shiftwork.quant.top_score import with_top_score
from shiftwork.sim import golden
from shiftwork.sim.evaluation import evaluate
from shiftwork.sim.layer_errors import layer_errors

SOFTMAX = QuantizerOptions(softmax=True)


@pytest.fixture
def classifier(float_network):
    """Five classes, whose scores spread over tens of units, and samples."""
    net = float_network((4, 4, 2))
    at = net.reshape(net.relu(net.conv("x", 6)), (1, 1, 24))
    weights = np.random.default_rng(2).normal(size=(5, 1, 1, 24)) * 3.0
    graph = net.build(net.conv(at, 5, (1, 1), weights=weights))
    return graph, net.samples(200)


def real_scores(graph, x):
    samples = graph.input_layout.to_nhwc(x, graph.shapes[graph.input])
    return float_executor.run(graph, samples).reshape(len(x), -1).astype(np.float64)


@pytest.mark.parametrize("power", POWERS)
def test_exponentials_to_the_power_give_the_softmax(power):
    scores = np.minimum(np.random.default_rng(0).normal(size=(50, 7)) * 5.0, 9.0)
    softmax = Softmax(power=power, reference=9.25)
    made = softmax.probabilities(softmax.function.real(scores))
    np.testing.assert_allclose(made, probabilities(scores), rtol=1e-9)
    np.testing.assert_allclose(made.sum(axis=1), 1.0)


def test_probabilities_of_integers_by_hand():
    made = Softmax(power=2, reference=0.0).probabilities(np.array([[3, 4, 0], [0, 0, 0]]))
    np.testing.assert_allclose(made, [[9 / 25, 16 / 25, 0.0], [1 / 3, 1 / 3, 1 / 3]])


def test_scores_beyond_the_reference_do_not_differ():
    made = Softmax(power=2, reference=1.0).function.real(np.array([1.0, 2.0, 300.0, -3.0]))
    np.testing.assert_allclose(made, [1.0, 1.0, 1.0, np.exp(-2.0)])


def test_large_scores_do_not_overflow():
    np.testing.assert_allclose(probabilities(np.array([[1e4, 1e4, -1e4]])), [[0.5, 0.5, 0.0]])


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"power": 3}, r"the power of a softmax must be one of \(1, 2, 4, 8\), not 3"),
        ({"reference": np.inf}, "the reference of a softmax must be finite, not inf"),
    ],
)
def test_impossible_values(fields, text):
    with pytest.raises(DataError, match=text):
        Softmax(**({"power": 2, "reference": 0.0} | fields))


def test_the_graph_ends_with_the_function(classifier):
    graph, x = classifier
    softmax = Softmax(power=4, reference=2.0)
    ended = with_exponentials(graph, softmax)
    assert isinstance(ended.nodes[-1], Unary)
    assert ended.output not in graph.shapes
    made = float_executor.run(ended, graph.input_layout.to_nhwc(x, graph.shapes[graph.input]))
    expected = np.minimum(np.exp((real_scores(graph, x) - 2.0) / 4.0), 1.0)
    np.testing.assert_allclose(made.reshape(len(x), -1), expected, rtol=1e-4)
    assert with_exponentials(graph, None) is graph


def test_its_name_is_new(classifier):
    graph, _ = classifier
    softmax = Softmax(power=4, reference=2.0)
    twice = with_exponentials(replace(with_exponentials(graph, softmax), output=graph.output), None)
    again = with_exponentials(twice, softmax)
    assert again.output == f"{graph.output}_exp_"
    again.verify()


def test_a_program_gives_probabilities(classifier):
    graph, x = classifier
    program = quantize(graph, x, SOFTMAX)
    output = program.tensor(program.output)
    assert (output.bits, output.signed, output.bytes) == (8, False, 5)
    found = golden.run(program, program.quantize_input(x))
    wanted = probabilities(real_scores(graph, x))
    made = program.probabilities(found)
    assert (program.classes(found) == wanted.argmax(axis=1)).mean() > 0.93
    scores = quantize(graph, x)
    integers = golden.run(scores, scores.quantize_input(x))
    best = probabilities(scores.dequantize_output(integers).reshape(len(x), -1))
    errors = [np.abs(found - wanted).max(axis=1).mean() for found in (made, best)]
    assert errors[0] < 2.0 * errors[1]


def test_what_the_evaluation_says_of_them(classifier):
    graph, x = classifier
    program = quantize(graph, x, SOFTMAX)
    y = real_scores(graph, x).argmax(axis=1)
    found = evaluate(graph, program, x, y)
    made = program.probabilities(golden.run(program, program.quantize_input(x)))
    off = 100.0 * np.abs(made - probabilities(real_scores(graph, x))).max(axis=1)
    assert found.probabilities.mean == pytest.approx(off.mean(), rel=1e-3)
    assert found.probabilities.greatest == pytest.approx(off.max(), rel=1e-3)
    assert found.accuracy_float == 100.0
    assert found.sqnr_db > 25.0
    assert evaluate(graph, quantize(graph, x), x).probabilities is None
    errors = layer_errors(graph, program, x)
    assert [error.name for error in errors] == [layer.name for layer in found.layers]


def test_raw_bytes_go_in_and_probabilities_come_out(classifier):
    graph, x = classifier
    raw = RawInput(dtype="int8", scale=(0.03125,))
    data = np.clip(np.rint(x / 0.03125), -128, 127).astype(np.int8)
    program = quantize(graph, data, SOFTMAX, raw_input=raw)
    assert program.softmax is not None
    assert evaluate(graph, program, data).probabilities.mean < 5.0


def test_the_function_moves_in_front_of_a_maximum(float_network):
    net = float_network((4, 4, 2))
    graph, x = net.build(net.pool(MaxPool, net.conv("x", 3))), net.samples(60)
    program = quantize(graph, x, SOFTMAX)
    assert len(program.tables) == 1
    assert isinstance(program.ops[-1], ops.MaxPool)
    assert evaluate(graph, program, x).probabilities.mean < 3.0


def test_programs_of_scores_have_none(classifier):
    graph, x = classifier
    program = quantize(graph, x)
    outputs = golden.run(program, program.quantize_input(x[:2]))
    with pytest.raises(DataError, match="gives no probabilities; quantize the network with the op"):
        program.probabilities(outputs)


def test_the_file_keeps_it(classifier, tmp_path):
    graph, x = classifier
    program = quantize(graph, x, SOFTMAX)
    program.save(tmp_path / "net.npz")
    loaded = Program.load(tmp_path / "net.npz")
    assert loaded.softmax == program.softmax
    assert loaded.digest == program.digest
    assert program.info["softmax"] == "True"
    assert "softmax" not in quantize(graph, x).info


@pytest.mark.parametrize(
    ("record", "text"),
    [
        ({"power": 3, "reference": 1.0}, "is damaged: the power of a softmax must be one of"),
        (
            {"power": "4", "reference": 1.0},
            "is damaged: the field 'power' of a Softmax cannot be '4'",
        ),
        ({"power": 4}, "is damaged: .*missing 1 required keyword-only argument: 'reference'"),
    ],
)
def test_damaged_files(classifier, tmp_path, record, text):
    graph, x = classifier
    path = tmp_path / "net.npz"
    quantize(graph, x, SOFTMAX).save(path)
    arrays = read_arrays(path, limit=1 << 20, single="x")
    header = json.loads(arrays["program"].tobytes()) | {"softmax": record}
    program = np.frombuffer(json.dumps(header).encode(), np.uint8)
    with path.open("wb") as stream:
        write_arrays(stream, arrays | {"program": program})
    with pytest.raises(ProgramError, match=text):
        Program.load(path)


def test_outputs_that_are_no_exponentials(classifier):
    graph, x = classifier
    program = quantize(graph, x)
    with pytest.raises(
        ProgramError, match=r"a vector of 8-bit values from 0; '.*' has -.* in 32 bi"
    ):
        replace(program, softmax=Softmax(power=1, reference=0.0))


def test_a_top_score_is_something_else(classifier):
    graph, x = classifier
    with pytest.raises(
        ModelError, match="a top score leaves out what the host needs for the softm"
    ):
        with_top_score(quantize(graph, x, SOFTMAX))
