"""The supported ONNX ops."""

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
    HANDLERS[node.op](node, importer)
