import numpy as np

from shiftwork.quant.canonical import canonical
from shiftwork.quant.fusion import layers
from shiftwork.quant.graph import AveragePool, Clip, Conv, MaxPool


def test_a_clip_becomes_bounds(float_network):
    net = float_network((6, 6, 2))
    y = net.relu(net.conv("x", 3), 2.0)
    first, second = layers(canonical(net.build(net.conv(y, 2))))
    assert (first.output, first.bounds.lo, first.bounds.hi, first.last) == (y, 0.0, 2.0, False)
    assert (second.last, second.bounds.present) == (True, False)
    assert first.bounds.apply(np.array([-1.0, 3.0])).tolist() == [0.0, 2.0]


def test_a_residual_is_added_in_the_convolution(float_network):
    net = float_network((6, 6, 2))
    y = net.relu(net.conv("x", 4, padding=(1, 1, 1, 1)))
    branch = net.conv(y, 4, padding=(1, 1, 1, 1))
    total = net.relu(net.add(branch, y))
    plan = layers(canonical(net.build(net.conv(total, 2))))
    assert [layer.output for layer in plan] == [y, total, net.nodes[-1].output]
    assert plan[1].node.output == branch
    assert plan[1].residuals == (y,)
    assert plan[1].inputs == (y, y)
    assert plan[1].bounds.lo == 0.0


def test_a_shortcut_is_one_more_product(float_network):
    net = float_network((6, 6, 2))
    y = net.conv("x", 3)
    short, long = net.conv(y, 4, (1, 1)), net.conv(y, 4, padding=(1, 1, 1, 1))
    total = net.add(short, long)
    plan = layers(canonical(net.build(total)))
    assert len(plan) == 2
    assert plan[1].node.output == long
    assert [conv.output for conv in plan[1].products] == [short]
    assert plan[1].last


def test_sums_of_sums_are_one_sum(float_network):
    net = float_network((6, 6, 2))
    y = net.conv("x", 4)
    a, b = net.conv(y, 4, (1, 1)), net.depthwise(y, (1, 1))
    total = net.add(net.add(a, y), net.add(b, y))
    (_, depthwise, last) = layers(canonical(net.build(total)))
    assert depthwise.output == b
    assert last.node.output == a
    assert last.residuals == (y, y, b)


def test_a_second_depthwise_convolution_stays_a_layer(float_network):
    net = float_network((6, 6, 2))
    y = net.conv("x", 4)
    a, b = net.depthwise(y, (1, 1)), net.depthwise(y, (1, 1))
    plan = layers(canonical(net.build(net.add(a, b))))
    assert [layer.output for layer in plan[1:]] == [b, net.nodes[-1].output]
    assert plan[2].residuals == (b,)


def test_what_is_clipped_or_read_elsewhere_is_not_absorbed(float_network):
    net = float_network((6, 6, 2))
    y = net.conv("x", 4)
    clipped, shared = net.relu(net.conv(y, 4, (1, 1))), net.conv(y, 4, (1, 1))
    total = net.add(clipped, shared)
    plan = layers(canonical(net.build(net.add(net.conv(total, 4, (1, 1)), shared))))
    assert [layer.output for layer in plan[1:4]] == [clipped, shared, total]
    copy = plan[3]
    assert copy.node.groups == 4
    assert (copy.node.input, copy.residuals) == (clipped, (shared,))
    assert (copy.node.weights == 1).all()


def test_a_value_twice(float_network):
    net = float_network((6, 6, 2))
    y = net.conv("x", 4)
    plan = layers(net.build(net.add(y, y)))
    assert plan[1].node.input == y
    assert plan[1].residuals == (y,)


def test_rounded_values_are_not_absorbed(float_network):
    net = float_network((6, 6, 2))
    a, b = net.conv("x", 4), net.conv("x", 4)
    graph = canonical(net.build(net.add(a, b)))
    assert len(layers(graph)) == 1
    assert len(layers(graph, rounded=(a, b))) == 3


def test_summands_with_a_real_step_are_copied(float_network):
    net = float_network((6, 6, 2))
    y = net.conv("x", 2, padding=(1, 1, 1, 1))
    average = net.pool(AveragePool, net.add(y, "x"), 3)
    other = net.pool(MaxPool, net.conv(average, 2, (1, 1)), 1)
    graph = canonical(net.build(net.add(average, net.relu(other))))
    copied = [node.input for node in graph.nodes if isinstance(node, Conv) and node.groups == 2]
    assert copied == ["x", average]


def test_a_clip_beside_other_readers_limits_a_copy(float_network):
    net = float_network((6, 6, 2))
    y = net.conv("x", 3)
    clipped = net.relu(y)
    graph = canonical(net.build(net.add(clipped, y)))
    clip = next(node for node in graph.nodes if isinstance(node, Clip))
    assert graph.producer(clip.input).groups == 3
    assert graph.consumers(clip.input) == [clip]


def test_an_output_that_is_read_on_is_copied(float_network):
    net = float_network((6, 6, 2))
    y = net.conv("x", 3)
    z = net.relu(y)
    graph = canonical(net.build(y))
    assert [type(node) for node in graph.nodes] == [Conv]
    net.add(y, z)
    total = net.nodes[-1].output
    net.conv(total, 2)
    graph = canonical(net.build(total))
    assert graph.output == total
    assert graph.consumers(graph.output) == []
