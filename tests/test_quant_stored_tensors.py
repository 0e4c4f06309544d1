import numpy as np
import onnx
import pytest
from onnx import helper

from shiftwork.errors import ModelError
from shiftwork.quant.stored_tensors import stored_tensors


@pytest.fixture
def model(write_onnx):
    """A network with an op that Shiftwork does not import, and constants of several types."""
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], name="first"),
        helper.make_node("Cast", ["v"], ["c"], to=1),
        helper.make_node("MatMul", ["a", "c"], ["d"], name="second"),
        helper.make_node("Einsum", ["d", "w"], ["y"], equation="ij,kj->ik"),
    ]
    constants = {
        "w": rng.normal(size=(3, 3)).astype(np.float32),
        "v": rng.normal(size=(3, 3)).astype(np.float16),
        "unused": rng.normal(size=(2, 2)),
        "bias": np.zeros(3, np.float32),
        "shape": np.zeros((1, 2), np.int64),
    }
    return write_onnx(nodes, [1, 3], constants), constants


def test_reads_what_is_stored(model):
    path, constants = model
    found = {tensor.name: tensor for tensor in stored_tensors(path)}
    assert list(found) == ["first", "Cast_1", "unused"]
    for name, key in (("first", "w"), ("Cast_1", "v"), ("unused", "unused")):
        values = found[name].read()
        assert (values.dtype, found[name].size) == (constants[key].dtype, constants[key].size)
        np.testing.assert_array_equal(values, constants[key])


def externally(path):
    proto = onnx.load(path)
    onnx.save(proto, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    return path


def test_maps_external_data(model):
    path, constants = model
    tensor = stored_tensors(externally(path))[0]
    values = tensor.read()
    assert isinstance(values, np.memmap)
    np.testing.assert_array_equal(values, constants["w"])


def test_external_data_that_is_missing(model):
    path, _ = model
    tensor = stored_tensors(externally(path))[0]
    path.with_name("weights.bin").unlink()
    with pytest.raises(ModelError, match=r"tensor 'w' cannot be read .*no file 'weights.bin'"):
        tensor.read()


def test_data_of_the_wrong_length(model):
    path, _ = model
    proto = onnx.load(path)
    proto.graph.initializer[0].raw_data = b"1234"
    path.write_bytes(proto.SerializeToString())
    text = r"tensor 'w' has 4 bytes; its shape \[3, 3\] of float32 needs 36"
    with pytest.raises(ModelError, match=text):
        stored_tensors(path)[0].read()


def test_two_tensors_of_one_node_have_two_names(write_onnx):
    nodes = [helper.make_node("Einsum", ["x", "a", "b"], ["y"], name="e", equation="ij,jk,kl->il")]
    path = write_onnx(nodes, [1, 3], {"a": (3, 3), "b": (3, 2)})
    assert [tensor.name for tensor in stored_tensors(path)] == ["e", "e (b)"]


def test_files_that_hold_none(tmp_path, write_onnx):
    with pytest.raises(ModelError, match=r"cannot read .*none.onnx.*No such file"):
        stored_tensors(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_bytes(b"hello")
    with pytest.raises(ModelError, match="is not an ONNX file, or is damaged"):
        stored_tensors(tmp_path / "text.onnx")
    path = write_onnx([helper.make_node("Sin", ["x"], ["y"])], [1, 3])
    with pytest.raises(ModelError, match="nothing to analyze"):
        stored_tensors(path)
