"""Imports TFLite models: from a file to the float graph.

Quantized models are dequantized: weights and biases become the real numbers that they stand for,
and the grids of the feature maps are recorded beside the graph, in ``Graph.grids``.
"""

from collections.abc import Iterable
from pathlib import Path

from shiftwork.errors import ModelError
from shiftwork.quant.graph import Graph
from shiftwork.quant.source_checks import located, one_line
from shiftwork.quant.tflite_context import Handler, Importer
from shiftwork.quant.tflite_elementwise import ELEMENTWISE
from shiftwork.quant.tflite_file import TfliteModel, TfliteNode, read
from shiftwork.quant.tflite_layers import LAYERS
from shiftwork.quant.tflite_moves import MOVES, SHAPES
from shiftwork.quant.tflite_pooling import POOLING
from shiftwork.quant.tflite_unary import UNARY

HANDLERS: dict[str, Handler] = LAYERS | ELEMENTWISE | UNARY | POOLING | MOVES | SHAPES
HOST_OPS = frozenset({"ARG_MAX", "LOGISTIC", "LOG_SOFTMAX", "SOFTMAX"})


def load(path: str | Path) -> Graph:
    """Imports the TFLite model at ``path``.

    Samples are in real units, also for a quantized model: ``(q - zero_point) * scale`` of its
    input. Reshapes and changes of the number format are gone in the graph, except where a feature
    map becomes a vector. SOFTMAX, LOG_SOFTMAX, LOGISTIC and ARG_MAX at the end are left out and
    recorded in ``Graph.dropped``.

    Raises:
        ModelError: if the file cannot be read, or holds something that is not supported.
    """
    path = Path(path)
    try:
        return _build(read(path), path.stem)
    except ModelError as error:
        raise located(path, error) from error
    except Exception as error:  # offsets of a damaged file can lead anywhere
        raise ModelError(f"{path} is truncated or damaged: {one_line(error)}") from error


def _build(model: TfliteModel, name: str) -> Graph:
    output, dropped = _cut_host_ops(model)
    importer = Importer(model)
    for node in _needed(model.nodes, output):
        _import_node(node, importer)
    return importer.finish(name, output, dropped)


def _import_node(node: TfliteNode, importer: Importer) -> None:
    if node.op in HOST_OPS and node.op not in HANDLERS:
        raise node.error("is supported only at the end of the network")
    if node.op not in HANDLERS:
        supported = ", ".join(sorted(HANDLERS.keys() | HOST_OPS))
        raise node.error(f"is not supported; supported ops are {supported}")
    try:
        HANDLERS[node.op](node, importer)
    except ModelError:
        raise
    except Exception as error:  # malformed attributes and inputs that do not fit each other
        raise node.error(f"is malformed: {one_line(error)}") from error


def _cut_host_ops(model: TfliteModel) -> tuple[int, tuple[str, ...]]:
    """The tensor that the hardware returns, and the ops after it that are left to the host."""
    producers = {tensor: node for node in model.nodes for tensor in node.outputs}
    output, dropped = model.output, tuple[str, ...]()
    tensor, tail = model.output, list[str]()
    while tensor in producers and producers[tensor].op in HOST_OPS | MOVES.keys():
        node = producers.pop(tensor)
        tail.append(node.op)
        tensor = node.input(0)
        if node.op in HOST_OPS:
            output, dropped = tensor, tuple(reversed(tail))
    return output, dropped


def _needed(nodes: Iterable[TfliteNode], output: int) -> tuple[TfliteNode, ...]:
    """The nodes that ``output`` depends on, in their order."""
    wanted, needed = {output}, []
    for node in reversed(tuple(nodes)):
        if wanted.intersection(node.outputs):
            wanted.update(node.inputs)
            needed.append(node)
    return tuple(reversed(needed))
