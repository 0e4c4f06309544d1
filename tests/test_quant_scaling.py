import numpy as np
import pytest

from shiftwork.quant import float_executor, scaling
from shiftwork.quant.graph import AveragePool, Clip, Conv, MaxPool
from shiftwork.quant.scaling import few_samples, rescaled, scale_groups, stored_values


def factors_of(graph, groups, seed=0):
    factors = 2.0 ** np.random.default_rng(seed).normal(size=groups.count)
    factors[list(groups.of((graph.input, graph.output)))] = 1.0
    return {value: factors[groups.labels(value)] for value in graph.shapes}


def residual_network(float_network, hi=np.inf):
    net = float_network((8, 8, 3))
    y = net.relu(net.conv("x", 6, padding=(1, 1, 1, 1)), hi)
    z = net.relu(net.depthwise(y, padding=(1, 1, 1, 1)))
    y = net.relu(net.add(net.conv(z, 6, (1, 1)), y))
    y = net.pool(AveragePool, net.pool(MaxPool, y))
    net.conv(net.reshape(y, (1, 1, 24)), 5, (1, 1))
    return net, net.build()


@pytest.mark.parametrize("hi", [np.inf, 1.5])
@pytest.mark.parametrize("seed", range(3))
def test_the_output_stays(float_network, seed, hi):
    net, graph = residual_network(float_network, hi)
    factors = factors_of(graph, scale_groups(graph), seed)
    result = rescaled(graph, factors)
    x = net.samples(20)
    before, after = (float_executor.trace(g, x) for g in (graph, result))
    for value in graph.shapes:
        expected = before[value] * factors[value]
        np.testing.assert_allclose(after[value], expected, rtol=1e-4, atol=1e-5)


def test_what_is_added_or_pooled_shares_its_factors(float_network):
    _, graph = residual_network(float_network)
    groups = scale_groups(graph)
    names = [node.output for node in graph.nodes]
    shared = [groups.labels(names[i]).tolist() for i in (0, 1, 4, 5, 6, 7, 8)]
    assert all(labels == shared[0] for labels in shared)
    assert len(set(shared[0])) == 6
    assert groups.labels(names[9]).tolist() == shared[0] * 4
    assert not {*groups.labels(names[2])} & {*shared[0]}


def test_an_upper_bound_takes_one_factor_for_all_channels(float_network):
    net, _ = residual_network(float_network)
    limited = net.relu(net.conv("x", 4), 6.0)
    groups = scale_groups(net.build(limited))
    assert len(set(groups.labels(limited))) == 1
    node = Clip(name="clip", input="x", output="y", lo=-1.0, hi=2.0)
    graph = net.build()
    graph = graph.with_nodes([node], shapes={"x": (8, 8, 3), "y": (8, 8, 3)}, output="y")
    scaled = rescaled(graph, {"x": np.full(3, 2.0), "y": np.full(3, 2.0)}).nodes[0]
    assert (scaled.lo, scaled.hi) == (-2.0, 4.0)


def test_stored_are_the_outputs_of_hidden_layers(float_network):
    _, graph = residual_network(float_network)
    names = [node.output for node in graph.nodes]
    assert stored_values(graph) == (names[1], names[3], names[6], names[8])
    assert isinstance(graph.nodes[-1], Conv)


def test_statistics_take_few_samples_of_a_large_network(float_network, monkeypatch):
    net, graph = residual_network(float_network)
    x = net.samples(30)
    assert len(few_samples(graph, x)) == 30
    elements = sum(int(np.prod(shape)) for shape in graph.shapes.values())
    monkeypatch.setattr(scaling, "STATISTICS_ELEMENTS", 3 * elements)
    np.testing.assert_array_equal(few_samples(graph, x), x[[0, 14, 29]])
    monkeypatch.setattr(scaling, "STATISTICS_ELEMENTS", 1)
    assert len(few_samples(graph, x)) == 1
