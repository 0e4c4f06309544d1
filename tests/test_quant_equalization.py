from dataclasses import replace

import numpy as np

from shiftwork.quant import float_executor
from shiftwork.quant.equalization import equalization
from shiftwork.quant.graph import Graph
from shiftwork.quant.scaling import rescaled


def uneven(float_network, spread):
    """A hidden tensor whose channels' ranges have the ratios ``spread``."""
    net = float_network((6, 6, 3))
    first = net.conv("x", len(spread))
    hidden = net.relu(first)
    net.conv(hidden, 4)
    graph, x = net.build(), net.samples(50)
    ranges = float_executor.trace(graph, x)[hidden].max(axis=(0, 1, 2))
    factor = np.asarray(spread, np.float32) / ranges
    node = graph.nodes[0]
    weights, bias = node.weights * factor[:, None, None, None], node.bias * factor
    nodes = [replace(node, weights=weights, bias=bias), *graph.nodes[1:]]
    return graph.with_nodes(nodes), hidden, x


def ranges(graph: Graph, value, x):
    return np.abs(float_executor.trace(graph, x)[value]).max(axis=(0, 1, 2))


def test_ranges_come_halfway_together(float_network):
    graph, hidden, x = uneven(float_network, [8.0, 2.0, 0.5])
    factors = equalization(graph, x)
    np.testing.assert_allclose(factors[hidden], [1.0, 2.0, 4.0], rtol=1e-4)
    result = rescaled(graph, factors)
    np.testing.assert_allclose(ranges(result, hidden, x), [8.0, 4.0, 2.0], rtol=1e-4)
    expected, got = (float_executor.run(g, x) for g in (graph, result))
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_what_is_nearly_dead_is_not_blown_up(float_network):
    graph, hidden, x = uneven(float_network, [1.0, 1e-4, 1e-9])
    np.testing.assert_allclose(equalization(graph, x)[hidden], [1.0, 4.0, 4.0], rtol=1e-4)


def test_tensors_that_are_added_share_their_factors(float_network):
    net = float_network((6, 6, 3))
    y = net.relu(net.conv("x", 4, padding=(1, 1, 1, 1)))
    z = net.relu(net.add(net.conv(y, 4, padding=(1, 1, 1, 1)), y))
    graph = net.build(net.conv(z, 2))
    factors = equalization(graph, net.samples(20))
    np.testing.assert_array_equal(factors[y], factors[z])
    assert (factors["x"] == 1.0).all()
    assert (factors[graph.output] == 1.0).all()


def test_a_network_of_zeros_stays(float_network):
    graph, _, x = uneven(float_network, [1.0, 2.0])
    assert all(np.isfinite(f).all() for f in equalization(graph, 0 * x).values())
