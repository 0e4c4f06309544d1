import numpy as np
import pytest

from shiftwork import search as searching
from shiftwork.errors import CapacityError, DataError
from shiftwork.quant.calibration import Samples
from shiftwork.quant.options import QuantizerOptions
from shiftwork.quant.quantizer import quantize
from shiftwork.quant.search import PASSES
from shiftwork.quant.search_bounds import Bounds, stored_bytes
from shiftwork.search import search, split
from shiftwork.sim.evaluation import evaluate

SHORT = tuple(row for row in PASSES if row[0] in ("rounding", "bias correction"))


@pytest.fixture(autouse=True)
def few_passes(monkeypatch):
    monkeypatch.setattr("shiftwork.quant.search.PASSES", SHORT)


@pytest.fixture
def network(float_network):
    net = float_network((6, 6, 2), seed=3)
    stem = net.relu(net.conv("x", 6))
    net.conv(net.reshape(stem, (1, 1, 96)), 4, (1, 1))
    return net


def samples(network, count=30, *, labels=True) -> Samples:
    y = np.random.default_rng(0).integers(0, 4, count) if labels else None
    return Samples(network.samples(count), y)


def test_every_third_sample_is_measured_on(network):
    given = samples(network, 8)
    parts = split(given)
    np.testing.assert_array_equal(parts.calibration, given.x[[0, 1, 3, 4, 6, 7]])
    np.testing.assert_array_equal(parts.validation.x, given.x[[2, 5]])
    np.testing.assert_array_equal(parts.validation.y, given.y[[2, 5]])
    assert split(samples(network, labels=False)).validation.y is None


def test_other_samples_to_measure_on(network):
    given, other = samples(network, 3), samples(network, 2)
    parts = split(given, other)
    assert parts.calibration is given.x
    assert parts.validation is other


def test_too_few_samples(network):
    with pytest.raises(DataError, match=r"at least 6 calibration samples, .* not 5; give more, or"):
        split(samples(network, 5))


def test_the_program_is_that_of_the_choice(network, tmp_path):
    graph, parts = network.build(), split(samples(network))
    found, program = search(graph, parts, Bounds(weight_bytes=320), tmp_path / "trials")
    assert stored_bytes(program) == found.choice.weight_bytes <= 320
    assert found.choice.options.sums
    again = quantize(graph, parts.calibration, found.choice.options)
    assert again.digest == program.digest
    assert found.choice.quality.samples == 10
    assert found.choice.quality.accuracy is not None


def test_a_second_search_makes_no_trial_again(network, tmp_path, monkeypatch):
    """What is kept is that of the same network, samples and recipe alone."""
    graph, parts = network.build(), split(samples(network))
    told: list[str] = []
    first, program = search(graph, parts, Bounds(weight_bytes=320), tmp_path, progress=told.append)
    made = [line for line in told if "dB, a loss of" in line]
    assert len(made) == len(first.trials)
    assert told[0] == "trial 1: int8"

    def refuse(source, calibration, options):
        raise AssertionError(f"made again: {source.name}, {len(calibration)}, {options}")

    with monkeypatch.context() as patched:
        patched.setattr(searching, "quantize", refuse)
        second, same = search(graph, parts, Bounds(weight_bytes=320), tmp_path)
        assert second == first
        assert same.digest == program.digest
        for other in (split(samples(network, 31)), split(samples(network, labels=False))):
            with pytest.raises(AssertionError, match="made again"):
                search(graph, other, Bounds(), tmp_path)


def test_a_search_that_was_interrupted_goes_on(network, tmp_path, monkeypatch):
    graph, parts = network.build(), split(samples(network))
    made = []

    def interrupted(source, calibration, options):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(options)
        return quantize(source, calibration, options)

    monkeypatch.setattr(searching, "quantize", interrupted)
    with pytest.raises(KeyboardInterrupt):
        search(graph, parts, Bounds(max_loss=100.0), tmp_path)
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 2
    monkeypatch.setattr(searching, "quantize", quantize)
    told: list[str] = []
    found, _ = search(graph, parts, Bounds(max_loss=100.0), tmp_path, progress=told.append)
    assert len([line for line in told if "unchanged, kept" in line]) == 2
    assert found.choice.options.weights != "int8"


def test_a_recipe_of_the_user_is_where_it_begins(network, tmp_path):
    base = QuantizerOptions(headroom=3.0, weights="int4")
    found, _ = search(network.build(), split(samples(network)), Bounds(), tmp_path, base=base)
    assert {trial.options.headroom for trial in found.trials} == {3.0}
    assert found.choice.options.weights == "int8"


def test_outputs_for_probabilities_are_measured_as_such(network, tmp_path):
    parts, base = split(samples(network)), QuantizerOptions(softmax=True)
    found, program = search(network.build(), parts, Bounds(), tmp_path, base=base)
    assert program.softmax is not None
    expected = evaluate(network.build(), program, parts.validation.x)
    assert found.choice.quality.sqnr_db == pytest.approx(expected.sqnr_db, abs=0.01)
    assert found.choice.quality.agreement == expected.agreement


def test_no_recipe(network, tmp_path):
    with pytest.raises(CapacityError, match=r"at least 200 dB; the nearest, int8 weights .*of "):
        search(network.build(), split(samples(network)), Bounds(min_sqnr_db=200.0), tmp_path)


def test_16_bits_where_8_are_too_few(network, tmp_path):
    graph, parts = network.build(), split(samples(network))
    eight, _ = search(graph, parts, Bounds(), tmp_path / "a")
    least = eight.choice.quality.sqnr_db + 0.1
    found, program = search(graph, parts, Bounds(min_sqnr_db=least), tmp_path / "b")
    assert found.choice.options.wide
    assert found.choice.quality.sqnr_db >= least
    assert stored_bytes(program) == found.choice.weight_bytes > eight.choice.weight_bytes


def test_outputs_of_16_bits_where_such_weights_are_too_few(network, tmp_path):
    x = np.random.default_rng(5).integers(0, 256, (30, 6, 6, 2)).astype(np.float32)
    found, program = search(
        network.build(), split(Samples(x, None)), Bounds(min_sqnr_db=57.0), tmp_path
    )
    wide = [trial.options for trial in found.trials if trial.options.wide_activations]
    assert [options.wide for options in wide] == [(), ("conv0", "conv3")]
    assert found.choice.options.wide_activations == ("conv0",)
    assert found.choice.quality.sqnr_db >= 57.0
    assert program.wide
