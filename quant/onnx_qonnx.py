"""QONNX's Quant, as Brevitas and QKeras export it: a tensor rounded to integers of any width.

A Quant of a feature map is a QuantizeLinear and its DequantizeLinear in one node, a Quant of a
constant is computed. The meaning of inputs and attributes is that of QONNX
(https://github.com/fastmachinelearning/qonnx, docs/qonnx-custom-ops).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftwork.quant.graph import Grid
from shiftwork.quant.onnx_context import Handler, Importer
from shiftwork.quant.onnx_file import OnnxNode
from shiftwork.quant.onnx_quantization import round_to

DOMAINS = ("qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general")
OPS = frozenset(f"{domain}.{op}" for domain in DOMAINS for op in ("Quant", "IntQuant"))
MAX_FEATURE_BITS = 8
MAX_CONSTANT_BITS = 32
ROUNDINGS = ("ROUND", "HALF_EVEN")


def _quant(node: OnnxNode, importer: Importer) -> None:
    """A feature map; it may have one scale."""
    scale, zero_point, bits = (
        importer.float_constant(node, index, role).ravel()
        for index, role in ((1, "scale"), (2, "zero point"), (3, "bit width"))
    )
    if scale.size != 1 or not 0 < scale[0] < np.inf:
        raise node.error(
            f"has the scales {scale[:4].tolist()}; a feature map needs one positive scale"
        )
    if zero_point.size != 1 or zero_point[0] != np.rint(zero_point[0]):
        raise node.error(
            f"has the zero points {zero_point[:4].tolist()}; a feature map needs one whole number"
        )
    lo, hi = _limits(node, bits, most=MAX_FEATURE_BITS)
    grid = Grid(scale=float(scale[0]), zero_point=int(zero_point[0]), lo=lo, hi=hi)
    round_to(node, importer, grid)


def fold(node: OnnxNode, inputs: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
    """A Quant whose inputs are all constants: its value.

    Args:
        inputs: tensor, scale, zero point, bit width; the second and third are broadcast to it.

    Raises:
        ModelError: if the scales, the bit width or the rounding is not supported.
    """
    if len(inputs) != 4:
        raise node.error(
            f"has {len(inputs)} inputs; needed are tensor, scale, zero point and bit width"
        )
    x, scale, zero_point = (np.asarray(array, np.float32) for array in inputs[:3])
    if not (np.isfinite(scale) & (scale > 0)).all():
        raise node.error(f"has the scales {scale.ravel()[:4].tolist()}; they must be positive")
    lo, hi = _limits(node, np.asarray(inputs[3]).ravel(), most=MAX_CONSTANT_BITS)
    try:
        integers = np.rint(np.clip(x / scale + zero_point, lo, hi))
        result = np.asarray((integers - zero_point) * scale, np.float32)
    except ValueError as error:
        raise node.error(
            f"has a tensor of the shape {list(x.shape)}, but scales of {list(scale.shape)} and "
            f"zero points of {list(zero_point.shape)}"
        ) from error
    if result.shape != x.shape:
        raise node.error(f"makes a tensor of {list(x.shape)} one of {list(result.shape)}")
    return result


def _limits(node: OnnxNode, bits: NDArray[Any], *, most: int) -> tuple[int, int]:
    """The least and the greatest integer."""
    mode = str(node.attributes.get("rounding_mode", ROUNDINGS[0])).upper()
    if mode not in ROUNDINGS:
        raise node.error(
            f"rounds with the mode {mode}; supported is {ROUNDINGS[0]}, to the nearest integer"
        )
    if bits.size != 1 or bits[0] not in range(2, most + 1):
        raise node.error(f"has the bit widths {bits[:4].tolist()}; supported is one of 2 to {most}")
    width = int(bits[0])
    narrow = int(bool(node.attributes.get("narrow", 0)))
    if node.attributes.get("signed", 1):
        return narrow - (1 << width - 1), (1 << width - 1) - 1
    return 0, (1 << width) - 1 - narrow


QONNX: dict[str, Handler] = dict.fromkeys(sorted(OPS), _quant)
