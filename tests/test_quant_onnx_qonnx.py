"""ONNX models with QONNX's Quant: constants, saturation, grids, and the same bits as the model."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from shiftwork.errors import ModelError
from shiftwork.quant import onnx_qonnx
from shiftwork.quant.graph import Clip, Conv, Graph, Grid
from shiftwork.quant.onnx_import import load
from shiftwork.quant.options import QuantizerOptions
from shiftwork.quant.quantizer import quantize
from shiftwork.sim import golden

DOMAIN = onnx_qonnx.DOMAINS[0]
Writer = Callable[..., Path]
Nearest = Callable[[NDArray], NDArray]


def quant(
    source: str, target: str, scale: str, bits: str = "b8", zero: str = "zero", **attributes: Any
) -> onnx.NodeProto:
    """A Quant node; scale, zero point and bit width are names of constants."""
    settings = {"signed": 1, "narrow": 0, "rounding_mode": "ROUND"} | attributes
    domain = settings.pop("domain", DOMAIN)
    return helper.make_node(
        "Quant", [source, scale, zero, bits], [target], name=target, domain=domain, **settings
    )


@pytest.fixture
def write(tmp_path: Path) -> Writer:
    """Writes a model with QONNX's domain; arguments: nodes, shape of ``x``, constants."""

    def write(nodes: list, shape: list, constants: dict[str, Any], domain: str = DOMAIN) -> Path:
        graph = helper.make_graph(
            nodes,
            "network",
            [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
            [numpy_helper.from_array(np.asarray(v, np.float32), k) for k, v in constants.items()],
        )
        opsets = [helper.make_opsetid("", 13), helper.make_opsetid(domain, 1)]
        path = tmp_path / "qonnx.onnx"
        path.write_bytes(helper.make_model(graph, opset_imports=opsets).SerializeToString())
        return path

    return write


def half_up(x: NDArray) -> NDArray:
    """As the program rounds; QONNX rounds a value midway to the even integer."""
    return np.floor(x + 0.5)


def rounded(
    x: NDArray,
    scale: NDArray,
    bits: int,
    *,
    signed: bool,
    narrow: bool,
    nearest: Nearest = np.round,
) -> NDArray:
    """QONNX's definition for a zero point of 0, in float64."""
    lo, hi = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    lo, hi = lo + (signed and narrow), hi - (narrow and not signed)
    return nearest(np.clip(np.asarray(x, np.float64) / scale, lo, hi)) * scale


COARSE = (1 / 16, 1 / 16, 1 / 16)
FINE = (1 / 512, 1 / 64, 1 / 64)
"""Finer than the products: no sum lies midway between two outputs."""
CONSTANTS = {"zero": 0, "b8": 8, "b4": 4, "b6": 6, "s": 1 / 32, "t": 1 / 4}


def network(steps: tuple[float, float, float]) -> tuple[list, dict[str, Any]]:
    """Two convolutions and a dense layer with weights of 4 bits, activations of 8, 6 and 8.

    The biases of the three are odd multiples of ``steps``.
    """
    rng = np.random.default_rng(5)

    def odd(count: int) -> NDArray:
        return 2 * rng.integers(-20, 20, count) + 1

    constants = CONSTANTS | {
        "w": rng.normal(size=(6, 2, 3, 3)),
        "ws": np.exp2(rng.integers(-3, 0, (6, 1, 1, 1))),
        "v": rng.normal(size=(6, 1, 3, 3)),
        "vs": 1 / 4,
        "d": rng.normal(size=(150, 5)),
        "ds": 1 / 8,
        "wb": odd(6) * steps[0],
        "vb": odd(6) * steps[1],
        "db": odd(5) * steps[2],
    }
    nodes = [
        quant("x", "x1", "s"),
        quant("w", "w1", "ws", "b4", narrow=1),
        quant("v", "v1", "vs", "b4", narrow=1),
        quant("d", "d1", "ds", "b4"),
        helper.make_node("Conv", ["x1", "w1", "wb"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["c1"]),
        quant("c1", "c2", "t", "b6", signed=0),
        helper.make_node("Conv", ["c2", "v1", "vb"], ["e"], group=6, pads=[1, 1, 1, 1]),
        quant("e", "e1", "t", narrow=1),
        helper.make_node("Flatten", ["e1"], ["f"]),
        helper.make_node("Gemm", ["f", "d1", "db"], ["y"]),
    ]
    return nodes, constants


def expected(constants: dict[str, Any], x: NDArray, nearest: Nearest) -> NDArray:
    """The network above in float64, written out; ``nearest`` rounds its feature maps."""
    weights = {
        name: rounded(constants[name], np.asarray(constants[f"{name}s"]), 4, signed=True, narrow=n)
        for name, n in (("w", True), ("v", True), ("d", False))
    }
    a = rounded(x, np.float64(1 / 32), 8, signed=True, narrow=False)
    a = np.pad(a, ((0, 0), (0, 0), (1, 1), (1, 1)))
    patches = np.lib.stride_tricks.sliding_window_view(a, (3, 3), axis=(2, 3))
    c = np.einsum("nihwkl,oikl->nohw", patches, weights["w"])
    c = np.maximum(c + np.asarray(constants["wb"])[:, None, None], 0)
    c = rounded(c, np.float64(1 / 4), 6, signed=False, narrow=False, nearest=nearest)
    c = np.pad(c, ((0, 0), (0, 0), (1, 1), (1, 1)))
    patches = np.lib.stride_tricks.sliding_window_view(c, (3, 3), axis=(2, 3))
    e = np.einsum("nchwkl,ckl->nchw", patches, weights["v"][:, 0])
    e = e + np.asarray(constants["vb"])[:, None, None]
    e = rounded(e, np.float64(1 / 4), 8, signed=True, narrow=True, nearest=nearest)
    return e.reshape(len(x), -1) @ weights["d"] + constants["db"]


@pytest.mark.parametrize(
    ("weights", "steps", "nearest"),
    [("int8", FINE, np.round), ("int8", COARSE, half_up), ("int4", COARSE, half_up)],
)
def test_the_program_computes_what_the_model_does(
    write: Writer, weights: Any, steps: tuple[float, float, float], nearest: Nearest
) -> None:
    nodes, constants = network(steps)
    graph = load(write(nodes, ["N", 2, 5, 5], constants))
    x = np.random.default_rng(1).normal(size=(300, 2, 5, 5)).astype(np.float32) * 2
    result = quantize(graph, x[:5], QuantizerOptions(weights=weights))
    got = result.dequantize_output(golden.run(result, result.quantize_input(x)))
    np.testing.assert_array_equal(got, expected(constants, x, nearest))
    assert result.codebook == (tuple(range(-8, 8)) if weights == "int4" else None)
    hidden = [(tensor.lo, tensor.hi) for tensor in result.tensors]
    assert (0, 63) in hidden
    assert (-127, 127) in hidden


@pytest.mark.parametrize("weights", ["int8", "int4"])
def test_a_bias_that_is_not_whole_is_rounded(write: Writer, weights: Any) -> None:
    """All else is taken over: the outputs differ by a step of the accumulator at most."""
    nodes, constants = network(COARSE)
    constants["db"] = constants["db"] + 0.001
    graph = load(write(nodes, ["N", 2, 5, 5], constants))
    x = np.random.default_rng(1).normal(size=(100, 2, 5, 5)).astype(np.float32) * 2
    result = quantize(graph, x[:5], QuantizerOptions(weights=weights))
    got = result.dequantize_output(golden.run(result, result.quantize_input(x)))
    error = np.abs(got - expected(constants, x, half_up))
    assert 0 < error.max() <= 1 / 64
    with_whole = constants | {"db": constants["db"] - 0.001}
    assert np.abs(got - expected(with_whole, x, half_up)).max() <= 1 / 32


def test_wider_weights_are_no_int4(write: Writer) -> None:
    nodes, constants = network(COARSE)
    nodes[2] = quant("v", "v1", "vs", "b8")
    constants["vs"] = 1 / 32
    graph = load(write(nodes, ["N", 2, 5, 5], constants))
    with pytest.raises(ModelError) as caught:
        quantize(graph, np.zeros((5, 2, 5, 5)), QuantizerOptions(weights="int4"))
    assert re.fullmatch(
        r"the network 'qonnx' is quantized already, and its weights are taken over as they are: "
        r"op '\w+' has the weight -?\d+, which is no int4 \(-8 to 7\); ask for int8, or train the "
        r"network with 4 bits, and its last layer with one scale for all channels",
        str(caught.value),
    )


def test_grids_and_clips(write: Writer) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["c"]),
        quant("c", "c1", "s", "b4", "three", signed=0, narrow=1),
        helper.make_node("MatMul", ["c1", "w"], ["y"]),
    ]
    values = CONSTANTS | {"w": np.ones((4, 4)), "three": 3}
    graph: Graph = load(write(nodes, ["N", 4], values))
    assert [type(node) for node in graph.nodes] == [Conv, Clip, Conv]
    clip = graph.nodes[1]
    assert isinstance(clip, Clip)
    assert (clip.lo, clip.hi) == (-3 / 32, 11 / 32)
    assert graph.grids == {"c1": Grid(scale=1 / 32, zero_point=3, lo=0, hi=14)}


@pytest.mark.parametrize("domain", onnx_qonnx.DOMAINS)
def test_constants_are_rounded_as_qonnx_does(write: Writer, domain: str) -> None:
    w = np.array([[-9.0, -0.75, -0.25, 0.25, 0.75, 1.25, 9.0, 0.0]]).T
    nodes = [
        quant("w", "w1", "half", "b4", narrow=1, domain=domain),
        helper.make_node("MatMul", ["x", "w1"], ["y"]),
    ]
    graph = load(write(nodes, ["N", 8], CONSTANTS | {"w": w, "half": 0.5}, domain))
    layer = graph.nodes[0]
    assert isinstance(layer, Conv)
    assert layer.weights.ravel().tolist() == [-3.5, -1.0, 0.0, 0.0, 1.0, 1.0, 3.5, 0.0]


ERRORS = [
    ({"rounding_mode": "FLOOR"}, {}, r"rounds with the mode FLOOR; supported is ROUND, to the "),
    ({}, {"b8": 16}, r"has the bit widths \[16.0\]; supported is one of 2 to 8"),
    ({}, {"b8": 1}, r"has the bit widths \[1.0\]; supported is one of 2 to 8"),
    ({}, {"b8": 4.5}, r"has the bit widths \[4.5\]; supported is one of 2 to 8"),
    ({}, {"s": 0}, r"has the scales \[0.0\]; a feature map needs one positive scale"),
    ({}, {"s": [1, 2]}, r"has the scales \[1.0, 2.0\]; a feature map needs one positive scale"),
    ({}, {"zero": 0.5}, r"has the zero points \[0.5\]; a feature map needs one whole number"),
]


@pytest.mark.parametrize(("attributes", "values", "text"), ERRORS)
def test_unsupported_activations(write: Writer, attributes: dict, values: dict, text: str) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["c"]),
        quant("c", "c1", "s", **attributes),
        helper.make_node("MatMul", ["c1", "w"], ["y"]),
    ]
    path = write(nodes, ["N", 4], CONSTANTS | {"w": np.ones((4, 4))} | values)
    with pytest.raises(ModelError, match=rf"node 'c1' \({re.escape(DOMAIN)}.Quant\) {text}"):
        load(path)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"b8": 64}, r"has the bit widths \[64.0\]; supported is one of 2 to 32"),
        ({"s": [[1, -1, 1, 1]]}, r"has the scales \[1.0, -1.0, 1.0, 1.0\]; they must be positive"),
        ({"s": [1, 2, 3]}, r"has a tensor of the shape \[4, 4\], but scales of \[3\] and zero "),
        ({"s": np.ones((2, 4, 4))}, r"makes a tensor of \[4, 4\] one of \[2, 4, 4\]"),
    ],
)
def test_unsupported_constants(write: Writer, values: dict, text: str) -> None:
    nodes = [quant("w", "w1", "s"), helper.make_node("MatMul", ["x", "w1"], ["y"])]
    path = write(nodes, ["N", 4], CONSTANTS | {"w": np.ones((4, 4))} | values)
    with pytest.raises(ModelError, match=rf"node 'w1' \({re.escape(DOMAIN)}.Quant\) {text}"):
        load(path)


def test_a_constant_without_a_bit_width(write: Writer) -> None:
    nodes = [
        helper.make_node("Quant", ["w", "s", "zero"], ["w1"], name="w1", domain=DOMAIN),
        helper.make_node("MatMul", ["x", "w1"], ["y"]),
    ]
    with pytest.raises(ModelError, match="has 3 inputs; needed are tensor, scale, zero point and"):
        load(write(nodes, ["N", 4], CONSTANTS | {"w": np.ones((4, 4))}))
