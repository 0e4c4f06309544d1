"""The weights in an ONNX file of any size, as the file stores them, without building the network.

Constants inside the file are taken from it one at a time; those in files beside it are mapped.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from shiftwork.errors import ModelError
from shiftwork.quant.onnx_external import is_external, locate
from shiftwork.quant.source_checks import located, one_line

DTYPES: dict[int, np.dtype[Any]] = {
    onnx.TensorProto.FLOAT: np.dtype("<f4"),
    onnx.TensorProto.FLOAT16: np.dtype("<f2"),
    onnx.TensorProto.DOUBLE: np.dtype("<f8"),
}
LEAST_DIMENSIONS = 2


@dataclass(frozen=True, eq=False, kw_only=True)
class StoredTensor:
    """A constant of an ONNX file with two or more dimensions.

    Attributes:
        name: of the node that reads it first, or its own if there is none.
        shape: as stored.
    """

    name: str
    shape: tuple[int, ...]
    _proto: Any
    _folder: Path

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    def read(self) -> NDArray:
        """The values, float16, float32 or float64, in their shape; a map of the file if possible.

        Raises:
            ModelError: if the data are missing, or of another length than the shape says.
        """
        dtype = DTYPES[self._proto.data_type]
        if is_external(self._proto):
            return self._mapped(dtype)
        if not self._proto.HasField("raw_data"):
            return np.asarray(onnx.numpy_helper.to_array(self._proto))
        data = self._proto.raw_data
        if len(data) != self.size * dtype.itemsize:
            raise self._mismatch(len(data), dtype)
        return np.frombuffer(data, dtype).reshape(self.shape)

    def _mapped(self, dtype: np.dtype[Any]) -> NDArray:
        try:
            file, offset, length = locate(self._folder, self._proto)
        except (OSError, ValueError, ModelError) as error:
            raise ModelError(
                f"the external data of tensor '{self._proto.name}' cannot be read "
                f"({one_line(error)}); keep the data file beside the model"
            ) from error
        if length != self.size * dtype.itemsize:
            raise self._mismatch(length, dtype)
        return np.memmap(file, dtype, mode="r", offset=offset, shape=self.shape)

    def _mismatch(self, length: int, dtype: np.dtype[Any]) -> ModelError:
        return ModelError(
            f"tensor '{self._proto.name}' has {length} bytes; its shape {list(self.shape)} of "
            f"{dtype.name} needs {self.size * dtype.itemsize}"
        )


def stored_tensors(path: Path) -> tuple[StoredTensor, ...]:
    """The real constants with two or more dimensions, in the order of the file.

    Raises:
        ModelError: if ``path`` is no ONNX file, or has no such constant.
    """
    graph = _graph(path)
    readers = dict[str, str]()
    for index, node in enumerate(graph.node):
        for tensor in node.input:
            readers.setdefault(tensor, node.name or f"{node.op_type}_{index}")
    found = tuple(_found(graph, readers, path.parent))
    if not found:
        raise ModelError(
            f"{path} has no real constants of two or more dimensions, so nothing to analyze"
        )
    return found


def _found(graph: Any, readers: dict[str, str], folder: Path) -> Iterator[StoredTensor]:
    taken = set[str]()
    for proto in graph.initializer:
        shape = tuple(int(size) for size in proto.dims)
        if proto.data_type not in DTYPES or len(shape) < LEAST_DIMENSIONS or min(shape) < 1:
            continue
        name = readers.get(proto.name, proto.name)
        if name in taken:
            name = f"{name} ({proto.name})"
        taken.add(name)
        yield StoredTensor(name=name, shape=shape, _proto=proto, _folder=folder)


def _graph(path: Path) -> Any:
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(path.read_bytes())
    except OSError as error:
        raise ModelError(f"cannot read {path}: {one_line(error)}") from error
    except Exception as error:  # protobuf's DecodeError, whose module depends on its version
        raise located(
            path, ModelError(f"{path} is not an ONNX file, or is damaged ({one_line(error)})")
        ) from error
    return proto.graph
