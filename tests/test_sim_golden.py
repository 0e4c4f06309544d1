from dataclasses import replace

import numpy as np
import pytest

from shiftwork.errors import DataError
from shiftwork.quant.graph import Layout
from shiftwork.quant.program import Program
from shiftwork.quant.program_ops import AveragePool, Conv, MaxPool, Op, Reshape, Residual, Tensor
from shiftwork.sim import golden
from shiftwork.sim.example_programs import (
    ProgramBuilder,
    dense_net,
    random_inputs,
    random_program,
    small_cnn,
)


def element(image, row, column, channel, outside):
    """One element of ``image[H, W, C]`` as a Python integer; ``outside`` beyond the border."""
    inside = 0 <= row < image.shape[0] and 0 <= column < image.shape[1]
    return int(image[row, column, channel]) if inside else outside


def window(image, op, row, column, channel, outside):
    """The elements of one window of a pool, those that are ``None`` left out."""
    top, left, _, _ = op.padding
    y, x = row * op.stride[0] - top, column * op.stride[1] - left
    elements = [element(image, y + i, x + j, channel, outside) for i, j in np.ndindex(op.kernel)]
    return [value for value in elements if value is not None]


def slow_shift(value, shift, lo, hi):
    """Rounds half up, by the definition of a floor division, and clips."""
    if shift:
        value = (2 * value + 2**shift) // 2 ** (shift + 1)
    return min(max(value, lo), hi)


def slow_dot(op, groups, image, row, column, channel):
    """The dot product of one output element; ``op`` is a Conv or a Product."""
    top, left, _, _ = op.padding
    total = 0
    for i, j, k in np.ndindex(op.weights.shape[1:]):
        y = row * op.stride[0] - top + i * op.dilation[0]
        x = column * op.stride[1] - left + j * op.dilation[1]
        source = channel if groups > 1 else k
        outside = op.pad_value
        total += int(op.weights[channel, i, j, k]) * element(image, y, x, source, outside)
    return total


def slow_conv(op, images, row, column, channel):
    position = (row, column, channel)
    acc = int(op.bias[channel]) + slow_dot(op, op.groups, images[op.input], *position)
    for term in op.terms:
        if isinstance(term, Residual):
            acc += int(images[term.input][position]) * 2 ** int(term.shift[channel])
        else:
            acc += slow_dot(term, 1, images[term.input], *position)
    if op.accumulators:
        return acc
    return slow_shift(acc, int(op.shift[channel]), op.lo, op.hi)


def slow_element(op, images, row, column, channel):
    image = images[op.input]
    match op:
        case Conv():
            return slow_conv(op, images, row, column, channel)
        case MaxPool():
            return max(window(image, op, row, column, channel, None))
        case AveragePool():
            total = sum(window(image, op, row, column, channel, op.pad_value))
            return slow_shift(total, op.shift, op.lo, op.hi)


def slow_op(op: Op, images, shape):
    """An op on one sample, element by element in Python integers, from ``docs/program.md``."""
    if isinstance(op, Reshape):
        return images[op.input].reshape(shape)
    result = np.empty(shape, np.int64)
    for position in np.ndindex(shape):
        result[position] = slow_element(op, images, *position)
    return result


@pytest.mark.parametrize("seed", range(60))
def test_random_programs_equal_the_slow_definition(seed):
    rng = np.random.default_rng(seed)
    program = random_program(rng, size=6)
    inputs = random_inputs(program, rng, 2)
    traced = golden.trace(program, inputs)
    for op in program.ops:
        for sample, result in enumerate(traced[op.output]):
            images = {name: traced[name][sample] for name in op.inputs}
            expected = slow_op(op, images, program.tensor(op.output).shape)
            np.testing.assert_array_equal(result, expected, err_msg=op.name)
    np.testing.assert_array_equal(golden.run(program, inputs), traced[program.output])


@pytest.mark.parametrize("seed", range(3))
def test_weights_of_16_bits_equal_the_slow_definition(seed):
    rng = np.random.default_rng(seed)
    program = (
        ProgramBuilder("wide", (5, 4, 3), rng, signed=False)
        .conv(4, (3, 2), padding=(1, 0, 1, 1), wide=True, shift=17, unsigned=True)
        .depthwise(padding=(1, 1, 1, 1), wide=True, shift=16)
        .residual("conv0", [3, 8, 15, 11])
        .shortcut("input", wide=True)
        .dense(3, wide=True, accumulators=True)
        .build()
    )
    inputs = random_inputs(program, rng, 2)
    traced = golden.trace(program, inputs)
    assert len(np.unique(traced["depthwise1"])) > 20
    for op in program.ops:
        for sample, result in enumerate(traced[op.output]):
            images = {name: traced[name][sample] for name in op.inputs}
            expected = slow_op(op, images, program.tensor(op.output).shape)
            np.testing.assert_array_equal(result, expected, err_msg=op.name)


def test_feature_maps_of_16_bits_equal_the_slow_definition():
    rng = np.random.default_rng(1)
    program = (
        ProgramBuilder("wide", (4, 4, 3), rng, signed=False)
        .conv(4, (3, 2), padding=(1, 0, 1, 1), wide_output=True, shift=3)
        .depthwise(padding=(1, 1, 1, 1), pad_value=-999, wide_output=True, shift=7)
        .residual("conv0", [3, 8, 5, 0])
        .conv(3, (1, 1), shift=13)
        .shortcut("conv0")
        .at("depthwise1")
        .average_pool(shift=9)
        .build()
    )
    inputs = random_inputs(program, rng, 2)
    traced = golden.trace(program, inputs)
    assert np.abs(traced["depthwise1"]).max() > 1000
    for op in program.ops:
        for sample, result in enumerate(traced[op.output]):
            images = {name: traced[name][sample] for name in op.inputs}
            expected = slow_op(op, images, program.tensor(op.output).shape)
            np.testing.assert_array_equal(result, expected, err_msg=op.name)


@pytest.mark.parametrize("shift", range(32))
def test_requantize_rounds_half_up_at_every_shift(shift):
    half = (1 << shift) >> 1
    near = [k * (1 << shift) + d for k in (-2, -1, 0, 1, 126) for d in (-half, -1, 0, 1, half - 1)]
    acc = [a for a in [*near, -(1 << 31), (1 << 31) - 1] if -(1 << 31) <= a < 1 << 31]
    expected = [slow_shift(a, shift, -128, 127) for a in acc]
    np.testing.assert_array_equal(
        golden.requantize(np.array(acc, np.int64), shift, -128, 127), expected
    )


def test_requantize_takes_a_shift_for_each_channel():
    acc = np.array([[5, 5, -5, -6]])
    np.testing.assert_array_equal(
        golden.requantize(acc, np.array([0, 1, 1, 2]), -128, 127), [[5, 3, -2, -1]]
    )


def one_conv(weights, bias, *, signed, accumulators=True):
    """A dense program from explicit integers ``weights[O, I]``, ``bias[O]``."""
    outputs, inputs = weights.shape
    lo, hi = (-128, 127) if signed else (0, 255)
    return Program(
        name="one",
        tensors=(
            Tensor(name="x", shape=(1, 1, inputs), lo=lo, hi=hi, signed=signed),
            Tensor(name="y", shape=(1, 1, outputs), lo=-(1 << 31), hi=(1 << 31) - 1, bits=32),
        ),
        ops=(
            Conv(
                name="dense",
                input="x",
                output="y",
                weights=weights.reshape(outputs, 1, 1, inputs).astype(np.int8),
                bias=np.asarray(bias, np.int64),
                shift=np.zeros(outputs, np.int64),
                accumulators=accumulators,
            ),
        ),
        input="x",
        output="y",
        input_layout=Layout.identity((inputs,)),
        output_layout=Layout.identity((outputs,)),
    )


@pytest.mark.parametrize(
    ("inputs", "bias", "dtype"),
    [
        (518, 0, np.float32),
        (519, 0, np.float64),
        (10, (1 << 24) - 10 * 127 * 255, np.float64),
        (10, (1 << 24) - 10 * 127 * 255 - 1, np.float32),
        (60_000, (1 << 31) - 60_000 * 127 * 255 - 1, np.float64),
    ],
)
def test_the_type_of_the_dot_product_follows_the_bound(inputs, bias, dtype):
    program = one_conv(np.full((1, inputs), 127), [bias], signed=False)
    (op,) = program.ops
    assert golden.dot_type(op.weights, op.bias, program.tensor("x"), op.pad_value) is dtype
    q = np.full((1, 1, 1, inputs), 255, np.int32)
    assert golden.run(program, q).item() == 127 * 255 * inputs + bias


def test_a_large_dense_layer_is_exact():
    rng = np.random.default_rng(0)
    weights, bias = rng.integers(-128, 128, (3, 5000)), rng.integers(-1000, 1000, 3)
    program = one_conv(weights, bias, signed=True)
    (op,) = program.ops
    q = random_inputs(program, rng, 7)
    exact = q.reshape(7, -1).astype(object) @ op.weights.reshape(3, -1).T.astype(object) + op.bias
    np.testing.assert_array_equal(golden.run(program, q).reshape(7, 3), exact.astype(np.int64))


def test_accumulators_equal_onnxruntime_conv_integer():
    onnxruntime = pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(3)
    program = (
        ProgramBuilder("conv", (9, 11, 5), rng, signed=False, zero_point=7)
        .conv(6, (3, 2), stride=(2, 1), padding=(1, 0, 2, 1), dilation=(1, 2), accumulators=True)
        .build()
    )
    (op,) = program.ops
    weights = numpy_helper.from_array(op.weights.transpose(0, 3, 1, 2).copy(), "w")
    zero = numpy_helper.from_array(np.array(op.pad_value, np.uint8), "zero")
    node = helper.make_node(
        "ConvInteger",
        ["x", "w", "zero"],
        ["y"],
        strides=op.stride,
        pads=op.padding,
        dilations=op.dilation,
    )
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [None, 5, 9, 11])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [None, 6, None, None])],
        [weights, zero],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    q = random_inputs(program, rng, 4)
    (y,) = session.run(None, {"x": q.transpose(0, 3, 1, 2).astype(np.uint8)})
    constant = op.bias + op.pad_value * op.weights.reshape(6, -1).astype(np.int64).sum(axis=1)
    np.testing.assert_array_equal(golden.run(program, q), y.transpose(0, 2, 3, 1) + constant)


def test_batches_do_not_change_the_result(monkeypatch):
    program, rng = small_cnn(), np.random.default_rng(1)
    q = random_inputs(program, rng, 9)
    at_once = golden.trace(program, q)
    monkeypatch.setattr(golden, "BATCH_ELEMENTS", 1)
    one_by_one = golden.trace(program, q)
    assert at_once.keys() == one_by_one.keys() == {tensor.name for tensor in program.tensors}
    for name, values in at_once.items():
        assert values.dtype == np.int32
        np.testing.assert_array_equal(values, one_by_one[name])


def test_no_samples_give_no_outputs():
    program = dense_net()
    assert golden.run(program, np.empty((0, 1, 1, 35), np.int32)).shape == (0, 1, 1, 5)


def test_predict_takes_and_returns_the_source_layout():
    base = small_cnn()
    layout = Layout((1, 12, 12), np.arange(144))
    reversed_output = Layout((10,), np.arange(10)[::-1].copy())
    program = replace(base, input_layout=layout, output_layout=reversed_output)
    x = np.random.default_rng(2).integers(0, 256, (3, 1, 12, 12))
    outputs = golden.predict(program, x)
    assert outputs.shape == (3, 10)
    np.testing.assert_array_equal(
        outputs[:, ::-1], golden.run(base, x.reshape(3, 12, 12, 1)).reshape(3, 10)
    )


@pytest.mark.parametrize(
    ("q", "message"),
    [
        (np.zeros((2, 1, 1, 34), np.int32), r"integers of shape \[N, 1, 1, 35\], not int32"),
        (np.zeros((1, 1, 35), np.int32), r"not int32 \[1, 1, 35\]"),
        (np.zeros((2, 1, 1, 35), np.float32), "not float32"),
        (np.full((2, 1, 1, 35), 128), r"must lie in -128\.\.127, not 128\.\.128"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(q, message):
    with pytest.raises(DataError, match=message):
        golden.run(dense_net(), q)
