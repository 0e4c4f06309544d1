"""The code and the tables of docs/adding_an_op.md."""

import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from docs_pages import ROOT, blocks, pages
from onnx import helper

from shiftwork.errors import ModelError
from shiftwork.quant import onnx_ops
from shiftwork.quant.importer import load

PAGE = "docs/adding_an_op.md"


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict:
    """What the page's code defines, with the op among those that are imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(onnx_ops, "HANDLERS", dict(onnx_ops.HANDLERS))
    found: dict = {}
    exec("".join(block.code for block in blocks(PAGE, "python")), found)
    return found


def test_the_op_is_imported_and_simulated(names: dict) -> None:
    assert names["result"].passed
    session = onnxruntime.InferenceSession("peaks.onnx")
    (expected,) = session.run(None, {"x": names["x"]})
    net = names["net"]
    real = net.dequantize_output(names["sw"].golden(net, names["x"]))
    assert real.shape == expected.shape
    assert np.abs(real - expected).max() < 0.05 * np.abs(expected).max()


@pytest.mark.usefixtures("names")
def test_what_the_handler_does_not_support_is_an_error() -> None:
    model = onnx.load("peaks.onnx")
    del model.graph.initializer[1]
    axes = np.array([1, 2], np.int64)
    model.graph.initializer.append(onnx.numpy_helper.from_array(axes, "axes"))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", 1, ["N", 4]))
    onnx.save(model, "wrong.onnx")
    with pytest.raises(ModelError, match=r"has the axes \[1, 2\]; a maximum is supported over"):
        load("wrong.onnx")


def test_the_table_has_every_file_that_knows_the_example() -> None:
    page = pages()[PAGE]
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    listed = set(re.findall(r"`(\w+/\w+\.py)`", "\n".join(rows)))
    real = {
        str(path.relative_to(ROOT))
        for folder in ("quant", "hw", "sim", "boards")
        for path in (ROOT / folder).glob("*.py")
        if "AveragePool" in path.read_text()
    }
    assert listed == real


def test_every_file_that_is_named_exists() -> None:
    for name in re.findall(r"`(\w+/\w+\.py)`", pages()[PAGE]):
        assert (ROOT / name).is_file(), name
