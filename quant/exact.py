"""Takes over the exponents of a network that was quantized to powers of two before.

Such a model names, for every feature map, the grid that it rounds it to. If each grid's step is a
power of two and its zero point stands for 0, and if weights and biases are whole numbers at
suitable exponents, nothing is left to choose: the program computes what the model does, except
that a value midway between two integers is rounded up, not to the even one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from shiftwork.quant import graph, program
from shiftwork.quant.convolutions import Target, convolution_op, layer_convs
from shiftwork.quant.dot_product import Rows
from shiftwork.quant.fusion import Layer
from shiftwork.quant.graph import Graph, Grid
from shiftwork.quant.input_grid import tensor_of_grid
from shiftwork.quant.layers import bounded, move_op
from shiftwork.quant.program import MAX_ACCUMULATOR_BITS, Op, Tensor
from shiftwork.quant.row_quantizer import IntegerRows
from shiftwork.quant.scales import FloatArray, IntegerArray

EXPONENTS = range(-32, 64)
Step = tuple[Op, Tensor]


def exact_steps(network: Graph, plan: Sequence[Layer], source: Tensor) -> list[Step] | None:
    """The ops of ``network`` and what they write, on the grids of the source model.

    Args:
        network: canonical, with the grids of the source model.
        plan: its layers; what has a grid is not part of a sum.
        source: the network's input, on its grid.

    Returns:
        None if a grid is missing or no power of two, or a layer has no exact form.
    """
    if not network.grids or source.gain != 1.0:
        return None
    tensors, steps = {source.name: source}, list[Step]()
    for layer in plan:
        step = _exact_step(network, layer, tensors)
        if step is None:
            return None
        tensors[step[1].name] = step[1]
        steps.append(step)
    return steps


def _exact_step(network: Graph, layer: Layer, tensors: Mapping[str, Tensor]) -> Step | None:
    grid = network.grids.get(layer.output) or network.grids.get(layer.node.output)
    match layer.node:
        case graph.Conv():
            return _exact_conv(layer, grid, tensors)
        case graph.AveragePool() as node:
            return _exact_average(layer, node, grid, tensors[node.input])
        case node:
            source = tensors[node.input]
            tensor = replace(source, name=layer.output, shape=layer.shape)
            kept = grid is None or grid.scale == 2.0**-source.exponent
            return (move_op(layer), tensor) if kept else None


def _on_grid(layer: Layer, grid: Grid) -> Tensor | None:
    """The layer's output on ``grid``; None if its step is no power of two, or 0 is not 0.

    A grid of int8 whose least integer stands for 0 is one of uint8.
    """
    tensor = tensor_of_grid(layer.output, layer.shape, grid)
    if grid.zero_point == grid.lo:
        hi = grid.hi - grid.lo
        tensor = replace(tensor, lo=0, hi=hi, signed=False, zero_point=0)
    if tensor.gain != 1.0 or tensor.zero_point != 0:
        return None
    return bounded(tensor, layer.bounds)


def _exact_conv(layer: Layer, grid: Grid | None, tensors: Mapping[str, Tensor]) -> Step | None:
    tensor = None if grid is None else _on_grid(layer, grid)
    raw = grid is None and layer.last and not layer.bounds.present
    if tensor is None and not raw:
        return None
    convs = layer_convs(layer)
    sources = tuple(tensors[conv.input] for conv in convs)
    rows = Rows.of(convs, sources, tuple(tensors[name] for name in layer.residuals))
    integers = _exact_rows(rows, None if tensor is None else tensor.exponent)
    if integers is None:
        return None
    bias = rows.integer_bias(integers.exponents, integers.weights)
    if tensor is None:
        tensor = Tensor(name=layer.output, shape=layer.shape, bits=32)
    target = Target(tensor=tensor, rows=rows, integers=integers, raw=raw)
    return convolution_op(layer, target, bias, tensors)


def _exact_rows(rows: Rows, output_exponent: int | None) -> IntegerRows | None:
    """The least exponents at which weights and biases are whole numbers; None if there are none.

    Without an output exponent all rows have the same one.
    """
    others = [tensor.exponent for tensor in rows.residuals]
    others += [] if output_exponent is None else [output_exponent]
    least, most = max(others, default=-np.inf), min(others, default=np.inf) + program.MAX_SHIFT
    found = np.full(len(rows.weights), EXPONENTS.stop, np.int64)
    for exponent in reversed(EXPONENTS):
        if least <= exponent <= most:
            found[_whole(rows, exponent)] = exponent
    if output_exponent is None:
        found = np.full_like(found, found.max())
    if found.max() == EXPONENTS.stop or not _each_whole(rows, found):
        return None
    weights = np.ldexp(rows.weights, found[:, None])
    bias = rows.integer_bias(found, weights)
    fits = rows.reach(found, weights, bias, output_exponent) <= 2.0 ** (MAX_ACCUMULATOR_BITS - 1)
    return IntegerRows(exponents=found, weights=weights) if fits.all() else None


def _whole(rows: Rows, exponent: int) -> np.ndarray:
    """``[O]``: whether a row is made of int8 weights and a whole bias at ``exponent``."""
    return _is_whole(rows.weights * 2.0**exponent, rows.bias * 2.0**exponent)


def _each_whole(rows: Rows, exponents: IntegerArray) -> bool:
    steps = np.exp2(exponents.astype(np.float64))
    return bool(_is_whole(rows.weights * steps[:, None], rows.bias * steps).all())


def _is_whole(weights: FloatArray, bias: FloatArray) -> np.ndarray:
    inside = (weights >= -128) & (weights <= 127) & (weights == np.rint(weights))
    return np.asarray(inside.all(axis=1) & (bias == np.rint(bias)))


def _exact_average(
    layer: Layer, node: graph.AveragePool, grid: Grid | None, source: Tensor
) -> Step | None:
    tensor = None if grid is None else _on_grid(layer, grid)
    taps = node.kernel[0] * node.kernel[1]
    if tensor is None or taps & (taps - 1) or tensor.signed != source.signed:
        return None
    shift = taps.bit_length() - 1 + source.exponent - tensor.exponent
    if not 0 <= shift <= program.MAX_SHIFT:
        return None
    op = program.AveragePool(
        name=node.name,
        input=node.input,
        output=layer.output,
        kernel=node.kernel,
        stride=node.stride,
        padding=node.padding,
        shift=shift,
        lo=tensor.lo,
        hi=tensor.hi,
    )
    return op, tensor
