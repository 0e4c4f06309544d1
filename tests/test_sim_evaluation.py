from dataclasses import replace

import numpy as np
import pytest

from shiftwork.errors import DataError
from shiftwork.quant import float_executor, onnx_import
from shiftwork.quant.graph import AveragePool, Clip, Conv, Graph, Layout, MaxPool, Reshape
from shiftwork.quant.quantizer import QuantizerOptions, quantize
from shiftwork.sim import golden
from shiftwork.sim.evaluation import evaluate


@pytest.fixture
def graph():
    """Two convolutions, both kinds of pooling, a dense layer: 8x8x2 in CHW order to 4 classes."""
    rng = np.random.default_rng(0)

    def arrays(*shape):
        return {
            "weights": rng.normal(size=shape).astype(np.float32),
            "bias": rng.normal(size=shape[0]).astype(np.float32),
        }

    nodes = (
        Conv(name="first", input="x", output="a", padding=(1, 1, 1, 1), **arrays(5, 3, 3, 2)),
        MaxPool(name="pool", input="a", output="b", kernel=(2, 2), stride=(2, 2)),
        Clip(name="relu", input="b", output="c", lo=0.0, hi=np.inf),
        AveragePool(name="mean", input="c", output="d", kernel=(2, 2), stride=(2, 2)),
        Reshape(name="flat", input="d", output="e"),
        Conv(name="dense", input="e", output="y", **arrays(4, 1, 1, 20)),
    )
    shapes = {"x": (8, 8, 2), "a": (8, 8, 5), "b": (4, 4, 5), "c": (4, 4, 5)}
    shapes |= {"d": (2, 2, 5), "e": (1, 1, 20), "y": (1, 1, 4)}
    order = np.arange(128).reshape(2, 8, 8).transpose(1, 2, 0).reshape(-1)
    return Graph(
        name="tiny",
        input="x",
        output="y",
        shapes=shapes,
        nodes=nodes,
        input_layout=Layout((2, 8, 8), order),
        output_layout=Layout.identity((4,)),
    )


def images(count, seed=1):
    return np.random.default_rng(seed).integers(0, 256, (count, 2, 8, 8)).astype(np.uint8)


def test_figures_equal_their_definitions(graph):
    program, x = quantize(graph, images(50)), images(150, seed=2)
    real = float_executor.run(graph, graph.input_layout.to_nhwc(x, (8, 8, 2))).reshape(150, 4)
    integers = golden.predict(program, x)
    y = np.random.default_rng(3).integers(0, 4, 150)
    result = evaluate(graph, program, x, y)
    assert result.samples == 150
    assert result.accuracy_float == pytest.approx(100 * (real.argmax(1) == y).mean())
    assert result.accuracy_int8 == pytest.approx(100 * (integers.argmax(1) == y).mean())
    assert result.agreement == pytest.approx(100 * (integers.argmax(1) == real.argmax(1)).mean())
    assert result.agreement > 95
    noise = real - integers * 2.0 ** -program.tensors[-1].exponent
    expected = 10 * np.log10((real.astype(float) ** 2).sum() / (noise**2).sum())
    assert result.layers[-1].sqnr_db == pytest.approx(expected, abs=1e-3)
    assert result.sqnr_db == result.layers[-1].sqnr_db


def test_layers_are_named_with_their_shifts_and_widths(graph):
    program = quantize(graph, images(50))
    layers = evaluate(graph, program, images(20)).layers
    first, pool, mean, dense = layers
    assert [(layer.name, layer.op) for layer in layers] == [
        ("first", "Conv"),
        ("pool", "MaxPool"),
        ("mean", "AveragePool"),
        ("dense", "Conv"),
    ]
    assert (first.shift_min, first.shift_max) == (
        program.ops[0].shift.min(),
        program.ops[0].shift.max(),
    )
    assert first.accumulator_bits == program.accumulator_bits(program.ops[0])
    assert (pool.shift_min, pool.shift_max, pool.accumulator_bits) == (0, 0, 9)
    assert (mean.shift_min, mean.accumulator_bits) == (program.ops[2].shift, 11)
    assert (dense.shift_min, dense.shift_max) == (0, 0)
    assert all(type(layer.shift_max) is int for layer in layers)
    assert all(layer.sqnr_db is not None and layer.sqnr_db > 25 for layer in layers)


def test_without_labels_there_is_no_accuracy(graph):
    result = evaluate(graph, quantize(graph, images(20)), images(20))
    assert (result.accuracy_float, result.accuracy_int8) == (None, None)
    assert result.agreement > 90


def test_a_layer_without_noise_has_no_ratio(graph):
    nodes = (replace(graph.nodes[1], input="x", output="y"),)
    pooling = replace(graph, nodes=nodes, shapes={"x": (8, 8, 2), "y": (4, 4, 2)})
    pooling = replace(pooling, output_layout=Layout.identity((4, 4, 2)))
    result = evaluate(pooling, quantize(pooling, images(5)), images(5))
    assert result.layers[0].sqnr_db is None
    assert result.agreement == 100.0


def test_a_wrong_shift_is_seen_in_its_layer(graph):
    program = quantize(graph, images(50), QuantizerOptions(bias_correction=False))
    wrong = replace(program.ops[0], shift=program.ops[0].shift - 1)
    damaged = replace(program, ops=(wrong, *program.ops[1:]))
    good, bad = (evaluate(graph, p, images(20)).layers for p in (program, damaged))
    assert bad[0].sqnr_db < 10 < good[0].sqnr_db


def test_layers_of_a_network_with_residuals(float_network):
    net = float_network((8, 8, 2))
    y = net.relu(net.conv("x", 6, padding=(1, 1, 1, 1)))
    z = net.relu(net.depthwise(y, padding=(1, 1, 1, 1)))
    total = net.relu(net.add(net.conv(z, 6, (1, 1)), y))
    graph = net.build(net.conv(total, 3))
    program, x = quantize(graph, net.samples(100)), net.samples(50, seed=2)
    assert any(tensor.channel_gains for tensor in program.tensors)
    result = evaluate(graph, program, x)
    assert [layer.name for layer in result.layers] == ["conv0", "conv2", "conv4", "conv7"]
    assert all(layer.sqnr_db > 30 for layer in result.layers)


def test_a_copy_that_only_the_program_has_has_no_ratio(float_network):
    net = float_network((6, 6, 2))
    y = net.relu(net.conv("x", 4, (1, 1)))
    small = net.conv(y, 4, (1, 1), weights=1e-4 * np.ones((4, 1, 1, 4)), bias=np.zeros(4))
    large = net.conv(y, 4, (1, 1), weights=90 * net.rng.normal(size=(4, 1, 1, 4)))
    graph = net.build(net.conv(net.relu(net.add(large, net.relu(small))), 3))
    options = QuantizerOptions(equalization=False, range_fill=False)
    program = quantize(graph, net.samples(100), options)
    layers = evaluate(graph, program, net.samples(20)).layers
    assert [layer.sqnr_db is None for layer in layers].count(True) == 1
    assert len(layers) == 5


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (images(3), np.zeros(2, int), r"one label for each of the 3 samples, not \(2,\)"),
        (images(3), np.array([0, 1, 4]), r"numbers 0\.\.3, as 'tiny' has 4 outputs, not 0\.\.4"),
        (images(3)[:, :1], None, r"samples must have the shape \[2, 8, 8\], not \[1, 8, 8\]"),
        (images(0), None, "x is empty"),
    ],
)
def test_data_that_do_not_fit(graph, x, y, message):
    program = quantize(graph, images(10))
    with pytest.raises(DataError, match=message):
        evaluate(graph, program, x, y)


def test_mnist8_in_int8_is_as_good_as_in_float(shared):
    network = onnx_import.load(shared / "models" / "onnx_mnist8" / "mnist-8.onnx")
    with np.load(shared / "data" / "mnist" / "mnist_train.npz") as train:
        program = quantize(network, train["x"][:100])
    with np.load(shared / "data" / "mnist" / "mnist_dev.npz") as test:
        result = evaluate(network, program, test["x"], test["y"])
    assert abs(result.accuracy_float - result.accuracy_int8) <= 0.2
    assert result.agreement >= 99.5
    assert max(layer.accumulator_bits for layer in result.layers) <= 24
