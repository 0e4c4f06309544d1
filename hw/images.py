"""Contents of the ROMs: weights, parameters and program."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shiftwork.hw.config import ArrayConfig, ArrayShape
from shiftwork.hw.segments import Walk, average_scale, segments
from shiftwork.hw.shift_product import multiplied, offset
from shiftwork.quant.program import Program
from shiftwork.quant.program_ops import AveragePool, Conv, MaxPool, Op

MAX_POOL_SHIFT = 0


@dataclass(frozen=True)
class RomImages:
    """What the bitstream puts into the ROMs.

    Attributes:
        weights: for each column its bytes.
        parameters: words of bias and shift, a word for all lanes.
        program: 32-bit words: the header's, then each layer's descriptor.
        tables: the bytes of all tables behind the requantizer.
    """

    weights: tuple[bytes, ...]
    parameters: tuple[int, ...]
    program: tuple[int, ...]
    tables: bytes = b""

    def filled(self, config: ArrayConfig) -> "RomImages":
        """The same with zeros up to the depths of ``config``."""
        return RomImages(
            tuple(column.ljust(config.weight_depth, b"\0") for column in self.weights),
            self.parameters + (0,) * (config.parameter_depth - len(self.parameters)),
            self.program + (0,) * (config.program_depth - len(self.program)),
        )


def stored_bias(program: Program, op: Op, least_shift: int) -> NDArray[np.int64]:
    """What the requantizer adds to the sums of ``op``, one value a channel.

    The hardware sums stored bytes: an unsigned activation is stored less 128, which the bias makes
    good, and the rounding constant is part of the bias too. A maximum has one value, 0.
    """
    if isinstance(op, MaxPool):
        return np.zeros(1, dtype=np.int64)
    bias = np.zeros(program.tensor(op.output).shape[2], dtype=np.int64)
    for segment in segments(program, op, least_shift=least_shift):
        assert segment.weights is not None
        sums = segment.weights.reshape(len(segment.weights), -1).sum(axis=1, dtype=np.int64)
        bias += segment.source.stored_offset * sums << segment.power
    if isinstance(op, Conv):
        bias += op.bias
    return bias + rounding(program, op, least_shift)


def offsets(program: Program, op: Op, least_shift: int, config: ArrayConfig) -> NDArray[np.int64]:
    """What the sums of each channel have more than they should, if all elements shift.

    Arguments as of :func:`stored_bias`, and the array's configuration.
    """
    if multiplied(config.shape.products, config.shape.elements) or isinstance(op, MaxPool):
        return np.zeros(1, dtype=np.int64)
    weights = [segment.weights for segment in segments(program, op, least_shift=least_shift)]
    return sum(
        (
            offset(w.reshape(len(w), -1), config.exponents).sum(axis=1)
            for w in weights
            if w is not None
        ),
        np.zeros(1, dtype=np.int64),
    )


def shifts(program: Program, op: Op, least_shift: int) -> NDArray[np.int64]:
    """The right shift of each channel; pooling ops have one value.

    Args:
        least_shift: of the network's convolutions: an average's shift is raised toward it.
    """
    match op:
        case Conv():
            return np.zeros_like(op.shift) if op.accumulators else op.shift
        case AveragePool():
            return np.array([op.shift + average_scale(program, op, least_shift)], dtype=np.int64)
        case _:
            return np.array([MAX_POOL_SHIFT], dtype=np.int64)


def rounding(program: Program, op: Op, least_shift: int) -> NDArray[np.int64]:
    """The rounding constant of each channel, ``1 << (s - 1)``; none for accumulators."""
    shift = shifts(program, op, least_shift)
    return (np.int64(1) << shift) >> 1


def requantized_range(program: Program, op: Op, least_shift: int) -> tuple[int, int]:
    """Least and greatest value that enters the shifter of the requantizer."""
    half = rounding(program, op, least_shift)
    match op:
        case Conv():
            lo, hi = op.accumulator_range(*program.sources(op))
            return int((lo + half).min()), int((hi + half).max())
        case AveragePool():
            source = program.tensor(op.input)
            factor = op.kernel[0] * op.kernel[1] << average_scale(program, op, least_shift)
            least, greatest = min(source.lo, op.pad_value), max(source.hi, op.pad_value)
            return factor * least + int(half[0]), factor * greatest + int(half[0])
        case _:
            return -128, 127


def least_conv_shift(ops: list[Op]) -> int:
    """The least right shift of the convolutions: constant wiring in the requantizer."""
    scaled = [op.shift for op in ops if isinstance(op, Conv) and not op.accumulators]
    return int(min((shift.min() for shift in scaled), default=0))


def weight_columns(layers: Sequence[Sequence[Walk]], shape: ArrayShape) -> tuple[bytes, ...]:
    """Each column's weights: for every layer and channel group those of all segments."""
    columns: list[list[bytes]] = [[] for _ in range(shape.columns)]
    for walks in layers:
        parts = [walk.columns() for walk in walks if walk.segment.weights is not None]
        if not parts:
            continue
        whole = np.concatenate(parts, axis=2)
        for column, target in enumerate(columns):
            target.append(whole[:, column].tobytes())
    return tuple(b"".join(column) for column in columns)


def parameter_words(program: Program, ops: list[Op], config: ArrayConfig) -> tuple[int, ...]:
    """Bias and shift of every channel, ``lanes`` neighbouring channels a word.

    A maximum has one pair for all channels; its values come shifted left by ``shift_base``.
    """
    shape, bits = config.shape, config.accumulator_bits
    lane_bits = bits + config.shift_bits
    least = least_conv_shift(ops)
    words = []
    for op in ops:
        bias = stored_bias(program, op, least) - offsets(program, op, least, config)
        shift = np.broadcast_to(shifts(program, op, least), bias.shape)
        if isinstance(op, MaxPool):
            bias, shift = np.repeat(bias, shape.lanes), np.repeat(shift, shape.lanes)
        elif not (isinstance(op, Conv) and op.accumulators):
            shift = shift - config.shift_base
        unit = shape.lanes if isinstance(op, MaxPool) else shape.columns
        size = -(-len(bias) // unit) * unit
        lanes = [
            (int(b) & ((1 << bits) - 1)) | int(s) << bits for b, s in zip(bias, shift, strict=True)
        ]
        lanes += [0] * (size - len(lanes))
        for start in range(0, size, shape.lanes):
            words.append(
                sum(
                    lane << (q * lane_bits)
                    for q, lane in enumerate(lanes[start : start + shape.lanes])
                )
            )
    return tuple(words)
