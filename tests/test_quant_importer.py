"""Which importer reads a file."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from onnx.helper import make_node as op

import shiftwork
from shiftwork.errors import ModelError
from shiftwork.quant.importer import load

OnnxWriter = Callable[..., Path]


@pytest.mark.parametrize("name", ["network.tflite", "network", "network.onnx"])
def test_tflite_files_are_known_by_their_content(name: str, shared: Path, tmp_path: Path) -> None:
    path = tmp_path / name
    shutil.copy(shared / "models/tflite_micro/hello_world_float.tflite", path)
    graph = load(path)
    assert graph.source["format"] == "TFLite"
    assert graph.name == "network"


def test_other_files_are_onnx(write_onnx: OnnxWriter) -> None:
    path = write_onnx([op("MatMul", ["x", "w"], ["y"])], ("N", 3), {"w": (3, 2)}, name="net.bin")
    assert load(path).source["format"] == "ONNX"
    assert shiftwork.load(path).source["format"] == "ONNX"


def test_errors_are_those_of_the_format(tmp_path: Path) -> None:
    for name, text in (
        ("a.tflite", "is not a TFLite file, or is damaged"),
        ("a.TFLITE", "is not a TFLite file, or is damaged"),
        ("a.onnx", "is not an ONNX file, or is truncated or damaged"),
    ):
        (tmp_path / name).write_bytes(b"this is a text, not a network\n" * 20)
        with pytest.raises(ModelError, match=text):
            load(tmp_path / name)
    with pytest.raises(ModelError, match=r"absent.tflite: no such file"):
        load(tmp_path / "absent.tflite")
    with pytest.raises(ModelError, match=r"absent.onnx: no such file"):
        load(tmp_path / "absent.onnx")
    with pytest.raises(ModelError, match="is a directory"):
        load(tmp_path)
    with pytest.raises(ModelError, match="cannot read"):
        load("impossible\0name")
