from dataclasses import replace

import numpy as np
import pytest

from shiftwork.quant import float_executor, program_ops
from shiftwork.quant.canonical import canonical
from shiftwork.quant.convolutions import quantize_conv
from shiftwork.quant.fusion import layers
from shiftwork.quant.graph import AveragePool
from shiftwork.quant.input_grid import input_tensor
from shiftwork.quant.layers import State, quantize_average
from shiftwork.quant.levels import Levels
from shiftwork.quant.quantizer import QuantizerOptions, quantize
from shiftwork.quant.unary_functions import SWISH, function
from shiftwork.sim import golden

NEAREST = QuantizerOptions(rounding="nearest", equalization=False, range_fill=False)


def sqnr(graph, net, x):
    """Signal to quantization noise ratio of the output in dB."""
    real = float_executor.run(graph, x).reshape(len(x), -1).astype(np.float64)
    restored = net.dequantize_output(golden.run(net, net.quantize_input(x))).reshape(len(x), -1)
    return 10 * np.log10((real**2).sum() / ((real - restored) ** 2).sum())


def residual_network(float_network):
    """Two blocks: a residual as it is, and one through a 1x1 convolution with stride 2."""
    net = float_network((10, 10, 3))
    y = net.relu(net.conv("x", 8, padding=(1, 1, 1, 1)))
    z = net.relu(net.conv(y, 8, padding=(1, 1, 1, 1)))
    y = net.relu(net.add(net.conv(z, 8, padding=(1, 1, 1, 1)), y))
    z = net.relu(net.conv(y, 12, stride=(2, 2), padding=(0, 0, 1, 1)))
    long = net.conv(z, 12, padding=(1, 1, 1, 1))
    y = net.relu(net.add(net.conv(y, 12, (1, 1), stride=(2, 2)), long))
    net.conv(net.reshape(net.pool(AveragePool, y, 5), (1, 1, 12)), 10, (1, 1))
    return net, net.build()


@pytest.mark.parametrize("options", [QuantizerOptions(), NEAREST])
def test_residual_networks(float_network, options):
    net, graph = residual_network(float_network)
    result = quantize(graph, net.samples(100), options)
    convs = [op for op in result.ops if isinstance(op, program_ops.Conv)]
    assert [[type(term) for term in op.terms] for op in convs] == [
        [],
        [],
        [program_ops.Residual],
        [],
        [program_ops.Product],
        [],
    ]
    (residual,) = convs[2].terms
    f_acc = convs[2].shift + result.tensor(convs[2].output).exponent
    np.testing.assert_array_equal(residual.shift, f_acc - result.tensor(residual.input).exponent)
    assert 0 <= residual.shift.min() <= residual.shift.max() <= 11
    assert sqnr(graph, result, net.samples(50, seed=2)) > 28


def test_depthwise_networks(float_network):
    net = float_network((10, 10, 3))
    y = net.relu(net.conv("x", 8, padding=(0, 0, 1, 1), stride=(2, 2)))
    for _ in range(2):
        y = net.relu(net.depthwise(y, padding=(1, 1, 1, 1)))
        y = net.relu(net.conv(y, 8, (1, 1)))
    net.conv(net.reshape(net.pool(AveragePool, y, 5), (1, 1, 8)), 4, (1, 1))
    graph = net.build()
    result = quantize(graph, net.samples(100))
    depthwise = [op for op in result.ops if isinstance(op, program_ops.Conv) and op.groups > 1]
    assert [op.weights.shape for op in depthwise] == [(8, 3, 3, 1)] * 2
    assert sqnr(graph, result, net.samples(50, seed=2)) > 28


@pytest.mark.parametrize("last", [True, False])
def test_a_sum_of_two_values_is_a_copy_with_a_residual(float_network, last):
    net = float_network((6, 6, 2))
    a, b = net.relu(net.conv("x", 4)), net.relu(net.conv("x", 4))
    total = net.add(a, b)
    graph = net.build(total if last else net.conv(total, 3))
    result = quantize(graph, net.samples(100))
    copy = next(op for op in result.ops if isinstance(op, program_ops.Conv) and op.terms)
    assert copy.groups == 4
    assert copy.accumulators == last
    assert sqnr(graph, result, net.samples(50, seed=2)) > 30


def test_a_residual_that_is_finer_than_the_accumulator_is_copied(float_network):
    net = float_network((6, 6, 2))
    y = net.relu(net.conv("x", 4, (1, 1)))
    small = net.conv(y, 4, (1, 1), weights=1e-4 * np.ones((4, 1, 1, 4)), bias=np.zeros(4))
    large = net.conv(y, 4, (1, 1), weights=90 * net.rng.normal(size=(4, 1, 1, 4)))
    graph = net.build(net.conv(net.relu(net.add(large, net.relu(small))), 3))
    result = quantize(graph, net.samples(100), NEAREST)
    copy = next(op for op in result.ops if op.output not in graph.shapes)
    assert isinstance(copy, program_ops.Conv)
    assert copy.groups == 4
    assert sqnr(graph, result, net.samples(50, seed=2)) > 28


def test_summands_with_a_gain_are_copied(float_network):
    net = float_network((6, 6, 2))
    y = net.pool(AveragePool, net.conv("x", 4, padding=(1, 1, 1, 1)), 3)
    total = net.add(net.conv(y, 4, (1, 1)), y)
    graph = net.build(net.conv(total, 3, (1, 1)))
    result = quantize(graph, net.samples(100))
    assert sqnr(graph, result, net.samples(50, seed=2)) > 25


def test_the_input_as_a_summand_and_of_a_shortcut(float_network):
    net = float_network((6, 6, 3))
    a = net.relu(net.add(net.conv("x", 3, padding=(1, 1, 1, 1)), "x"))
    b = net.add(net.conv(a, 5), net.conv("x", 5, padding=(0, 0, 0, 0)))
    graph, x = net.build(net.conv(net.relu(b), 2)), net.samples(100) + 0.7
    result = quantize(graph, x)
    product = next(t for op in result.ops if isinstance(op, program_ops.Conv) for t in op.terms)
    assert result.tensor("x").zero_point != 0
    assert isinstance(product, program_ops.Residual | program_ops.Product)
    assert sqnr(graph, result, net.samples(50, seed=2) + 0.7) > 28


def test_hidden_tensors_stand_for_the_values_of_the_float_network(float_network):
    net, graph = residual_network(float_network)
    result, x = quantize(graph, net.samples(100)), net.samples(20, seed=2)
    real = float_executor.trace(graph, x)
    integers = golden.trace(result, result.quantize_input(x))
    scaled = 0
    for tensor in result.tensors[:-1]:
        restored = tensor.dequantize(integers[tensor.name])
        scaled += tensor.channel_gains is not None
        error = np.abs(restored - real[tensor.name]).mean() / np.abs(real[tensor.name]).mean()
        assert error < 0.03, tensor.name
    assert scaled >= 5


@pytest.mark.parametrize("seed", range(12))
def test_random_graphs(float_network, seed):
    rng = np.random.default_rng(seed)
    net = float_network((8, 8, int(rng.integers(1, 5))), seed)
    channels = int(rng.integers(2, 9))
    values = [net.conv("x", channels, padding=(1, 1, 1, 1))]
    for _ in range(6):
        source = values[int(rng.integers(len(values)))]
        match rng.integers(5):
            case 0:
                value = net.depthwise(source, padding=(1, 1, 1, 1))
            case 1:
                value = net.conv(source, channels, (1, 1))
            case 2:
                value = net.relu(source)
            case _:
                value = net.add(source, values[int(rng.integers(len(values)))])
        values.append(value)
    graph = net.build(net.conv(values[-1], 3))
    result = quantize(graph, net.samples(60))
    assert sqnr(graph, result, net.samples(30, seed=2)) > 22


@pytest.mark.parametrize("bias_correction", [True, False])
def test_the_integers_behind_a_table_are_those_of_the_golden_model(float_network, bias_correction):
    """So biases of later layers are corrected for what the hardware computes."""
    net = float_network((8, 8, 2))
    y = net.unary(net.conv("x", 6, padding=(1, 1, 1, 1)), SWISH)
    y = net.unary(net.add(net.conv(y, 6, padding=(1, 1, 1, 1)), y), function("tanh"))
    y = net.unary(net.pool(AveragePool, y, 3), function("sigmoid"))
    net.conv(y, 4, (2, 2))
    graph = canonical(net.build())
    options = QuantizerOptions(bias_correction=bias_correction)
    x = net.samples(60)
    source = input_tensor("x", (8, 8, 2), x)
    integer = source.quantize(x).astype(np.float32)
    states = {"x": State(tensor=source, real=x, integer=integer)}
    for layer in layers(graph):
        if isinstance(layer.node, AveragePool):
            made = [quantize_average(layer, layer.node, states[layer.node.input], options)]
        else:
            made = quantize_conv(layer, states, options, Levels())
        states |= {state.tensor.name: state for _, state in made}
    result = quantize(net.build(), x, replace(options, equalization=False, range_fill=False))
    expected = golden.trace(result, result.quantize_input(x))
    assert [table.function.split("(")[0] for table in result.tables[1:]] == ["tanh", "sigmoid"]
    for name, state in states.items():
        np.testing.assert_array_equal(state.integer, expected[name], err_msg=name)
        mean = np.abs(state.tensor.dequantize(state.integer) - state.real).mean()
        assert mean < 0.05 * np.abs(state.real).max()
