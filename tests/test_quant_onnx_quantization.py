"""ONNX models with QuantizeLinear and DequantizeLinear: constants, saturation, grids."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx.helper import make_node as op

from shiftwork.quant import float_executor
from shiftwork.quant.graph import Clip, Conv, Graph, Grid
from shiftwork.quant.onnx_import import load
from shiftwork.quant.passes import simplify

OnnxWriter = Callable[..., Path]
SIGNED = np.int8(0)


def pair(source: str, target: str, scale: str, zero_point: str) -> list[onnx.NodeProto]:
    """A QuantizeLinear and a DequantizeLinear; the constants' names are given."""
    return [
        op("QuantizeLinear", [source, scale, zero_point], [f"{target}_q"], name=f"{target}_q"),
        op("DequantizeLinear", [f"{target}_q", scale, zero_point], [target]),
    ]


def rounded(x: NDArray, grid: Grid) -> NDArray[np.float32]:
    """``x`` on the grid, as QuantizeLinear rounds."""
    stored = np.clip(np.rint(x / grid.scale) + grid.zero_point, grid.lo, grid.hi)
    return ((stored - grid.zero_point) * grid.scale).astype(np.float32)


def run_on_grids(graph: Graph, x: NDArray) -> NDArray:
    """The network's output if every value that has a grid is rounded to it."""
    values = {graph.input: graph.input_layout.to_nhwc(x, graph.shapes[graph.input])}
    for node in (None, *graph.nodes):
        name = graph.input if node is None else node.output
        if node is not None:
            result = float_executor.execute(node, *(values[source] for source in node.inputs))
            values[name] = result.reshape(len(x), *graph.shapes[name])
        if name in graph.grids:
            values[name] = rounded(values[name], graph.grids[name])
    return graph.output_layout.from_nhwc(values[graph.output])


def constants(**more: Any) -> dict[str, Any]:
    """Scales, zero points and quantized weights of the network below."""
    rng = np.random.default_rng(3)
    return {
        "s": np.float32(1 / 32),
        "t": np.float32(1 / 8),
        "z": SIGNED,
        "u": np.uint8(0),
        "w": rng.integers(-127, 128, (4, 3, 3, 3)).astype(np.int8),
        "ws": np.float32([1 / 64, 1 / 128, 1 / 256, 1 / 512]),
        "wz": np.zeros(4, np.int8),
        "b": rng.integers(-500, 500, 4).astype(np.int32),
        "bs": np.float32([1 / 64, 1 / 128, 1 / 256, 1 / 512]) / 32,
        "bz": np.zeros(4, np.int32),
        "v": rng.integers(-127, 128, (4, 1, 3, 3)).astype(np.int8),
        "d": rng.integers(-127, 128, (5, 4)).astype(np.int8),
    } | more


NETWORK = [
    *pair("x", "x1", "s", "z"),
    op("DequantizeLinear", ["w", "ws", "wz"], ["w1"], axis=0),
    op("DequantizeLinear", ["b", "bs", "bz"], ["b1"], axis=0),
    op("DequantizeLinear", ["v", "ws", "wz"], ["v1"], axis=0),
    op("DequantizeLinear", ["d", "s", "z"], ["d1"]),
    op("Conv", ["x1", "w1", "b1"], ["c"], pads=[1, 1, 1, 1]),
    *pair("c", "c1", "t", "u"),
    op("Conv", ["c1", "v1"], ["e"], pads=[1, 1, 1, 1], group=4),
    *pair("e", "e1", "t", "z"),
    op("Add", ["e1", "c1"], ["a"]),
    *pair("a", "a1", "t", "u"),
    op("MaxPool", ["a1"], ["m"], kernel_shape=[6, 5]),
    *pair("m", "m1", "t", "u"),
    op("Flatten", ["m1"], ["f"]),
    op("Gemm", ["f", "d1"], ["g"], transB=1),
    *pair("g", "y", "t", "z"),
]


def test_power_of_two_scales_are_exact(write_onnx: OnnxWriter) -> None:
    path = write_onnx(NETWORK, ("N", 3, 6, 5), constants())
    x = np.random.default_rng(2).normal(size=(50, 3, 6, 5)).astype(np.float32)
    runtime = pytest.importorskip("onnxruntime")
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    expected = runtime.InferenceSession(str(path), options).run(None, {"x": x})[0]
    for graph in (load(path), simplify(load(path))):
        np.testing.assert_array_equal(run_on_grids(graph, x), expected)


def test_grids_are_recorded_where_values_are_rounded(write_onnx: OnnxWriter) -> None:
    graph = load(write_onnx(NETWORK, ("N", 3, 6, 5), constants()))
    signed = Grid(scale=1 / 8, zero_point=0, lo=-128, hi=127)
    unsigned = Grid(scale=1 / 8, zero_point=0, lo=0, hi=255)
    assert graph.grids == {
        "x": Grid(scale=1 / 32, zero_point=0, lo=-128, hi=127),
        "c1_q": unsigned,
        "e1_q": signed,
        "a1_q": unsigned,
        "m": unsigned,
        "y_q": signed,
    }
    assert set(simplify(graph).grids) == set(graph.grids)


def test_weights_become_the_numbers_that_they_stand_for(write_onnx: OnnxWriter) -> None:
    values = constants()
    layer = load(write_onnx(NETWORK, ("N", 3, 6, 5), values)).nodes[0]
    assert isinstance(layer, Conv)
    expected = values["w"] * values["ws"][:, None, None, None]
    np.testing.assert_array_equal(layer.weights, expected.transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(layer.bias, values["b"] * values["bs"])


def test_saturation_stays_as_a_clip(write_onnx: OnnxWriter) -> None:
    nodes = [op("MatMul", ["x", "w"], ["c"]), *pair("c", "y", "s", "u")]
    values = {"w": (4, 3), "s": np.float32(6 / 255), "u": np.uint8(0)}
    clip = load(write_onnx(nodes, ("N", 4), values)).nodes[1]
    assert isinstance(clip, Clip)
    assert (clip.lo, clip.hi) == (0, pytest.approx(6))


def test_saturation_that_a_bound_makes_impossible_leaves_no_clip(write_onnx: OnnxWriter) -> None:
    nodes = [
        op("MatMul", ["x", "w"], ["c"]),
        op("Clip", ["c", "lo", "hi"], ["r"]),
        *pair("r", "r1", "s", "z"),
        op("MatMul", ["r1", "v"], ["y"]),
    ]
    bounds = {"lo": np.float32(0), "hi": np.float32(6)}
    values = {"w": (4, 3), "v": (3, 2), "s": np.float32(6 / 255), "z": np.int8(-128), **bounds}
    graph = load(write_onnx(nodes, ("N", 4), values))
    assert [type(node) for node in graph.nodes] == [Conv, Clip, Conv]
    assert graph.grids == {
        "r": Grid(scale=float(np.float32(6 / 255)), zero_point=-128, lo=-128, hi=127)
    }


def test_quantized_input_is_given_in_real_units(write_onnx: OnnxWriter) -> None:
    nodes = [op("DequantizeLinear", ["x", "s", "z"], ["x1"]), op("MatMul", ["x1", "w"], ["y"])]
    values = {"w": (4, 3), "s": np.float32(0.5), "z": np.int8(7)}
    graph = load(write_onnx(nodes, ("N", 4), values, dtype=onnx.TensorProto.INT8))
    assert graph.grids == {"x": Grid(scale=0.5, zero_point=7, lo=-128, hi=127)}
    assert [type(node) for node in graph.nodes] == [Conv]


def test_a_border_of_zeros_passes_through_quantization(write_onnx: OnnxWriter) -> None:
    nodes = [
        op("Pad", ["x", "p"], ["a"]),
        *pair("a", "a1", "s", "z"),
        op("Conv", ["a1", "w"], ["y"]),
    ]
    border = np.array([0, 0, 1, 2, 0, 0, 0, 1])
    values = {"p": border, "s": np.float32(0.5), "z": SIGNED, "w": (4, 3, 3, 3)}
    layer = load(write_onnx(nodes, ("N", 3, 6, 5), values)).nodes[0]
    assert isinstance(layer, Conv)
    assert layer.padding == (1, 2, 0, 1)


def test_ops_for_the_host_are_dropped_before_quantization(write_onnx: OnnxWriter) -> None:
    nodes = [
        op("MatMul", ["x", "w"], ["a"]),
        op("Softmax", ["a"], ["p"]),
        *pair("p", "y", "s", "u"),
    ]
    values = {"w": (4, 3), "s": np.float32(1 / 256), "u": np.uint8(0)}
    graph = load(write_onnx(nodes, ("N", 4), values))
    assert graph.output == "a"
    assert graph.dropped == ("Softmax", "QuantizeLinear", "DequantizeLinear")
