"""Reading a TFLite file: what can be wrong with the file itself, and its parts as plain values."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tflite
from numpy.typing import NDArray
from tflite.utils import BUILTIN_OPCODE2NAME

from shiftwork.errors import ModelError
from shiftwork.quant.graph import Grid
from shiftwork.quant.source_checks import MAX_NODES, read_bytes

IDENTIFIER = b"TFL3"
SCHEMA_VERSION = 3
MAX_PARTS = 1 << 16
MAX_RANK = 8
MAX_OPERANDS = 64
MAX_NAME = 200
DTYPES: dict[int, type[np.generic]] = {
    tflite.TensorType.FLOAT16: np.float16,
    tflite.TensorType.FLOAT32: np.float32,
    tflite.TensorType.FLOAT64: np.float64,
    tflite.TensorType.INT8: np.int8,
    tflite.TensorType.INT16: np.int16,
    tflite.TensorType.INT32: np.int32,
    tflite.TensorType.INT64: np.int64,
    tflite.TensorType.UINT8: np.uint8,
    tflite.TensorType.UINT16: np.uint16,
    tflite.TensorType.UINT32: np.uint32,
}
TYPE_NAMES = {code: name for name, code in vars(tflite.TensorType).items() if name.isupper()}


@dataclass(frozen=True, eq=False)
class TfliteTensor:
    """One tensor.

    Attributes:
        name: unique within the model and never empty.
        shape: as stored; the entry of an open batch is 1.
        open_dims: the axes whose size the model leaves open.
        type_name: TFLite's name of the element type, such as ``INT8``.
        dtype: the same for numpy; None if it is a type that is not supported.
        data: the bytes of a constant; None if the tensor is computed.
        scale, zero_point: of its quantization, empty or one or one for each slice along ``axis``.
        sparse: whether ``data`` leaves out zeros.
    """

    name: str
    shape: tuple[int, ...]
    open_dims: tuple[int, ...]
    type_name: str
    dtype: type[np.generic] | None
    data: NDArray[np.uint8] | None
    scale: NDArray[np.float32]
    zero_point: NDArray[np.int64]
    axis: int
    sparse: bool

    @property
    def size(self) -> int:
        """The number of elements that the shape says."""
        return int(np.prod(self.shape, dtype=object))

    def stored(self) -> NDArray[Any]:
        """The numbers of a constant as they are stored.

        Raises:
            ModelError: if it is of a type that is not supported, or of another size than it says.
        """
        if self.sparse:
            raise ModelError(f"tensor '{self.name}' is sparse; only dense constants are supported")
        if self.dtype is None:
            supported = ", ".join(sorted(TYPE_NAMES[code] for code in DTYPES))
            raise ModelError(
                f"tensor '{self.name}' is of the type {self.type_name}; supported are {supported}"
            )
        data = np.zeros(0, np.uint8) if self.data is None else self.data
        expected = self.size * np.dtype(self.dtype).itemsize
        if data.size != expected:
            raise ModelError(
                f"tensor '{self.name}' of shape {list(self.shape)} and type {self.type_name} needs "
                f"{expected} bytes, but the file holds {data.size}: it is damaged"
            )
        little_endian = np.dtype(self.dtype).newbyteorder("<")
        return np.frombuffer(data.tobytes(), little_endian).reshape(self.shape)

    def real(self) -> NDArray[np.float64]:
        """The real numbers of a constant: ``(q - zero_point) * scale`` of a quantized one.

        Raises:
            ModelError: like :meth:`stored`, or if integers have no scale or one that does not fit.
        """
        with np.errstate(invalid="ignore"):
            stored = self.stored().astype(np.float64)
        if self.type_name.startswith("FLOAT"):
            return stored
        if not self.scale.size:
            raise ModelError(
                f"tensor '{self.name}' of type {self.type_name} has no scale; integers need one to "
                "stand for real numbers"
            )
        scale, zero_point = (
            self._along_axis(array, label)
            for array, label in ((self.scale, "scales"), (self.zero_point, "zero points"))
        )
        with np.errstate(all="ignore"):
            return (stored - zero_point) * scale

    def _along_axis(self, array: NDArray[Any], label: str) -> NDArray[np.float64]:
        if array.size <= 1:
            return array.astype(np.float64).sum(keepdims=True).reshape(())
        if not 0 <= self.axis < len(self.shape) or array.size != self.shape[self.axis]:
            raise ModelError(
                f"tensor '{self.name}' of shape {list(self.shape)} has {array.size} {label} along "
                f"axis {self.axis}; that must be one for each slice"
            )
        spread = array.reshape(-1, *(1,) * (len(self.shape) - 1 - self.axis))
        return spread.astype(np.float64)

    def grid(self) -> Grid | None:
        """The integers that a computed tensor is stored in; None if it is stored as floats.

        Raises:
            ModelError: if their scale is not one positive number.
        """
        if self.dtype is None or not issubclass(self.dtype, np.integer) or not self.scale.size:
            return None
        limits = np.iinfo(self.dtype)
        zero_point = int(self.zero_point[0]) if self.zero_point.size else 0
        if self.scale.size != 1 or not 0 < self.scale[0] < np.inf:
            raise ModelError(
                f"tensor '{self.name}' has the scales {self.scale[:4].tolist()}; a feature map "
                "needs one positive scale"
            )
        if not limits.min <= zero_point <= limits.max:
            raise ModelError(
                f"tensor '{self.name}' has the zero point {zero_point}; it must be within "
                f"{limits.min} and {limits.max}, the range of {self.type_name}"
            )
        return Grid(
            scale=float(self.scale[0]),
            zero_point=zero_point,
            lo=int(limits.min),
            hi=int(limits.max),
        )


@dataclass(frozen=True, eq=False)
class TfliteNode:
    """One operator.

    Attributes:
        op: its kind, such as ``CONV_2D``.
        name: the name of its first output.
        inputs, outputs: indices of tensors; negative for an optional one left out.
        proto: the operator itself.
    """

    op: str
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    proto: Any

    def input(self, index: int) -> int:
        """The tensor of input ``index``; -1 if it is left out."""
        return self.inputs[index] if index < len(self.inputs) else -1

    def error(self, text: str) -> ModelError:
        """An error that names this operator."""
        return ModelError(f"node '{self.name}' ({self.op}) {text}")

    def options(self, kind: Any) -> Any:
        """The operator's attributes, which are of the schema's class ``kind``."""
        table = self.proto.BuiltinOptions()
        expected = getattr(tflite.BuiltinOptions, kind.__name__)
        if table is None or self.proto.BuiltinOptionsType() != expected:
            raise self.error(f"lacks its {kind.__name__}: the file is damaged")
        options = kind()
        options.Init(table.Bytes, table.Pos)
        return options


@dataclass(frozen=True, eq=False)
class TfliteModel:
    """A model with one input and one output; ``nodes`` in execution order."""

    tensors: tuple[TfliteTensor, ...]
    nodes: tuple[TfliteNode, ...]
    input: int
    output: int
    source: dict[str, str]


def read(path: Path) -> TfliteModel:
    """Reads and checks ``path``.

    Raises:
        ModelError: if it is no TFLite file, or has subgraphs, inputs or outputs that are not
            supported. A damaged file can raise anything else.
    """
    data = read_bytes(path, "a TFLite file")
    if data[4:8] != IDENTIFIER:
        raise ModelError(
            f"{path} is not a TFLite file, or is damaged: it does not have the identifier "
            f"{IDENTIFIER.decode()}"
        )
    proto = tflite.Model.GetRootAs(data, 0)
    if proto.Version() != SCHEMA_VERSION:
        raise ModelError(
            f"{path} has the schema version {proto.Version()}; only {SCHEMA_VERSION} is supported"
        )
    if proto.SubgraphsLength() != 1:
        raise ModelError(
            f"{path} has {proto.SubgraphsLength()} subgraphs; exactly one is supported: control "
            "flow must be unrolled"
        )
    graph = proto.Subgraphs(0)
    inputs, outputs = (
        _indices(vector, MAX_OPERANDS) for vector in (graph.InputsAsNumpy(), graph.OutputsAsNumpy())
    )
    for label, indices in (("inputs", inputs), ("outputs", outputs)):
        if len(indices) != 1:
            raise ModelError(f"{path} has {len(indices)} {label}; exactly one is supported")
    count = _count(graph.OperatorsLength(), data)
    if not count:
        raise ModelError(f"{path} holds a graph without operators")
    if count > MAX_NODES:
        raise ModelError(
            f"{path} holds a graph of {count} operators; {MAX_NODES} at most are supported"
        )
    operators = [graph.Operators(index) for index in range(count)]
    computed = [_indices(operator.OutputsAsNumpy(), MAX_OPERANDS) for operator in operators]
    tensors = _tensors(proto, graph, data, [*inputs, *(i for row in computed for i in row)])
    return TfliteModel(
        tensors=tensors,
        nodes=tuple(_node(proto, operator, tensors) for operator in operators),
        input=inputs[0],
        output=outputs[0],
        source={
            "format": "TFLite",
            "file": path.name,
            "sha256": hashlib.sha256(data).hexdigest(),
            "producer": _text(proto.Description()),
        },
    )


def _count(length: int, data: bytes) -> int:
    """A number of parts, each of which takes a few bytes of the file at least."""
    if length > min(MAX_PARTS, len(data) // 4):
        raise ValueError(f"it claims to hold a list of {length} parts")
    return length


def _indices(vector: Any, limit: int) -> tuple[int, ...]:
    """The schema's accessors return 0 for a list that is left out."""
    if isinstance(vector, int):
        return ()
    if len(vector) > limit:
        raise ValueError(f"it claims to hold a list of {len(vector)} numbers")
    return tuple(int(value) for value in vector)


def _text(raw: bytes | None) -> str:
    text = (raw or b"")[:MAX_NAME].decode(errors="replace")
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _tensors(
    proto: Any, graph: Any, data: bytes, computed: Iterable[int]
) -> tuple[TfliteTensor, ...]:
    parts = [graph.Tensors(index) for index in range(_count(graph.TensorsLength(), data))]
    names = _names([_text(part.Name()) for part in parts], computed)
    buffers = _count(proto.BuffersLength(), data)
    return tuple(
        _tensor(proto, part, name, buffers) for part, name in zip(parts, names, strict=True)
    )


def _names(given: list[str], computed: Iterable[int]) -> list[str]:
    """Unique names; of those that a converter has joined with semicolons, the first.

    Computed tensors, which are those that users see, have the first choice.
    """
    first = {index for index in computed if 0 <= index < len(given)}
    names, taken = [""] * len(given), set[str]()
    for index in sorted(range(len(given)), key=lambda index: (index not in first, index)):
        name = given[index].split(";")[0].strip() or f"tensor_{index}"
        while name in taken:
            name += f"_{index}"
        taken.add(name)
        names[index] = name
    return names


def _tensor(proto: Any, part: Any, name: str, buffers: int) -> TfliteTensor:
    shape = _indices(part.ShapeAsNumpy(), MAX_RANK)
    signature = _indices(part.ShapeSignatureAsNumpy(), MAX_RANK) or shape
    open_dims = tuple(axis for axis, dim in enumerate(signature) if dim < 0)
    quantization = part.Quantization()
    scale, zero_point, axis = np.zeros(0, np.float32), np.zeros(0, np.int64), 0
    if quantization is not None:
        if quantization.DetailsType() != tflite.QuantizationDetails.NONE:
            raise ModelError(f"tensor '{name}' has a quantization of its own kind (custom)")
        scale = _numbers(quantization.ScaleAsNumpy(), np.float32)
        zero_point = _numbers(quantization.ZeroPointAsNumpy(), np.int64)
        axis = quantization.QuantizedDimension()
    return TfliteTensor(
        name=name,
        shape=tuple(1 if axis in open_dims else dim for axis, dim in enumerate(shape)),
        open_dims=open_dims,
        type_name=TYPE_NAMES.get(part.Type(), f"number {part.Type()}"),
        dtype=DTYPES.get(part.Type()),
        data=_data(proto, part.Buffer(), name, buffers),
        scale=scale,
        zero_point=zero_point,
        axis=axis,
        sparse=part.Sparsity() is not None,
    )


def _numbers(vector: Any, dtype: type[np.generic]) -> NDArray[Any]:
    """The file's own bytes; the schema's accessors return 0 for a list that is left out."""
    return np.zeros(0, dtype) if isinstance(vector, int) else vector


def _data(proto: Any, index: int, name: str, buffers: int) -> NDArray[np.uint8] | None:
    """The bytes of a constant; the empty buffer stands for a tensor that is computed."""
    if not 0 <= index < buffers:
        raise ValueError(f"tensor '{name}' is in the buffer {index} of {buffers}")
    buffer = proto.Buffers(index)
    if buffer.Offset() > 1:
        raise ModelError(
            f"tensor '{name}' lies behind the model's own data, as in files of more than 2 GB; "
            "that is not supported"
        )
    return buffer.DataAsNumpy() if buffer.DataLength() else None


def _node(proto: Any, operator: Any, tensors: tuple[TfliteTensor, ...]) -> TfliteNode:
    inputs = _indices(operator.InputsAsNumpy(), MAX_OPERANDS)
    outputs = _indices(operator.OutputsAsNumpy(), MAX_OPERANDS)
    if not outputs or min(outputs) < 0 or max((*inputs, *outputs)) >= len(tensors):
        raise ValueError(f"an operator reads {list(inputs)} and writes {list(outputs)}")
    if not 0 <= operator.OpcodeIndex() < proto.OperatorCodesLength():
        raise ValueError(f"an operator is of the unknown kind {operator.OpcodeIndex()}")
    code = proto.OperatorCodes(operator.OpcodeIndex())
    op = BUILTIN_OPCODE2NAME.get(code.BuiltinCode(), f"code {code.BuiltinCode()}")
    custom = _text(code.CustomCode())
    return TfliteNode(
        op=f"custom op {custom}" if custom else op,
        name=tensors[outputs[0]].name,
        inputs=inputs,
        outputs=outputs,
        proto=operator,
    )
