import json
from dataclasses import replace

import numpy as np
import pytest

from shiftwork.errors import DataError, ModelError, ProgramError
from shiftwork.quant.array_file import read_arrays, write_arrays
from shiftwork.quant.graph import Layout
from shiftwork.quant.program import Program
from shiftwork.quant.program_ops import TopScore, class_bytes, no_class
from shiftwork.quant.quantizer import QuantizerOptions, quantize
from shiftwork.quant.top_score import with_top_score
from shiftwork.sim import golden
from shiftwork.sim.comparison import compare
from shiftwork.sim.evaluation import evaluate
from shiftwork.sim.layer_errors import layer_errors
from shiftwork.sim.program_builder import ProgramBuilder


@pytest.fixture
def classifier(float_network):
    net = float_network((4, 4, 2))
    at = net.relu(net.conv("x", 6))
    graph = net.build(net.conv(net.reshape(at, (1, 1, 24)), 7, (1, 1)))
    return graph, net.samples(200)


def real_scores(program: Program, x: np.ndarray) -> np.ndarray:
    outputs = golden.run(program, program.quantize_input(x))
    return program.dequantize_output(outputs).reshape(len(x), -1)


def builder(**fields) -> ProgramBuilder:
    return ProgramBuilder("net", (1, 1, 3)).dense(5, **fields)


@pytest.mark.parametrize("accumulators", [True, False])
def test_class_and_score(classifier, accumulators):
    graph, x = classifier
    program = quantize(graph, x, QuantizerOptions(accumulators=accumulators))
    top = with_top_score(program)
    logits = golden.predict(program, x).reshape(len(x), -1)
    answers = golden.predict(top, x)
    assert answers.shape == (len(x), 2)
    np.testing.assert_array_equal(answers[:, 0], logits.argmax(axis=1))
    np.testing.assert_array_equal(answers[:, 1], logits.max(axis=1))
    q = golden.run(top, top.quantize_input(x))
    np.testing.assert_array_equal(top.classes(q), logits.argmax(axis=1))
    real = real_scores(program, x)
    np.testing.assert_array_equal(top.dequantize_output(q)[:, 1], real.max(axis=1))
    assert top.tensor(top.output).bytes == (5 if accumulators else 2)
    assert top.scores.name == program.output


def test_a_threshold_in_real_units(classifier):
    graph, x = classifier
    program = quantize(graph, x)
    scores = real_scores(program, x).max(axis=1)
    threshold = float(np.median(scores))
    top = with_top_score(program, threshold)
    least, scale = top.top_score.threshold, program.scores.scales[0]
    assert (least - 1) * scale < threshold <= least * scale
    classes = top.classes(golden.run(top, top.quantize_input(x)))
    np.testing.assert_array_equal(classes == -1, scores < threshold)
    assert (golden.predict(top, x)[classes == -1, 0] == 255).all()
    exact = with_top_score(program, float(scores[3]))
    assert exact.classes(golden.run(exact, exact.quantize_input(x)))[3] >= 0, "reached, if equal"


def test_equal_scores():
    top = TopScore(name="t", input="x", output="y")
    scores = np.array([[3, 5, 5, 1], [2, 2, 2, 2], [-4, -3, -9, -3]]).reshape(3, 1, 1, 4)
    found = golden.top_score(top, scores).reshape(3, 2)
    assert found.tolist() == [[1, 5], [0, 2], [1, -3]]


@pytest.mark.parametrize(("classes", "size"), [(1, 1), (255, 1), (256, 2), (65535, 2)])
def test_the_index_leaves_room_for_no_class(classes, size):
    assert class_bytes(classes) == size
    assert classes <= no_class(classes) == 256**size - 1


def test_thresholds_that_make_no_sense(classifier):
    graph, x = classifier
    program = quantize(graph, x)
    text = r"the threshold 1e\+06 leaves no class: the greatest score is always in .*; give a lower"
    with pytest.raises(DataError, match=text):
        with_top_score(program, 1e6)
    with pytest.raises(DataError, match=r"the threshold -1e\+06 makes no difference: .*leave it"):
        with_top_score(program, -1e6)
    with pytest.raises(DataError, match="the threshold must be a finite score, not nan"):
        with_top_score(program, float("nan"))


def test_the_bounds_of_a_threshold_are_sharp():
    """One class of weight 1: its scores are its inputs."""
    net = ProgramBuilder("net", (1, 1, 1)).conv(
        2, (1, 1), weights=[1, 0], bias=[10, -3], shift=0, accumulators=True
    )
    program = net.build()
    for threshold in (-2, 137):
        assert with_top_score(program, threshold).top_score.threshold == threshold
    for threshold in (-3, 138):
        with pytest.raises(DataError, match=r"greatest score is always in -3\.\.137"):
            with_top_score(program, threshold)


def test_networks_without_classes():
    program = ProgramBuilder("net", (4, 4, 1)).conv(3).build()
    text = "the output 'conv0' of 'net' is a map of 2 x 2 pixels; end the network with a dense"
    with pytest.raises(ModelError, match=text):
        with_top_score(program)
    program = with_top_score(builder().build())
    with pytest.raises(ModelError, match="'net' ends with a top score already"):
        with_top_score(program)
    program = builder(accumulators=True).build()
    tensors = (program.tensors[0], replace(program.scores, channel_exponents=(0, 1, 0, 0, 0)))
    with pytest.raises(ModelError, match=r"'conv\w*' of 'net' have different scales"):
        with_top_score(replace(program, tensors=tensors))
    layout = Layout((5,), np.array([1, 0, 2, 3, 4]))
    with pytest.raises(ModelError, match="is in another order than its classes"):
        with_top_score(replace(program, output_layout=layout))


def test_the_name_is_free():
    program = builder(name="y").build()
    tensors = (*program.tensors, replace(program.tensors[0], name="y_top"))
    assert with_top_score(replace(program, tensors=tensors)).output == "y_top_"


def test_a_file_with_it_has_version_3(tmp_path):
    path = tmp_path / "net.npz"
    for program, version in ((builder().build(), 2), (builder().top_score(3).build(), 3)):
        program.save(path)
        header = json.loads(read_arrays(path, limit=1 << 20, single="x")["program"].tobytes())
        assert header["version"] == version
        assert ("widths" in header["tensors"][-1]) == (version == 3)
        loaded = Program.load(path)
        assert loaded.digest == program.digest
    assert loaded.top_score.threshold == 3
    assert loaded.tensor(loaded.output).widths == (1, 1)


def test_an_older_reader_refuses_it(tmp_path):
    """It would know the version, if it knew the op."""
    path = tmp_path / "net.npz"
    builder().top_score().build().save(path)
    arrays = read_arrays(path, limit=1 << 20, single="x")
    header = json.loads(arrays["program"].tobytes())
    header["ops"][-1]["kind"] = "TopScores"
    text = np.frombuffer(json.dumps(header).encode(), np.uint8)
    with path.open("wb") as stream:
        write_arrays(stream, arrays | {"program": text})
    with pytest.raises(ProgramError, match="an op of the kind 'TopScores', which this Shiftwork"):
        Program.load(path)


def _with(program, *, op=None, target=None):
    ops = (*program.ops[:-1], replace(program.ops[-1], **op or {}))
    tensors = (*program.tensors[:-1], replace(program.tensors[-1], **target or {}))
    return lambda: replace(program, ops=ops, tensors=tensors)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            {"op": {"threshold": 128}},
            r"op 'top_score1': the threshold must be in -128\.\.127, the range of 'conv0', not 128",
        ),
        (
            {"target": {"widths": (2, 1)}},
            r"op 'top_score1' writes class and score, \(1, 1, 2\) of 32 bits in \(1, 1\) bytes",
        ),
        ({"target": {"widths": None}}, "op 'top_score1' writes class and score"),
        ({"target": {"hi": 127}}, r"'top_score1' must have the range -128\.\.255 and the sign"),
        ({"target": {"signed": False}}, "must have the range"),
    ],
)
def test_the_rules(change, text):
    with pytest.raises(ProgramError, match=text):
        _with(builder(name="conv0").top_score().build(), **change)()


def test_it_is_the_end():
    net = builder(name="conv0").top_score()
    for program in (
        lambda: net.build("conv0"),
        lambda: builder(name="conv0").top_score().at("conv0").conv(3, (1, 1)).build(),
    ):
        with pytest.raises(ProgramError, match="op 'top_score1'"):
            program()
    with pytest.raises(ProgramError, match="tensor 'conv0': only the output of a TopScore has wid"):
        plain = builder(name="conv0").build()
        replace(
            plain, tensors=(plain.tensors[0], replace(plain.tensors[1], widths=(1, 1, 1, 1, 1)))
        )
    with pytest.raises(ProgramError, match="reads 'conv0', which is the program's output"):
        builder(name="conv0").conv(2, (1, 1)).at("conv0").top_score().build()
    with pytest.raises(ProgramError, match="the network has no layer that computes anything"):
        ProgramBuilder("net", (1, 1, 3)).top_score().build()
    with pytest.raises(
        ProgramError, match=r"needs a vector of at most 65535 scores, not 'conv0' o"
    ):
        ProgramBuilder("net", (4, 4, 1)).conv(3, name="conv0").top_score().build()


def test_evaluation_and_comparison_are_those_of_the_scores(classifier):
    graph, x = classifier
    y = np.random.default_rng(0).integers(0, 7, len(x))
    plain = quantize(graph, x)
    top = with_top_score(plain)
    assert evaluate(graph, top, x, y) == evaluate(graph, plain, x, y)
    assert layer_errors(graph, top, x) == layer_errors(graph, plain, x)
    found = compare({"plain": plain, "top": top}, x, y, graph=graph)
    assert replace(found.results[1], name="top") == found.results[2]
    assert found.agreement == compare({"plain": plain}, x, y, graph=graph).agreement


def test_evaluation_with_a_threshold(classifier):
    graph, x = classifier
    plain = quantize(graph, x)
    y = plain.classes(golden.run(plain, plain.quantize_input(x)))
    scores = real_scores(plain, x).max(axis=1)
    top = with_top_score(plain, float(np.quantile(scores, 0.25)))
    found = evaluate(graph, top, x, y)
    assert found.unclassified == pytest.approx(25, abs=0.5)
    assert found.accuracy_int8 == 100 - found.unclassified
    assert evaluate(graph, plain, x, y).unclassified is None
    _, result = compare({"plain": plain, "top": top}, x, y).results
    assert result.accuracy == found.accuracy_int8
    assert np.sum(result.confusion) == round(len(x) * found.accuracy_int8 / 100)
