"""Fixtures that several tests share."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

OnnxWriter = Callable[..., Path]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with reference models and data, which is not part of the repository."""
    path = Path(__file__).parents[2] / "shared"
    if not path.is_dir():
        pytest.skip(f"needs the reference models and data in {path}")
    return path


@pytest.fixture
def write_onnx(tmp_path: Path) -> OnnxWriter:
    """A function that writes an ONNX model and returns its path.

    Its arguments: the nodes, the shape of the input ``x`` (batch included), the constants by name
    (arrays, or shapes that are filled with random numbers), and keywords ``opset``, ``outputs``,
    ``dtype`` (of the input) and ``name`` (of the file). The output is ``y``.
    """

    def write(
        nodes: Sequence[onnx.NodeProto],
        shape: Sequence[int | str | None],
        constants: dict[str, Any] | None = None,
        *,
        opset: int = 13,
        outputs: Sequence[str] = ("y",),
        dtype: int = TensorProto.FLOAT,
        name: str = "model.onnx",
    ) -> Path:
        rng = np.random.default_rng(1)
        arrays = {
            key: rng.normal(size=value).astype(np.float32) if isinstance(value, tuple) else value
            for key, value in (constants or {}).items()
        }
        graph = helper.make_graph(
            list(nodes),
            "network",
            [helper.make_tensor_value_info("x", dtype, list(shape))],
            [helper.make_tensor_value_info(key, TensorProto.FLOAT, None) for key in outputs],
            [numpy_helper.from_array(np.asarray(value), key) for key, value in arrays.items()],
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8
        )
        path = tmp_path / name
        path.write_bytes(model.SerializeToString())
        return path

    return write
