"""Contents of the ROMs: weights, parameters and program."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shiftwork.hw.config import ArrayConfig, ArrayShape
from shiftwork.quant.program import AveragePool, Conv, MaxPool, Op, Program

MAX_POOL_SHIFT = 0


@dataclass(frozen=True)
class RomImages:
    """What the bitstream puts into the ROMs.

    Attributes:
        weights: for each column its bytes, as unsigned integers.
        parameters: words of bias and shift, a word for all lanes.
        program: 32-bit words: the header's, then each layer's descriptor.
    """

    weights: tuple[tuple[int, ...], ...]
    parameters: tuple[int, ...]
    program: tuple[int, ...]


def stored_bias(program: Program, op: Op) -> NDArray[np.int64]:
    """What the requantizer adds to the sums of ``op``, one value a channel.

    The hardware sums stored bytes: an unsigned activation is stored less 128, which the bias makes
    good, and the rounding constant is part of the bias too. A pooling op has one value.
    """
    offset = program.tensor(op.input).stored_offset
    match op:
        case Conv():
            rounding = np.where(op.shift > 0, np.int64(1) << np.maximum(op.shift - 1, 0), 0)
            sums = op.weights.reshape(len(op.weights), -1).sum(axis=1, dtype=np.int64)
            return op.bias + offset * sums + (0 if op.accumulators else rounding)
        case AveragePool():
            count = op.kernel[0] * op.kernel[1]
            return np.array([offset * count + (1 << op.shift >> 1)], dtype=np.int64)
        case _:
            return np.zeros(1, dtype=np.int64)


def shifts(op: Op) -> NDArray[np.int64]:
    """The right shift of each channel; a pooling op has one value."""
    match op:
        case Conv():
            return op.shift
        case AveragePool():
            return np.array([op.shift], dtype=np.int64)
        case _:
            return np.array([MAX_POOL_SHIFT], dtype=np.int64)


def requantized_range(program: Program, op: Op) -> tuple[int, int]:
    """Least and greatest value that enters the shifter of the requantizer."""
    source = program.tensor(op.input)
    match op:
        case Conv():
            lo, hi = op.accumulator_range(source)
            rounding = (
                0
                if op.accumulators
                else np.where(op.shift > 0, np.int64(1) << np.maximum(op.shift - 1, 0), 0)
            )
            return int((lo + rounding).min()), int((hi + rounding).max())
        case AveragePool():
            count = op.kernel[0] * op.kernel[1]
            half = 1 << op.shift >> 1
            least, greatest = min(source.lo, op.pad_value), max(source.hi, op.pad_value)
            return count * least + half, count * greatest + half
        case _:
            return -128, 127


def pool_range(op: Op) -> tuple[int, int]:
    """Least and greatest value of a pooling lane, in stored bytes."""
    if isinstance(op, MaxPool):
        return -128, 127
    if isinstance(op, AveragePool):
        count = op.kernel[0] * op.kernel[1]
        return -128 * count, 127 * count
    return 0, 0


def weight_columns(ops: list[Op], shape: ArrayShape) -> tuple[tuple[int, ...], ...]:
    """Each column's ROM: for every layer and channel group the weights of its channel.

    Column ``q * (columns / lanes) + j`` works on channel ``j * lanes + q`` of a group.
    """
    span = shape.columns // shape.lanes
    columns: list[list[int]] = [[] for _ in range(shape.columns)]
    for op in ops:
        if not isinstance(op, Conv):
            continue
        rows = op.weights.reshape(len(op.weights), -1).view(np.uint8)
        groups = -(-len(rows) // shape.columns)
        padded = np.zeros((groups * shape.columns, rows.shape[1]), dtype=np.uint8)
        padded[: len(rows)] = rows
        for column, target in enumerate(columns):
            channel = column % span * shape.lanes + column // span
            for group in range(groups):
                target.extend(padded[group * shape.columns + channel].tolist())
    return tuple(tuple(column) for column in columns)


def parameter_words(program: Program, ops: list[Op], config: ArrayConfig) -> tuple[int, ...]:
    """Bias and shift of every channel, ``lanes`` neighbouring channels a word."""
    shape, bits = config.shape, config.accumulator_bits
    lane_bits = bits + config.shift_bits
    words = []
    for op in ops:
        bias = stored_bias(program, op)
        runtime_shift = shifts(op) - (config.shift_base if isinstance(op, Conv) else 0)
        if isinstance(op, Conv) and op.accumulators:
            runtime_shift = np.zeros_like(bias)
        if not isinstance(op, Conv):
            bias = np.repeat(bias << config.shift_base, shape.lanes)
            runtime_shift = np.repeat(runtime_shift, shape.lanes)
        size = (
            -(-len(bias) // shape.columns) * shape.columns if isinstance(op, Conv) else shape.lanes
        )
        lanes = [
            (int(b) & ((1 << bits) - 1)) | int(s) << bits
            for b, s in zip(bias, runtime_shift, strict=True)
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
