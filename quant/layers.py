"""Quantizes one layer after the other: its integer op, and what that writes.

Float values decide the scales; the integer values of the same samples run along, so that a bias
can be corrected for what quantization did in the layer and before it.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftwork.quant import float_executor, graph, program
from shiftwork.quant.dot_product import Rows, row_exponents
from shiftwork.quant.graph import Shape
from shiftwork.quant.options import QuantizerOptions
from shiftwork.quant.program import Op, Tensor
from shiftwork.quant.scales import FloatArray, IntegerArray, choose_exponent, half_up

Real = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What the Clip behind a value limits it to.

    Attributes:
        output: the limited value; the value itself if there is no Clip.
        lo, hi: real bounds, infinite without a Clip.
    """

    output: str
    lo: float = -np.inf
    hi: float = np.inf

    @property
    def present(self) -> bool:
        """Whether there is anything to limit."""
        return bool(np.isfinite(self.lo) or np.isfinite(self.hi))

    def apply(self, real: NDArray) -> Real:
        """``real``, limited."""
        return np.clip(real, self.lo, self.hi).astype(np.float32)


@dataclass(frozen=True, eq=False, kw_only=True)
class Layer:
    """A node of the canonical chain, with the Clip behind it.

    Attributes:
        node: any but a Clip.
        bounds: of its output.
        shape: ``(H, W, C)`` of its output.
        last: whether it writes the network's output.
    """

    node: graph.Node
    bounds: Bounds
    shape: Shape
    last: bool

    @property
    def output(self) -> str:
        """The value that the layer writes, after its bounds."""
        return self.bounds.output


@dataclass(frozen=True, eq=False, kw_only=True)
class State:
    """One value of the chain for all calibration samples.

    Attributes:
        tensor: how it is quantized.
        real: what the float network computes, ``[N, H, W, C]``.
        integer: what the program computes, integers in float32.
    """

    tensor: Tensor
    real: Real
    integer: Real


def bounded(tensor: Tensor, bounds: Bounds) -> Tensor:
    """``tensor`` with its range narrowed to ``bounds``, which may be infinite."""
    lo, hi = (
        int(np.clip(half_up(bound / tensor.scales[0]) + tensor.zero_point, tensor.lo, tensor.hi))
        for bound in (bounds.lo, bounds.hi)
    )
    return replace(tensor, lo=lo, hi=hi)


def quantize_layer(layer: Layer, state: State, options: QuantizerOptions) -> tuple[Op, State]:
    """The integer op of ``layer``, and what it writes."""
    node = layer.node
    match node:
        case graph.Conv():
            return _quantize_conv(layer, node, state, options)
        case graph.AveragePool():
            return _quantize_average(layer, node, state, options)
        case graph.MaxPool():
            op: Op = program.MaxPool(
                **_names(layer), kernel=node.kernel, stride=node.stride, padding=node.padding
            )
        case _:
            op = program.Reshape(**_names(layer))
    tensor = replace(state.tensor, name=layer.output, shape=layer.shape)
    real, integer = (_run(layer, values) for values in (state.real, state.integer))
    return op, State(tensor=tensor, real=real, integer=integer)


def _names(layer: Layer) -> dict[str, Any]:
    return {"name": layer.node.name, "input": layer.node.input, "output": layer.output}


def _run(layer: Layer, x: Real, node: graph.Node | None = None) -> Real:
    """The float output of the layer's node, or of ``node`` in its place, before any bounds."""
    return float_executor.execute(node or layer.node, x).reshape(len(x), *layer.shape)


def _quantize_average(
    layer: Layer,
    node: graph.AveragePool,
    state: State,
    options: QuantizerOptions,
) -> tuple[Op, State]:
    """The sum over a power of two; what remains of 1/n becomes the gain.

    Averages are smaller than what they are taken of: the shift is less than ``ceil(log2(n))``
    where the output's exponent can then be finer.
    """
    source, taps = state.tensor, node.kernel[0] * node.kernel[1]
    most = (taps - 1).bit_length()
    gain = source.gain * 2.0**most / taps
    real = layer.bounds.apply(_run(layer, state.real))
    lo, hi = (-128, 127) if source.signed else (0, 255)
    finest = choose_exponent(real / gain, lo, hi, options.scales)
    shift = int(np.clip(most + source.exponent - finest, 0, most))
    least, greatest = (half_up(bound * taps / 2.0**shift) for bound in _range(source))
    grid = replace(
        source,
        name=layer.output,
        shape=layer.shape,
        lo=max(lo, int(least)),
        hi=min(hi, int(greatest)),
        exponent=source.exponent + most - shift,
        gain=gain,
    )
    tensor = bounded(grid, layer.bounds)
    op = program.AveragePool(
        **_names(layer),
        kernel=node.kernel,
        stride=node.stride,
        padding=node.padding,
        shift=shift,
        lo=tensor.lo,
        hi=tensor.hi,
    )
    total = np.rint(_run(layer, state.integer).astype(np.float64) * taps)
    integer = np.clip(half_up(total / 2.0**shift), tensor.lo, tensor.hi).astype(np.float32)
    return op, State(tensor=tensor, real=real, integer=integer)


def _range(tensor: Tensor) -> tuple[int, int]:
    """The values of ``tensor`` or of its border, which is zero."""
    return min(tensor.lo, 0), max(tensor.hi, 0)


def _quantize_conv(
    layer: Layer, node: graph.Conv, state: State, options: QuantizerOptions
) -> tuple[Op, State]:
    """The dot product, and how its accumulator becomes the output."""
    source, rows = state.tensor, Rows.of(node, state.tensor)
    real = _run(layer, state.real)
    raw = layer.last and options.accumulators and not layer.bounds.present
    if raw:
        exponents = row_exponents(rows, None, method=options.scales, per_row=False)
        target = Tensor(name=layer.output, shape=layer.shape, bits=32)
    else:
        target, exponents = _byte_target(layer, rows, real, options)
    weights = rows.integer_weights(exponents)
    products = _products(layer, node, weights, state)
    bias = rows.integer_bias(exponents)
    if options.bias_correction:
        steps = np.exp2(-(exponents + source.exponent).astype(np.float64))
        error = (real - products * steps - rows.bias).mean(axis=(0, 1, 2))
        bias = rows.corrected_bias(exponents, error, None if raw else target.exponent)
    shift = np.zeros_like(exponents) if raw else exponents + source.exponent - target.exponent
    op = program.Conv(
        **_names(layer),
        weights=weights.reshape(node.weights.shape).astype(np.int8),
        bias=bias.astype(np.int64),
        shift=shift,
        lo=-128 if raw else target.lo,
        hi=127 if raw else target.hi,
        stride=node.stride,
        padding=node.padding,
        dilation=node.dilation,
        pad_value=source.zero_point,
        accumulators=raw,
    )
    integer = products + bias + source.zero_point * weights.sum(axis=1)
    if raw:
        least, greatest = op.accumulator_range(source)
        exponent = source.exponent + int(exponents[0])
        target = replace(target, lo=int(least.min()), hi=int(greatest.max()), exponent=exponent)
    else:
        integer = np.clip(half_up(integer * np.exp2(-shift.astype(float))), target.lo, target.hi)
    return op, State(
        tensor=target,
        real=layer.bounds.apply(real),
        integer=integer.astype(np.float32),
    )


def _byte_target(
    layer: Layer, rows: Rows, real: Real, options: QuantizerOptions
) -> tuple[Tensor, IntegerArray]:
    """The 8-bit output tensor of a Conv, and the exponents of its weight rows.

    The output's exponent is lowered where a row's accumulator would be coarser than the output.
    """
    signed = layer.bounds.lo < 0 or options.activations == "signed"
    lo, hi = (-128, 127) if signed else (0, 255)
    exponent = choose_exponent(layer.bounds.apply(real), lo, hi, options.scales)
    while True:
        exponents = row_exponents(
            rows, exponent, method=options.scales, per_row=options.per_channel
        )
        finest = int(exponents.min()) + rows.source.exponent
        if finest >= exponent:
            break
        exponent = finest
    grid = Tensor(
        name=layer.output,
        shape=layer.shape,
        lo=lo,
        hi=hi,
        signed=signed,
        exponent=exponent,
    )
    return bounded(grid, layer.bounds), exponents


def _products(
    layer: Layer, node: graph.Conv, weights: FloatArray, state: State
) -> NDArray[np.float64]:
    """``sum(w * (q - zero_point))`` in integers, ``[N, H', W', O]``, the border at zero."""
    integer_node = replace(
        node,
        weights=weights.reshape(node.weights.shape).astype(np.float32),
        bias=np.zeros(len(weights), np.float32),
    )
    centred = state.integer - np.float32(state.tensor.zero_point)
    return _run(layer, centred, integer_node).astype(np.float64)
