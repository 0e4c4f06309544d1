"""Functions of one variable move to the layers whose table they become."""

from dataclasses import replace

import numpy as np
import pytest

from shiftwork.quant import float_executor
from shiftwork.quant.canonical import canonical
from shiftwork.quant.fusion import layers
from shiftwork.quant.graph import Add, Affine, AveragePool, Clip, Conv, MaxPool, Reshape, Unary
from shiftwork.quant.unary_functions import HARD_SWISH, SWISH, affine, clip, function

SIGMOID = function("sigmoid")


def kinds(graph):
    return [type(node) for node in graph.nodes]


def check(build, output=None):
    """The canonical graph, which computes the same."""
    graph, x = build.build(output), build.samples(5)
    result = canonical(graph)
    np.testing.assert_allclose(
        float_executor.run(result, x).ravel(), float_executor.run(graph, x).ravel(), atol=1e-5
    )
    return result


def test_a_function_behind_a_convolution_is_its_table(float_network):
    build = float_network((6, 6, 2))
    build.conv(build.unary(build.conv("x", 3), SIGMOID), 2)
    graph = check(build)
    assert kinds(graph) == [Conv, Unary, Conv]
    assert [layer.bounds.function for layer in layers(graph)] == [SIGMOID, None]


def test_one_that_never_falls_moves_in_front_of_a_maximum(float_network):
    build = float_network((6, 6, 2))
    build.conv(build.unary(build.pool(MaxPool, build.conv("x", 3)), SIGMOID), 2, (1, 1))
    assert kinds(check(build)) == [Conv, Unary, MaxPool, Conv]


def test_one_that_falls_gets_a_copy_behind_a_maximum(float_network):
    build = float_network((6, 6, 2))
    build.conv(build.unary(build.pool(MaxPool, build.conv("x", 3)), SWISH), 2, (1, 1))
    graph = check(build)
    assert kinds(graph) == [Conv, MaxPool, Conv, Unary, Conv]
    assert graph.nodes[2].groups == 3 and (graph.nodes[2].weights == 1).all()


def test_a_reshape_lets_it_through(float_network):
    build = float_network((4, 4, 2))
    flat = build.reshape(build.conv("x", 3), (1, 1, 12))
    build.conv(build.unary(flat, SWISH), 2, (1, 1))
    assert kinds(check(build)) == [Conv, Unary, Reshape, Conv]


@pytest.mark.parametrize("source", ["input", "read twice"])
def test_others_get_a_copy(float_network, source):
    build = float_network((5, 5, 2))
    value = "x" if source == "input" else build.conv("x", 2)
    squashed = build.unary(value, SIGMOID)
    build.conv(build.add(squashed, value), 2)
    graph = check(build)
    assert [type(graph.producer(n.input)) for n in graph.nodes if isinstance(n, Unary)] == [Conv]
    assert all(len(graph.consumers(n.input)) == 1 for n in graph.nodes if isinstance(n, Unary))


def test_averages_and_sums_have_tables(float_network):
    build = float_network((6, 6, 2))
    total = build.add(build.conv("x", 2, padding=(1, 1, 1, 1)), "x")
    mean = build.pool(AveragePool, build.unary(total, function("tanh")))
    build.conv(build.unary(mean, SIGMOID), 2)
    graph = check(build)
    assert kinds(graph)[-5:] == [Add, Unary, AveragePool, Unary, Conv]
    functions = [layer.bounds.function for layer in layers(graph)]
    assert functions[-3:] == [function("tanh"), SIGMOID, None]


def test_what_follows_element_by_element_becomes_part_of_it(float_network):
    build = float_network((5, 5, 2))
    value = build.unary(build.conv("x", 2), SIGMOID)
    scaled = build._append(Affine, value, scale=np.full(1, 2.0), offset=np.full(1, -1.0))
    build.conv(build.relu(build.unary(scaled, function("tanh"))), 2)
    graph = check(build)
    assert kinds(graph) == [Conv, Unary, Conv]
    assert str(graph.nodes[1].function) == "clip(tanh((sigmoid(x)*2-1)), 0, inf)"


def test_what_is_before_it_is_a_convolutions_work_or_part_of_it(float_network):
    build = float_network((6, 6, 2))
    pooled = build.pool(MaxPool, build.conv("x", 3))
    scaled = build._append(Affine, pooled, scale=np.full(1, -2.0), offset=np.full(1, 1.0))
    build.conv(build.unary(build.relu(scaled), SIGMOID), 2, (1, 1))
    graph = check(build)
    assert kinds(graph) == [Conv, MaxPool, Conv, Unary, Conv]
    assert str(graph.nodes[3].function) == "sigmoid(clip((x*-2+1), 0, inf))"
    build = float_network((6, 6, 2))
    value = build.conv("x", 3)
    scaled = build._append(Affine, value, scale=np.full(1, -2.0), offset=np.full(1, 1.0))
    build.conv(build.unary(scaled, SIGMOID), 2)
    graph = check(build)
    assert kinds(graph) == [Conv, Unary, Conv] and graph.nodes[1].function == SIGMOID


def test_constants_and_bounds_need_no_table(float_network):
    build = float_network((5, 5, 2))
    build.conv(build.unary(build.conv("x", 2), clip(0.0, 1.0).of(affine(0.2, 0.5))), 2)
    assert kinds(check(build)) == [Conv, Clip, Conv]
    build.conv(build.unary(build.conv("x", 2), HARD_SWISH), 2)
    assert Unary in kinds(check(build))


def test_values_get_names_of_their_own(float_network):
    build = float_network((5, 5, 2))
    taken = build.pool(MaxPool, build.conv("x", 2), 1)
    hard = build.unary(taken, clip(0.0, 1.0).of(affine(0.2, 0.5)))
    build.shapes[f"{hard}_0"] = build.shapes.pop(taken)
    build.nodes[1] = replace(build.nodes[1], output=f"{hard}_0")
    build.nodes[2] = replace(build.nodes[2], input=f"{hard}_0")
    build.conv(hard, 2)
    assert kinds(check(build)) == [Conv, Clip, Conv]


def test_two_of_them_are_one_table(float_network):
    build = float_network((5, 5, 2))
    build.conv(build.unary(build.unary(build.conv("x", 2), SIGMOID), function("tanh")), 2)
    graph = check(build)
    assert kinds(graph) == [Conv, Unary, Conv]
    assert str(graph.nodes[1].function) == "tanh(sigmoid(x))"


def test_dead_channels_go_through_it(float_network):
    """What a function makes of a constant is a constant."""
    build = float_network((5, 5, 2))
    weights = build.rng.normal(size=(6, 3, 3, 2))
    weights[:4] = 0.0
    build.conv(build.unary(build.conv("x", 6, weights=weights), SIGMOID), 3)
    graph = check(build)
    assert graph.shapes[graph.nodes[0].output][2] == 2
