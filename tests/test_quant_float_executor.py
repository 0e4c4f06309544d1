"""The float executor agrees with onnxruntime on every op and on whole networks."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx.helper import make_node as op

from shiftwork.errors import DataError
from shiftwork.quant import float_executor
from shiftwork.quant.graph import AveragePool, Conv, Graph, Layout
from shiftwork.quant.onnx_import import load
from shiftwork.quant.passes import simplify


@dataclass(frozen=True)
class Case:
    """A small network; constants are arrays, or shapes to be filled with random numbers."""

    shape: tuple[Any, ...]
    nodes: list[onnx.NodeProto]
    constants: dict[str, Any] = field(default_factory=dict)
    opset: int = 13


def conv(
    shape: tuple[int, ...], weights: tuple[int, ...], opset: int = 13, **attributes: Any
) -> Case:
    """One convolution with a bias."""
    return Case(
        ("N", *shape),
        [op("Conv", ["x", "w", "b"], ["y"], **attributes)],
        {"w": weights, "b": weights[:1]},
        opset,
    )


def layer(kind: str, shape: tuple[int, ...], opset: int = 13, **attributes: Any) -> Case:
    """One layer without constants."""
    return Case(("N", *shape), [op(kind, ["x"], ["y"], **attributes)], opset=opset)


def binary(kind: str, shape: tuple[int, ...], constant: Any, *, swap: bool = False) -> Case:
    """An elementwise op with a constant, in front of a 1x1 convolution or a dense layer."""
    inputs = ["c", "x"] if swap else ["x", "c"]
    if len(shape) == 1:
        tail, sizes = op("MatMul", ["t", "w"], ["y"]), [shape[0], 3]
    else:
        tail, sizes = op("Conv", ["t", "w"], ["y"]), [4, shape[0], 1, 1]
    return Case(("N", *shape), [op(kind, inputs, ["t"]), tail], {"c": constant, "w": tuple(sizes)})


def after_dense(*nodes: onnx.NodeProto, **constants: Any) -> Case:
    """A dense layer with the result ``t`` of 12 features, then ``nodes``."""
    return Case(("N", 5), [op("MatMul", ["x", "w"], ["t"]), *nodes], {"w": (5, 12), **constants})


def ints(*values: int) -> NDArray[np.int64]:
    """A constant of 64-bit integers."""
    return np.array(values, np.int64)


CHANNELS = {"s": (3,), "b": (3,), "m": (3,), "v": np.array([0.5, 1.0, 2.0], np.float32)}

CASES = {
    # Convolution
    "conv_3x3": conv((3, 9, 7), (4, 3, 3, 3)),
    "conv_no_bias": Case(("N", 3, 6, 5), [op("Conv", ["x", "w"], ["y"])], {"w": (2, 3, 3, 2)}),
    "conv_1x1": conv((5, 4, 3), (6, 5, 1, 1)),
    "conv_even_kernel": conv((2, 9, 8), (3, 2, 4, 2), pads=[1, 0, 2, 1]),
    "conv_stride": conv((3, 11, 10), (4, 3, 3, 3), strides=[2, 3], pads=[1, 1, 1, 1]),
    "conv_1x1_stride": conv((3, 7, 7), (4, 3, 1, 1), strides=[2, 2]),
    "conv_asymmetric_pads": conv((3, 7, 6), (4, 3, 3, 3), pads=[0, 1, 2, 0]),
    "conv_dilation": conv((2, 13, 12), (3, 2, 3, 3), dilations=[2, 3], pads=[2, 3, 2, 3]),
    "conv_same_upper": conv((2, 8, 7), (3, 2, 4, 3), auto_pad="SAME_UPPER", strides=[2, 2]),
    "conv_same_lower": conv((2, 8, 7), (3, 2, 4, 3), auto_pad="SAME_LOWER", strides=[3, 2]),
    "conv_same_even": conv((2, 5, 5), (3, 2, 2, 4), auto_pad="SAME_LOWER"),
    "conv_same_with_gaps": conv((2, 8, 7), (3, 2, 1, 1), auto_pad="SAME_UPPER", strides=[2, 3]),
    "conv_valid": conv((2, 8, 7), (3, 2, 3, 3), auto_pad="VALID"),
    "conv_whole_map": conv((3, 4, 5), (6, 3, 4, 5)),
    "conv_opset_7": conv((3, 9, 7), (4, 3, 3, 3), opset=7),
    "conv_newest_opset": conv((3, 9, 7), (4, 3, 3, 3), opset=21),
    "depthwise": conv((4, 8, 7), (4, 1, 3, 3), group=4, strides=[2, 1], pads=[1, 1, 1, 1]),
    "depthwise_multiplier": conv((3, 8, 7), (6, 1, 3, 2), group=3, dilations=[2, 1]),
    "grouped": conv((6, 8, 7), (4, 3, 3, 3), group=2, strides=[1, 2]),
    "grouped_1x1": conv((4, 5, 5), (4, 2, 1, 1), group=2),
    # Dense layers
    "gemm": Case(("N", 7), [op("Gemm", ["x", "w", "b"], ["y"])], {"w": (7, 4), "b": (4,)}),
    "gemm_scaled": Case(
        ("N", 7),
        [op("Gemm", ["x", "w", "b"], ["y"], alpha=0.5, beta=2.0, transB=1)],
        {"w": (4, 7), "b": (1, 4)},
    ),
    "gemm_scalar_bias": Case(
        ("N", 7), [op("Gemm", ["x", "w", "b"], ["y"])], {"w": (7, 4), "b": np.float32(3)}
    ),
    "gemm_no_bias": Case(("N", 7), [op("Gemm", ["x", "w"], ["y"])], {"w": (7, 4)}),
    "matmul": Case(("N", 7), [op("MatMul", ["x", "w"], ["y"])], {"w": (7, 4)}),
    "matmul_rows": Case(("N", 6, 7), [op("MatMul", ["x", "w"], ["y"])], {"w": (7, 4)}),
    "matmul_rank_4": Case(("N", 1, 1, 7), [op("MatMul", ["x", "w"], ["y"])], {"w": (7, 4)}),
    # Elementwise
    "add_channels": binary("Add", (3, 4, 5), (3, 1, 1)),
    "add_first": binary("Add", (3, 4, 5), (1, 3, 1, 1), swap=True),
    "add_scalar": binary("Add", (3, 4, 5), np.float32(0.7)),
    "add_vector": binary("Add", (6,), (6,)),
    "sub": binary("Sub", (3, 4, 5), (3, 1, 1)),
    "sub_first": binary("Sub", (3, 4, 5), (3, 1, 1), swap=True),
    "mul": binary("Mul", (3, 4, 5), (3, 1, 1)),
    "div": binary("Div", (3, 4, 5), np.array([[[2.0]], [[-3.0]], [[0.5]]], np.float32)),
    "add_pixels_before_dense": Case(
        ("N", 2, 3, 4),
        [
            op("Sub", ["x", "c"], ["t"]),
            op("Flatten", ["t"], ["f"]),
            op("MatMul", ["f", "w"], ["y"]),
        ],
        {"c": (2, 3, 4), "w": (24, 5)},
    ),
    "residual": Case(
        ("N", 3, 6, 5),
        [
            op("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1]),
            op("Add", ["a", "x"], ["sum"]),
            op("BatchNormalization", ["sum", "s", "b", "m", "v"], ["n"]),
            op("Relu", ["n"], ["r"]),
            op("Conv", ["r", "w1"], ["c"], strides=[2, 2]),
            op("Conv", ["sum", "w2"], ["d"], strides=[2, 2]),
            op("Add", ["d", "c"], ["e"]),
            op("Relu", ["e"], ["y"]),
        ],
        {"w": (3, 3, 3, 3), "w1": (4, 3, 1, 1), "w2": (4, 3, 1, 1), **CHANNELS},
    ),
    "residual_of_vectors": after_dense(
        op("Relu", ["t"], ["r"]), op("Add", ["r", "t"], ["a"]), op("Add", ["a", "a"], ["y"])
    ),
    "residual_nhwc": Case(
        ("N", 6, 5, 3),
        [
            op("Relu", ["x"], ["r"]),
            op("Add", ["r", "x"], ["a"]),
            op("Transpose", ["a"], ["t"], perm=[0, 3, 1, 2]),
            op("Conv", ["t", "w"], ["y"]),
        ],
        {"w": (4, 3, 3, 3)},
    ),
    "affine_before_depthwise": Case(
        ("N", 3, 6, 5),
        [
            op("BatchNormalization", ["x", "s", "b", "m", "v"], ["n"]),
            op("Conv", ["n", "w"], ["c"], group=3),
            op("BatchNormalization", ["c", "s", "b", "m", "v"], ["y"]),
        ],
        {"w": (3, 1, 3, 3), **CHANNELS},
    ),
    "pad_before_conv": Case(
        ("N", 3, 6, 5),
        [op("Pad", ["x", "p"], ["a"]), op("Conv", ["a", "w"], ["y"], pads=[1, 0, 0, 0])],
        {"p": ints(0, 0, 1, 2, 0, 0, 0, 3), "w": (4, 3, 3, 3)},
    ),
    "pad_before_conv_same": Case(
        ("N", 3, 6, 5),
        [
            op("Pad", ["x", "p", "", "axes"], ["a"]),
            op("Conv", ["a", "w"], ["y"], auto_pad="SAME_UPPER", strides=[2, 2]),
        ],
        {"p": ints(1, 2, 0, 3), "axes": ints(2, -1), "w": (4, 3, 3, 3)},
        opset=18,
    ),
    "pad_attributes_before_mean": Case(
        ("N", 3, 6, 5),
        [
            op("Pad", ["x"], ["a"], pads=[0, 0, 1, 1, 0, 0, 1, 1]),
            op("AveragePool", ["a"], ["y"], kernel_shape=[3, 3], strides=[2, 2]),
        ],
        opset=10,
    ),
    "pad_before_maximum": Case(
        ("N", 3, 6, 5),
        [
            op("Relu", ["x"], ["r"]),
            op("MaxPool", ["r"], ["q"], kernel_shape=[1, 1]),
            op("Pad", ["q", "p"], ["a"]),
            op("MaxPool", ["a"], ["y"], kernel_shape=[3, 3], strides=[2, 2]),
        ],
        {"p": ints(0, 0, 1, 1, 0, 0, 1, 1)},
    ),
    "relu": layer("Relu", (3, 5, 4)),
    "relu_vector": layer("Relu", (9,)),
    "clip_attributes": layer("Clip", (3, 5, 4), opset=10, min=-0.25, max=0.75),
    "clip_one_attribute": layer("Clip", (3, 5, 4), opset=7, max=0.5),
    "clip_inputs": Case(
        ("N", 3, 4, 4),
        [op("Clip", ["x", "lo", "hi"], ["y"])],
        {"lo": np.float32(0), "hi": np.float32(0.5)},
    ),
    "clip_upper_input": Case(
        ("N", 3, 4, 4), [op("Clip", ["x", "", "hi"], ["y"])], {"hi": np.float32(0.5)}
    ),
    "clip_crossed": Case(
        ("N", 3, 4, 4),
        [op("Clip", ["x", "lo", "hi"], ["y"])],
        {"lo": np.float32(0.5), "hi": np.float32(0.25)},
    ),
    "batchnorm": Case(
        ("N", 3, 5, 4),
        [op("BatchNormalization", ["x", "s", "b", "m", "v"], ["y"], epsilon=1e-3)],
        CHANNELS,
    ),
    "batchnorm_opset_7": Case(
        ("N", 3, 5, 4),
        [op("BatchNormalization", ["x", "s", "b", "m", "v"], ["y"])],
        CHANNELS,
        opset=7,
    ),
    "batchnorm_vector": Case(
        ("N", 3), [op("BatchNormalization", ["x", "s", "b", "m", "v"], ["y"])], CHANNELS
    ),
    # Pooling
    "max_pool": layer("MaxPool", (3, 8, 6), kernel_shape=[2, 2], strides=[2, 2]),
    "max_pool_overlap": layer("MaxPool", (3, 9, 8), kernel_shape=[3, 2]),
    "max_pool_pads": layer(
        "MaxPool", (2, 7, 7), kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]
    ),
    "max_pool_asymmetric": layer(
        "MaxPool", (2, 8, 7), kernel_shape=[3, 3], strides=[2, 1], pads=[0, 2, 1, 0]
    ),
    "max_pool_ceil": layer("MaxPool", (2, 8, 7), kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
    "max_pool_ceil_pads": layer(
        "MaxPool", (2, 6, 7), kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=1
    ),
    "max_pool_ceil_far": layer(
        "MaxPool", (2, 4, 5), kernel_shape=[1, 2], strides=[3, 4], pads=[0, 0, 0, 1], ceil_mode=1
    ),
    "max_pool_ceil_larger_than_map": layer(
        "MaxPool", (2, 3, 5), kernel_shape=[4, 2], strides=[2, 2], ceil_mode=1
    ),
    "max_pool_same": layer(
        "MaxPool", (2, 8, 7), kernel_shape=[3, 2], strides=[2, 2], auto_pad="SAME_UPPER"
    ),
    "max_pool_same_lower": layer(
        "MaxPool", (2, 8, 7), kernel_shape=[2, 2], strides=[1, 1], auto_pad="SAME_LOWER"
    ),
    "max_pool_opset_7": layer("MaxPool", (3, 8, 6), opset=7, kernel_shape=[2, 2]),
    "average_pool": layer("AveragePool", (3, 8, 6), kernel_shape=[2, 3], strides=[2, 3]),
    "average_pool_pads": layer(
        "AveragePool", (2, 7, 6), kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]
    ),
    "average_pool_include_pads": layer(
        "AveragePool",
        (2, 7, 6),
        kernel_shape=[3, 3],
        strides=[2, 2],
        pads=[1, 0, 1, 2],
        count_include_pad=1,
    ),
    "average_pool_ceil": layer(
        "AveragePool", (2, 8, 7), opset=19, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1
    ),
    "average_pool_ceil_pads": layer(
        "AveragePool",
        (2, 6, 8),
        opset=19,
        kernel_shape=[3, 3],
        strides=[2, 2],
        pads=[1, 1, 1, 1],
        ceil_mode=1,
    ),
    "average_pool_ceil_include": layer(
        "AveragePool",
        (2, 8, 7),
        opset=19,
        kernel_shape=[3, 3],
        strides=[2, 2],
        ceil_mode=1,
        count_include_pad=1,
    ),
    "average_pool_same": layer(
        "AveragePool", (2, 8, 7), kernel_shape=[3, 2], strides=[2, 2], auto_pad="SAME_UPPER"
    ),
    "global_average_pool": layer("GlobalAveragePool", (5, 6, 7)),
    "global_max_pool": layer("GlobalMaxPool", (5, 6, 7)),
    "reduce_mean": layer("ReduceMean", (5, 6, 7), axes=[2, 3]),
    "reduce_mean_flat": layer("ReduceMean", (5, 6, 7), axes=[-1, -2], keepdims=0),
    "reduce_mean_input": Case(
        ("N", 5, 6, 7),
        [op("ReduceMean", ["x", "a"], ["y"], keepdims=0)],
        {"a": ints(2, 3)},
        opset=18,
    ),
    "reduce_mean_nhwc": layer("ReduceMean", (6, 7, 5), axes=[1, 2], keepdims=0),
    "reduce_mean_rows": layer("ReduceMean", (5, 6, 7), axes=[2]),
    "reduce_mean_columns": layer("ReduceMean", (5, 6, 7), axes=[3], keepdims=0),
    # Rearranging
    "flatten": Case(
        ("N", 3, 4, 5),
        [
            op("Relu", ["x"], ["r"]),
            op("Flatten", ["r"], ["f"]),
            op("Gemm", ["f", "w"], ["y"]),
        ],
        {"w": (60, 6)},
    ),
    "flatten_input": Case(
        ("N", 3, 4, 5),
        [op("Flatten", ["x"], ["f"], axis=-3), op("Gemm", ["f", "w"], ["y"])],
        {"w": (60, 6)},
    ),
    "reshape_keep": Case(
        ("N", 3, 4, 5),
        [
            op("GlobalMaxPool", ["x"], ["p"]),
            op("Reshape", ["p", "shape"], ["f"]),
            op("MatMul", ["f", "w"], ["y"]),
        ],
        {"shape": ints(0, -1), "w": (3, 6)},
    ),
    "reshape_computed": Case(
        ("N", 3, 4, 5),
        [
            op("MaxPool", ["x"], ["p"], kernel_shape=[2, 2]),
            op("Shape", ["p"], ["s"]),
            op("Gather", ["s", "zero"], ["n"], axis=0),
            op("Unsqueeze", ["n", "axes"], ["n1"]),
            op("Concat", ["n1", "rest"], ["shape"], axis=0),
            op("Reshape", ["p", "shape"], ["f"]),
            op("MatMul", ["f", "w"], ["y"]),
        ],
        {"zero": np.array(0), "axes": ints(0), "rest": ints(-1), "w": (36, 6)},
    ),
    "reshape_to_image": Case(
        ("N", 30),
        [op("Reshape", ["x", "shape"], ["i"]), op("Conv", ["i", "w"], ["y"])],
        {"shape": ints(-1, 1, 5, 6), "w": (4, 1, 3, 3)},
    ),
    "image_without_channels": Case(
        ("N", 5, 6),
        [op("Unsqueeze", ["x"], ["i"], axes=[1]), op("Conv", ["i", "w"], ["y"])],
        {"w": (4, 1, 3, 3)},
        opset=11,
    ),
    "scaled_image_without_channels": Case(
        ("N", 5, 6),
        [
            op("Div", ["x", "c"], ["d"]),
            op("Reshape", ["d", "shape"], ["i"]),
            op("Conv", ["i", "w"], ["y"]),
        ],
        {"c": np.float32(255), "shape": ints(0, 1, 5, 6), "w": (4, 1, 3, 3)},
    ),
    "squeeze": Case(
        ("N", 3, 4, 5),
        [
            op("GlobalAveragePool", ["x"], ["p"]),
            op("Squeeze", ["p"], ["f"], axes=[2, 3]),
            op("Gemm", ["f", "w"], ["y"]),
        ],
        {"w": (3, 6)},
        opset=12,
    ),
    "squeeze_unsqueeze_inputs": after_dense(
        op("Unsqueeze", ["t", "a"], ["u"]),
        op("Squeeze", ["u", "a"], ["s"]),
        op("Relu", ["s"], ["y"]),
        a=ints(1),
    ),
    "nhwc_input": Case(
        ("N", 6, 5, 3),
        [op("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]), op("Conv", ["t", "w"], ["y"])],
        {"w": (4, 3, 3, 3)},
    ),
    "nhwc_scaled_input": Case(
        ("N", 6, 5, 3),
        [
            op("Mul", ["x", "c"], ["m"]),
            op("Transpose", ["m"], ["t"], perm=[0, 3, 1, 2]),
            op("Conv", ["t", "w"], ["c1"]),
            op("Transpose", ["c1"], ["y"], perm=[0, 2, 3, 1]),
        ],
        {"c": (3,), "w": (4, 3, 3, 3)},
    ),
    "nhwc_flatten": Case(
        ("N", 3, 6, 5),
        [
            op("Conv", ["x", "w"], ["c"]),
            op("Transpose", ["c"], ["t"], perm=[0, 2, 3, 1]),
            op("Flatten", ["t"], ["f"]),
            op("Gemm", ["f", "d"], ["y"]),
        ],
        {"w": (4, 3, 3, 3), "d": (48, 7)},
    ),
    "transposed_output": Case(
        ("N", 3, 6, 5),
        [op("Conv", ["x", "w"], ["c"]), op("Transpose", ["c"], ["y"], perm=[0, 2, 3, 1])],
        {"w": (4, 3, 3, 3)},
    ),
    "flat_output": Case(
        ("N", 3, 6, 5),
        [op("Conv", ["x", "w"], ["c"]), op("Flatten", ["c"], ["y"])],
        {"w": (4, 3, 3, 3)},
    ),
    "identity_dropout_cast": after_dense(
        op("Identity", ["t"], ["i"]),
        op("Dropout", ["i"], ["d"]),
        op("Cast", ["d"], ["c"], to=onnx.TensorProto.FLOAT),
        op("Relu", ["c"], ["y"]),
    ),
    # Constants
    "constant_node": after_dense(
        op("Constant", [], ["c"], value_float=0.3), op("Add", ["t", "c"], ["y"])
    ),
    "folded_constants": after_dense(
        op("Sqrt", ["v"], ["q"]),
        op("Mul", ["q", "q"], ["q2"]),
        op("Transpose", ["q2"], ["c"]),
        op("Add", ["c", "t"], ["y"]),
        v=np.full((12, 1), 2.0, np.float32),
    ),
    # Networks
    "two_branches_one_used": after_dense(
        op("Relu", ["t"], ["y"]), op("Sigmoid", ["t"], ["unused"])
    ),
    "small_cnn": Case(
        ("N", 1, 12, 12),
        [
            op("Sub", ["x", "mean"], ["x1"]),
            op("Div", ["x1", "std"], ["x2"]),
            op("Conv", ["x2", "w1"], ["c1"], pads=[1, 1, 1, 1]),
            op("BatchNormalization", ["c1", "s", "b", "m", "v"], ["n1"]),
            op("Relu", ["n1"], ["r1"]),
            op("MaxPool", ["r1"], ["p1"], kernel_shape=[2, 2], strides=[2, 2]),
            op("Conv", ["p1", "w2", "b2"], ["c2"]),
            op("Clip", ["c2", "zero", "six"], ["r2"]),
            op("Flatten", ["r2"], ["f"]),
            op("Gemm", ["f", "w3", "b3"], ["y"], transB=1),
        ],
        {
            "mean": np.float32(0.13),
            "std": np.float32(0.3),
            "w1": (3, 1, 3, 3),
            **CHANNELS,
            "w2": (5, 3, 3, 3),
            "b2": (5,),
            "zero": np.float32(0),
            "six": np.float32(6),
            "w3": (10, 80),
            "b3": (10,),
        },
    ),
}


def outputs(graph: Graph, x: NDArray) -> NDArray:
    """The network's output in the source model's layout."""
    samples = graph.input_layout.to_nhwc(x, graph.shapes[graph.input])
    return graph.output_layout.from_nhwc(float_executor.run(graph, samples))


def onnxruntime_outputs(path: Path, x: NDArray) -> NDArray:
    """What onnxruntime computes."""
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def assert_close(actual: NDArray, expected: NDArray, tolerance: float) -> None:
    """Same shape, and equal within ``tolerance`` of the largest magnitude."""
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * abs(expected).max())


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_onnxruntime(name: str, write_onnx: Callable[..., Path]) -> None:
    case = CASES[name]
    path = write_onnx(case.nodes, case.shape, case.constants, opset=case.opset)
    x = np.random.default_rng(2).normal(size=(3, *case.shape[1:])).astype(np.float32)
    expected = onnxruntime_outputs(path, x)
    graph = load(path)
    assert_close(outputs(graph, x), expected, 1e-4)
    assert_close(outputs(simplify(graph), x), expected, 1e-4)


def test_mnist_8_agrees_with_its_reference(shared: Path) -> None:
    graph = load(shared / "models/onnx_mnist8/mnist-8.onnx")
    images = np.load(shared / "data/mnist/mnist_dev.npz")["x"]
    reference = np.load(shared / "models/onnx_mnist8/mnist-8_ref.npz")
    result = outputs(graph, images)
    assert_close(result[:200], reference["out_first200"], 1e-4)
    np.testing.assert_array_equal(result.argmax(axis=1), reference["argmax_dev"])


def test_trace_holds_every_value_and_ends_with_the_output(write_onnx: Callable[..., Path]) -> None:
    case = CASES["small_cnn"]
    graph = load(write_onnx(case.nodes, case.shape, case.constants))
    x = np.random.default_rng(3).normal(size=(5, 12, 12, 1)).astype(np.float32)
    values = float_executor.trace(graph, x)
    assert set(values) == set(graph.shapes)
    assert all(values[name].shape == (5, *shape) for name, shape in graph.shapes.items())
    np.testing.assert_array_equal(values[graph.input], x)
    np.testing.assert_array_equal(values[graph.output], float_executor.run(graph, x))


def test_blocks_do_not_change_the_result(
    write_onnx: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES["small_cnn"]
    graph = load(write_onnx(case.nodes, case.shape, case.constants))
    x = np.random.default_rng(4).normal(size=(7, 12, 12, 1)).astype(np.float32)
    expected = float_executor.run(graph, x)
    monkeypatch.setattr(float_executor, "BLOCK_ELEMENTS", 500)
    assert_close(float_executor.run(graph, x), expected, 1e-6)


def test_padding_counts_only_if_asked() -> None:
    ones = np.ones((1, 2, 2, 1), np.float32)
    pool = AveragePool(
        name="p", input="x", output="y", kernel=(2, 2), stride=(2, 2), padding=(1, 1, 1, 1)
    )
    assert float_executor.average_pool(pool, ones).min() == 1
    counted = AveragePool(**{**vars(pool), "count_include_pad": True})
    assert float_executor.average_pool(counted, ones).max() == 0.25


def tiny_graph() -> Graph:
    """One dense layer that doubles its two inputs."""
    weights = (2 * np.eye(2, dtype=np.float32))[:, None, None, :]
    dense = Conv(name="d", input="x", output="y", weights=weights, bias=np.zeros(2, np.float32))
    layout = Layout.identity((2,))
    return Graph(
        name="tiny",
        input="x",
        output="y",
        shapes={"x": (1, 1, 2), "y": (1, 1, 2)},
        nodes=(dense,),
        input_layout=layout,
        output_layout=layout,
    )


def test_accepts_integers_and_no_samples_at_all() -> None:
    graph = tiny_graph()
    assert float_executor.run(graph, np.full((1, 1, 1, 2), 200, np.uint8)).tolist() == [
        [[[400.0, 400.0]]]
    ]
    assert float_executor.run(graph, np.zeros((0, 1, 1, 2))).shape == (0, 1, 1, 2)


def test_wrong_shape_is_an_error() -> None:
    with pytest.raises(DataError, match=r"must have the shape \[N, 1, 1, 2\], not \[3, 2\]"):
        float_executor.run(tiny_graph(), np.zeros((3, 2)))
