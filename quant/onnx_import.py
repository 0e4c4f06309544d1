"""Imports ONNX models: from a file to the float graph.

Every ONNX tensor that depends on the network's input is followed as a view of a value of the graph
(see :mod:`shiftwork.quant.onnx_views`), everything else is a constant and is computed at once.
"""

from collections.abc import Iterable
from pathlib import Path

from shiftwork.errors import ModelError
from shiftwork.quant import onnx_qonnx
from shiftwork.quant.graph import Graph
from shiftwork.quant.onnx_builder import GraphBuilder, LayoutError
from shiftwork.quant.onnx_constants import Constants
from shiftwork.quant.onnx_context import Importer
from shiftwork.quant.onnx_file import OnnxModel, OnnxNode, read
from shiftwork.quant.onnx_ops import HOST_OPS, MOVE_OPS, import_node
from shiftwork.quant.source_checks import located, one_line


def load(path: str | Path) -> Graph:
    """Imports the ONNX model at ``path``.

    Reshapes, transposes and other ops that only rearrange are gone in the graph, except where a
    feature map becomes a vector. Softmax, LogSoftmax, Sigmoid and ArgMax at the end are left out
    and recorded in ``Graph.dropped``.

    Raises:
        ModelError: if the file cannot be read, or holds something that is not supported.
    """
    path = Path(path)
    try:
        return _import_model(read(path), path.stem)
    except ModelError as error:
        raise located(path, error) from error
    except Exception as error:  # a damaged file can make any part of onnx and numpy fail
        raise ModelError(f"{path} is damaged: {one_line(error)}") from error


def _import_model(model: OnnxModel, name: str) -> Graph:
    try:
        return _build(model, name, channels_last=False)
    except LayoutError as error:
        # An elementwise op that comes first does not tell whether the input is NCHW or NHWC.
        try:
            return _build(model, name, channels_last=True)
        except ModelError:
            raise error from None


def _build(model: OnnxModel, name: str, *, channels_last: bool) -> Graph:
    output, dropped = _cut_host_ops(model)
    nodes = _needed(model.nodes, output)
    if not model.input.is_float:
        _check_cast_first(nodes, model.input.name)
    # Two samples show whether the network keeps them apart; a fixed batch of one needs no care.
    batch = 1 if model.input.batch == 1 else 2
    builder = GraphBuilder(model.input, batch=batch, channels_last=channels_last)
    importer = Importer(builder, Constants(model), model.input.batch)
    last_use = {tensor: index for index, node in enumerate(nodes) for tensor in node.inputs}
    for index, node in enumerate(nodes):
        if not importer.constants.can_fold(node):
            _import_node(node, importer)
        elif node.op in onnx_qonnx.OPS:
            _fold_qonnx(node, importer.constants)
        else:
            importer.constants.fold(node)
        for tensor in node.inputs:
            if last_use[tensor] == index and tensor != output:
                builder.views.pop(tensor, None)
    return builder.finish(name, output, dropped, model.source)


def _import_node(node: OnnxNode, importer: Importer) -> None:
    try:
        import_node(node, importer)
    except ModelError:
        raise
    except Exception as error:  # malformed attributes and inputs that do not fit each other
        raise node.error(f"is malformed: {one_line(error)}") from error


def _fold_qonnx(node: OnnxNode, constants: Constants) -> None:
    constants[node.outputs[0]] = onnx_qonnx.fold(node, [constants[name] for name in node.inputs])


def _cut_host_ops(model: OnnxModel) -> tuple[str, tuple[str, ...]]:
    """The tensor that the hardware returns, and the ops after it that are left to the host."""
    producers = {tensor: node for node in model.nodes for tensor in node.outputs if tensor}
    output, dropped = model.output, tuple[str, ...]()
    tensor, tail = model.output, list[str]()
    while tensor in producers and producers[tensor].op in HOST_OPS | MOVE_OPS:
        node = producers.pop(tensor)
        tail.append(node.op)
        tensor = node.input(0)
        if node.op in HOST_OPS:
            output, dropped = tensor, tuple(reversed(tail))
    return output, dropped


def _needed(nodes: Iterable[OnnxNode], output: str) -> tuple[OnnxNode, ...]:
    """The nodes that ``output`` depends on, in their order."""
    wanted, needed = {output}, []
    for node in reversed(tuple(nodes)):
        if wanted.intersection(name for name in node.outputs if name):
            wanted.update(node.inputs)
            needed.append(node)
    return tuple(reversed(needed))


def _check_cast_first(nodes: Iterable[OnnxNode], name: str) -> None:
    for node in nodes:
        if name in node.inputs and node.op not in ("Cast", "DequantizeLinear", "Shape"):
            raise node.error(
                f"works on the integer input '{name}'; it must be cast to float or dequantized "
                "first"
            )
