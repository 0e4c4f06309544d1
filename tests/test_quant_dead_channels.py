from dataclasses import replace

import numpy as np
import pytest

from shiftwork.quant import float_executor
from shiftwork.quant.dead_channels import remove_dead_channels
from shiftwork.quant.graph import AveragePool, Conv, MaxPool


def silence(graph, name, channels, *, factor=0.0, bias=None):
    """Makes the weights of some output channels of a conv vanish."""
    nodes = []
    for node in graph.nodes:
        if node.output == name:
            weights, biases = node.weights.copy(), node.bias.copy()
            weights[channels] *= factor
            biases[channels] = biases[channels] if bias is None else bias
            node = replace(node, weights=weights, bias=biases)
        nodes.append(node)
    return graph.with_nodes(nodes)


def check_same(before, after, x):
    expected, got = (float_executor.run(graph, x) for graph in (before, after))
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=2e-6 * np.abs(expected).max())


def channels(graph):
    return [len(node.weights) for node in graph.nodes if isinstance(node, Conv)]


def test_through_relu_depthwise_and_pools(float_network):
    net = float_network((8, 8, 3))
    first = net.conv("x", 6)
    value = net.relu(net.depthwise(net.relu(first)))
    value = net.pool(AveragePool, net.pool(MaxPool, value))
    net.conv(value, 4, (1, 1))
    graph = silence(net.build(), first, [1, 4], bias=0.7)
    result = remove_dead_channels(graph)
    assert channels(result) == [4, 4, 4]
    assert result.nodes[2].groups == 4
    assert result.shapes[value][2] == 4
    check_same(graph, result, net.samples(20))


def test_a_nonzero_constant_at_a_border_stays(float_network):
    net = float_network((6, 6, 2))
    first = net.conv("x", 5)
    net.conv(net.relu(first), 3, padding=(1, 1, 1, 1))
    graph = silence(net.build(), first, [0, 2], bias=np.float32([0.5, -0.5]))
    result = remove_dead_channels(graph)
    assert channels(result) == [4, 3]
    check_same(graph, result, net.samples(20))


def test_a_border_that_a_relu_hides_does_not_matter(float_network):
    net = float_network((6, 6, 2))
    first = net.conv("x", 4, (1, 1))
    second = net.depthwise(
        net.relu(first),
        padding=(1, 1, 1, 1),
        weights=-np.ones((4, 3, 3, 1)),
        bias=-np.ones(4),
    )
    net.conv(net.relu(second), 3, padding=(1, 1, 1, 1))
    graph = silence(net.build(), first, [0, 2], bias=0.5)
    result = remove_dead_channels(graph)
    assert channels(result) == [2, 2, 3]
    check_same(graph, result, net.samples(20))
    seen = silence(graph, second, [1], factor=1.0, bias=9.0)
    assert channels(remove_dead_channels(seen)) == [2, 2, 3]
    shown = silence(graph, second, [0], factor=1.0, bias=9.0)
    assert channels(remove_dead_channels(shown)) == [4, 4, 3]
    check_same(shown, remove_dead_channels(shown), net.samples(20))


def test_summands_go_together(float_network):
    net = float_network((6, 6, 3))
    left, right = net.conv("x", 5), net.conv("x", 5)
    net.conv(net.relu(net.add(left, right)), 4, (1, 1))
    graph = silence(silence(net.build(), left, [0, 1]), right, [1, 2])
    result = remove_dead_channels(graph)
    assert channels(result) == [4, 4, 4]
    check_same(graph, result, net.samples(20))


def test_through_a_reshape_to_a_dense_layer(float_network):
    net = float_network((4, 4, 2))
    first = net.conv("x", 3)
    flat = net.reshape(net.relu(first), (1, 1, 12))
    net.conv(flat, 5, (1, 1))
    graph = silence(net.build(), first, [1], bias=0.3)
    result = remove_dead_channels(graph)
    assert result.shapes[flat] == (1, 1, 8)
    check_same(graph, result, net.samples(20))


def test_constants_reach_the_layers_behind(float_network):
    """A row that reads only constants is one."""
    net = float_network((5, 5, 2))
    first = net.conv("x", 4, (1, 1))
    second = net.conv(net.relu(first), 3, (1, 1))
    net.conv(net.relu(second), 2)
    graph = silence(net.build(), first, [0, 1], bias=1.0)
    node = graph.producer(second)
    weights = node.weights.copy()
    weights[1, :, :, 2:] = 0.0
    nodes = [replace(node, weights=weights) if n is node else n for n in graph.nodes]
    graph = graph.with_nodes(nodes)
    result = remove_dead_channels(graph)
    assert channels(result) == [2, 2, 2]
    check_same(graph, result, net.samples(20))


@pytest.mark.parametrize(("factor", "kept"), [(1e-8, 2), (1e-3, 3)])
def test_vanishing_is_relative_to_the_layer(float_network, factor, kept):
    net = float_network((5, 5, 2))
    first = net.conv("x", 3)
    net.conv(first, 2, (1, 1))
    graph = silence(net.build(), first, [2], factor=factor)
    result = remove_dead_channels(graph)
    assert channels(result)[0] == kept
    check_same(graph, result, net.samples(20))


def test_a_value_keeps_a_channel_and_the_output_all(float_network):
    net = float_network((5, 5, 2))
    first = net.conv("x", 4)
    last = net.conv(first, 3, (1, 1))
    graph = silence(silence(net.build(), first, [0, 1, 2, 3]), last, [1])
    result = remove_dead_channels(graph)
    assert channels(result) == [1, 3]
    check_same(graph, result, net.samples(20))


def test_an_even_number_of_channels_is_kept(float_network):
    net = float_network((5, 5, 2))
    first = net.conv("x", 6)
    net.conv(net.relu(first), 3, (1, 1))
    graph = silence(net.build(), first, [0, 1, 4], bias=np.float32([0.5, 0.25, 0.75]))
    result = remove_dead_channels(graph)
    assert channels(result) == [4, 3]
    assert np.float32(0.25) in result.nodes[0].bias
    check_same(graph, result, net.samples(20))


def test_nothing_dead_nothing_changed(float_network):
    net = float_network((5, 5, 2))
    net.conv(net.relu(net.conv("x", 4)), 3)
    graph = net.build()
    result = remove_dead_channels(graph)
    for node, other in zip(graph.nodes, result.nodes, strict=True):
        if isinstance(node, Conv):
            np.testing.assert_array_equal(node.weights, other.weights)


def test_person_detection_loses_two_thirds_of_its_channels(shared):
    from shiftwork.quant.tflite_import import load

    graph = load(shared / "models" / "mlperf_tiny" / "vww_96_float.tflite")
    result = remove_dead_channels(graph)
    assert result.macs < 3_760_000 < 7_480_000 < graph.macs
    x = np.random.default_rng(0).uniform(size=(2, 96, 96, 3)).astype(np.float32)
    check_same(graph, result, x)
