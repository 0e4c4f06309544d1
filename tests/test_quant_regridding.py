"""Values that a quantized model rounds more than once, and integers that it limits."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx.helper import make_node as op
from test_examples_export_brevitas import evaluated, half_up

from shiftwork.errors import ModelError
from shiftwork.quant.canonical import canonical
from shiftwork.quant.graph import Clip, Conv, Grid, MaxPool
from shiftwork.quant.onnx_import import load
from shiftwork.quant.program import Program
from shiftwork.quant.quantizer import ANEW, quantize
from shiftwork.quant.regridding import contains, grid_of, rounds_anew
from shiftwork.sim import golden

OnnxWriter = Callable[..., Path]
FINE = Grid(scale=1 / 64, zero_point=0, lo=-128, hi=127)
COARSE = Grid(scale=1 / 4, zero_point=0, lo=-128, hi=127)


def pair(source: str, target: str, scale: str, zero_point: str) -> list[onnx.NodeProto]:
    """A QuantizeLinear and a DequantizeLinear; the constants' names are given."""
    return [
        op("QuantizeLinear", [source, scale, zero_point], [f"{target}_q"], name=f"{target}_q"),
        op("DequantizeLinear", [f"{target}_q", scale, zero_point], [target]),
    ]


def constants(**more: Any) -> dict[str, Any]:
    rng = np.random.default_rng(3)
    return {
        "fine": np.float32(1 / 64),
        "coarse": np.float32(1 / 4),
        "i": np.int8(0),
        "u": np.uint8(0),
        "w": (rng.integers(-127, 128, (4, 2, 3, 3)) / 64).astype(np.float32),
        "d": (rng.integers(-127, 128, (4, 3, 1, 1)) / 64).astype(np.float32).reshape(3, 4, 1, 1),
    } | more


BEGIN = [*pair("x", "x1", "fine", "i"), op("Conv", ["x1", "w"], ["c"])]
END = [op("Conv", ["r", "d"], ["y"])]
ROUNDED_TWICE = {
    "one after the other": [*pair("c", "a", "fine", "i"), *pair("a", "r", "coarse", "i")],
    "unsigned first": [*pair("c", "a", "fine", "u"), *pair("a", "r", "coarse", "i")],
    "finer after coarse": [*pair("c", "a", "coarse", "i"), *pair("a", "r", "fine", "i")],
    "a pool between": [
        *pair("c", "a", "fine", "i"),
        op("MaxPool", ["a"], ["m"], kernel_shape=[2, 2]),
        *pair("m", "r", "coarse", "i"),
    ],
    "a relu between": [
        *pair("c", "a", "fine", "i"),
        op("Relu", ["a"], ["b"]),
        *pair("b", "r", "coarse", "u"),
    ],
    "both are read": [
        *pair("c", "a", "fine", "i"),
        *pair("a", "b", "coarse", "i"),
        op("Conv", ["a", "one"], ["s"], group=4),
        *pair("s", "t", "coarse", "i"),
        op("Add", ["t", "b"], ["e"]),
        *pair("e", "r", "coarse", "i"),
    ],
    "a sum": [
        *pair("c", "a", "fine", "i"),
        op("Add", ["a", "a"], ["e"]),
        *pair("e", "b", "fine", "i"),
        *pair("b", "r", "coarse", "i"),
    ],
}
LIMITED = {
    "a clip of integers": [
        op("QuantizeLinear", ["c", "fine", "i"], ["q"]),
        op("Clip", ["q", "least", "most"], ["k"]),
        op("DequantizeLinear", ["k", "fine", "i"], ["r"]),
    ],
    "a pool and a clip of integers": [
        op("QuantizeLinear", ["c", "fine", "u"], ["q"]),
        op("MaxPool", ["q"], ["m"], kernel_shape=[2, 2]),
        op("Clip", ["m", "none", "ten"], ["k"]),
        op("DequantizeLinear", ["k", "fine", "u"], ["r"]),
    ],
    "a relu behind the grid": [*pair("c", "a", "fine", "i"), op("Relu", ["a"], ["r"])],
    "an input of fewer bits": [
        op("QuantizeLinear", ["c", "coarse", "i"], ["q"]),
        op("Relu", ["q"], ["k"]),
        op("DequantizeLinear", ["k", "coarse", "i"], ["r"]),
    ],
}
BOUNDS = {
    "least": np.int8(-7),
    "most": np.int8(7),
    "none": np.uint8(0),
    "ten": np.uint8(10),
    "one": np.ones((4, 1, 1, 1), np.float32),
}


def exact(path: Path) -> tuple[Program, NDArray[np.float32]]:
    """The program, taken over, and inputs."""
    lines: list[str] = []
    x = np.random.default_rng(1).normal(size=(40, 2, 6, 6)).astype(np.float32)
    program = quantize(load(path), x[:2], progress=lines.append)
    assert not lines, "quantized anew"
    return program, x


@pytest.mark.parametrize("name", ROUNDED_TWICE | LIMITED)
def test_the_program_rounds_and_limits_as_the_model(write_onnx: OnnxWriter, name: str) -> None:
    nodes = [*BEGIN, *(ROUNDED_TWICE | LIMITED)[name], *END]
    path = write_onnx(nodes, ("N", 2, 6, 6), constants(**BOUNDS))
    program, x = exact(path)
    got = program.dequantize_output(golden.run(program, program.quantize_input(x)))
    np.testing.assert_array_equal(got, evaluated(path, x, half_up))


def test_an_input_that_is_rounded_twice(write_onnx: OnnxWriter) -> None:
    nodes = [*pair("x", "a", "fine", "i"), *pair("a", "b", "coarse", "i")]
    nodes.append(op("Conv", ["b", "w"], ["y"]))
    path = write_onnx(nodes, ("N", 2, 6, 6), constants())
    program, x = exact(path)
    got = program.dequantize_output(golden.run(program, program.quantize_input(x)))
    np.testing.assert_array_equal(got, evaluated(path, x, half_up))


@pytest.mark.parametrize("name", ["one after the other", "finer after coarse"])
@pytest.mark.parametrize("scale", ["coarse", "fine"])
def test_one_scale_that_is_no_power_of_two(write_onnx: OnnxWriter, name: str, scale: str) -> None:
    nodes = [op("Conv", ["x", "w"], ["c"]), *ROUNDED_TWICE[name], *END]
    path = write_onnx(nodes, ("N", 2, 6, 6), constants(**{scale: np.float32(0.3)}))
    lines: list[str] = []
    program = quantize(load(path), np.ones((2, 2, 6, 6), np.float32), progress=lines.append)
    assert lines[0] == ANEW
    assert len(program.ops) == 2


def test_bounds_of_integers_count_steps(write_onnx: OnnxWriter) -> None:
    nodes = [
        op("MatMul", ["x", "w"], ["c"]),
        op("QuantizeLinear", ["c", "s", "z"], ["q"]),
        op("Clip", ["q", "", "most"], ["k"]),
        op("DequantizeLinear", ["k", "s", "z"], ["r"]),
        op("MatMul", ["r", "w"], ["y"]),
    ]
    values = {"w": (4, 4), "s": np.float32(0.5), "z": np.uint8(3), "most": np.uint8(15)}
    graph = load(write_onnx(nodes, ("N", 4), values))
    assert graph.grids["k"] == Grid(scale=0.5, zero_point=3, lo=0, hi=15)
    clips = [(node.lo, node.hi) for node in graph.nodes if isinstance(node, Clip)]
    assert clips == [(-1.5, 126.0), (-1.5, 6.0)]
    assert [(clip.lo, clip.hi) for clip in canonical(graph).nodes if isinstance(clip, Clip)] == [
        (-1.5, 6.0)
    ]


@pytest.mark.parametrize(
    ("node", "text"),
    [
        (op("Add", ["q", "z"], ["k"], name="n"), r"computes with the integers of a QuantizeLinear"),
        (op("Cast", ["q"], ["k"], name="n", to=1), r"computes with the integers of a Quantize"),
        (op("Pad", ["q", "pads"], ["k"], name="n"), r"computes with the integers of a Quantize"),
        (
            op("Clip", ["q", "", "below"], ["k"], name="n"),
            "leaves nothing of the integers 0 to 255",
        ),
    ],
)
def test_what_integers_cannot_pass(write_onnx: OnnxWriter, node: onnx.NodeProto, text: str) -> None:
    nodes = [
        op("Conv", ["x", "w"], ["c"]),
        op("QuantizeLinear", ["c", "s", "z"], ["q"]),
        node,
        op("DequantizeLinear", ["k", "s", "z"], ["y"]),
    ]
    values = {
        "w": (4, 2, 3, 3),
        "s": np.float32(0.5),
        "z": np.uint8(3),
        "below": np.int8(-1),
        "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
    }
    with pytest.raises(ModelError, match=rf"node 'n' \({node.op_type}\) {text}"):
        load(write_onnx(nodes, ("N", 2, 6, 6), values))


def test_grids_are_those_that_values_lie_on() -> None:
    conv = Conv(
        name="c",
        input="x",
        output="c",
        weights=np.ones((1, 1, 1, 1), np.float32),
        bias=np.zeros(1, np.float32),
    )
    pool = MaxPool(name="m", input="c", output="m", kernel=(2, 2), stride=(2, 2))
    assert grid_of([conv, pool], {"c": FINE}, "m") == FINE
    assert grid_of([conv, pool], {"c": FINE, "m": COARSE}, "m") == COARSE
    assert grid_of([conv, pool], {"x": FINE}, "m") is None


def test_rounding_anew_is_between_powers_of_two() -> None:
    third = Grid(scale=1 / 3, zero_point=0, lo=-128, hi=127)
    assert rounds_anew(FINE, COARSE)
    assert rounds_anew(COARSE, FINE)
    for first, second in ((FINE, FINE), (FINE, third), (third, FINE), (None, FINE), (FINE, None)):
        assert not rounds_anew(first, second)


def test_bounds_on_a_grid() -> None:
    assert contains(COARSE, -np.inf, 0.75)
    assert not contains(COARSE, 0.0, 0.8)
    assert not contains(None, 0.0)
