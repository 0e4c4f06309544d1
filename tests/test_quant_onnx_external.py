"""Constants in files beside the model: where they may be, and that nothing else is read."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.helper import make_node as op

from shiftwork.errors import ModelError
from shiftwork.quant import onnx_external
from shiftwork.quant.graph import Conv
from shiftwork.quant.onnx_import import load

OnnxWriter = Callable[..., Path]
WEIGHTS = np.arange(12, dtype=np.float32).reshape(4, 3)


@pytest.fixture
def external(write_onnx: OnnxWriter, tmp_path: Path) -> Callable[..., Path]:
    """Writes a dense network, in a folder of its own, whose weights have the given entries."""

    def write(**entries: str) -> Path:
        (tmp_path / "net").mkdir(exist_ok=True)
        written = write_onnx([op("MatMul", ["x", "w"], ["y"])], ("N", 4), {"w": WEIGHTS})
        model = onnx.load(written)
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in entries.items():
            tensor.external_data.add(key=key, value=value)
        path = tmp_path / "net" / "model.onnx"
        path.write_bytes(model.SerializeToString())
        (tmp_path / "net" / "data.bin").write_bytes(bytes(8) + WEIGHTS.tobytes() + bytes(4))
        (tmp_path / "secret.bin").write_bytes(WEIGHTS.tobytes())
        return path

    return write


def test_a_part_of_a_file(external: Callable[..., Path]) -> None:
    layer = load(external(location="data.bin", offset="8", length="48")).nodes[-1]
    assert isinstance(layer, Conv)
    np.testing.assert_array_equal(layer.weights[:, 0, 0, :], WEIGHTS.T)


@pytest.mark.parametrize(
    ("entries", "text"),
    [
        ({"location": "none.bin"}, "there is no file 'none.bin'"),
        ({"location": "../secret.bin"}, "'../secret.bin' lies outside of the model's folder"),
        ({"location": "a/../../secret.bin"}, "lies outside of the model's folder"),
        ({"location": "/etc/passwd"}, "'/etc/passwd' lies outside of the model's folder"),
        ({"location": "."}, "there is no file '.'"),
        ({}, "there is no file '.'"),
        ({"location": "link.bin"}, "'link.bin' lies outside of the model's folder"),
        ({"location": "pipe"}, "there is no file 'pipe'"),
        ({"location": "data.bin", "offset": "-8"}, "has 60 bytes, not the 68 from -8 on"),
        ({"location": "data.bin", "length": "61"}, "has 60 bytes, not the 61 from 0 on"),
        ({"location": "data.bin", "offset": "1" * 30}, "has 60 bytes, not the"),
        ({"location": "data.bin", "offset": "eight"}, "invalid literal for int"),
        ({"location": "a\0b"}, "embedded null"),
        ({"location": "x" * 5000}, "File name too long"),
    ],
)
def test_what_cannot_be_read(
    external: Callable[..., Path], entries: dict[str, str], text: str
) -> None:
    path = external(**entries)
    (path.parent / "link.bin").symlink_to("../secret.bin")
    with pytest.raises(ModelError) as caught:
        load(path)
    message = str(caught.value)
    assert f"{path}: the external data of tensor 'w' cannot be read (" in message
    assert text in message
    assert message.endswith("); keep the data file beside the model")


def test_all_of_it_is_limited(
    external: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_external, "MAX_FILE_BYTES", 47)
    with pytest.raises(ModelError, match=r"48 bytes are needed; at most 47 are read"):
        load(external(location="data.bin", offset="8", length="48"))


def test_many_tensors_of_one_file_are_limited(
    write_onnx: OnnxWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_external, "MAX_FILE_BYTES", 150)
    names = {f"w{index}": WEIGHTS for index in range(4)}
    path = write_onnx([op("MatMul", ["x", "w0"], ["y"])], ("N", 4), names)
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="data.bin")
    path.write_bytes(model.SerializeToString())
    (tmp_path / "data.bin").write_bytes(WEIGHTS.tobytes())
    with pytest.raises(ModelError, match=r"has more than 150 bytes of external data, more than"):
        load(path)


def test_attributes_keep_nothing_in_other_files(write_onnx: OnnxWriter, tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(WEIGHTS.tobytes())
    tensor = helper.make_tensor("w", TensorProto.FLOAT, [4, 3], WEIGHTS.ravel().tolist())
    tensor.ClearField("float_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="data.bin")
    nodes = [op("Constant", [], ["w"], name="c", value=tensor), op("MatMul", ["x", "w"], ["y"])]
    with pytest.raises(ModelError) as caught:
        load(write_onnx(nodes, ("N", 4)))
    assert str(caught.value).endswith(
        "node 'c' (Constant) keeps its attribute 'value' in another file; only the graph's "
        "initializers may have external data"
    )
