"""Takes over the exponents of a network that was quantized to powers of two before.

Such a model names, for every feature map, the grid that it rounds it to. If each grid's step is a
power of two and its zero point stands for 0, and if weights and biases are whole numbers at
suitable exponents, nothing is left to choose: the program computes what the model does, except
that a value midway between two integers is rounded up, not to the even one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from shiftwork.errors import ModelError
from shiftwork.quant import graph, program_ops
from shiftwork.quant.codebook import INT4
from shiftwork.quant.convolutions import Target, convolution_op, layer_convs
from shiftwork.quant.dot_product import Rows
from shiftwork.quant.fusion import Layer
from shiftwork.quant.graph import Graph, Grid
from shiftwork.quant.input_grid import tensor_of_grid
from shiftwork.quant.layers import bounded, move_op
from shiftwork.quant.levels import INT8
from shiftwork.quant.program_ops import MAX_ACCUMULATOR_BITS, Op, Tensor, WeightArray
from shiftwork.quant.row_quantizer import IntegerRows
from shiftwork.quant.scales import FloatArray

EXPONENTS = range(-32, 64)
Step = tuple[Op, Tensor]


def exact_steps(
    network: Graph, plan: Sequence[Layer], source: Tensor, weights: str = "int8"
) -> list[Step] | None:
    """The ops of ``network`` and what they write, on the grids of the source model.

    Args:
        network: canonical, with the grids of the source model.
        plan: its layers; what has a grid is not part of a sum.
        source: the network's input, on its grid.
        weights: what they shall be, as ``QuantizerOptions.weights``.

    Returns:
        None if a grid is missing or no power of two, or a layer has no exact form.

    Raises:
        ModelError: if there is an exact form, but with other weights than asked for.
    """
    steps = _steps(network, plan, source, INT8)
    if steps is None or weights == "int8":
        return steps
    text = (
        f"the network '{network.name}' is quantized already, and its weights are taken over as "
        "they are"
    )
    if weights != "int4":
        raise ModelError(f"{text}: they cannot become {weights}; quantize its float original")
    coded = _steps(network, plan, source, (INT4[0], INT4[-1]))
    if coded is None:
        name, value = _outside(steps, INT4[0], INT4[-1])
        raise ModelError(
            f"{text}: op '{name}' has the weight {value}, which is no int4 ({INT4[0]} to "
            f"{INT4[-1]}); ask for int8, or train the network with 4 bits, and its last layer with "
            "one scale for all channels"
        )
    return coded


def _steps(
    network: Graph, plan: Sequence[Layer], source: Tensor, bounds: tuple[int, int]
) -> list[Step] | None:
    """The ops, with weights inside of ``bounds``."""
    if not network.grids or source.gain != 1.0:
        return None
    tensors, steps = {source.name: source}, list[Step]()
    for layer in plan:
        step = _exact_step(network, layer, tensors, bounds)
        if step is None:
            return None
        tensors[step[1].name] = step[1]
        steps.append(step)
    return steps


def _outside(steps: Sequence[Step], lo: int, hi: int) -> tuple[str, int]:
    """The first weight that is not in ``lo..hi``, and the op that has it."""
    return next(
        (op.name, int(value))
        for op, _ in steps
        for values in _weights(op)
        for value in values.ravel()
        if not lo <= value <= hi
    )


def _weights(op: Op) -> tuple[WeightArray, ...]:
    return op.products if isinstance(op, program_ops.Conv) else ()


def _exact_step(
    network: Graph, layer: Layer, tensors: Mapping[str, Tensor], bounds: tuple[int, int]
) -> Step | None:
    if layer.bounds.function is not None:
        return None
    own = network.grids.get(layer.node.output)
    grid = network.grids.get(layer.output) or own
    if own is not None and grid is not None and own.scale != grid.scale:
        return None
    match layer.node:
        case graph.Conv():
            return _exact_conv(layer, grid, tensors, bounds)
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


def _exact_conv(
    layer: Layer, grid: Grid | None, tensors: Mapping[str, Tensor], bounds: tuple[int, int]
) -> Step | None:
    tensor = None if grid is None else _on_grid(layer, grid)
    raw = grid is None and layer.last and not layer.bounds.present
    if tensor is None and not raw:
        return None
    convs = layer_convs(layer)
    sources = tuple(tensors[conv.input] for conv in convs)
    rows = Rows.of(convs, sources, tuple(tensors[name] for name in layer.residuals))
    integers = _exact_rows(rows, None if tensor is None else tensor.exponent, bounds)
    if integers is None:
        return None
    bias = rows.integer_bias(integers.exponents, integers.weights)
    if tensor is None:
        tensor = Tensor(name=layer.output, shape=layer.shape, bits=32)
    target = Target(tensor=tensor, rows=rows, integers=integers, raw=raw)
    return convolution_op(layer, target, bias, tensors)


def _exact_rows(
    rows: Rows, output_exponent: int | None, bounds: tuple[int, int]
) -> IntegerRows | None:
    """The least exponents at which weights and biases are whole numbers; None if there are none.

    Where no exponent makes a bias whole, it is the greatest for the weights: the bias is rounded.
    Without an output exponent all rows have the same one.
    """
    others = [tensor.exponent for tensor in rows.residuals]
    others += [] if output_exponent is None else [output_exponent]
    least, most = max(others, default=-np.inf), min(others, default=np.inf) + program_ops.MAX_SHIFT
    exponents = np.array([e for e in EXPONENTS if least <= e <= most], np.int64)
    if not exponents.size:
        return None
    fitting = np.array([_fitting(rows.weights, e, bounds) for e in exponents])
    whole = np.array([_is_whole(np.ldexp(rows.bias, e)) for e in exponents])
    if output_exponent is None:
        fitting = np.asarray(fitting.all(axis=1, keepdims=True))
        whole = np.asarray(whole.all(axis=1, keepdims=True))
    if not fitting.any(axis=0).all():
        return None
    both = fitting & whole
    first, last = both.argmax(axis=0), len(exponents) - 1 - fitting[::-1].argmax(axis=0)
    chosen = exponents[np.where(both.any(axis=0), first, last)]
    found = np.broadcast_to(chosen, len(rows.weights)).copy()
    weights = np.ldexp(rows.weights, found[:, None])
    bias = rows.integer_bias(found, weights)
    fits = rows.reach(found, weights, bias, output_exponent) <= 2.0 ** (MAX_ACCUMULATOR_BITS - 1)
    return IntegerRows(exponents=found, weights=weights) if fits.all() else None


def _fitting(weights: FloatArray, exponent: int, bounds: tuple[int, int]) -> np.ndarray:
    """``[O]``: whether a row is made of whole numbers inside of ``bounds`` at ``exponent``."""
    scaled = np.ldexp(weights, exponent)
    inside = (scaled >= bounds[0]) & (scaled <= bounds[1]) & _is_whole(scaled)
    return np.asarray(inside.all(axis=1))


def _is_whole(values: FloatArray) -> np.ndarray:
    return np.asarray(values == np.rint(values))


def _exact_average(
    layer: Layer, node: graph.AveragePool, grid: Grid | None, source: Tensor
) -> Step | None:
    tensor = None if grid is None else _on_grid(layer, grid)
    taps = node.kernel[0] * node.kernel[1]
    if tensor is None or taps & (taps - 1) or tensor.signed != source.signed:
        return None
    shift = taps.bit_length() - 1 + source.exponent - tensor.exponent
    if not 0 <= shift <= program_ops.MAX_SHIFT:
        return None
    op = program_ops.AveragePool(
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
