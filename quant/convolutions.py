"""Quantizes a convolution or dense layer, and what is added to it before the requantization."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from shiftwork.quant import program_ops
from shiftwork.quant.codebook import powers_of_two
from shiftwork.quant.digits import BASE, DIGIT_BITS, split_bytes
from shiftwork.quant.dot_product import Rows
from shiftwork.quant.fusion import Layer
from shiftwork.quant.graph import Conv
from shiftwork.quant.layers import Real, State, States, bounded, run_node
from shiftwork.quant.levels import Levels
from shiftwork.quant.moments import moments
from shiftwork.quant.options import QuantizerOptions
from shiftwork.quant.program_ops import WIDE_RANGE, Op, Tensor, WeightArray
from shiftwork.quant.rounding import Compensation, Nearest, Rounding
from shiftwork.quant.row_quantizer import IntegerRows, quantize_rows
from shiftwork.quant.scales import FloatArray, IntegerArray, choose_exponent, half_up
from shiftwork.quant.shared_weights import WeightedRows
from shiftwork.quant.table_grids import TableGrid, choose_grid, index_exponents, make_table
from shiftwork.quant.unary_functions import Function

COPY_EXPONENT = 6


@dataclass(frozen=True, eq=False, kw_only=True)
class Target:
    """The output tensor of a convolution, and the rows that make it.

    With a table, whose ``grid`` is given, the tensor is that of its index.
    """

    tensor: Tensor
    rows: Rows
    integers: IntegerRows
    raw: bool
    grid: TableGrid | None = None

    @property
    def exponent(self) -> int | None:
        """The output's exponent; None for accumulators."""
        return None if self.raw else self.tensor.exponent


def quantize_conv(
    layer: Layer, states: States, options: QuantizerOptions, levels: Levels
) -> list[tuple[Op, State]]:
    """The op of a convolution and what it writes.

    Before it stand copies of the values that are added, where those are finer than the
    accumulators: a shift to the left cannot make them coarser.
    """
    convs = layer_convs(layer)
    real = _float_sum(layer, states)
    rounding = _rounding(convs, states, options, levels)
    copies = []
    while True:
        rows = _rows(layer, convs, states, levels)
        target = _target(layer, rows, real, rounding, options)
        least = int(target.integers.exponents.min())
        added = {name: states[name].tensor for name in layer.residuals}
        fine = [
            name
            for name, tensor in added.items()
            if tensor.exponent > least - rows.least_shift(tensor)
        ]
        if not fine:
            break
        coarsest = least - rows.least_shift(added[fine[0]])
        tensor = replace(added[fine[0]], name=f"{layer.output}_{fine[0]}", exponent=coarsest)
        if rows.finer_bits:
            tensor = _narrowed(tensor, added[fine[0]])
        op, state = _coarser(states[fine[0]], tensor, levels)
        copies.append((op, state))
        names = [op.output if name == fine[0] else name for name in layer.residuals]
        layer = replace(layer, residuals=tuple(names))
        states = {**states, op.output: state}
    return [*copies, _quantized(layer, target, states, real, options)]


def layer_convs(layer: Layer) -> tuple[Conv, ...]:
    """The convolutions whose outputs the layer adds up; the first one names the op."""
    assert isinstance(layer.node, Conv)
    return (layer.node, *layer.products)


def weighted_rows(layer: Layer, states: States, options: QuantizerOptions) -> WeightedRows:
    """The weights of a convolution, and how much each of them matters."""
    convs = layer_convs(layer)
    weights = _rows(layer, convs, states, Levels()).weights
    importance = np.einsum("...kk->...k", _moments(convs, states, options))
    return WeightedRows(weights, np.broadcast_to(importance, weights.shape))


def _moments(convs: tuple[Conv, ...], states: States, options: QuantizerOptions) -> FloatArray:
    inputs = tuple(states[conv.input].centred for conv in convs)
    return moments(convs, inputs, centred=options.bias_correction)


def _rounding(
    convs: tuple[Conv, ...], states: States, options: QuantizerOptions, levels: Levels
) -> Rounding:
    if options.rounding == "nearest":
        return Nearest(levels)
    return Compensation.of(_moments(convs, states, options), levels)


def _rows(layer: Layer, convs: tuple[Conv, ...], states: States, levels: Levels) -> Rows:
    sources = tuple(states[conv.input].tensor for conv in convs)
    residuals = tuple(states[name].tensor for name in layer.residuals)
    finer = levels.finer_bits + (DIGIT_BITS if any(source.wide for source in sources) else 0)
    return Rows.of(convs, sources, residuals, finer)


def _float_sum(layer: Layer, states: States) -> Real:
    convs = layer_convs(layer)
    total = sum(run_node(conv, states[conv.input].real, layer.shape) for conv in convs)
    return np.asarray(sum((states[name].real for name in layer.residuals), total), np.float32)


def _target(
    layer: Layer, rows: Rows, real: Real, rounding: Rounding, options: QuantizerOptions
) -> Target:
    """The output tensor, and the rows in integers.

    An 8-bit output's exponent is lowered where a row's accumulator would be coarser.
    """
    if layer.bounds.function is not None:
        return _table_target(layer, layer.bounds.function, rows, real, rounding, options)
    per_row = options.per_channel
    if layer.last and options.accumulators and not layer.bounds.present:
        integers = quantize_rows(rows, rounding, None, method=options.scales, per_row=False)
        tensor = Tensor(name=layer.output, shape=layer.shape, bits=32)
        return Target(tensor=tensor, rows=rows, integers=integers, raw=True)
    wide = layer.node.name in options.wide_activations
    signed = layer.bounds.lo < 0 or options.activations == "signed" or wide
    lo, hi = WIDE_RANGE if wide else (-128, 127) if signed else (0, 255)
    values = layer.bounds.apply(real)
    exponent = choose_exponent(values, lo, hi, options.scales, options.headroom)
    while True:
        integers = quantize_rows(rows, rounding, exponent, method=options.scales, per_row=per_row)
        finest = int(integers.exponents.min())
        if finest >= exponent:
            break
        exponent = finest
    grid = Tensor(
        name=layer.output,
        shape=layer.shape,
        lo=lo,
        hi=hi,
        signed=signed,
        bits=16 if wide else 8,
        exponent=exponent,
    )
    return Target(tensor=bounded(grid, layer.bounds), rows=rows, integers=integers, raw=False)


def _table_target(
    layer: Layer,
    function: Function,
    rows: Rows,
    real: Real,
    rounding: Rounding,
    options: QuantizerOptions,
) -> Target:
    """The tensor of a table's index, and the rows; the index's offset is part of their bias."""
    most = np.inf
    while True:
        grid = choose_grid(
            function,
            real,
            name=layer.node.name,
            exponents=index_exponents(real, options.headroom, most),
            outputs=options.activations,
            headroom=options.headroom,
        )
        shifted = replace(rows, bias=rows.bias + grid.offset)
        integers = quantize_rows(
            shifted, rounding, grid.exponent, method=options.scales, per_row=options.per_channel
        )
        finest = int(integers.exponents.min())
        if finest >= grid.exponent:
            break
        most = finest
    tensor = Tensor(name=layer.output, shape=layer.shape, exponent=grid.exponent)
    return Target(tensor=tensor, rows=shifted, integers=integers, raw=False, grid=grid)


def _narrowed(copy: Tensor, source: Tensor) -> Tensor:
    """A coarser ``copy`` of ``source`` with the range that it needs: 16 bits leave little room."""
    step = 2.0 ** (copy.exponent - source.exponent)
    return replace(copy, lo=int(half_up(source.lo * step)), hi=int(half_up(source.hi * step)))


def _coarser(state: State, tensor: Tensor, levels: Levels) -> tuple[Op, State]:
    """``tensor``, a copy of ``state`` at a lower exponent."""
    one = COPY_EXPONENT if levels.codebook is None else powers_of_two(levels.codebook)[-1]
    source, exponent, name = state.tensor, tensor.exponent, tensor.name
    channels = source.shape[2]
    shift = one + source.exponent - exponent
    op = program_ops.Conv(
        name=name,
        input=source.name,
        output=name,
        weights=np.full((channels, 1, 1, 1), 1 << one, np.int8),
        bias=np.zeros(channels, np.int64),
        shift=np.full(channels, shift, np.int64),
        lo=tensor.lo,
        hi=tensor.hi,
        groups=channels,
    )
    scaled = half_up(state.integer * 2.0 ** (one - shift))
    integer = np.clip(scaled, tensor.lo, tensor.hi).astype(np.float32)
    return op, State(tensor=tensor, real=state.real, integer=integer)


def _quantized(
    layer: Layer, target: Target, states: States, real: Real, options: QuantizerOptions
) -> tuple[Op, State]:
    convs, rows = layer_convs(layer), target.rows
    exponents, weights = target.integers.exponents, target.integers.weights
    parts = _parts(convs, weights)
    sums = _integer_sum(layer, parts, exponents, states, target.integers.levels)
    bias = rows.integer_bias(exponents, weights)
    if options.bias_correction:
        wanted = real if target.grid is None else real + target.grid.offset
        error = (wanted - sums * np.exp2(-exponents.astype(float)) - rows.bias).mean(axis=(0, 1, 2))
        bias = rows.corrected_bias(exponents, target.integers.terms, error, target.exponent)
    tensors = {name: state.tensor for name, state in states.items()}
    op, tensor = convolution_op(layer, target, bias, tensors)
    integer = sums + bias + weights @ rows.zero_points
    if not target.raw:
        integer = half_up(integer * np.exp2(-op.shift.astype(float)))
        integer = np.clip(integer, tensor.lo, tensor.hi)
    if target.grid is not None and layer.bounds.function is not None:
        table, tensor = make_table(layer.bounds.function, target.grid, layer.output, layer.shape)
        op = replace(op, table=table)
        integer = table.lookup(integer.astype(np.int64)).astype(np.float64)
    return op, State(
        tensor=tensor, real=layer.bounds.apply(real), integer=integer.astype(np.float32)
    )


def convolution_op(
    layer: Layer, target: Target, bias: FloatArray, tensors: Mapping[str, Tensor]
) -> tuple[program_ops.Conv, Tensor]:
    """The op that computes ``target`` with ``bias[O]``, and its output tensor."""
    convs, tensor = layer_convs(layer), target.tensor
    node, exponents = convs[0], target.integers.exponents
    dtype = target.integers.levels.dtype
    parts = [
        (conv, part.astype(dtype))
        for term in target.integers.terms
        for conv, part in zip(convs, _parts(convs, term), strict=True)
    ]
    op = program_ops.Conv(
        name=node.name,
        input=node.input,
        output=layer.output,
        weights=parts[0][1],
        bias=bias.astype(np.int64),
        shift=np.zeros_like(exponents) if target.raw else exponents - tensor.exponent,
        lo=-128 if target.raw else tensor.lo,
        hi=127 if target.raw else tensor.hi,
        stride=node.stride,
        padding=node.padding,
        dilation=node.dilation,
        pad_value=tensors[node.input].zero_point,
        accumulators=target.raw,
        groups=node.groups,
        terms=(*_products(parts[1:], tensors), *_residuals(layer, exponents, tensors)),
    )
    if target.raw:
        least, greatest = op.accumulator_range(*(tensors[name] for name in op.inputs))
        lo, hi = int(least.min()), int(greatest.max())
        tensor = replace(tensor, lo=lo, hi=hi, exponent=int(exponents[0]))
    return op, tensor


def _parts(convs: tuple[Conv, ...], weights: FloatArray) -> tuple[FloatArray, ...]:
    """The integer weights ``[O, kh, kw, I]`` of each convolution."""
    ends = np.cumsum([conv.weights[0].size for conv in convs])[:-1]
    parts = np.split(weights, ends, axis=1)
    return tuple(p.reshape(conv.weights.shape) for p, conv in zip(parts, convs, strict=True))


def _integer_sum(
    layer: Layer,
    parts: tuple[FloatArray, ...],
    exponents: IntegerArray,
    states: States,
    levels: Levels,
) -> NDArray[np.float64]:
    """``sum(w * (q - zero_point))`` in integers, ``[N, H', W', O]``, borders at zero."""
    total = np.zeros(1)
    for conv, part in zip(layer_convs(layer), parts, strict=True):
        for factor, digit in levels.digits(part):
            own, bias = digit.astype(np.float32), np.zeros(len(part), np.float32)
            for weight, x in _planes(states[conv.input]):
                dot = run_node(replace(conv, weights=own, bias=bias), x, layer.shape)
                total = total + factor * weight * dot.astype(np.float64)
    for name in layer.residuals:
        state = states[name]
        total = total + state.integer * np.exp2(exponents - float(state.tensor.exponent))
    return total


def _planes(state: State) -> tuple[tuple[int, Real], ...]:
    """The numbers of 8 bits that make up a layer's input, and what each is multiplied with."""
    if not state.tensor.wide:
        return ((1, state.centred),)
    high, low = split_bytes(state.centred)
    return (BASE, high), (1, low)


def _products(
    parts: Sequence[tuple[Conv, WeightArray]], tensors: Mapping[str, Tensor]
) -> tuple[program_ops.Product, ...]:
    return tuple(
        program_ops.Product(
            input=conv.input,
            weights=part,
            stride=conv.stride,
            padding=conv.padding,
            dilation=conv.dilation,
            pad_value=tensors[conv.input].zero_point,
        )
        for conv, part in parts
    )


def _residuals(
    layer: Layer, exponents: IntegerArray, tensors: Mapping[str, Tensor]
) -> tuple[program_ops.Residual, ...]:
    return tuple(
        program_ops.Residual(input=name, shift=exponents - tensors[name].exponent)
        for name in layer.residuals
    )
