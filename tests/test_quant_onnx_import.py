"""Importing ONNX models: structure, layouts, and every kind of bad input."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.helper import make_node as op

from shiftwork.errors import ModelError
from shiftwork.quant.graph import Affine, AveragePool, Clip, Conv, Graph, MaxPool, Reshape
from shiftwork.quant.onnx_import import load

OnnxWriter = Callable[..., Path]
WEIGHTS = {"w": (4, 3, 3, 3)}
IMAGE = ("N", 3, 6, 5)


def kinds(graph: Graph) -> list[type]:
    """The kinds of the graph's nodes in order."""
    return [type(node) for node in graph.nodes]


def conv(source: str = "x", target: str = "y", **attributes: Any) -> onnx.NodeProto:
    """A convolution with the weights ``w``."""
    return op("Conv", [source, "w"], [target], **attributes)


def dequantize(source: str, target: str) -> list[onnx.NodeProto]:
    """A node that makes real numbers with the scale ``s`` and the zero point ``z``."""
    return [op("DequantizeLinear", [source, "s", "z"], [target])]


# Structure


def test_mnist_8_becomes_eleven_nodes(shared: Path) -> None:
    graph = load(shared / "models/onnx_mnist8/mnist-8.onnx")
    block = [Conv, Affine, Clip, MaxPool]
    assert kinds(graph) == [*block, *block, Reshape, Conv, Affine]
    assert graph.name == "mnist-8"
    assert graph.macs == 786_560
    assert graph.input_layout.shape == (1, 28, 28)
    assert graph.shapes[graph.input] == (28, 28, 1)
    assert graph.output_layout.shape == (10,)
    assert graph.source["opset"] == "8"
    assert graph.source["producer"] == "CNTK 2.5.1"


def test_names_are_unique_and_never_empty(write_onnx: OnnxWriter) -> None:
    nodes = [
        conv("x", "a"),
        op("Relu", ["a"], ["b"], name="same"),
        op("Relu", ["b"], ["c"], name="same"),
        op("Relu", ["c"], ["y"], name="Conv_0"),
    ]
    graph = load(write_onnx(nodes, IMAGE, WEIGHTS))
    assert [node.name for node in graph.nodes] == ["Conv_0", "same", "same_2", "Conv_0_3"]


def test_nchw_input_becomes_nhwc(write_onnx: OnnxWriter) -> None:
    graph = load(write_onnx([conv()], IMAGE, WEIGHTS))
    assert graph.shapes == {"x": (6, 5, 3), "y": (4, 3, 4)}
    image = np.arange(90).reshape(1, 3, 6, 5)
    np.testing.assert_array_equal(
        graph.input_layout.to_nhwc(image, (6, 5, 3)), image.transpose(0, 2, 3, 1)
    )
    result = np.arange(48).reshape(1, 4, 3, 4)
    np.testing.assert_array_equal(
        graph.output_layout.from_nhwc(result), result.transpose(0, 3, 1, 2)
    )


def test_nhwc_input_with_a_transpose_stays_as_it_is(write_onnx: OnnxWriter) -> None:
    nodes = [op("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]), conv("t")]
    graph = load(write_onnx(nodes, ("N", 6, 5, 3), WEIGHTS))
    assert kinds(graph) == [Conv]
    assert graph.input_layout.shape == (6, 5, 3)
    np.testing.assert_array_equal(graph.input_layout.order, np.arange(90))


def test_dense_input_is_a_vector(write_onnx: OnnxWriter) -> None:
    nodes = [op("Flatten", ["x"], ["f"]), op("MatMul", ["f", "w"], ["y"])]
    graph = load(write_onnx(nodes, ("N", 1, 4, 5), {"w": (20, 3)}))
    assert kinds(graph) == [Conv]
    assert graph.shapes == {"x": (1, 1, 20), "y": (1, 1, 3)}
    assert graph.input_layout.shape == (1, 4, 5)


def test_rearranging_ops_leave_no_node(write_onnx: OnnxWriter) -> None:
    nodes = [
        conv("x", "a"),
        op("Transpose", ["a"], ["b"], perm=[0, 2, 3, 1]),
        op("Reshape", ["b", "flat"], ["c"]),
        op("Reshape", ["c", "map"], ["d"]),
        op("Transpose", ["d"], ["e"], perm=[0, 3, 1, 2]),
        op("GlobalAveragePool", ["e"], ["y"]),
    ]
    constants = {**WEIGHTS, "flat": np.array([0, -1]), "map": np.array([-1, 4, 3, 4])}
    assert kinds(load(write_onnx(nodes, IMAGE, constants))) == [Conv, AveragePool]


def test_branches_may_share_a_value(write_onnx: OnnxWriter) -> None:
    nodes = [conv("x", "a"), op("Relu", ["a"], ["y"]), op("Sigmoid", ["a"], ["unused"])]
    assert kinds(load(write_onnx(nodes, IMAGE, WEIGHTS))) == [Conv, Clip]


@pytest.mark.parametrize(
    ("tail", "dropped"),
    [
        ([op("Softmax", ["a"], ["y"])], ("Softmax",)),
        ([op("LogSoftmax", ["a"], ["y"])], ("LogSoftmax",)),
        ([op("ArgMax", ["a"], ["y"], axis=1)], ("ArgMax",)),
        (
            [
                op("Softmax", ["a"], ["s"]),
                op("Identity", ["s"], ["i"]),
                op("ArgMax", ["i"], ["m"], axis=1),
                op("Squeeze", ["m", "one"], ["y"]),
            ],
            ("Softmax", "Identity", "ArgMax", "Squeeze"),
        ),
    ],
)
def test_ops_for_the_host_are_dropped_and_recorded(
    tail: list[onnx.NodeProto], dropped: tuple[str, ...], write_onnx: OnnxWriter
) -> None:
    nodes = [op("MatMul", ["x", "w"], ["a"]), *tail]
    graph = load(write_onnx(nodes, ("N", 5), {"w": (5, 3), "one": np.array([1])}))
    assert kinds(graph) == [Conv]
    assert graph.dropped == dropped
    assert graph.output == "a"
    assert graph.output_layout.shape == (3,)


@pytest.mark.parametrize("batch", [1, 2, 7, "N", None, 0, -1])
def test_any_kind_of_batch_dimension(batch: int | str | None, write_onnx: OnnxWriter) -> None:
    nodes = [
        conv("x", "c"),
        op("Reshape", ["c", "shape"], ["f"]),
        op("MatMul", ["f", "d"], ["y"]),
    ]
    fixed = batch if isinstance(batch, int) and batch > 0 else 1
    for first in (-1, 0, fixed):
        constants = {**WEIGHTS, "shape": np.array([first, 48]), "d": (48, 2)}
        graph = load(write_onnx(nodes, (batch, 3, 6, 5), constants))
        assert graph.input_layout.shape == (3, 6, 5)
        assert graph.output_layout.shape == (2,)


def test_a_fixed_batch_of_one_may_be_squeezed_away(write_onnx: OnnxWriter) -> None:
    nodes = [conv("x", "c"), op("Reshape", ["c", "s"], ["y"])]
    graph = load(write_onnx(nodes, (1, 3, 6, 5), {**WEIGHTS, "s": np.array([-1])}))
    assert graph.output_layout.shape == (48,)


def test_initializers_may_be_listed_as_inputs(write_onnx: OnnxWriter) -> None:
    path = write_onnx([conv()], IMAGE, WEIGHTS)
    model = onnx.load(path)
    model.graph.input.insert(0, helper.make_tensor_value_info("w", TensorProto.FLOAT, [4, 3, 3, 3]))
    onnx.save(model, path)
    assert load(path).input == "x"


def test_external_data_beside_the_model_are_read(write_onnx: OnnxWriter, tmp_path: Path) -> None:
    path = write_onnx([conv()], IMAGE, WEIGHTS)
    expected = load(path).nodes[0]
    target = tmp_path / "external.onnx"
    onnx.save(
        onnx.load(path), target, save_as_external_data=True, location="w.bin", size_threshold=0
    )
    imported = load(target).nodes[0]
    assert isinstance(imported, Conv) and isinstance(expected, Conv)
    np.testing.assert_array_equal(imported.weights, expected.weights)

    (tmp_path / "w.bin").unlink()
    with pytest.raises(ModelError, match=r"external data of tensor 'w' cannot be read .* beside"):
        load(target)


def test_half_precision_weights_are_read(write_onnx: OnnxWriter) -> None:
    nodes = [op("Cast", ["h"], ["w"], to=TensorProto.FLOAT), op("MatMul", ["x", "w"], ["y"])]
    half = np.array([[0.5], [1.5]], np.float16)
    layer = load(write_onnx(nodes, ("N", 2), {"h": half})).nodes[0]
    assert isinstance(layer, Conv)
    assert layer.weights.ravel().tolist() == [0.5, 1.5]


def test_integer_input_may_be_cast_at_once(write_onnx: OnnxWriter) -> None:
    nodes = [op("Cast", ["x"], ["f"], to=TensorProto.FLOAT), conv("f")]
    graph = load(write_onnx(nodes, IMAGE, WEIGHTS, dtype=TensorProto.UINT8))
    assert kinds(graph) == [Conv]
    nodes = [op("Relu", ["x"], ["r"]), op("Cast", ["r"], ["y"], to=TensorProto.FLOAT)]
    with pytest.raises(
        ModelError,
        match="works on the integer input 'x'; it must be cast to float or dequantized first",
    ):
        load(write_onnx(nodes, IMAGE, opset=14, dtype=TensorProto.INT8))


# Models that are not supported


def pool(kind: str = "MaxPool", **attributes: Any) -> list[onnx.NodeProto]:
    """One pooling layer with a 2x2 window."""
    return [op(kind, ["x"], ["y"], name="pool", **{"kernel_shape": [2, 2], **attributes})]


UNSUPPORTED: dict[str, tuple[Sequence[onnx.NodeProto], Sequence[Any], dict[str, Any], str]] = {
    "unknown_op": (
        [op("Relu", ["x"], ["r"]), op("Floor", ["r"], ["y"], name="squash")],
        IMAGE,
        {},
        r"node 'squash' \(Floor\) is not supported; supported ops are Abs, Add, ArgMax",
    ),
    "softmax_inside": (
        [op("Softmax", ["x"], ["s"], name="s"), op("Relu", ["s"], ["y"])],
        ("N", 3),
        {},
        r"node 's' \(Softmax\) is supported only at the end of the network",
    ),
    "grouped_inputs": (
        [conv(group=2)],
        ("N", 4, 6, 5),
        {"w": (4, 3, 3, 3)},
        r"has weights for 3 input channels in 2 group\(s\), but its input has 4",
    ),
    "grouped_outputs": (
        [conv(group=3)],
        IMAGE,
        {"w": (4, 1, 3, 3)},
        "has 4 output channels, which 3 groups do not divide",
    ),
    "conv_1d": (
        [conv()],
        ("N", 3, 6),
        {"w": (4, 3, 3)},
        r"weights of shape \[4, 3, 3\]; only two-dimensional convolutions",
    ),
    "conv_channels": (
        [conv()],
        IMAGE,
        {"w": (4, 2, 3, 3)},
        r"has weights for 2 input channels in 1 group\(s\), but its input has 3",
    ),
    "conv_too_large": (
        [conv()],
        IMAGE,
        {"w": (4, 3, 9, 3)},
        "window of 9 elements along axis 2, larger than its padded input of 6",
    ),
    "conv_kernel_shape": (
        [conv(kernel_shape=[5, 5])],
        IMAGE,
        WEIGHTS,
        r"kernel_shape \[5, 5\], but weights of \[3, 3\]",
    ),
    "negative_pads": (
        [conv(pads=[0, 0, -1, 0])],
        IMAGE,
        WEIGHTS,
        r"has pads \[0, 0, -1, 0\]; they must be four integers of 0 or more",
    ),
    "zero_stride": (
        [conv(strides=[1, 0])],
        IMAGE,
        WEIGHTS,
        r"has strides \[1, 0\]; it must be two positive integers",
    ),
    "auto_pad": (
        [conv(auto_pad="SOMEHOW")],
        IMAGE,
        WEIGHTS,
        "has auto_pad SOMEHOW; supported are NOTSET, SAME_UPPER, SAME_LOWER and VALID",
    ),
    "computed_weights": (
        [op("Relu", ["x"], ["w"]), op("MatMul", ["x", "w"], ["y"])],
        ("N", 3),
        {},
        "needs a constant as its weights, but 'w' is computed",
    ),
    "constant_first": (
        [op("MatMul", ["w", "x"], ["y"])],
        ("N", 3, 2),
        {"w": (4, 3)},
        "multiplies a constant by features; the constant must come second",
    ),
    "matmul_rank": (
        [op("MatMul", ["x", "w"], ["y"])],
        ("N", 3, 2),
        {"w": (1, 2, 3)},
        r"weights of shape \[1, 2, 3\]; they must have two dimensions",
    ),
    "dense_features": (
        [op("MatMul", ["x", "w"], ["y"])],
        ("N", 3),
        {"w": (4, 2)},
        "has weights for 4 features, but its input has 3",
    ),
    "gemm_transposed": (
        [op("Gemm", ["x", "w"], ["y"], transA=1)],
        ("N", 3),
        {"w": (3, 2)},
        "transposes its input",
    ),
    "gemm_bias": (
        [op("Gemm", ["x", "w", "b"], ["y"])],
        (4, 3),
        {"w": (3, 2), "b": (4, 2)},
        r"bias of shape \[4, 2\]; one value for each of its 2 outputs",
    ),
    "broadcast_sum": (
        [
            op("Relu", ["x"], ["r"]),
            op("GlobalMaxPool", ["r"], ["g"]),
            op("Add", ["r", "g"], ["y"], name="skip"),
        ],
        IMAGE,
        {},
        r"node 'skip' \(Add\) adds tensors of the shapes \[2, 3, 6, 5\] and \[2, 3, 1, 1\]; two",
    ),
    "sum_of_different_orders": (
        [
            op("MaxPool", ["x"], ["m"], kernel_shape=[1, 1]),
            op("Transpose", ["m"], ["t"], perm=[0, 1, 3, 2]),
            op("Add", ["m", "t"], ["y"]),
        ],
        ("N", 3, 3, 3),
        {},
        "reads 'm' and 't', whose elements lie in different orders",
    ),
    "difference": (
        [op("Relu", ["x"], ["r"]), op("Sub", ["r", "x"], ["y"], name="d")],
        IMAGE,
        {},
        r"node 'd' \(Sub\) subtracts two feature maps; only constants can be subtracted",
    ),
    "pad_mode": (
        [op("Pad", ["x", "p"], ["a"], mode="reflect"), conv("a")],
        IMAGE,
        {**WEIGHTS, "p": np.array([0, 0, 1, 1, 0, 0, 1, 1])},
        "has the mode reflect; only constant, with zeros",
    ),
    "pad_value": (
        [op("Pad", ["x", "p", "v"], ["a"]), conv("a")],
        IMAGE,
        {**WEIGHTS, "p": np.array([0, 0, 1, 1, 0, 0, 1, 1]), "v": np.float32(2)},
        "pads with another number than 0",
    ),
    "pad_channels": (
        [op("Pad", ["x", "p"], ["a"]), conv("a")],
        IMAGE,
        {**WEIGHTS, "p": np.array([0, 1, 1, 1, 0, 0, 1, 1])},
        r"has pads \[0, 1, 1, 1, 0, 0, 1, 1\]; only the height and width of",
    ),
    "pad_crops": (
        [op("Pad", ["x", "p"], ["a"]), conv("a")],
        IMAGE,
        {**WEIGHTS, "p": np.array([0, 0, -1, 1, 0, 0, 1, 1])},
        "for 4 axes; two numbers of 0 or more are needed for each",
    ),
    "pad_before_relu": (
        [op("Pad", ["x", "p"], ["a"]), op("Relu", ["a"], ["y"])],
        IMAGE,
        {"p": np.array([0, 0, 1, 1, 0, 0, 1, 1])},
        "reads 'a' after a Pad; padding is supported only right before a convolution or pooling",
    ),
    "pad_at_the_end": (
        [conv("x", "c"), op("Pad", ["c", "p"], ["y"])],
        IMAGE,
        {**WEIGHTS, "p": np.array([0, 0, 1, 1, 0, 0, 1, 1])},
        "the output 'y' is that of a Pad; leave it to the host",
    ),
    "pad_before_a_maximum": (
        [
            op("Pad", ["x", "p"], ["a"]),
            op("MaxPool", ["a"], ["y"], kernel_shape=[2, 2], name="m"),
        ],
        IMAGE,
        {"p": np.array([0, 0, 1, 1, 0, 0, 1, 1])},
        r"node 'm' \(MaxPool\) takes the maximum over a Pad, whose zeros may win",
    ),
    "wide_pad_before_a_maximum": (
        [
            op("Relu", ["x"], ["r"]),
            op("Pad", ["r", "p"], ["a"]),
            op("MaxPool", ["a"], ["y"], kernel_shape=[2, 2]),
        ],
        IMAGE,
        {"p": np.array([0, 0, 1, 2, 0, 0, 1, 1])},
        r"has pads \[1, 2, 1, 1\], together with the Pad before it; they must be smaller than",
    ),
    "pad_before_a_mean": (
        [
            op("Pad", ["x", "p"], ["a"]),
            op("AveragePool", ["a"], ["y"], kernel_shape=[2, 2], pads=[1, 1, 1, 1]),
        ],
        IMAGE,
        {"p": np.array([0, 0, 1, 1, 0, 0, 1, 1])},
        "averages with pads that do not count over a Pad, whose zeros do",
    ),
    "scales_per_channel": (
        [op("QuantizeLinear", ["x", "s", "z"], ["q"], axis=1), *dequantize("q", "y")],
        IMAGE,
        {"s": np.float32([1, 2, 3]), "z": np.zeros(3, np.int8)},
        r"has the scales \[1.0, 2.0, 3.0\]; a feature map needs one positive scale",
    ),
    "scale_of_zero": (
        [op("QuantizeLinear", ["x", "s"], ["q"]), *dequantize("q", "y")],
        IMAGE,
        {"s": np.float32(0), "z": np.int8(0)},
        r"has the scales \[0.0\]; a feature map needs one positive scale",
    ),
    "other_scale": (
        [op("QuantizeLinear", ["x", "t", "z"], ["q"]), *dequantize("q", "y")],
        IMAGE,
        {"t": np.float32(0.5), "s": np.float32(0.25), "z": np.int8(0)},
        "dequantizes with the scale 0.25 and zero point 0, but the tensor was quantized with 0.5",
    ),
    "add_enlarges": (
        [op("Add", ["x", "c"], ["y"])],
        ("N", 1, 1, 5),
        {"c": (3, 1, 1)},
        r"would enlarge 'x' of shape \[2, 1, 1, 5\] to \[2, 3, 1, 5\]",
    ),
    "add_does_not_fit": (
        [op("Add", ["x", "c"], ["y"])],
        ("N", 3),
        {"c": (4,)},
        r"has a constant of shape \[4\], which does not fit 'x' of shape \[2, 3\]",
    ),
    "output_without_batch": (
        [op("Relu", ["x"], ["r"]), op("Reshape", ["r", "s"], ["y"])],
        ("N", 3),
        {"s": np.array([-1])},
        r"output 'y' of shape \[6\] does not count the samples in its first axis",
    ),
    "add_batch": (
        [op("Add", ["x", "c"], ["y"])],
        (2, 3),
        {"c": (2, 3)},
        "has a constant that varies along the batch",
    ),
    "divide_constant": (
        [op("Div", ["c", "x"], ["y"])],
        ("N", 3),
        {"c": (3,)},
        "divides a constant by a feature map",
    ),
    "divide_by_zero": (
        [op("Div", ["x", "c"], ["y"], name="d")],
        ("N", 3),
        {"c": np.zeros(3, np.float32)},
        "node 'd': scale must be finite, but 3 of 3 are NaN or infinite",
    ),
    "nan_weights": (
        [op("MatMul", ["x", "w"], ["y"], name="dense")],
        ("N", 2),
        {"w": np.array([[np.nan, 1.0], [2.0, np.inf]], np.float32)},
        "node 'dense': weights must be finite, but 2 of 4 are NaN or infinite",
    ),
    "weights_beyond_float32": (
        [op("MatMul", ["x", "w"], ["y"])],
        ("N", 1),
        {"w": np.array([[1e300]])},
        "weights must be finite",
    ),
    "nan_bound": (
        [op("Clip", ["x", "c"], ["y"])],
        ("N", 3),
        {"c": np.float32(np.nan)},
        "has NaN as its min bound",
    ),
    "many_bounds": (
        [op("Clip", ["x", "", "c"], ["y"])],
        ("N", 3),
        {"c": (3,)},
        "has 3 values as its max bound; one is needed",
    ),
    "pool_dilation": (
        pool(dilations=[2, 1]),
        IMAGE,
        {},
        r"node 'pool' \(MaxPool\) has dilations \[2, 1\]; only \[1, 1\]",
    ),
    "pool_pads": (
        pool(pads=[0, 2, 0, 0]),
        IMAGE,
        {},
        r"pads \[0, 2, 0, 0\]; they must be smaller than its kernel \[2, 2\]",
    ),
    "pool_divisors": (
        pool("AveragePool", strides=[2, 2], pads=[1, 0, 0, 0], ceil_mode=1, count_include_pad=1),
        IMAGE,
        {},
        "combines ceil_mode, pads and count_include_pad",
    ),
    "pool_skips": (
        pool(kernel_shape=[1, 1], strides=[2, 2], auto_pad="SAME_UPPER"),
        IMAGE,
        {},
        "auto_pad SAME_UPPER and windows that skip elements at the end.* give it explicit pads",
    ),
    "pool_too_large": (
        pool(kernel_shape=[8, 2]),
        IMAGE,
        {},
        "has a window of 8 elements along axis 2, larger than its padded input of 6",
    ),
    "pool_rank": (
        [op("GlobalAveragePool", ["x"], ["y"])],
        ("N", 3, 6),
        {},
        r"samples of shape \[3, 6\]; only feature maps of three dimensions",
    ),
    "mean_over_channels": (
        [op("ReduceMean", ["x"], ["y"], axes=[1])],
        IMAGE,
        {},
        r"has the axes \[1\] of 4; a mean is supported over the axes of height and width",
    ),
    "mean_over_everything": (
        [op("ReduceMean", ["x"], ["y"])],
        IMAGE,
        {},
        r"has the axes \[\] of 4; a mean is supported",
    ),
    "training_dropout": (
        [op("Dropout", ["x", "", "t"], ["y"])],
        ("N", 3),
        {"t": np.array(True)},
        "is in training mode",
    ),
    "cast_to_integer": (
        [op("Cast", ["x"], ["c"], to=TensorProto.INT32), op("Relu", ["c"], ["y"])],
        ("N", 3),
        {},
        "casts features to integers",
    ),
    "second_output": (
        [
            op("MaxPool", ["x"], ["p", "i"], kernel_shape=[2, 2]),
            op("Cast", ["i"], ["y"], to=TensorProto.FLOAT),
        ],
        IMAGE,
        {},
        "reads 'i', which is not an output that is supported",
    ),
    "batch_is_mixed": (
        [op("Reshape", ["x", "s"], ["r"]), op("Relu", ["r"], ["y"])],
        ("N", 4, 2),
        {"s": np.array([4, -1])},
        "whose first axis does not count the samples",
    ),
    "reshape_does_not_fit": (
        [op("Reshape", ["x", "s"], ["y"], name="r")],
        ("N", 6),
        {"s": np.array([0, 5])},
        r"node 'r' \(Reshape\) cannot reshape \[2, 6\] to \[0, 5\]",
    ),
    "computed_shape": (
        [op("Reshape", ["x", "x"], ["y"])],
        ("N", 6),
        {},
        "needs a constant as its shape, but 'x' is computed",
    ),
    "moved_data": (
        [
            op("Relu", ["x"], ["r"]),
            op("MaxPool", ["r"], ["m"], kernel_shape=[1, 1]),
            op("Transpose", ["m"], ["t"], perm=[0, 2, 1, 3]),
            conv("t"),
        ],
        ("N", 3, 3, 3),
        {"w": (2, 3, 1, 1)},
        "whose elements would have to be moved in memory first",
    ),
    "random_constant": (
        [op("RandomNormal", [], ["r"], shape=[3]), op("Add", ["x", "r"], ["y"])],
        ("N", 3),
        {},
        "makes random numbers",
    ),
    "huge_constant": (
        [op("ConstantOfShape", ["s"], ["c"]), op("Add", ["x", "c"], ["y"])],
        ("N", 3),
        {"s": np.array([1 << 20, 1 << 20])},
        r"makes a constant of the shape \[1048576, 1048576\]",
    ),
    "constant_of_unknown_size": (
        [op("NonZero", ["c"], ["n"]), op("MatMul", ["x", "n"], ["y"])],
        ("N", 3),
        {"c": (3,)},
        "makes a constant whose shape cannot be told in advance",
    ),
    "constants_that_do_not_fit": (
        [op("Add", ["c", "d"], ["e"]), op("Add", ["x", "e"], ["y"])],
        ("N", 3),
        {"c": (3,), "d": (2,)},
        "works on constants only, but they do not fit it",
    ),
    "huge_input": (
        [op("Relu", ["x"], ["y"])],
        ("N", 1 << 20, 1 << 20),
        {},
        "a feature map may have 4194304 elements at most",
    ),
    "huge_padding": (
        [conv(pads=[1 << 30, 0, 0, 0])],
        IMAGE,
        WEIGHTS,
        "pads its input; it then has the shape .* 4194304 elements at most",
    ),
    "huge_output": (
        [op("MatMul", ["x", "w"], ["y"])],
        ("N", 1 << 21, 1),
        {"w": (1, 8)},
        "4194304 elements at most",
    ),
    "dynamic_height": (
        [conv()],
        ("N", 3, "height", 5),
        WEIGHTS,
        r"input 'x' has the dynamic dimension 'height' \(axis 2\); only the first, the batch",
    ),
    "unnamed_dynamic_width": (
        [conv()],
        ("N", 3, 5, None),
        WEIGHTS,
        r"dynamic dimension '\?' \(axis 3\)",
    ),
    "no_batch": (
        [op("Relu", ["x"], ["y"])],
        (5,),
        {},
        "input 'x' has 1 dimensions; at least two are needed",
    ),
    "no_nodes": ([], ("N", 3), {}, "holds a graph without nodes"),
    "no_layer": (
        [op("Identity", ["x"], ["y"])],
        ("N", 3),
        {},
        "holds no layer between its input and its output",
    ),
    "constant_output": (
        [op("Relu", ["x"], ["r"]), op("Sqrt", ["c"], ["y"])],
        ("N", 3),
        {"c": (3,)},
        "holds no layer between its input and its output",
    ),
    "undefined_tensor": (
        [op("Relu", ["missing"], ["y"])],
        ("N", 3),
        {},
        "is not a valid ONNX model: .*missing",
    ),
    "unknown_attribute": (
        [op("Relu", ["x"], ["y"], colour=3)],
        ("N", 3),
        {},
        "is not a valid ONNX model: .*colour",
    ),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_unsupported_models_are_explained(name: str, write_onnx: OnnxWriter) -> None:
    nodes, shape, constants, text = UNSUPPORTED[name]
    path = write_onnx(nodes, shape, constants)
    with pytest.raises(ModelError, match=text) as caught:
        load(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_ops_of_other_domains(write_onnx: OnnxWriter) -> None:
    path = write_onnx([op("Magic", ["x"], ["y"], name="m", domain="com.example")], ("N", 3))
    model = onnx.load(path)
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=r"node 'm' \(com.example.Magic\) is not supported"):
        load(path)


def test_batch_normalization_in_training(write_onnx: OnnxWriter) -> None:
    node = op("BatchNormalization", ["x", *"ssss"], ["y", "m", "v"], training_mode=1)
    with pytest.raises(ModelError, match="is in training mode; export the model for inference"):
        load(write_onnx([node], ("N", 3), {"s": (3,)}, opset=15))
    node = op("BatchNormalization", ["x", *"ssss"], ["y"], spatial=0)
    with pytest.raises(ModelError, match="normalizes each pixel by itself"):
        load(write_onnx([node], ("N", 3), {"s": (3,)}, opset=7))


def test_several_inputs_or_outputs(write_onnx: OnnxWriter) -> None:
    nodes = [conv("x", "y"), op("Relu", ["y"], ["z"])]
    path = write_onnx(nodes, IMAGE, WEIGHTS, outputs=("y", "z"))
    with pytest.raises(ModelError, match=r"has 2 outputs \(y, z\); exactly one is supported"):
        load(path)

    path = write_onnx([conv()], IMAGE, WEIGHTS)
    model = onnx.load(path)
    model.graph.input.append(helper.make_tensor_value_info("u", TensorProto.FLOAT, [1]))
    onnx.save(model, path)
    with pytest.raises(ModelError, match=r"has 2 inputs \(x, u\); exactly one is supported"):
        load(path)

    del model.graph.input[:]
    onnx.save(model, path)
    with pytest.raises(ModelError, match=r"has 0 inputs \(none\)"):
        load(path)


def test_input_without_a_shape(write_onnx: OnnxWriter) -> None:
    path = write_onnx([conv()], IMAGE, WEIGHTS)
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.ClearField("shape")
    onnx.save(model, path)
    with pytest.raises(ModelError, match="the input 'x' has no shape; export it with a fixed one"):
        load(path)


def test_control_flow(write_onnx: OnnxWriter) -> None:
    branch = helper.make_graph(
        [op("Constant", [], ["b"], value_float=1.0)],
        "branch",
        [],
        [helper.make_tensor_value_info("b", TensorProto.FLOAT, [])],
    )
    nodes = [
        op("If", ["c"], ["i"], name="choice", then_branch=branch, else_branch=branch),
        op("Add", ["x", "i"], ["y"]),
    ]
    with pytest.raises(ModelError, match=r"node 'choice' \(If\) holds a graph of its own"):
        load(write_onnx(nodes, ("N", 3), {"c": np.array(True)}))


def test_opsets_outside_of_the_range(write_onnx: OnnxWriter) -> None:
    path = write_onnx([conv()], IMAGE, WEIGHTS)
    model = onnx.load(path)
    for version, text in (
        (6, "has the opset 6; 7 to .* are supported; convert it with onnx.version_converter"),
        (999, "has the opset 999; onnx .* knows .* at most: update it"),
    ):
        model.opset_import[0].version = version
        path.write_bytes(model.SerializeToString())
        with pytest.raises(ModelError, match=text):
            load(path)


def test_functions_and_sparse_weights(write_onnx: OnnxWriter) -> None:
    path = write_onnx([conv()], IMAGE, WEIGHTS)
    model = onnx.load(path)
    model.functions.append(
        helper.make_function(
            "local", "F", ["a"], ["b"], [op("Relu", ["a"], ["b"])], [helper.make_opsetid("", 13)]
        )
    )
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=r"functions of its own \(F\).*inline_local_functions"):
        load(path)

    del model.functions[:]
    values = numpy_helper.from_array(np.ones(1, np.float32), "sparse")
    indices = numpy_helper.from_array(np.array([0]), "i")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [3]))
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=r"has sparse weights \(sparse\); only dense"):
        load(path)


# Files that are no models


def test_missing_file_and_directory(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"absent.onnx: no such file"):
        load(tmp_path / "absent.onnx")
    with pytest.raises(ModelError, match="is a directory; an ONNX file is needed"):
        load(tmp_path)
    with pytest.raises(ModelError, match="cannot read"):
        load("impossible\0name")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "is not an ONNX file, or is damaged: it holds no graph"),
        (b"\x08\x08", "is not an ONNX file, or is damaged: it holds no graph"),
        (
            b"this is a text, not a network\n" * 20,
            "is not an ONNX file, or is truncated or damaged",
        ),
        (b"\x1c\0\0\0TFL3" + bytes(100), "is a TFLite file, not an ONNX model"),
        (bytes(range(256)), "is not an ONNX file, or is truncated or damaged"),
    ],
)
def test_files_that_are_not_onnx(content: bytes, text: str, tmp_path: Path) -> None:
    path = tmp_path / "file.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=text):
        load(path)


def test_truncated_files(write_onnx: OnnxWriter) -> None:
    path = write_onnx([conv()], IMAGE, WEIGHTS)
    whole = path.read_bytes()
    for fraction in (0.1, 0.5, 0.9, 0.99):
        path.write_bytes(whole[: int(len(whole) * fraction)])
        with pytest.raises(ModelError, match=r"(is|or) truncated or damaged"):
            load(path)


@settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_damaged_files_give_a_graph_or_a_model_error(
    data: st.DataObject, write_onnx: OnnxWriter
) -> None:
    nodes = [
        conv("x", "a", pads=[1, 1, 1, 1]),
        op("MaxPool", ["a"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        op("Reshape", ["p", "s"], ["f"]),
        op("Sqrt", ["v"], ["q"]),
        op("Gemm", ["f", "d", "q"], ["g"]),
        op("Softmax", ["g"], ["y"]),
    ]
    constants = {
        **WEIGHTS,
        "s": np.array([-1, 24]),
        "d": (24, 2),
        "v": np.array([4.0, 9.0], np.float32),
    }
    path = write_onnx(nodes, IMAGE, constants)
    content = bytearray(path.read_bytes())
    places = st.integers(0, len(content) - 1)
    for place, value in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=6)):
        content[place] = value
    start, end = sorted((data.draw(places), data.draw(places)))
    match data.draw(st.sampled_from(("keep", "truncate", "cut", "repeat"))):
        case "truncate":
            del content[end:]
        case "cut":
            del content[start : min(end, start + 16)]
        case "repeat":
            content[end:end] = content[start:end]
    path.write_bytes(content)
    try:
        graph = load(path)
    except ModelError as error:
        assert "\n" not in str(error)
    else:
        graph.verify()
