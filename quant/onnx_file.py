"""Reading an ONNX file: what can be wrong with the file itself, and its nodes as plain values."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from shiftwork.errors import ModelError
from shiftwork.quant.onnx_external import is_external, load_external_data
from shiftwork.quant.source_checks import MAX_NODES, one_line, read_bytes

OLDEST_OPSET = 7
FLOAT_TYPES = frozenset(
    {
        onnx.TensorProto.FLOAT,
        onnx.TensorProto.FLOAT16,
        onnx.TensorProto.BFLOAT16,
        onnx.TensorProto.DOUBLE,
    }
)


@dataclass(frozen=True, eq=False)
class OnnxNode:
    """One ONNX node.

    Attributes:
        op: the operator, such as ``Conv``; with its domain where it is not ONNX's own.
        name: unique within the model and never empty.
        inputs, outputs: tensor names; an empty one is an optional tensor left out.
        attributes: Python values; strings as ``str``.
        proto: the node itself.
    """

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]
    proto: Any

    def input(self, index: int) -> str:
        """The name of input ``index``; empty if it is left out."""
        return self.inputs[index] if index < len(self.inputs) else ""

    def error(self, text: str) -> ModelError:
        """An error that names this node."""
        return ModelError(f"node '{self.name}' ({self.op}) {text}")


@dataclass(frozen=True, eq=False)
class OnnxInput:
    """The network's input: ``batch`` is None where the model leaves it open."""

    name: str
    batch: int | None
    sample_shape: tuple[int, ...]
    is_float: bool


@dataclass(frozen=True, eq=False)
class OnnxModel:
    """A checked model with one input and one output."""

    opset: int
    nodes: tuple[OnnxNode, ...]
    initializers: dict[str, Any]
    input: OnnxInput
    output: str
    source: dict[str, str]


def read(path: Path) -> OnnxModel:
    """Reads and checks ``path``.

    Raises:
        ModelError: if it is no valid ONNX file, or has an opset, inputs or outputs that are not
            supported.
    """
    data = read_bytes(path, "an ONNX file")
    proto = _parse(path, data)
    _check_opset(path, proto)
    _check_graph(path, proto)
    initializers = {tensor.name: tensor for tensor in proto.graph.initializer}
    source = _input(path, [i for i in proto.graph.input if i.name not in initializers])
    load_external_data(path, proto)
    _check_rules(path, proto)
    opset = _opset(proto)
    return OnnxModel(
        opset=opset,
        nodes=_nodes(proto),
        initializers=initializers,
        input=source,
        output=proto.graph.output[0].name,
        source={
            "format": "ONNX",
            "file": path.name,
            "sha256": hashlib.sha256(data).hexdigest(),
            "opset": str(opset),
            "producer": f"{proto.producer_name} {proto.producer_version}".strip(),
        },
    )


def _parse(path: Path, data: bytes) -> Any:
    if data[4:8] == b"TFL3":
        raise ModelError(f"{path} is a TFLite file, not an ONNX model")
    try:
        proto = onnx.load_model_from_string(data)
    except Exception as error:  # protobuf's DecodeError, whose module depends on its version
        raise ModelError(
            f"{path} is not an ONNX file, or is truncated or damaged ({one_line(error)})"
        ) from error
    if not proto.HasField("graph"):
        raise ModelError(f"{path} is not an ONNX file, or is damaged: it holds no graph")
    return proto


def _opset(proto: Any) -> int:
    versions = [entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")]
    return int(versions[0]) if versions else 0


def _check_opset(path: Path, proto: Any) -> None:
    opset, newest = _opset(proto), onnx.defs.onnx_opset_version()
    if not opset:
        raise ModelError(f"{path} names no opset of ONNX: it is truncated or damaged")
    if opset < OLDEST_OPSET:
        raise ModelError(
            f"{path} has the opset {opset}; {OLDEST_OPSET} to {newest} are supported; convert it "
            "with onnx.version_converter"
        )
    if opset > newest:
        raise ModelError(
            f"{path} has the opset {opset}; onnx {onnx.__version__} knows {newest} at most: "
            "update it with 'pip install -U onnx', or export the model with an older opset"
        )


def _check_graph(path: Path, proto: Any) -> None:
    graph = proto.graph
    if not graph.node:
        raise ModelError(f"{path} holds a graph without nodes")
    if len(graph.node) > MAX_NODES:
        raise ModelError(
            f"{path} holds a graph of {len(graph.node)} nodes; {MAX_NODES} at most are supported"
        )
    for index, node in enumerate(graph.node):
        for attribute in node.attribute:
            _check_attribute(attribute, f"node '{node.name or index}' ({node.op_type})")
    if proto.functions:
        raise ModelError(
            f"{path} defines functions of its own ({proto.functions[0].name}), which are not "
            "supported; inline them with onnx.inliner.inline_local_functions"
        )
    if graph.sparse_initializer:
        raise ModelError(
            f"{path} has sparse weights ({graph.sparse_initializer[0].values.name}); only dense "
            "ones are supported"
        )
    if len(graph.output) != 1:
        names = ", ".join(output.name for output in graph.output)
        raise ModelError(
            f"{path} has {len(graph.output)} outputs ({names}); exactly one is supported"
        )


def _check_attribute(attribute: Any, who: str) -> None:
    if attribute.HasField("g") or attribute.graphs:
        raise ModelError(
            f"{who} holds a graph of its own; control flow is not supported: export the model "
            "without it"
        )
    sparse = [
        part
        for tensor in (attribute.sparse_tensor, *attribute.sparse_tensors)
        for part in (tensor.values, tensor.indices)
    ]
    if any(is_external(tensor) for tensor in (attribute.t, *attribute.tensors, *sparse)):
        raise ModelError(
            f"{who} keeps its attribute '{attribute.name}' in another file; only the graph's "
            "initializers may have external data"
        )


def _check_rules(path: Path, proto: Any) -> None:
    # The checker insists on a declared shape of the output, which nothing here reads.
    proto.graph.output[0].type.tensor_type.shape.SetInParent()
    try:
        onnx.checker.check_model(proto)
    except Exception as error:  # the checker's own type, and others for damaged models
        raise ModelError(f"{path} is not a valid ONNX model: {one_line(error)}") from error


def _nodes(proto: Any) -> tuple[OnnxNode, ...]:
    taken: set[str] = set()
    nodes = []
    for index, node in enumerate(proto.graph.node):
        op = node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"
        name = node.name or f"{node.op_type}_{index}"
        while name in taken:
            name += f"_{index}"
        taken.add(name)
        nodes.append(
            OnnxNode(op, name, tuple(node.input), tuple(node.output), _attributes(node), node)
        )
    return tuple(nodes)


def _attributes(node: Any) -> dict[str, Any]:
    values = {}
    for attribute in node.attribute:
        value = onnx.helper.get_attribute_value(attribute)
        values[attribute.name] = value.decode() if isinstance(value, bytes) else value
    return values


def _input(path: Path, inputs: list[Any]) -> OnnxInput:
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs) or "none"
        raise ModelError(f"{path} has {len(inputs)} inputs ({names}); exactly one is supported")
    name, tensor = inputs[0].name, inputs[0].type.tensor_type
    if not tensor.HasField("shape"):
        raise ModelError(f"{path}: the input '{name}' has no shape; export it with a fixed one")
    dims = list(tensor.shape.dim)
    if len(dims) < 2:
        raise ModelError(
            f"{path}: the input '{name}' has {len(dims)} dimensions; at least two are needed, the "
            "first of which counts the samples of a batch"
        )
    for axis, dim in enumerate(dims[1:], 1):
        if dim.dim_value < 1:
            raise ModelError(
                f"{path}: the input '{name}' has the dynamic dimension "
                f"'{dim.dim_param or '?'}' (axis {axis}); only the first, the batch, may be "
                "dynamic: export the model with a fixed input size"
            )
    return OnnxInput(
        name=name,
        batch=dims[0].dim_value if dims[0].dim_value > 0 else None,
        sample_shape=tuple(dim.dim_value for dim in dims[1:]),
        is_float=tensor.elem_type in FLOAT_TYPES,
    )
