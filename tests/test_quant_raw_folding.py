"""A folded network computes of raw bytes what the network computes of their real numbers."""

from dataclasses import replace

import numpy as np
import pytest

from shiftwork.errors import DataError, ModelError
from shiftwork.quant import float_executor
from shiftwork.quant.canonical import canonical
from shiftwork.quant.graph import Affine, AveragePool, Clip, Conv, Graph, Layout, MaxPool
from shiftwork.quant.quantizer import QuantizerOptions, quantize
from shiftwork.quant.raw_folding import MAX_BORDER_STEPS, fold
from shiftwork.quant.raw_input import RawInput
from shiftwork.sim import golden
from shiftwork.sim.evaluation import evaluate
from shiftwork.sim.layer_errors import layer_errors

SHAPE = (6, 6, 3)
PLAIN = RawInput(dtype="uint8", scale=(1 / 255,))
IMAGENET = RawInput(
    dtype="uint8",
    scale=tuple(1 / (255 * deviation) for deviation in (0.229, 0.224, 0.225)),
    offset=tuple(-m / d for m, d in ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))),
)
SIGNED = RawInput(dtype="int8", scale=(0.5,), offset=(3.0,))
PADDED = {"padding": (1, 1, 1, 1)}


def raw_samples(raw: RawInput, count: int, shape=SHAPE) -> np.ndarray:
    lo, hi = raw.range
    return np.random.default_rng(3).integers(lo, hi + 1, (count, *shape)).astype(raw.dtype)


def check_equal(graph: Graph, raw: RawInput) -> None:
    folded = fold(graph, raw)
    q = raw_samples(raw, 5, graph.shapes[graph.input])
    expected = float_executor.run(graph, raw.to_real(q).astype(np.float32))
    centred = (q.astype(np.int32) - folded.zero_point).astype(np.float32)
    found = float_executor.run(folded.graph, centred)
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("raw", [PLAIN, IMAGENET, SIGNED], ids=["plain", "imagenet", "signed"])
@pytest.mark.parametrize("first", ["conv", "two", "max_pool", "average_pool", "dense", "depthwise"])
def test_what_comes_first(float_network, raw, first):
    net = float_network(SHAPE)
    at = "x"
    if first == "max_pool":
        at = net.pool(MaxPool, at)
    if first == "average_pool":
        at = net.pool(AveragePool, at)
    if first == "dense":
        at = net.conv(net.reshape(at, (1, 1, 108)), 4, (1, 1))
    elif first == "depthwise":
        at = net.conv(net.depthwise(at), 4)
    elif first == "two":
        at = net.add(net.conv(at, 4), net.conv(at, 4))
    else:
        at = net.conv(at, 4)
    check_equal(net.build(at), raw)


@pytest.mark.parametrize(
    ("raw", "zero_point"),
    [
        (PLAIN, 0),
        (RawInput(dtype="uint8", scale=(1 / 128,), offset=(-1.0,)), 128),
        (RawInput(dtype="int8", scale=(1 / 128,)), 0),
        (RawInput(dtype="uint8", scale=(0.5, 1.0, 2.0), offset=(-5.0, -10.0, -20.0)), 10),
    ],
)
def test_a_border_that_is_a_byte_is_exact(float_network, raw, zero_point):
    net = float_network(SHAPE)
    graph = net.build(net.conv("x", 4, **PADDED))
    folded = fold(graph, raw)
    assert folded.zero_point == zero_point
    text = f"node 'conv0' pads with the byte {zero_point}, which stands for 0.0"
    assert folded.border == text
    check_equal(graph, raw)


def test_a_border_that_is_no_byte_says_its_error(float_network):
    net = float_network(SHAPE)
    graph = net.build(net.conv("x", 4, **PADDED))
    half = fold(graph, RawInput(dtype="uint8", scale=(1 / 127.5,), offset=(-1.0,)))
    assert half.border.endswith("byte 128, which stands for 0.0 up to 0.00392 (0.5 steps)")
    folded = fold(graph, IMAGENET)
    assert folded.zero_point == 114
    assert folded.border.endswith("byte 114, which stands for 0.0 up to 0.182 (10 steps)")


def test_inside_of_the_border_nothing_is_changed(float_network):
    """The convolution's inner outputs see no border: there the folded network is exact."""
    net = float_network(SHAPE)
    graph = net.build(net.conv("x", 4, **PADDED))
    folded = fold(graph, IMAGENET)
    q = raw_samples(IMAGENET, 3)
    expected = float_executor.run(graph, IMAGENET.to_real(q).astype(np.float32))
    found = float_executor.run(folded.graph, q.astype(np.float32) - folded.zero_point)
    np.testing.assert_allclose(found[:, 1:-1, 1:-1], expected[:, 1:-1, 1:-1], atol=2e-4)
    assert np.abs(found - expected).max() > 0.01


def test_a_border_too_far_from_any_byte(float_network):
    net = float_network(SHAPE)
    graph = net.build(net.conv("x", 4, **PADDED))
    text = (
        r"node 'conv0' pads the input with zeros, but 0\.0 is the raw value -20: the nearest byte "
        r"for all channels, 0, is 20\.0 steps off, at most 16 are allowed"
    )
    with pytest.raises(ModelError, match=text):
        fold(graph, RawInput(dtype="uint8", offset=(20.0,)))
    apart = RawInput(dtype="uint8", offset=(0.0, -1.0 - 2 * MAX_BORDER_STEPS, 0.0))
    with pytest.raises(ModelError, match=r"0\.0 is the raw value 0, 33: the nearest byte"):
        fold(graph, apart)


def test_constants_of_the_model_are_folded_too(float_network):
    """A model that normalizes its input itself, in front of a padded convolution."""
    net = float_network(SHAPE)
    scaled = net._append(
        Affine,
        "x",
        scale=np.array([2.0, 2.0, 2.0], np.float32),
        offset=np.array([-1.0, -1.0, -1.0], np.float32),
    )
    graph = net.build(net.relu(net.conv(scaled, 4, **PADDED)))
    raw = RawInput(dtype="uint8", scale=(1 / 256,))
    folded = fold(graph, raw)
    assert folded.zero_point == 128
    assert [type(node) for node in folded.graph.nodes] == [Conv, Clip]
    check_equal(graph, raw)


def test_a_limit_that_no_byte_reaches_is_left_out(float_network):
    net = float_network(SHAPE)
    graph = net.build(net.conv(net.relu("x"), 4))
    assert [type(node) for node in fold(graph, PLAIN).graph.nodes] == [Conv]
    check_equal(graph, PLAIN)


def _limited(net):
    return net.conv(net.relu("x", hi=0.5), 4)


def _added(net):
    return net.add("x", net.conv("x", 3, **PADDED))


def _scaled_pool(net):
    ones = np.ones(3, np.float32)
    scaled = net._append(Affine, "x", scale=-ones, offset=0 * ones)
    return net.conv(net.pool(MaxPool, scaled), 4)


def _padded_average(net):
    fields = {"kernel": (3, 3), "stride": (1, 1), "count_include_pad": True}
    return net.conv(net._append(AveragePool, "x", **fields, **PADDED), 4)


def _map_of_other_channels(net):
    return net.conv(net.reshape("x", (6, 9, 2)), 4)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (_limited, r"node 'clip0' limits the input to 0\.\.0\.5; they need a convolution or dense"),
        (_added, "node 'add1' reads the input beside other nodes"),
        (_scaled_pool, "node 'maxpool1' reads what 'affine0' scales"),
        (_padded_average, "node 'averagepool0' averages over a border of zeros, which no raw byte"),
        (_map_of_other_channels, "node 'reshape0' mixes channels of different scales or offsets"),
    ],
)
def test_what_cannot_be_folded_is_named(float_network, make, text):
    net = float_network(SHAPE)
    graph = net.build(make(net))
    with pytest.raises(ModelError, match=text):
        fold(graph, IMAGENET)


def test_a_network_of_pools_alone(float_network):
    net = float_network(SHAPE)
    graph = net.build(net.pool(MaxPool, "x"))
    with pytest.raises(ModelError, match="'network' has no layer that could take up scale and off"):
        fold(graph, PLAIN)


def test_other_numbers_of_channels(float_network):
    net = float_network((6, 6, 2))
    with pytest.raises(DataError, match="one for each of the 2 channels, not 3"):
        fold(net.build(net.conv("x", 4)), IMAGENET)


# The quantizer and what it makes.


def classifier(float_network, first=None, **fields):
    net = float_network(SHAPE)
    at = net.pool(first, "x") if first else "x"
    at = net.relu(net.conv(at, 8, **fields))
    height, width, channels = net.shapes[at]
    return net.build(net.conv(net.reshape(at, (1, 1, height * width * channels)), 5, (1, 1)))


@pytest.mark.parametrize("raw", [PLAIN, IMAGENET, SIGNED], ids=["plain", "imagenet", "signed"])
@pytest.mark.parametrize("first", [None, MaxPool, AveragePool])
def test_the_input_is_the_byte(float_network, raw, first):
    graph = classifier(float_network, first)
    q = raw_samples(raw, 60)
    program = quantize(graph, q, raw_input=raw)
    tensor = program.tensor(program.input)
    assert (tensor.lo, tensor.hi, tensor.signed) == (*raw.range, raw.dtype == "int8")
    np.testing.assert_array_equal(program.quantize_input(q), q)
    real = raw.to_real(q).astype(np.float32)
    np.testing.assert_array_equal(program.quantize_input(real), q)
    np.testing.assert_allclose(program.real_input(q), real, rtol=1e-6)
    np.testing.assert_allclose(program.dequantize("x", q), real, atol=1e-6)
    found = evaluate(graph, program, q)
    assert found.sqnr_db > 28
    assert found == evaluate(graph, program, real)
    for layer, own in zip(found.layers, layer_errors(graph, program, q), strict=True):
        assert layer.sqnr_db is None or layer.sqnr_db > 25
        assert own.alone_db is None or own.alone_db > 25


def test_calibration_in_bytes_or_in_real_numbers_is_the_same(float_network):
    graph = classifier(float_network, **PADDED)
    q = raw_samples(IMAGENET, 40)
    real = IMAGENET.to_real(q).astype(np.float32)
    programs = [quantize(graph, x, raw_input=IMAGENET) for x in (q, real)]
    assert programs[0].digest == programs[1].digest
    assert "pads with the byte 114" in programs[0].info["input_border"]
    assert programs[0].tensor("x").zero_point == 114
    assert programs[0].ops[0].pad_value == 114


def test_channels_first(float_network):
    """Scale and offset go by channels, wherever the source model has them."""
    graph = classifier(float_network)
    order = np.arange(108).reshape(3, 6, 6).transpose(1, 2, 0).reshape(-1)
    first = replace(graph, input_layout=Layout((3, 6, 6), order))
    q = raw_samples(IMAGENET, 20)
    same = [
        quantize(network, x, raw_input=IMAGENET)
        for network, x in ((graph, q), (first, q.transpose(0, 3, 1, 2)))
    ]
    outputs = [
        golden.predict(same[0], q),
        golden.predict(same[1], q.transpose(0, 3, 1, 2)),
        golden.predict(same[1], same[1].real_input(q.transpose(0, 3, 1, 2))),
    ]
    np.testing.assert_array_equal(outputs[0], outputs[1])
    np.testing.assert_array_equal(outputs[0], outputs[2])


def test_it_costs_no_layer(float_network):
    graph = classifier(float_network, **PADDED)
    q = raw_samples(IMAGENET, 20)
    raw = quantize(graph, q, raw_input=IMAGENET)
    real = quantize(graph, IMAGENET.to_real(q).astype(np.float32))
    assert [type(op) for op in raw.ops] == [type(op) for op in real.ops]
    assert len(canonical(graph).nodes) == len(canonical(fold(graph, IMAGENET).graph).nodes)


def test_two_grids_exclude_each_other(float_network):
    graph = classifier(float_network)
    options = QuantizerOptions(input_scale=0.1)
    with pytest.raises(DataError, match="input_scale and a raw input exclude each other"):
        quantize(graph, raw_samples(PLAIN, 4), options, raw_input=PLAIN)


def test_bytes_out_of_range_are_refused(float_network):
    graph = classifier(float_network)
    program = quantize(graph, raw_samples(SIGNED, 10), raw_input=SIGNED)
    with pytest.raises(DataError, match=r"are raw bytes, -128\.\.127 for int8, not"):
        program.quantize_input(raw_samples(PLAIN, 4))
