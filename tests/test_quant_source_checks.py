"""What a small file may ask for: memory and time that an importer spends are limited."""

import os
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import AttributeProto, helper
from onnx.helper import make_node as op

from shiftwork.errors import ModelError
from shiftwork.quant import onnx_import, source_checks
from shiftwork.quant.graph import Conv
from shiftwork.quant.importer import load
from shiftwork.quant.source_checks import Budget, check_size, flat, located, one_line, read_bytes

OnnxWriter = Callable[..., Path]


# Files


def test_devices_and_pipes_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    for path in (tmp_path / "pipe.onnx", Path("/dev/zero")):
        with pytest.raises(ModelError, match=r"is a device or a pipe; a model is needed"):
            read_bytes(path, "a model")


def test_files_that_no_board_could_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_checks, "MAX_FILE_BYTES", 10)
    (tmp_path / "a.onnx").write_bytes(bytes(11))
    with pytest.raises(ModelError, match=r"a\.onnx has 11 bytes; a model may have 10 at most, mor"):
        read_bytes(tmp_path / "a.onnx", "a model")


def test_names_that_no_file_has() -> None:
    with pytest.raises(ModelError, match="cannot read "):
        read_bytes(Path("a\0b"), "a model")


# Texts


def test_texts_of_one_line() -> None:
    assert flat(ValueError("a\n  b\tc\x00d")) == "a b c d"
    assert flat(ValueError("x" * 5000)) == "x" * 1997 + "..."
    assert one_line(ValueError("y" * 5000)) == "y" * 297 + "..."
    assert one_line(ValueError()) == "ValueError"
    assert one_line(KeyError("z")) == "unknown entry 'z'"


def test_an_error_names_its_file_once() -> None:
    path = Path("net.onnx")
    assert str(located(path, ModelError("node 'a\nb' is odd"))) == "net.onnx: node 'a b' is odd"
    assert str(located(path, ModelError("net.onnx is odd"))) == "net.onnx is odd"


# Numbers of elements


@pytest.mark.parametrize("shape", [(1 << 12, 1 << 12), (1 << 62, 1 << 62)])
def test_shapes_that_are_too_large(shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match=r"has the shape \[.*; a feature map may have 4194304"):
        check_size(shape, "a map")


@pytest.mark.parametrize("shape", [(-1, -1), (3, -1, 1)])
def test_shapes_that_are_none(shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match=r"a map has the shape \[.*; no dimension may be negative"):
        check_size(shape, "a map")


def test_a_budget_counts_all_layers() -> None:
    budget = Budget()
    weights = np.zeros((1, 1, 1, 4), np.float32)
    layer = Conv(name="a", input="x", output="y", weights=weights, bias=np.zeros(1, np.float32))
    for _ in range(8):
        budget.take_layer(layer, (1 << 11, 1 << 11, 1))
    with pytest.raises(ModelError, match="feature maps of the model have more than 33554432 elem"):
        budget.take_layer(layer, (1, 1, 1))
    with pytest.raises(ModelError, match="constants of the model have more than 33554432 element"):
        budget.take_constants(1 << 25)


def branches(count: int) -> list[onnx.NodeProto]:
    """1x1 convolutions side by side, all of which are added up at the end."""
    nodes = [op("Conv", ["x", "w"], [f"c{index}"]) for index in range(count)]
    total = "c0"
    for index in range(1, count):
        nodes.append(op("Add", [total, f"c{index}"], [f"s{index}"]))
        total = f"s{index}"
    return [*nodes, op("Relu", [total], ["y"])]


def test_a_small_file_with_large_feature_maps(write_onnx: OnnxWriter) -> None:
    path = write_onnx(branches(100), (1, 1, 2048, 2048), {"w": (1, 1, 1, 1)})
    assert path.stat().st_size < 20_000
    with pytest.raises(ModelError, match="feature maps of the model have more than 33554432 elem"):
        load(path)


def test_copies_of_a_large_input(write_onnx: OnnxWriter) -> None:
    """Views of the input are copied when the first layer decides about its layout."""
    moves = [op("Identity", ["x"], [f"i{index}"]) for index in range(100)]
    keep = [op("Relu", [f"i{index}"], [f"r{index}"]) for index in range(100)]
    joined = [op("Add", ["r0", "r1"], ["y"])]
    for index in range(2, 100):
        joined[-1].output[0] = f"s{index}"
        joined.append(op("Add", [f"s{index}", f"r{index}"], ["y"]))
    with pytest.raises(ModelError, match="feature maps of the model have more than"):
        load(write_onnx([*moves, *keep, *joined], (1, 1, 2048, 2048)))


def test_weights_that_many_layers_share(
    write_onnx: OnnxWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_checks, "MAX_CONSTANTS", 1000)
    names = ["x", *(f"t{index}" for index in range(19)), "y"]
    nodes = [op("MatMul", [a, "w"], [b]) for a, b in pairwise(names)]
    with pytest.raises(ModelError, match="constants of the model have more than 1000 elements"):
        load(write_onnx(nodes, (1, 10), {"w": (10, 10)}))


def test_a_weight_that_is_too_large_to_be_converted(
    write_onnx: OnnxWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_checks, "MAX_CONSTANTS", 99)
    path = write_onnx([op("MatMul", ["x", "w"], ["y"])], (1, 10), {"w": (10, 10)})
    with pytest.raises(ModelError, match=r"the weights of node 'MatMul_0' \(MatMul\) has 100 elem"):
        load(path)


def test_too_many_nodes(write_onnx: OnnxWriter) -> None:
    nodes = [op("Identity", ["x"], [f"i{index}"]) for index in range(1 << 14)]
    path = write_onnx([*nodes, op("Relu", ["x"], ["y"])], (1, 10))
    with pytest.raises(ModelError, match="holds a graph of 16385 nodes; 16384 at most are suppor"):
        load(path)


# Constants that are computed while importing


@pytest.mark.parametrize(
    ("node", "constants", "text"),
    [
        (
            op("Conv", ["a", "b"], ["w"]),
            {"a": (1, 1, 8, 8), "b": (1, 1, 4, 4)},
            r"node 'Conv_0' \(Conv\) works on constants only and is none of the ops that are com",
        ),
        (
            op("Einsum", ["a", "b"], ["w"], equation="ij,kl->ijkl"),
            {"a": (8, 8), "b": (8, 8)},
            "is none of the ops that are computed while importing; let the exporter fold",
        ),
        (
            op("MatMul", ["a", "b"], ["w"]),
            {"a": (2, 1 << 15), "b": np.zeros((1 << 15, 1), np.float32)},
            r"multiplies constants of the shapes \[2, 32768\] and \[32768, 1\], which takes too lo",
        ),
        (
            op("ConstantOfShape", ["a"], ["w"]),
            {"a": np.array([1 << 20, 1 << 20])},
            r"makes a constant of the shape \[1048576, 1048576\]; all computed constants together",
        ),
    ],
)
def test_constants_that_take_too_much(
    node: onnx.NodeProto,
    constants: dict[str, Any],
    text: str,
    write_onnx: OnnxWriter,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shiftwork.quant.onnx_constants.MAX_FOLDED_WORK", 1 << 30)
    path = write_onnx([node, op("MatMul", ["x", "w"], ["y"])], (1, 1), constants)
    with pytest.raises(ModelError, match=text):
        load(path)


def test_a_small_product_is_computed(write_onnx: OnnxWriter) -> None:
    nodes = [op("MatMul", ["a", "b"], ["w"]), op("MatMul", ["x", "w"], ["y"])]
    layer = load(write_onnx(nodes, (1, 4), {"a": (4, 6), "b": (6, 3)})).nodes[0]
    assert isinstance(layer, Conv)
    assert layer.weights.shape == (3, 1, 1, 4)


# Graphs that are none


def test_graphs_in_graphs(write_onnx: OnnxWriter) -> None:
    graph = helper.make_graph([], "inner", [], [])
    for _ in range(10):
        node = onnx.NodeProto(op_type="If", output=["o"], name="choice")
        node.attribute.add(name="then_branch", type=AttributeProto.GRAPH).g.CopyFrom(graph)
        graph = helper.make_graph([node], "inner", [], [])
    with pytest.raises(ModelError, match=r"node 'choice' \(If\) holds a graph of its own; control"):
        load(write_onnx([*graph.node, op("Relu", ["x"], ["y"])], (1, 4)))


@pytest.mark.parametrize(
    "nodes",
    [
        [op("Identity", ["b"], ["a"]), op("Identity", ["a"], ["b"]), op("Relu", ["b"], ["y"])],
        [op("Identity", ["y"], ["y"])],
        [op("Dropout", [""], ["y", ""])],
        [op("Identity", [""], ["", "y"]), op("Identity", [""], ["y"])],
    ],
)
def test_cycles_end(nodes: list[onnx.NodeProto], write_onnx: OnnxWriter) -> None:
    with pytest.raises(ModelError) as caught:
        onnx_import.load(write_onnx(nodes, (1, 4)))
    assert str(caught.value).isprintable()


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/zero has no end there")
def test_a_name_of_a_device_as_a_model() -> None:
    with pytest.raises(ModelError, match="/dev/zero is a device or a pipe; an ONNX file is needed"):
        load("/dev/zero")
