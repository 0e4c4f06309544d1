"""The power and the reference that suit the scores of a network."""

from dataclasses import replace

import numpy as np
import pytest

from shiftwork.errors import ModelError
from shiftwork.quant import softmax_choice
from shiftwork.quant.graph import Conv
from shiftwork.quant.options import QuantizerOptions
from shiftwork.quant.softmax import Softmax, probabilities
from shiftwork.quant.softmax_choice import choose_softmax

OPTIONS = QuantizerOptions()


@pytest.fixture
def scores(float_network):
    """A network that gives its inputs times a factor as scores, and samples ``[N, 1, 1, 5]``."""

    def make(factor: float, offset: float = 0.0):
        net = float_network((1, 1, 5))
        graph = net.build(net.conv("x", 5, (1, 1)))
        (conv,) = graph.nodes
        assert isinstance(conv, Conv)
        weights = np.eye(5, dtype=np.float32).reshape(conv.weights.shape) * np.float32(factor)
        bias = np.full(5, offset, np.float32)
        samples = np.random.default_rng(3).normal(size=(300, 1, 1, 5)).astype(np.float32)
        return replace(graph, nodes=(replace(conv, weights=weights, bias=bias),)), samples

    return make


@pytest.mark.parametrize(("factor", "least", "most"), [(0.1, 1, 2), (1.0, 1, 4), (8.0, 4, 8)])
def test_scores_that_spread_more_get_a_higher_power(scores, factor, least, most):
    graph, samples = scores(factor)
    assert least <= choose_softmax(graph, samples, OPTIONS).power <= most


@pytest.mark.parametrize("offset", [0.0, -60.0])
def test_the_reference_is_among_the_greatest_scores(scores, offset):
    graph, samples = scores(8.0, offset)
    greatest = 8.0 * samples.reshape(len(samples), -1).max(axis=1) + offset
    found = choose_softmax(graph, samples, OPTIONS).reference
    top = greatest.max() * (1.25 if offset == 0.0 else 1.0)
    assert np.median(greatest) <= found < top + 0.25
    assert found % 0.25 == 0.0


def test_no_other_choice_is_better(scores):
    """On the samples, by the measure that it is chosen by; a few others, by hand."""
    graph, samples = scores(4.0)
    real = 4.0 * samples.reshape(len(samples), -1).astype(np.float64)
    chosen = choose_softmax(graph, samples, OPTIONS)

    def error(softmax):
        made = softmax.probabilities(softmax_choice._bytes(softmax, real, OPTIONS))
        return np.abs(made - probabilities(real)).max(axis=1).mean()

    least = error(chosen)
    assert least < 0.02
    for power in (1, 2, 4, 8):
        high = Softmax(power=power, reference=np.ceil(real.max() * 1.25 * 4) / 4)
        assert least <= error(high) + 1e-12


def test_scores_that_no_byte_reaches_are_refused(scores):
    graph, samples = scores(1000.0)
    with pytest.raises(ModelError, match=r"a byte of a class does not reach as far as the scores"):
        choose_softmax(graph, samples, OPTIONS)


def test_a_map_of_scores_is_refused(float_network):
    net = float_network((4, 4, 2))
    graph, samples = net.build(net.conv("x", 3)), net.samples(5)
    with pytest.raises(ModelError, match=r"is a map of 2 x 2 pixels; end the network with a dense"):
        choose_softmax(graph, samples, OPTIONS)


def test_one_class_is_refused(float_network):
    net = float_network((1, 1, 3))
    graph, samples = net.build(net.conv("x", 1, (1, 1))), net.samples(5)
    with pytest.raises(ModelError, match="needs two classes or more, and 'network' has one output"):
        choose_softmax(graph, samples, OPTIONS)


@pytest.mark.parametrize("name", ["Sigmoid", "LOGISTIC"])
def test_another_end_is_refused(scores, name):
    graph, samples = scores(1.0)
    with pytest.raises(ModelError, match=f"ends with {name}, whose outputs are no probabilities"):
        choose_softmax(replace(graph, dropped=(name,)), samples, OPTIONS)
