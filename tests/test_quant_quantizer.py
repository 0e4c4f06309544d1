from dataclasses import replace

import numpy as np
import pytest

from shiftwork.errors import DataError, ModelError
from shiftwork.quant import float_executor, program_ops
from shiftwork.quant.canonical import canonical
from shiftwork.quant.graph import (
    Affine,
    AveragePool,
    Clip,
    Conv,
    Graph,
    Grid,
    Layout,
    MaxPool,
    Reshape,
    output_shape,
)
from shiftwork.quant.quantizer import QuantizerOptions, quantize
from shiftwork.sim import golden

PLAIN = {"equalization": False, "range_fill": False, "headroom": 1.0}


class Chain:
    """Builds a float graph op by op."""

    def __init__(self, shape, seed=0):
        self.rng = np.random.default_rng(seed)
        self.shapes = {"x": shape}
        self.value = "x"
        self.nodes = []

    @property
    def shape(self):
        return self.shapes[self.value]

    def add(self, kind, shape=None, **fields):
        name = f"{kind.__name__.lower()}{len(self.nodes)}"
        self.nodes.append(kind(name=name, input=self.value, output=f"{name}_out", **fields))
        self.value = f"{name}_out"
        self.shapes[self.value] = shape or next(reversed(list(self.shapes.values())))
        return self

    def conv(self, channels, kernel=(3, 3), *, padding=(0, 0, 0, 0), **fields):
        fan_in = kernel[0] * kernel[1] * self.shape[2]
        weights = self.rng.normal(size=(channels, *kernel, self.shape[2])) / np.sqrt(fan_in)
        arrays = {"weights": weights, "bias": self.rng.normal(size=channels) * 0.1} | {
            key: np.asarray(fields.pop(key)) for key in ("weights", "bias") if key in fields
        }
        arrays = {key: array.astype(np.float32) for key, array in arrays.items()}
        shape = output_shape(
            self.shape,
            channels,
            kernel,
            fields.get("stride", (1, 1)),
            padding,
            fields.get("dilation", (1, 1)),
        )
        return self.add(Conv, shape, padding=padding, **arrays, **fields)

    def relu(self, hi=np.inf):
        return self.add(Clip, lo=0.0, hi=hi)

    def pool(self, kind, kernel=(2, 2), stride=(2, 2), padding=(0, 0, 0, 0), **fields):
        shape = output_shape(self.shape, self.shape[2], kernel, stride, padding)
        return self.add(kind, shape, kernel=kernel, stride=stride, padding=padding, **fields)

    def reshape(self, shape):
        return self.add(Reshape, shape)

    def build(self):
        return Graph(
            name="chain",
            input="x",
            output=self.value,
            shapes=self.shapes,
            nodes=tuple(self.nodes),
            input_layout=Layout.identity(self.shapes["x"]),
            output_layout=Layout.identity(self.shape),
        )


def pixels(shape, count=40, seed=1):
    return np.random.default_rng(seed).integers(0, 256, (count, *shape)).astype(np.uint8)


def normal(shape, count=40, seed=1):
    return np.random.default_rng(seed).normal(size=(count, *shape)).astype(np.float32)


def sqnr(graph, net, x):
    """Signal to quantization noise of the output in dB."""
    real = float_executor.run(graph, x).reshape(len(x), -1).astype(np.float64)
    restored = net.dequantize_output(golden.run(net, net.quantize_input(x))).reshape(len(x), -1)
    return 10 * np.log10((real**2).sum() / max(((real - restored) ** 2).sum(), 1e-200))


def small_cnn(shape=(12, 12, 3)):
    return (
        Chain(shape)
        .conv(7, padding=(1, 1, 1, 1))
        .relu()
        .pool(MaxPool)
        .conv(9)
        .relu()
        .reshape((1, 1, 144))
        .conv(10, (1, 1))
        .build()
    )


@pytest.mark.parametrize("activations", ["unsigned", "signed"])
@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("method", ["mse", "max"])
@pytest.mark.parametrize("samples", [pixels, normal])
def test_every_recipe_is_close_to_float(samples, method, per_channel, activations):
    graph, x = small_cnn(), samples((12, 12, 3))
    options = QuantizerOptions(scales=method, per_channel=per_channel, activations=activations)
    net = quantize(graph, x, options)
    assert sqnr(graph, net, samples((12, 12, 3), seed=2)) > 25.0
    assert net.info["scales"] == method
    for op in net.ops:
        if isinstance(op, program_ops.Conv):
            assert per_channel or len(set(op.shift.tolist())) == 1
            assert net.accumulator_bits(op) <= 24


def test_mean_squared_error_beats_max_abs_with_outliers():
    x = normal((1, 1, 64), 400)
    x[0, 0, 0, 0] = 9.0
    graph = Chain((1, 1, 64)).conv(32, (1, 1)).relu().conv(8, (1, 1)).build()
    mse, largest = (quantize(graph, x, QuantizerOptions(scales=m)) for m in ("mse", "max"))
    assert mse.tensors[1].exponent >= largest.tensors[1].exponent
    assert sqnr(graph, mse, x) >= sqnr(graph, largest, x) - 0.1


@pytest.mark.parametrize("method", ["percentile", "kl"])
def test_thresholds_are_for_activations_alone(method):
    x = normal((8, 8, 16), 200)
    x[0, 0, 0] *= 20.0
    graph = Chain((8, 8, 16)).conv(8, (1, 1)).relu().conv(8, (1, 1)).build()
    plain = {"equalization": False, "range_fill": False, "rounding": "nearest"}
    chosen, largest = (
        quantize(graph, x, QuantizerOptions(scales=m, **plain)) for m in (method, "max")
    )
    assert chosen.tensors[1].exponent > largest.tensors[1].exponent
    for first, second in zip(chosen.ops, largest.ops, strict=True):
        np.testing.assert_array_equal(first.weights, second.weights)


def test_integer_networks_lose_nothing():
    rng = np.random.default_rng(0)
    weights = rng.integers(-1, 2, (4, 1, 1, 3))
    head = rng.integers(-100, 101, (5, 1, 1, 4))
    graph = (
        Chain((4, 4, 3))
        .conv(4, (1, 1), weights=weights, bias=[0, 1, 2, 3])
        .relu(255.0)
        .conv(5, (1, 1), weights=head, bias=np.zeros(5))
        .build()
    )
    x = rng.integers(0, 80, (20, 4, 4, 3))
    options = QuantizerOptions(scales="max", bias_correction=False, **PLAIN)
    net = quantize(graph, x, options)
    assert sqnr(graph, net, x) > 300


def test_unsigned_after_relu_and_signed_elsewhere():
    graph = Chain((4, 4, 2)).conv(3).relu().conv(4, (1, 1)).conv(2, (1, 1)).build()
    net = quantize(graph, normal((4, 4, 2)))
    first, second, last = net.tensors[1:]
    assert (first.signed, first.lo, first.hi) == (False, 0, 255)
    assert (second.signed, second.lo, second.hi) == (True, -128, 127)
    assert last.bits == 32
    signed = quantize(graph, normal((4, 4, 2)), QuantizerOptions(activations="signed"))
    assert (signed.tensors[1].signed, signed.tensors[1].lo, signed.tensors[1].hi) == (True, 0, 127)


def test_relu6_lowers_the_upper_bound():
    graph = Chain((4, 4, 2)).conv(3, bias=[5.0, 6.0, 7.0]).relu(6.0).conv(2, (1, 1)).build()
    net = quantize(graph, normal((4, 4, 2)), QuantizerOptions(scales="max", **PLAIN))
    conv, hidden = net.ops[0], net.tensors[1]
    assert hidden.exponent == 5
    assert (conv.lo, conv.hi, hidden.lo, hidden.hi) == (0, 192, 0, 192)


def test_clip_with_a_negative_bound_is_signed():
    graph = Chain((4, 4, 2)).conv(3).add(Clip, lo=-0.5, hi=1.0).conv(2, (1, 1)).build()
    net = quantize(graph, 3 * normal((4, 4, 2)), QuantizerOptions(scales="max", **PLAIN))
    assert (net.ops[0].lo, net.ops[0].hi) == (-32, 64)
    assert net.tensors[1].exponent == 6


@pytest.mark.parametrize("between", [MaxPool, Reshape])
def test_clip_behind_pool_or_reshape_is_fused_into_the_conv(between):
    chain = Chain((6, 6, 2)).conv(3)
    chain = chain.pool(MaxPool) if between is MaxPool else chain.reshape((1, 1, 48))
    graph = chain.relu().conv(2, (1, 1)).build()
    net = quantize(graph, normal((6, 6, 2)))
    assert [type(op) for op in net.ops] == [
        program_ops.Conv,
        getattr(program_ops, between.__name__),
        program_ops.Conv,
    ]
    assert (net.ops[0].lo, net.ops[0].hi) == (0, 255)
    assert sqnr(graph, net, normal((6, 6, 2), seed=3)) > 25


def test_clip_of_the_input_narrows_its_range():
    graph = Chain((4, 4, 2)).relu(100.0).pool(MaxPool).conv(2, (1, 1)).build()
    x = np.random.default_rng(0).integers(-100, 127, (30, 4, 4, 2))
    net = quantize(graph, x)
    source = net.tensor(net.input)
    assert (source.lo, source.hi, source.gain) == (0, 100, 1.0)
    assert [type(op) for op in net.ops] == [program_ops.MaxPool, program_ops.Conv]
    assert sqnr(graph, net, x) > 40


def test_clip_of_an_average_becomes_its_bounds():
    graph = Chain((4, 4, 2)).conv(3).pool(AveragePool).relu(0.5).conv(2, (1, 1)).build()
    net = quantize(graph, normal((4, 4, 2)), QuantizerOptions(scales="max", **PLAIN))
    average = net.ops[1]
    assert average.lo == 0
    assert average.hi == 0.5 * 2 ** net.tensors[2].exponent
    assert sqnr(graph, net, normal((4, 4, 2), seed=5)) > 20


@pytest.mark.parametrize(("kernel", "most"), [((2, 2), 2), ((3, 3), 4), ((5, 5), 5), ((1, 5), 3)])
def test_what_a_shift_leaves_of_an_average_goes_into_the_next_weights(kernel, most):
    graph = (
        Chain((5, 5, 4)).conv(6, (1, 1)).relu().pool(AveragePool, kernel, (1, 1)).conv(3, (1, 1))
    ).build()
    net = quantize(graph, normal((5, 5, 4)))
    average, pooled = net.ops[1], net.tensors[2]
    taps, shift = kernel[0] * kernel[1], average.shift
    assert 0 <= shift <= most
    assert pooled.gain == pytest.approx(2.0**most / taps)
    assert pooled.exponent - net.tensors[1].exponent == most - shift
    assert pooled.hi == min(255, (255 * taps + (1 << shift >> 1)) >> shift)
    assert sqnr(graph, net, normal((5, 5, 4), seed=7)) > 28


def test_an_average_takes_the_shift_that_fills_its_range():
    weights = np.ones((1, 1, 1, 1))
    graph = Chain((8, 8, 1)).conv(1, (1, 1), weights=weights, bias=[0]).relu()
    graph = graph.pool(AveragePool, (8, 8)).conv(2, (1, 1)).build()
    x = np.zeros((100, 8, 8, 1))
    x[np.arange(100), 3, 4, 0] = np.arange(100.0) * 2.5
    net = quantize(graph, x)
    assert net.ops[1].shift < 6
    assert net.tensors[2].exponent == net.tensors[1].exponent + 6 - net.ops[1].shift
    assert sqnr(graph, net, x) > 40


def test_average_of_averages_as_the_output():
    graph = Chain((9, 9, 2)).pool(AveragePool, (3, 3), (3, 3)).pool(AveragePool, (3, 3)).build()
    net = quantize(graph, pixels((9, 9, 2)))
    assert net.tensors[-1].gain == pytest.approx((16 / 9) ** 2)
    assert sqnr(graph, net, pixels((9, 9, 2), seed=4)) > 30


def test_average_of_a_real_input_has_no_zero_point():
    graph = Chain((4, 4, 2)).pool(AveragePool).conv(2, (1, 1)).build()
    x = normal((4, 4, 2)) + 3.0
    net = quantize(graph, x)
    assert net.tensor(net.input).zero_point == 0
    assert sqnr(graph, net, x) > 30


def test_a_grid_with_a_zero_point_does_not_suit_an_average():
    grid = Grid(scale=0.1, zero_point=5, lo=-128, hi=127)
    graph = Chain((4, 4, 2)).pool(AveragePool).conv(2, (1, 1)).build()
    graph = replace(graph, grids={"x": grid})
    net = quantize(graph, normal((4, 4, 2)))
    assert net.tensor(net.input).zero_point == 0
    assert sqnr(graph, net, normal((4, 4, 2), seed=4)) > 25


def test_the_input_keeps_the_grid_of_the_model_or_the_options():
    graph = Chain((4, 4, 2)).conv(2, (1, 1)).build()
    grid = Grid(scale=0.03, zero_point=5, lo=-128, hi=127)
    source = quantize(replace(graph, grids={"x": grid}), normal((4, 4, 2))).tensor("x")
    assert (source.gain, source.zero_point, source.lo, source.hi) == (0.03, 5, -128, 127)
    options = QuantizerOptions(input_scale=0.25, input_zero_point=-3)
    source = quantize(replace(graph, grids={"x": grid}), normal((4, 4, 2)), options).tensor("x")
    assert (source.gain, source.exponent, source.zero_point) == (1.0, 2, -3)


def test_progress_is_told_layer_by_layer():
    lines = []
    quantize(small_cnn(), pixels((12, 12, 3)), progress=lines.append)
    assert lines[0] == "quantizing layer 1 of 5: conv0"
    assert len(lines) == 5


def test_average_over_a_border_that_counts():
    graph = (
        Chain((5, 5, 2))
        .conv(3, (1, 1))
        .pool(AveragePool, (3, 3), (2, 2), (1, 1, 1, 1), count_include_pad=True)
        .conv(2, (1, 1))
        .build()
    )
    net = quantize(graph, normal((5, 5, 2)))
    assert net.ops[1].padding == (1, 1, 1, 1)
    assert sqnr(graph, net, normal((5, 5, 2), seed=5)) > 25


def test_average_over_a_border_that_does_not_count_is_refused():
    graph = Chain((5, 5, 2)).pool(AveragePool, (3, 3), (2, 2), (1, 1, 1, 1)).build()
    with pytest.raises(
        ModelError,
        match=r"node 'averagepool0' averages over a border that does not count .*"
        "set count_include_pad = 1, or pool without padding",
    ):
        quantize(graph, pixels((5, 5, 2)))


def test_a_border_that_no_window_reaches_is_dropped():
    graph = Chain((4, 4, 2)).pool(AveragePool, (2, 2), (2, 2), (0, 0, 1, 1)).build()
    net = quantize(graph, pixels((4, 4, 2)))
    assert net.ops[0].padding == (0, 0, 0, 0)
    assert net.tensors[-1].shape == (2, 2, 2)


def test_affine_nodes_are_folded():
    ones = np.ones(2, np.float32)
    graph = Chain((4, 4, 2)).add(Affine, scale=ones / 255, offset=-0.5 * ones).conv(3).build()
    net = quantize(graph, pixels((4, 4, 2)))
    assert [type(op) for op in net.ops] == [program_ops.Conv]
    assert net.tensor(net.input).hi == 255
    assert sqnr(graph, net, pixels((4, 4, 2), seed=5)) > 35


def test_a_real_input_pads_with_its_zero_point():
    graph = Chain((6, 6, 2)).conv(3, padding=(1, 1, 1, 1)).relu().conv(2, (6, 6)).build()
    x = normal((6, 6, 2)) + 1.0
    net = quantize(graph, x)
    source = net.tensor(net.input)
    assert source.zero_point not in (0, -128, 127)
    assert net.ops[0].pad_value == source.zero_point
    assert net.ops[1].pad_value == 0
    assert sqnr(graph, net, normal((6, 6, 2), seed=9) + 1.0) > 25


def test_accumulators_have_one_exponent_so_that_they_compare():
    graph = Chain((1, 1, 20)).conv(6, (1, 1)).build()
    node = graph.nodes[0]
    scaled = node.weights * np.exp2(-np.arange(6, dtype=np.float32)).reshape(6, 1, 1, 1)
    graph = graph.with_nodes([replace(node, weights=scaled)])
    x = normal((1, 1, 20))
    net = quantize(graph, x)
    output = net.tensors[-1]
    assert (output.bits, output.channel_exponents) == (32, None)
    integers = golden.predict(net, x).reshape(len(x), -1)
    assert integers.min() >= output.lo
    assert integers.max() <= output.hi
    real = net.dequantize_output(golden.run(net, net.quantize_input(x))).reshape(len(x), -1)
    np.testing.assert_array_equal(integers.argmax(axis=1), real.argmax(axis=1))


@pytest.mark.parametrize("ending", ["relu", "max_pool", "average_pool", "option"])
def test_outputs_that_are_no_accumulators_are_bytes(ending):
    chain = Chain((4, 4, 2)).conv(3, (1, 1))
    options = QuantizerOptions(accumulators=ending != "option")
    match ending:
        case "relu":
            chain.relu()
        case "max_pool":
            chain.pool(MaxPool)
        case "average_pool":
            chain.pool(AveragePool)
    graph = chain.build()
    net = quantize(graph, normal((4, 4, 2)), options)
    assert net.tensors[-1].bits == 8
    assert sqnr(graph, net, normal((4, 4, 2), seed=3)) > 25


def test_reshapes_at_the_end_are_left_to_the_layout():
    graph = Chain((4, 4, 2)).conv(3, (1, 1)).reshape((1, 1, 48)).build()
    net = quantize(graph, normal((4, 4, 2)))
    assert [type(op) for op in net.ops] == [program_ops.Conv]
    assert golden.predict(net, normal((4, 4, 2), 2)).shape == (2, 1, 1, 48)


def test_bias_correction_removes_the_mean_error():
    graph, x = small_cnn(), normal((12, 12, 3), 200)
    real = float_executor.run(graph, x).reshape(len(x), -1)

    def mean_error(net):
        outputs = net.dequantize_output(golden.run(net, net.quantize_input(x)))
        return np.abs((outputs.reshape(len(x), -1) - real).mean(axis=0)).max()

    options = QuantizerOptions(scales="max")
    corrected = quantize(graph, x, options)
    plain = quantize(graph, x, replace(options, bias_correction=False))
    assert mean_error(corrected) < 1e-4
    assert mean_error(corrected) < 0.1 * mean_error(plain)


def test_the_same_input_gives_the_same_program():
    first, second = (quantize(small_cnn(), pixels((12, 12, 3))) for _ in range(2))
    assert first.digest == second.digest


def test_calibration_order_of_a_large_set_is_thinned_evenly():
    graph = Chain((1, 1, 3)).conv(2, (1, 1)).build()
    x = np.concatenate([normal((1, 1, 3), 3000), [[[[0.0, 100.0, -100.0]]]]])
    assert quantize(graph, x).tensor("x").gain == pytest.approx(200 / 255)


@pytest.mark.parametrize("raw", [True, False])
def test_rows_of_zeros_give_their_bias(raw):
    graph = Chain((1, 1, 8)).conv(3, (1, 1), bias=[0.75, -0.5, 0.0]).build()
    node = graph.nodes[0]
    weights = node.weights * np.float32([0, 1, 0]).reshape(3, 1, 1, 1)
    graph = graph.with_nodes([replace(node, weights=weights)])
    net = quantize(graph, normal((1, 1, 8)), QuantizerOptions(accumulators=raw))
    outputs = net.dequantize_output(golden.run(net, net.quantize_input(normal((1, 1, 8), seed=3))))
    np.testing.assert_allclose(outputs[..., 0], 0.75, atol=0.02)
    np.testing.assert_allclose(outputs[..., 2], 0.0, atol=1e-9)


def test_a_network_of_zeros():
    zeros = np.zeros((4, 3, 3, 2))
    chain = Chain((4, 4, 2)).conv(4, weights=zeros, bias=np.zeros(4)).relu()
    graph = chain.conv(2, (1, 1), bias=np.zeros(2)).build()
    net = quantize(graph, np.zeros((3, 4, 4, 2)))
    assert not golden.predict(net, pixels((4, 4, 2))).any()


def test_tiny_weights_beside_normal_ones_vanish():
    graph = Chain((1, 1, 8)).conv(3, (1, 1)).relu().conv(2, (1, 1)).build()
    node = graph.nodes[0]
    weights = node.weights * np.float32([1, 1e-12, 1e-30]).reshape(3, 1, 1, 1)
    graph = graph.with_nodes([replace(node, weights=weights), *graph.nodes[1:]])
    net = quantize(graph, normal((1, 1, 8), 400))
    assert not net.ops[0].weights[1:].any()
    assert net.ops[0].shift.max() <= 15
    assert net.accumulator_bits(net.ops[0]) <= 24
    assert sqnr(graph, net, normal((1, 1, 8), seed=3)) > 25


def test_a_huge_bias_widens_the_accumulator_but_stays_inside_32_bits():
    graph = Chain((1, 1, 8)).conv(3, (1, 1), bias=[1e4, -1e4, 0.0]).build()
    net = quantize(graph, normal((1, 1, 8)))
    assert 24 < net.accumulator_bits(net.ops[0]) <= 32
    assert sqnr(graph, net, normal((1, 1, 8), seed=3)) > 40


def test_a_large_dense_layer_stays_inside_24_bits():
    graph = Chain((1, 1, 2000)).conv(4, (1, 1)).build()
    net = quantize(graph, pixels((1, 1, 2000)))
    assert net.accumulator_bits(net.ops[0]) == 24
    assert sqnr(graph, net, pixels((1, 1, 2000), seed=3)) > 30


def test_rows_coarser_than_the_output_lower_its_exponent():
    weights = np.array([[[[300.0, -300.0]]], [[[0.5, 0.5]]]])
    graph = Chain((1, 1, 2)).conv(2, (1, 1), weights=weights, bias=[0, 0]).relu().build()
    x = np.repeat(np.arange(100.0), 2).reshape(100, 1, 1, 2)
    net = quantize(graph, x)
    assert net.ops[0].shift.min() == 0
    assert sqnr(graph, net, x) > 25


@pytest.mark.parametrize("seed", range(40))
def test_random_networks(seed):
    rng = np.random.default_rng(seed)
    chain = Chain((9, 25, int(rng.integers(1, 5))), seed)
    for _ in range(int(rng.integers(1, 4))):
        pads = tuple(int(v) for v in rng.integers(0, 2, 4))
        match rng.integers(4):
            case 0:
                chain.pool(MaxPool, (2, 1), (1, 2))
            case 1:
                chain.pool(AveragePool, (3, 1), (1, 1))
            case _:
                chain.conv(int(rng.integers(3, 12)), (2, 2), padding=pads, stride=(1, 2))
        if rng.integers(2):
            chain.relu()
    graph = chain.reshape((1, 1, int(np.prod(chain.shape)))).conv(5, (1, 1)).build()
    samples = (pixels, normal)[int(rng.integers(2))]
    net = quantize(graph, samples(graph.shapes["x"], 60))
    assert sqnr(graph, net, samples(graph.shapes["x"], seed=seed + 10)) > 20
    assert {tensor.name for tensor in net.tensors} <= {"x", *canonical(graph).shapes}


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((5, 6)), r"samples must have the shape \[12, 12, 3\], not \[6\]"),
        (np.zeros((0, 12, 12, 3)), "calibration data is empty"),
        (np.full((1, 12, 12, 3), np.nan), "calibration data must be finite"),
        (np.zeros((1, 12, 12, 3), complex), "calibration data must hold real numbers"),
    ],
)
def test_calibration_data_that_do_not_fit(x, message):
    with pytest.raises(DataError, match=message):
        quantize(small_cnn(), x)


def test_a_network_without_layers():
    with pytest.raises(ModelError, match="the network 'chain' has no layer to compute"):
        quantize(Chain((2, 2, 1)).reshape((1, 1, 4)).build(), pixels((2, 2, 1)))
