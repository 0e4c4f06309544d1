"""ONNX's QuantizeLinear and DequantizeLinear around feature maps.

The graph computes in real numbers: of the two remains that a quantized tensor saturates, which
often stands in for a ReLU, and the grid that it is rounded to, which ``Graph.grids`` records. A
dequantized constant is a constant like any other.
"""

import numpy as np
import onnx

from shiftwork.quant.graph import Clip, Grid
from shiftwork.quant.onnx_context import Handler, Importer
from shiftwork.quant.onnx_file import OnnxNode
from shiftwork.quant.onnx_views import View
from shiftwork.quant.regridding import grid_of, is_free, rounds_anew


def _quantize(node: OnnxNode, importer: Importer) -> None:
    grid = _grid(node, importer)
    round_to(node, importer, grid)
    importer.builder.integers[node.outputs[0]] = grid


def round_to(node: OnnxNode, importer: Importer, grid: Grid) -> None:
    """The node's output is its first input, saturated and on ``grid``.

    What lay on a finer grid before becomes a value of its own, so that both have theirs. A value
    that is rounded to a step that is no power of two too has that one.
    """
    _pass_on(node, importer)
    if _saturates(node, importer, grid) or _coarsens(node, importer, grid):
        _clip(node, importer, grid)
    value = importer.builder.views[node.outputs[0]].value
    known = importer.builder.grids.setdefault(value, [])
    first = is_free(grid) and not importer.builder.is_input(value)
    known.insert(0 if first else len(known), grid)


def _dequantize(node: OnnxNode, importer: Importer) -> None:
    grid = _grid(node, importer)
    _pass_on(node, importer)
    value = importer.builder.views[node.outputs[0]].value
    known = importer.builder.grids.setdefault(value, [grid])
    if (grid.scale, grid.zero_point) not in [(other.scale, other.zero_point) for other in known]:
        raise node.error(
            f"dequantizes with the scale {grid.scale} and zero point {grid.zero_point}, but the "
            f"tensor was quantized with {known[-1].scale} and {known[-1].zero_point}"
        )


def _grid(node: OnnxNode, importer: Importer) -> Grid:
    scale = importer.float_constant(node, 1, "scale").ravel()
    dtype, zero_point = np.dtype(np.uint8), 0
    if node.input(2):
        given = importer.constant(node, 2, "zero point")
        dtype = given.dtype
        zero_point = int(given.ravel()[0]) if given.size == 1 else 0
    elif node.attributes.get("output_dtype", 0):
        dtype = onnx.helper.tensor_dtype_to_np_dtype(node.attributes["output_dtype"])
    if scale.size != 1 or not 0 < scale[0] < np.inf:
        raise node.error(
            f"has the scales {scale[:4].tolist()}; a feature map needs one positive scale"
        )
    if not np.issubdtype(dtype, np.integer):
        raise node.error(f"makes numbers of the type {dtype}; only integers are supported")
    limits = np.iinfo(dtype)
    return Grid(
        scale=float(scale[0]), zero_point=zero_point, lo=int(limits.min), hi=int(limits.max)
    )


def _pass_on(node: OnnxNode, importer: Importer) -> None:
    builder, name = importer.builder, node.input(0)
    builder.views[node.outputs[0]] = builder.view(node, name)
    if name in builder.paddings:
        builder.paddings[node.outputs[0]] = builder.paddings[name]


def _limits(grid: Grid) -> tuple[float, float]:
    return (
        (grid.lo - grid.zero_point) * grid.scale,
        (grid.hi - grid.zero_point) * grid.scale,
    )


def _saturates(node: OnnxNode, importer: Importer, grid: Grid) -> bool:
    """Whether values may lie outside of the grid by more than rounding explains.

    The network's input is given within its grid.
    """
    value = importer.builder.view(node, node.input(0)).value
    if importer.builder.is_input(value):
        return False
    (lo, hi), (least, most) = importer.builder.bounds(value), _limits(grid)
    return lo < least - grid.scale / 2 or hi > most + grid.scale / 2


def _coarsens(node: OnnxNode, importer: Importer, grid: Grid) -> bool:
    builder = importer.builder
    grids = {value: known[0] for value, known in builder.grids.items()}
    before = grid_of(builder.nodes, grids, builder.view(node, node.input(0)).value)
    return before is not None and before.scale < grid.scale and rounds_anew(before, grid)


def _clip(node: OnnxNode, importer: Importer, grid: Grid) -> None:
    builder = importer.builder
    view = builder.elementwise(node, node.input(0))
    lo, hi = _limits(grid)
    layer = Clip(name=node.name, input=view.value, output=node.outputs[0], lo=lo, hi=hi)
    shape = builder.shapes[view.value]
    builder.add(layer, shape, View(layer.output, view.order), layer.output)


QUANTIZATION: dict[str, Handler] = {"DequantizeLinear": _dequantize, "QuantizeLinear": _quantize}
