import numpy as np
import pytest

from shiftwork.quant import float_executor
from shiftwork.quant.options import QuantizerOptions
from shiftwork.quant.range_fill import range_fill
from shiftwork.quant.scaling import rescaled

OPTIONS = QuantizerOptions(headroom=1.0, scales="max")


def identity(float_network, peak):
    """A hidden tensor with values from 0 to ``peak``, which is what ``x`` holds."""
    net = float_network((1, 1, 2))
    weights = np.eye(2)[:, None, None, :]
    hidden = net.relu(net.conv("x", 2, (1, 1), weights=weights, bias=np.zeros(2)))
    graph = net.build(net.conv(hidden, 3, (1, 1)))
    x = np.linspace(0, peak, 512, dtype=np.float32).reshape(256, 1, 1, 2)
    return graph, hidden, x


@pytest.mark.parametrize("peak", [1.01, 1.5, 1.9, 130.0])
def test_a_tensor_fills_its_range(float_network, peak):
    graph, hidden, x = identity(float_network, peak)
    factors = range_fill(graph, x, OPTIONS)
    (factor,) = {*factors[hidden]}
    largest = peak * factor / 2 ** np.ceil(np.log2(peak * factor))
    assert 1.0 <= factor < 2.0
    assert 0.93 < largest < 0.9981
    result = rescaled(graph, factors)
    expected, got = (float_executor.run(g, x) for g in (graph, result))
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_headroom_leaves_room(float_network):
    graph, hidden, x = identity(float_network, 1.0)
    options = QuantizerOptions(headroom=1.5, scales="max")
    assert 1.2 < range_fill(graph, x, options)[hidden][0] <= 255.5 / 256 * 2 / 1.5


def test_signed_activations_count_with_half_the_range(float_network):
    graph, hidden, x = identity(float_network, 0.999)
    options = QuantizerOptions(headroom=1.0, scales="max", activations="signed")
    assert range_fill(graph, x, options)[hidden][0] == range_fill(graph, x, OPTIONS)[hidden][0]


def test_what_is_added_is_scaled_together(float_network):
    net = float_network((6, 6, 3))
    y = net.relu(net.conv("x", 4, padding=(1, 1, 1, 1)))
    z = net.relu(net.add(net.conv(y, 4, padding=(1, 1, 1, 1)), y))
    graph = net.build(net.conv(z, 2))
    factors = range_fill(graph, net.samples(20), QuantizerOptions())
    assert len({*factors[y], *factors[z]}) == 1
    assert (factors["x"] == 1.0).all()
    assert (factors[graph.output] == 1.0).all()
