"""Networks that were quantized to powers of two before."""

from dataclasses import replace

import numpy as np
import pytest
from onnx.helper import make_node as op

from shiftwork.quant import float_executor, onnx_import, program_ops
from shiftwork.quant.canonical import canonical
from shiftwork.quant.graph import AveragePool, Grid, MaxPool
from shiftwork.quant.quantizer import quantize
from shiftwork.sim import golden


def grid(exponent, *, signed=True, zero_point=0):
    lo, hi = (-128, 127) if signed else (0, 255)
    return Grid(scale=2.0**-exponent, zero_point=zero_point, lo=lo, hi=hi)


def on_grid(x, grid):
    """``x`` rounded to the grid, halves up."""
    q = np.floor(x / grid.scale + 0.5) + grid.zero_point
    return (np.clip(q, grid.lo, grid.hi) - grid.zero_point) * grid.scale


def run_on_grids(graph, x):
    values = {graph.input: on_grid(x, graph.grids[graph.input]).astype(np.float32)}
    for node in graph.nodes:
        value = float_executor.execute(node, *(values[name] for name in node.inputs))
        value = value.reshape(len(x), *graph.shapes[node.output])
        if node.output in graph.grids:
            value = on_grid(value, graph.grids[node.output])
        values[node.output] = value.astype(np.float32)
    return values[graph.output]


def whole(rng, shape, exponent, limit=127):
    return rng.integers(-limit, limit + 1, shape) * 2.0**-exponent


def network(float_network, *, output=None, average_exponent=3):
    net = float_network((6, 6, 3))
    rng = net.rng
    bias = {"bias": whole(rng, 4, 9, 600)}
    y = net.conv("x", 4, padding=(1, 1, 1, 1), weights=whole(rng, (4, 3, 3, 3), 6), **bias)
    y = net.relu(y)
    z = net.depthwise(y, padding=(1, 1, 1, 1), weights=whole(rng, (4, 3, 3, 1), 7), **bias)
    a = net.relu(net.add(z, y))
    b = net.conv(a, 4, (1, 1), weights=whole(rng, (4, 1, 1, 4), 7), **bias)
    c = net.add(b, a)
    d = net.pool(AveragePool, net.pool(MaxPool, c, 1), 2)
    flat = net.reshape(d, (1, 1, 36))
    e = net.conv(flat, 5, (1, 1), weights=whole(rng, (5, 1, 1, 36), 7), bias=whole(rng, 5, 9))
    grids = {
        "x": grid(5),
        y: grid(3, signed=False),
        z: grid(3),
        a: grid(2, signed=False),
        c: grid(1),
        d: grid(average_exponent),
    }
    return net, net.build(grids=grids | ({} if output is None else {e: output}))


@pytest.mark.parametrize("output", [None, grid(1), grid(-1)])
@pytest.mark.parametrize("average_exponent", [2, 3])
def test_the_program_computes_what_the_model_does(float_network, output, average_exponent):
    net, graph = network(float_network, output=output, average_exponent=average_exponent)
    result = quantize(graph, net.samples(10))
    x = 2 * net.samples(200, seed=5)
    expected = run_on_grids(graph, x).reshape(len(x), -1)
    got = result.dequantize_output(golden.run(result, result.quantize_input(x)))
    np.testing.assert_array_equal(got.reshape(len(x), -1), expected)
    assert result.tensors[-1].bits == (32 if output is None else 8)


def test_calibration_does_not_matter(float_network):
    net, graph = network(float_network)
    programs = [quantize(graph, net.samples(5, seed=seed)) for seed in (1, 2)]
    assert programs[0].digest == programs[1].digest


def test_int8_whose_least_stands_for_zero_is_unsigned(float_network):
    net = float_network((4, 4, 1))
    y = net.relu(net.conv("x", 2, weights=np.ones((2, 3, 3, 1)), bias=np.zeros(2)))
    net.conv(y, 2, (1, 1), weights=np.ones((2, 1, 1, 2)), bias=np.zeros(2))
    graph = net.build(grids={"x": grid(4), y: grid(4, zero_point=-128)})
    hidden = quantize(graph, net.samples(5)).tensor(y)
    assert (hidden.lo, hidden.hi, hidden.signed, hidden.exponent) == (0, 255, False, 4)


@pytest.mark.parametrize(
    "grids",
    [
        {"x": Grid(scale=0.3, zero_point=0, lo=-128, hi=127)},
        {"y": Grid(scale=0.3, zero_point=0, lo=-128, hi=127)},
        {"y": grid(4, zero_point=3)},
        {"y": grid(30)},
        {},
    ],
)
def test_other_grids_are_chosen_anew(float_network, grids):
    net = float_network((4, 4, 1))
    y = net.conv("x", 2, weights=np.ones((2, 3, 3, 1)) / 2, bias=np.zeros(2))
    net.conv(y, 2, (1, 1))
    named = {y if name == "y" else name: value for name, value in grids.items()}
    graph = net.build(grids={"x": grid(4), y: grid(4)} | named if grids else {"x": grid(4)})
    result, x = quantize(graph, net.samples(50)), net.samples(20)
    real = float_executor.run(canonical(graph), x).reshape(20, -1)
    got = result.dequantize_output(golden.run(result, result.quantize_input(x))).reshape(20, -1)
    assert np.square(real - got).sum() < 0.02 * np.square(real).sum()


def test_weights_that_are_not_whole_are_chosen_anew(float_network):
    net, graph = network(float_network)
    first = graph.nodes[0]
    graph = graph.with_nodes([replace(first, weights=first.weights / 3), *graph.nodes[1:]])
    first, second = (quantize(graph, net.samples(40, seed=seed)) for seed in (1, 2))
    assert first.digest != second.digest


def pair(source, target, scale, zero_point):
    return [
        op("QuantizeLinear", [source, scale, zero_point], [f"{target}_q"]),
        op("DequantizeLinear", [f"{target}_q", scale, zero_point], [target]),
    ]


def test_onnx_with_powers_of_two_is_bit_exact(write_onnx):
    """Even weights and odd biases have no sums midway between two outputs."""
    runtime = pytest.importorskip("onnxruntime")
    rng = np.random.default_rng(3)

    def even(*shape):
        return (2 * rng.integers(-60, 61, shape)).astype(np.int8)

    def odd(count):
        return (2 * rng.integers(-300, 300, count) + 1).astype(np.int32)

    scales = np.float32([1 / 64, 1 / 128, 1 / 256, 1 / 512])
    constants = {
        "s": np.float32(1 / 32),
        "t": np.float32(1 / 8),
        "z": np.int8(0),
        "u": np.uint8(0),
        "w": even(4, 3, 3, 3),
        "v": even(4, 1, 3, 3),
        "d": even(5, 4),
        "ws": scales,
        "wz": np.zeros(4, np.int8),
        "bz": np.zeros(4, np.int32),
        "b": odd(4),
        "bs": scales / 32,
        "c": odd(4),
        "cs": scales / 8,
        "e": odd(5),
        "es": np.float32(1 / 256),
        "ez": np.int32(0),
    }
    nodes = [
        *pair("x", "x1", "s", "z"),
        op("DequantizeLinear", ["w", "ws", "wz"], ["w1"], axis=0),
        op("DequantizeLinear", ["b", "bs", "bz"], ["b1"], axis=0),
        op("DequantizeLinear", ["v", "ws", "wz"], ["v1"], axis=0),
        op("DequantizeLinear", ["c", "cs", "bz"], ["c1"], axis=0),
        op("DequantizeLinear", ["d", "s", "z"], ["d1"]),
        op("DequantizeLinear", ["e", "es", "ez"], ["e1"]),
        op("Conv", ["x1", "w1", "b1"], ["f"], pads=[1, 1, 1, 1]),
        *pair("f", "f1", "t", "u"),
        op("Conv", ["f1", "v1", "c1"], ["g"], pads=[1, 1, 1, 1], group=4),
        *pair("g", "g1", "t", "z"),
        op("Add", ["g1", "f1"], ["h"]),
        *pair("h", "h1", "t", "u"),
        op("MaxPool", ["h1"], ["m"], kernel_shape=[6, 5]),
        *pair("m", "m1", "t", "u"),
        op("Flatten", ["m1"], ["k"]),
        op("Gemm", ["k", "d1", "e1"], ["l"], transB=1),
        *pair("l", "y", "t", "z"),
    ]
    path = write_onnx(nodes, ("N", 3, 6, 5), constants)
    x = rng.normal(size=(300, 3, 6, 5)).astype(np.float32)
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    expected = runtime.InferenceSession(str(path), options).run(None, {"x": x})[0]
    result = quantize(onnx_import.load(path), x[:5])
    got = result.dequantize_output(golden.run(result, result.quantize_input(x)))
    np.testing.assert_array_equal(got, expected)
    assert [type(o) for o in result.ops].count(program_ops.Conv) == 4
