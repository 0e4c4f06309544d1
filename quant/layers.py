"""Quantizes one layer after the other: its integer op, and what that writes.

Float values decide the scales; the integer values of the same samples run along, so that a bias
can be corrected for what quantization did in the layer and before it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftwork.quant import float_executor, graph, program_ops
from shiftwork.quant.digits import DIGIT_BITS
from shiftwork.quant.fusion import Bounds, Layer
from shiftwork.quant.options import QuantizerOptions
from shiftwork.quant.program_ops import WIDE_RANGE, Op, Tensor
from shiftwork.quant.scales import choose_exponent, half_up
from shiftwork.quant.table_grids import choose_grid, make_table
from shiftwork.quant.unary_functions import Function

Real = NDArray[np.float32]


@dataclass(frozen=True, eq=False, kw_only=True)
class State:
    """One value of the network for all calibration samples.

    Attributes:
        tensor: how it is quantized.
        real: what the float network computes, ``[N, H, W, C]``.
        integer: what the program computes, integers in float32.
    """

    tensor: Tensor
    real: Real
    integer: Real

    @property
    def centred(self) -> Real:
        """The integers with the zero point taken off."""
        return self.integer - np.float32(self.tensor.zero_point)


States = Mapping[str, State]


def bounded(tensor: Tensor, bounds: Bounds) -> Tensor:
    """``tensor`` with its range narrowed to ``bounds``, which may be infinite."""
    lo, hi = (
        int(np.clip(half_up(bound / tensor.scales[0]) + tensor.zero_point, tensor.lo, tensor.hi))
        for bound in (bounds.lo, bounds.hi)
    )
    return replace(tensor, lo=lo, hi=hi)


def run_node(node: graph.Node, x: Real, shape: graph.Shape) -> Real:
    """The float output of a node with one input, before any bounds."""
    return float_executor.execute(node, x).reshape(len(x), *shape)


def quantize_move(layer: Layer, state: State) -> tuple[Op, State]:
    """A MaxPool or Reshape: the same integers elsewhere."""
    tensor = replace(state.tensor, name=layer.output, shape=layer.shape)
    real, integer = (run_node(layer.node, x, layer.shape) for x in (state.real, state.integer))
    return move_op(layer), State(tensor=tensor, real=real, integer=integer)


def move_op(layer: Layer) -> Op:
    """The op of a MaxPool or Reshape."""
    node = layer.node
    if isinstance(node, graph.MaxPool):
        return program_ops.MaxPool(
            **_names(layer), kernel=node.kernel, stride=node.stride, padding=node.padding
        )
    return program_ops.Reshape(**_names(layer))


def quantize_average(
    layer: Layer, node: graph.AveragePool, state: State, options: QuantizerOptions
) -> tuple[Op, State]:
    """The sum over a power of two; what remains of 1/n becomes the gain.

    Averages are smaller than what they are taken of: the shift is less than ``ceil(log2(n))``
    where the output's exponent can then be finer.
    """
    if layer.bounds.function is not None:
        return quantize_tabled_average(layer, node, layer.bounds.function, state, options)
    source, taps = state.tensor, node.kernel[0] * node.kernel[1]
    most = (taps - 1).bit_length()
    gain = source.gain * 2.0**most / taps
    real = layer.bounds.apply(run_node(node, state.real, layer.shape))
    wide = node.name in options.wide_activations
    signed = source.signed or wide
    lo, hi = WIDE_RANGE if wide else (-128, 127) if signed else (0, 255)
    greatest_shift = most + (DIGIT_BITS if source.wide else 0)
    finest = choose_exponent(real / gain, lo, hi, options.scales, options.headroom)
    shift = int(np.clip(most + source.exponent - finest, 0, greatest_shift))
    least, greatest = (half_up(bound * taps / 2.0**shift) for bound in _range(source))
    grid = replace(
        source,
        name=layer.output,
        shape=layer.shape,
        signed=signed,
        bits=16 if wide else 8,
        lo=max(lo, int(least)),
        hi=min(hi, int(greatest)),
        exponent=source.exponent + most - shift,
        gain=gain,
    )
    tensor = bounded(grid, layer.bounds)
    op = program_ops.AveragePool(
        **_names(layer),
        kernel=node.kernel,
        stride=node.stride,
        padding=node.padding,
        shift=shift,
        lo=tensor.lo,
        hi=tensor.hi,
    )
    mean = run_node(node, state.integer, layer.shape)
    total = np.rint(mean.astype(np.float64) * taps)
    integer = np.clip(half_up(total / 2.0**shift), tensor.lo, tensor.hi).astype(np.float32)
    return op, State(tensor=tensor, real=real, integer=integer)


def quantize_tabled_average(
    layer: Layer,
    node: graph.AveragePool,
    function: Function,
    state: State,
    options: QuantizerOptions,
) -> tuple[Op, State]:
    """The sum over a power of two as the index of a table, which knows what remains of 1/n."""
    source, taps = state.tensor, node.kernel[0] * node.kernel[1]
    most = (taps - 1).bit_length()
    real = run_node(node, state.real, layer.shape)
    grid = choose_grid(
        function,
        real,
        name=node.name,
        exponents=range(source.exponent, source.exponent + most + 1),
        offsets=(0,),
        gain=source.gain * 2.0**most / taps,
        signed=source.signed,
        outputs=options.activations,
        headroom=options.headroom,
    )
    table, tensor = make_table(function, grid, layer.output, layer.shape)
    op = program_ops.AveragePool(
        **_names(layer),
        kernel=node.kernel,
        stride=node.stride,
        padding=node.padding,
        shift=most + source.exponent - grid.exponent,
        lo=grid.bounds[0],
        hi=grid.bounds[1],
        table=table,
    )
    mean = run_node(node, state.integer, layer.shape)
    total = np.rint(mean.astype(np.float64) * taps)
    index = np.clip(half_up(total / 2.0**op.shift), *grid.bounds)
    integer = table.lookup(index.astype(np.int64)).astype(np.float32)
    return op, State(tensor=tensor, real=layer.bounds.apply(real), integer=integer)


def _names(layer: Layer) -> dict[str, Any]:
    return {"name": layer.node.name, "input": layer.node.input, "output": layer.output}


def _range(tensor: Tensor) -> tuple[int, int]:
    """The values of ``tensor`` or of its border, which is zero."""
    return min(tensor.lo, 0), max(tensor.hi, 0)
