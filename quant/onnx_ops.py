"""The supported ONNX ops."""

from shiftwork.quant.graph import Grid
from shiftwork.quant.onnx_context import Importer
from shiftwork.quant.onnx_elementwise import ELEMENTWISE
from shiftwork.quant.onnx_file import OnnxNode
from shiftwork.quant.onnx_layers import LAYERS
from shiftwork.quant.onnx_moves import MOVES, SHAPES
from shiftwork.quant.onnx_pooling import POOLING
from shiftwork.quant.onnx_qonnx import QONNX
from shiftwork.quant.onnx_quantization import QUANTIZATION
from shiftwork.quant.onnx_unary import UNARY

HANDLERS = LAYERS | ELEMENTWISE | UNARY | POOLING | MOVES | QUANTIZATION | QONNX | SHAPES
HOST_OPS = frozenset({"Softmax", "LogSoftmax", "ArgMax", "Sigmoid"})
MOVE_OPS = frozenset(MOVES | QUANTIZATION | QONNX)
INTEGER_OPS = frozenset(MOVES) - {"Cast"} | {"Clip", "DequantizeLinear", "MaxPool", "Relu", "Shape"}


def import_node(node: OnnxNode, importer: Importer) -> None:
    """Adds what ``node`` computes from the network's input.

    Raises:
        ModelError: if the op, or what it is asked to do, is not supported.
    """
    if node.op in HOST_OPS and node.op not in HANDLERS:
        raise node.error("is supported only at the end of the network")
    if node.op not in HANDLERS:
        supported = ", ".join(sorted(HANDLERS | dict.fromkeys(HOST_OPS)))
        raise node.error(f"is not supported; supported ops are {supported}")
    integers = importer.builder.integers
    grid = next((integers[name] for name in node.inputs if name in integers), None)
    if grid is not None and not _keeps_integers(node, grid):
        raise node.error(
            "computes with the integers of a QuantizeLinear; only a DequantizeLinear, a Clip, a "
            "MaxPool and what rearranges may follow it"
        )
    HANDLERS[node.op](node, importer)
    if grid is not None and node.op != "DequantizeLinear":
        integers.setdefault(node.outputs[0], grid)


def _keeps_integers(node: OnnxNode, grid: Grid) -> bool:
    """Whether ``node`` does the same to integers on ``grid`` as to the numbers they stand for."""
    return node.op in INTEGER_OPS or (node.op == "Pad" and grid.zero_point == 0)
