"""Shift-only networks that others quantized, as programs that give exactly their outputs.

Their average pooling truncates where AveragePool rounds. A 2 x 2 one is a depthwise convolution
with weights of 1, whose bias takes the rounding back. The DS-CNN's divides by 125, which no shift
does: it is compared up to there, and from there on.
"""

import json
from dataclasses import replace

import numpy as np
import pytest

from shiftwork.boards.accelerator import Accelerator
from shiftwork.quant.graph import Layout, output_shape
from shiftwork.quant.program import Program
from shiftwork.quant.program_ops import AveragePool, Conv, MaxPool, Op, Tensor
from shiftwork.sim import golden
from shiftwork.sim.executor import simulate

MFCC_STEP, MFCC_ZERO = 0.58470291, 83


class VendorNetwork:
    """Collects the tensors and ops of a network whose every layer has one shift."""

    def __init__(self, shape):
        self.tensors = [Tensor(name="input", shape=shape)]
        self.ops: list[Op] = []

    @property
    def last(self):
        return self.tensors[-1]

    def conv(self, name, weights, bias, shift, *, relu, stride=(1, 1), padding=(0, 0, 0, 0)):
        """A convolution; its weights are ``[O, kh, kw, I]``, or ``[C, kh, kw, 1]`` if depthwise.

        A shift of None returns the accumulators.
        """
        outputs, source = len(weights), self.last
        shape = output_shape(source.shape, outputs, weights.shape[1:3], stride, padding)
        target = Tensor(name=name, shape=shape, lo=0 if relu else -128)
        if shift is None:
            target = replace(target, lo=-(1 << 31), hi=(1 << 31) - 1, bits=32)
        op = Conv(
            name=name,
            input=source.name,
            output=name,
            weights=weights,
            bias=np.broadcast_to(np.asarray(bias, np.int64), outputs).copy(),
            shift=np.full(outputs, shift or 0),
            lo=0 if relu else -128,
            stride=stride,
            padding=padding,
            accumulators=shift is None,
            groups=source.shape[2] if weights.shape[3] < source.shape[2] else 1,
        )
        self.append(op, target)

    def max_pool(self, name, size, stride):
        shape = output_shape(self.last.shape, self.last.shape[2], size, stride, (0, 0, 0, 0))
        op = MaxPool(name=name, input=self.last.name, output=name, kernel=size, stride=stride)
        self.append(op, replace(self.last, name=name, shape=shape))

    def truncating_average(self, name, size):
        """``sum >> 2`` over 2 x 2: a depthwise convolution whose bias undoes the rounding."""
        assert size == (2, 2) and self.last.lo == 0
        weights = np.ones((self.last.shape[2], *size, 1), np.int8)
        self.conv(name, weights, -2, 2, relu=True, stride=size)

    def average_pool(self, name, size, shift):
        source = self.last
        shape = output_shape(source.shape, source.shape[2], size, size, (0, 0, 0, 0))
        op = AveragePool(
            name=name,
            input=source.name,
            output=name,
            kernel=size,
            stride=size,
            shift=shift,
            lo=source.lo,
        )
        self.append(op, replace(source, name=name, shape=shape))

    def append(self, op, tensor):
        self.ops.append(op)
        self.tensors.append(tensor)

    def program(self, name, layout):
        return Program(
            name=name,
            tensors=tuple(self.tensors),
            ops=tuple(self.ops),
            input="input",
            output=self.last.name,
            input_layout=layout,
            output_layout=Layout.identity((self.last.size,)),
        )


def max78000_program(folder, name):
    """A MAX78000 network: ``bias << 7``, pooling in front of its layer, CHW at the dense layer."""
    description = json.loads((folder / f"{name}.json").read_text())
    with np.load(folder / f"{name}.npz") as archive:
        arrays = dict(archive)
    channels, height, width = description["input"]["shape"]
    network = VendorNetwork((height, width, channels))
    for layer in description["layers"]:
        pool = layer["pool_before"]
        if pool:
            size, stride = (pool["size"],) * 2, (pool["stride"],) * 2
            if pool["kind"] == "max":
                network.max_pool(f"{layer['name']}_pool", size, stride)
            else:
                network.truncating_average(f"{layer['name']}_pool", size)
        weights = arrays[f"{layer['name']}.weight"]
        kernel = {}
        if layer["flatten_before"]:
            height, width, channels = network.last.shape
            weights = weights.reshape(-1, channels, height, width)
        else:
            kernel = {"stride": (layer["stride"],) * 2, "padding": (layer["pad"],) * 4}
        bias = arrays[f"{layer['name']}.bias"] if layer["has_bias"] else np.zeros(1, np.int64)
        network.conv(
            layer["name"],
            weights.transpose(0, 2, 3, 1).copy(),
            bias.astype(np.int64) << layer["bias_left_shift"],
            layer["right_shift"],
            relu=layer["relu"],
            **kernel,
        )
    shape = tuple(description["input"]["shape"])
    order = np.arange(np.prod(shape)).reshape(shape).transpose(1, 2, 0).reshape(-1)
    return network.program(name, Layout(shape, order))


def dscnn_program(folder):
    """Arm's DS-CNN; its average pooling is sum / 32 where theirs is sum / 31.25, truncated."""
    description = json.loads((folder / "ds_cnn_q7.json").read_text())
    with np.load(folder / "ds_cnn_q7.npz") as archive:
        arrays = dict(archive)
    network = VendorNetwork((49, 10, 1))
    for layer in description["layers"]:
        name, kind = layer["name"], layer["op"]
        if kind == "global_avg_pool":
            network.average_pool(name, network.last.shape[:2], 5)
            continue
        weights, kernel = arrays[f"{name}.weight"], {}
        if kind == "depthwise_conv2d":
            weights = weights.transpose(2, 0, 1)[..., None].copy()
        elif kind == "linear":
            weights = weights[:, None, None, :]
        if kind != "linear":
            kernel = {"stride": tuple(layer["stride"]), "padding": dscnn_padding(layer["pad"])}
        bias = arrays[f"{name}.bias"].astype(np.int64) << layer["bias_left_shift"]
        network.conv(name, weights, bias, layer["right_shift"], relu=layer["relu"], **kernel)
    return network.program("ds_cnn_q7", Layout.identity((49, 10, 1)))


def dscnn_padding(pad):
    """(top, left, bottom, right)."""
    sides = ("top", "left", "bottom", "right")
    return tuple(pad[side] for side in sides) if isinstance(pad, dict) else (pad,) * 4


def dscnn_model(folder, x):
    """Every layer of the DS-CNN for ``x[N, 49, 10, 1]``, from the description alone."""
    description = json.loads((folder / "ds_cnn_q7.json").read_text())
    with np.load(folder / "ds_cnn_q7.npz") as archive:
        arrays = {key: value.astype(np.int64) for key, value in archive.items()}
    values, layers = x.astype(np.int64), {}
    for layer in description["layers"]:
        name = layer["name"]
        if layer["op"] == "global_avg_pool":
            values = values.sum(axis=(1, 2)) * 4 // 125
        else:
            acc = dscnn_dot(layer, arrays[f"{name}.weight"], values)
            acc += arrays[f"{name}.bias"] << layer["bias_left_shift"]
            half = 1 << (layer["right_shift"] - 1)
            values = np.clip((acc + half) >> layer["right_shift"], -128, 127)
            values = np.maximum(values, 0) if layer["relu"] else values
        layers[name] = values
    return layers


def dscnn_dot(layer, weights, x):
    if layer["op"] == "linear":
        return x @ weights.T
    top, left, bottom, right = dscnn_padding(layer["pad"])
    x = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))
    depthwise = layer["op"] == "depthwise_conv2d"
    kernel = weights.shape[:2] if depthwise else weights.shape[1:3]
    rows, columns = layer["out_shape"][:2]
    total = 0
    for u, v in np.ndindex(kernel):
        tap = x[:, u :: layer["stride"][0], v :: layer["stride"][1]][:, :rows, :columns]
        total = total + (tap * weights[u, v] if depthwise else tap @ weights[:, u, v].T)
    return total


def vendor_case(shared, name):
    """A network's program, some of its inputs, and its own outputs; None if ours round."""
    if name == "ds_cnn_q7":
        folder = shared / "models" / "arm_kws_dscnn"
        with np.load(folder / "ds_cnn_q7_ref.npz") as reference:
            return dscnn_program(folder), reference["x"], None
    folder = shared / "models" / "ai8x"
    with np.load(folder / f"{name}_ref.npz") as reference:
        return max78000_program(folder, name), reference["x"], reference["logits"]


@pytest.fixture(scope="module")
def dscnn(shared):
    return shared / "models" / "arm_kws_dscnn"


@pytest.mark.parametrize("name", ["mnist_extrasmall", "cifar10_net5"])
def test_max78000_networks_give_their_own_outputs(shared, name):
    folder = shared / "models" / "ai8x"
    program = max78000_program(folder, name)
    with np.load(folder / f"{name}_ref.npz") as reference:
        np.testing.assert_array_equal(golden.predict(program, reference["x"]), reference["logits"])


def test_the_description_of_the_ds_cnn_gives_its_own_outputs(dscnn):
    with np.load(dscnn / "ds_cnn_q7_ref.npz") as reference:
        layers = dscnn_model(dscnn, reference["x"])
        np.testing.assert_array_equal(layers["fc"], reference["out"])


def test_every_layer_of_the_ds_cnn_but_the_average_gives_its_own_outputs(dscnn):
    program = dscnn_program(dscnn)
    with np.load(dscnn / "ds_cnn_q7_ref.npz") as reference:
        x, out = reference["x"], reference["out"]
    expected = dscnn_model(dscnn, x)
    found = golden.trace(program, program.quantize_input(x))
    names = [op.name for op in program.ops]
    assert len(names) == 11
    for name in names[: names.index("avgpool")]:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
    dense = program.ops[-1]
    pooled = expected["avgpool"][:, None, None, :].astype(np.int32)
    scores = golden.apply(program, dense, pooled).reshape(len(x), -1)
    np.testing.assert_array_equal(scores, out)
    rounded = golden.predict(program, x)
    assert (rounded.argmax(axis=1) == out.argmax(axis=1)).mean() >= 0.98


@pytest.mark.slow
def test_the_ds_cnn_gives_its_own_outputs_up_to_the_average_on_all_inputs(shared, dscnn):
    with np.load(shared / "data" / "kws" / "kws_dev.npz") as archive:
        mfcc = (archive["x_int8"].astype(np.float64) - MFCC_ZERO) * MFCC_STEP
    x = np.clip(np.rint(2 * mfcc), -128, 127).astype(np.int8)
    expected = dscnn_model(dscnn, x)
    with np.load(dscnn / "ds_cnn_q7_ref.npz") as reference:
        np.testing.assert_array_equal(x[:100], reference["x"])
        np.testing.assert_array_equal(expected["fc"], reference["out_dev"])
    program = dscnn_program(dscnn)
    found = golden.trace(program, program.quantize_input(x))
    np.testing.assert_array_equal(found["pw5"], expected["pw5"])


def test_a_truncating_average_is_a_depthwise_convolution():
    network = VendorNetwork((4, 4, 3))
    network.tensors[0] = replace(network.last, lo=0)
    network.truncating_average("mean", (2, 2))
    program = network.program("mean", Layout.identity((4, 4, 3)))
    q = np.random.default_rng(0).integers(0, 128, (9, 4, 4, 3))
    expected = q.reshape(9, 2, 2, 2, 2, 3).sum(axis=(2, 4)) // 4
    np.testing.assert_array_equal(golden.run(program, q), expected)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "rows", "columns", "inputs"),
    [
        ("mnist_extrasmall", 2, 8, 20),
        ("cifar10_net5", 4, 8, 5),
        ("ds_cnn_q7", 1, 16, 20),
        ("ds_cnn_q7", 2, 8, 5),
    ],
)
def test_the_hardware_gives_every_layer(shared, name, rows, columns, inputs):
    program, x, expected = vendor_case(shared, name)
    result = simulate(Accelerator(program, rows=rows, columns=columns), x, limit=inputs)
    assert result.passed, result.text
    if expected is not None:
        np.testing.assert_array_equal(result.outputs, expected[:inputs])
