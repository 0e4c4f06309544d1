"""Where an integer program makes its error: each layer on its own, and what that does to the end.

A layer's own error is the difference of two results for the same inputs, which are the integers
that it reads: what the program computes, and what the float layer computes of the real numbers
that these integers stand for. Errors of earlier layers are thus no part of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from shiftwork.quant import float_executor
from shiftwork.quant.calibration import check_samples
from shiftwork.quant.fusion import Layer, layers
from shiftwork.quant.graph import Graph
from shiftwork.quant.program import Program
from shiftwork.quant.program_ops import WIDE_RANGE, AveragePool, Conv, Op, Reshape, TopScore
from shiftwork.sim import golden
from shiftwork.sim.evaluation import decibels, reference, traced_batches

PROBES = 16
"""Samples for which each layer's error is sent through the rest of the float network."""
LEAST, GREATEST = -(1 << 31), (1 << 31) - 1
Reals = Mapping[str, NDArray]


@dataclass(frozen=True, kw_only=True)
class LayerError:
    """One op of the program.

    Attributes:
        name: of the op.
        op: its kind: ``Conv``, ``MaxPool`` or ``AveragePool``.
        alone_db: SQNR of the op's own error. None if it makes none, or, like a copy, has no
            counterpart in the float network.
        effect_db: SQNR of the network's output if this op's own error were the only one, over the
            first 16 samples; None as before, or if the output does not change.
        saturated, values: output values that the type limits, and not the network's own bounds;
            and all output values. Those of a table are none: what it limits is its error.
        worst_channel: the output channel with the least SQNR of its own error; None as before.
        worst_channel_db: that SQNR.
    """

    name: str
    op: str
    alone_db: float | None
    effect_db: float | None
    saturated: int
    values: int
    worst_channel: int | None
    worst_channel_db: float | None


def layer_errors(graph: Graph, program: Program, x: NDArray) -> tuple[LayerError, ...]:
    """The error that each op of ``program`` makes, reshapes and a TopScore left out.

    Args:
        graph: the float network that it was quantized from.
        program: its integer form.
        x: samples ``[N, ...]`` in the source model's layout and units, or raw bytes.

    Raises:
        DataError: if the samples do not fit the network.
    """
    network = reference(graph, program)
    plan = _plan(network, program)
    tallies = [
        _Tally(program, op, plan.get(op.output))
        for op in program.ops
        if not isinstance(op, Reshape | TopScore)
    ]
    x = program.real_input(check_samples(x))
    for index, (real, integer) in enumerate(traced_batches(network, program, x)):
        restored = {name: program.dequantize(name, q) for name, q in integer.items()}
        for tally in tallies:
            own = tally.add(restored, integer)
            if index == 0 and own is not None:
                probed = {name: value[:PROBES] for name, value in real.items()}
                tally.effect_db = _effect(network, probed, tally.op.output, own[:PROBES])
    return tuple(tally.result() for tally in tallies)


def costliest(errors: Sequence[LayerError]) -> LayerError | None:
    """The layer whose error costs the output most; None if none does."""
    guilty = [error for error in errors if error.effect_db is not None]
    return min(guilty, key=lambda error: error.effect_db or 0.0, default=None)


def blame(errors: Sequence[LayerError]) -> str:
    """That layer in words."""
    worst = costliest(errors)
    if worst is None:
        return "no layer adds an error to the output"
    text = (
        f"{worst.name} costs most: with its error alone the output would have "
        f"{worst.effect_db:.1f} dB; its own output has {worst.alone_db:.1f} dB"
    )
    if worst.worst_channel is not None:
        text += f", its worst channel, {worst.worst_channel}, {worst.worst_channel_db:.1f} dB"
    share = 100.0 * worst.saturated / worst.values
    return text + (f"; {share:.2g} % of its values saturate" if worst.saturated else "")


def _plan(network: Graph, program: Program) -> dict[str, Layer]:
    """The float layers by the tensors that they make, fused as those of the program are."""
    names = {tensor.name for tensor in program.tensors}
    for rounded in ((), network.grids.keys()):
        plan = {layer.output: layer for layer in layers(network, rounded=rounded)}
        if plan.keys() <= names:
            return plan
    return {}


def _float_output(layer: Layer, values: Reals) -> NDArray[np.float64]:
    """What the float layer computes of ``values``, which are the real numbers that it reads."""
    total = float_executor.execute(layer.node, values[layer.node.input])
    total = total.reshape(len(total), *layer.shape)
    for product in layer.products:
        total = total + float_executor.execute(product, values[product.input])
    for residual in layer.residuals:
        total = total + values[residual]
    if layer.bounds.function is not None:
        return layer.bounds.function.real(total)
    return np.clip(total, layer.bounds.lo, layer.bounds.hi)


def _effect(network: Graph, real: Reals, changed: str, own: NDArray) -> float | None:
    """SQNR of the output if only the value ``changed`` had an error, which is ``own``."""
    values, stale = dict(real), {changed}
    values[changed] = (real[changed] + own).astype(np.float32)
    for node in network.nodes:
        if node.output == changed or not stale.intersection(node.inputs):
            continue
        result = float_executor.execute(node, *(values[name] for name in node.inputs))
        values[node.output] = result.reshape(len(result), *network.shapes[node.output])
        stale.add(node.output)
    expected = real[network.output].astype(np.float64)
    return decibels(
        float(np.square(expected).sum()),
        float(np.square(values[network.output] - expected).sum()),
    )


class _Tally:
    """Sums over the batches for one op."""

    def __init__(self, program: Program, op: Op, layer: Layer | None) -> None:
        self.op = op
        self.effect_db: float | None = None
        self._program, self._layer = program, layer
        channels = program.tensor(op.output).shape[2]
        self._signal, self._noise = np.zeros(channels), np.zeros(channels)
        self._saturated = self._values = 0

    def add(self, restored: Reals, integer: Mapping[str, NDArray]) -> NDArray[np.float64] | None:
        """Adds a batch; the op's own error in it, None without a counterpart."""
        self._values += integer[self.op.output].size
        self._saturated += _saturated(self._program, self.op, integer)
        if self._layer is None:
            return None
        expected = _float_output(self._layer, restored)
        own = restored[self.op.output] - expected
        self._signal += np.square(expected).sum(axis=(0, 1, 2))
        self._noise += np.square(own).sum(axis=(0, 1, 2))
        return np.asarray(own)

    def result(self) -> LayerError:
        used = np.flatnonzero((self._noise > 0.0) & (self._signal > 0.0))
        channel = None
        if used.size:
            channel = int(used[np.argmin(self._signal[used] / self._noise[used])])
        return LayerError(
            name=self.op.name,
            op=type(self.op).__name__,
            alone_db=decibels(float(self._signal.sum()), float(self._noise.sum())),
            effect_db=self.effect_db,
            saturated=self._saturated,
            values=self._values,
            worst_channel=channel,
            worst_channel_db=None
            if channel is None
            else decibels(float(self._signal[channel]), float(self._noise[channel])),
        )


def _saturated(program: Program, op: Op, integer: Mapping[str, NDArray]) -> int:
    """How many of the op's values the ends of their type limit."""
    if not isinstance(op, Conv | AveragePool) or (isinstance(op, Conv) and op.accumulators):
        return 0
    if op.table is not None:
        return 0
    target = program.tensor(op.output)
    least, greatest = (-128, 127) if target.signed else (0, 255)
    if target.wide:
        least, greatest = WIDE_RANGE
    inputs = (integer[name] for name in op.inputs)
    free = golden.apply(program, replace(op, lo=LEAST, hi=GREATEST), *inputs)
    above = int((free > greatest).sum()) if op.hi == greatest else 0
    # An unsigned type ends at 0 because the network's values do.
    return above + (int((free < least).sum()) if target.signed and op.lo == least else 0)
