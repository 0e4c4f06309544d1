"""The golden model: what every accelerator must compute, bit for bit.

One pure function an op, on integers in their true domain (an unsigned activation is 0..255) and in
NHWC order with the batch first: ``[N, H, W, C]``. ``docs/numerics.md`` states the same in formulas.

Dot products run on floating-point BLAS, which is exact as long as every partial sum is an integer
that the type can hold: below 2**24 in float32, 2**53 in float64. The bound is checked per op over
the worst case of its weights, so it holds for every input and for every order of summation.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from shiftwork.errors import DataError
from shiftwork.quant.graph import Padding, Pair, window_count
from shiftwork.quant.program import Program
from shiftwork.quant.program_ops import (
    AveragePool,
    Conv,
    MaxPool,
    Op,
    Product,
    Reshape,
    Tensor,
    TopScore,
    no_class,
)

IntArray = NDArray[np.int32]

FLOAT32_EXACT = 1 << 24
FLOAT64_EXACT = 1 << 53
BATCH_ELEMENTS = 1 << 22


def pad(x: NDArray, padding: Padding, value: int) -> NDArray:
    """``x[N, H, W, C]`` with a border (top, left, bottom, right) of ``value``."""
    top, left, bottom, right = padding
    if not any(padding):
        return x
    return np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=value)


def windows(x: NDArray, kernel: Pair, stride: Pair, dilation: Pair = (1, 1)) -> NDArray:
    """A view ``[N, H', W', kh, kw, C]`` of every window of ``x[N, H, W, C]``, without a copy."""
    n, height, width, channels = x.shape
    rows = window_count(height, kernel[0], stride[0], 0, 0, dilation[0])
    columns = window_count(width, kernel[1], stride[1], 0, 0, dilation[1])
    batch_step, row_step, column_step, channel_step = x.strides
    return np.lib.stride_tricks.as_strided(
        x,
        (n, rows, columns, *kernel, channels),
        (
            batch_step,
            row_step * stride[0],
            column_step * stride[1],
            row_step * dilation[0],
            column_step * dilation[1],
            channel_step,
        ),
        writeable=False,
    )


def dot_type(
    weights: NDArray, bias: NDArray, source: Tensor, pad_value: int
) -> type[np.floating] | type[np.int64]:
    """The fastest type in which a dot product over ``source``'s range, plus bias, is exact."""
    largest = max(abs(source.lo), abs(source.hi), abs(pad_value))
    sums = np.abs(weights.astype(np.int64)).reshape(len(weights), -1).sum(axis=1)
    bound = int((sums * largest + np.abs(bias)).max())
    if bound < FLOAT32_EXACT:
        return np.float32
    return np.float64 if bound < FLOAT64_EXACT else np.int64


def dot_product(op: Conv | Product, bias: NDArray, source: Tensor, x: NDArray) -> NDArray[np.int64]:
    """``bias[o] + sum(x * weights[o])`` over the windows of ``op``, int64 ``[N, H', W', O]``."""
    dtype = dot_type(op.weights, bias, source, op.pad_value)
    patches = windows(
        pad(x.astype(dtype), op.padding, op.pad_value), op.kernel, op.stride, op.dilation
    )
    if isinstance(op, Conv) and op.groups > 1:
        return _depthwise(op, patches) + bias
    weights = op.weights.reshape(len(op.weights), -1).astype(dtype)
    acc = patches.reshape(-1, weights.shape[1]) @ weights.T + bias.astype(dtype)
    return acc.reshape(*patches.shape[:3], len(weights)).astype(np.int64)


def _depthwise(op: Conv, patches: NDArray) -> NDArray[np.int64]:
    """Every channel with its own window, tap by tap."""
    total = np.zeros(patches.shape[:3] + patches.shape[-1:], patches.dtype)
    for row, column in np.ndindex(op.kernel):
        total += patches[:, :, :, row, column, :] * op.weights[:, row, column, 0].astype(
            patches.dtype
        )
    return total.astype(np.int64)


def accumulate(op: Conv, sources: Sequence[Tensor], xs: Sequence[NDArray]) -> NDArray[np.int64]:
    """The accumulators: bias, dot product and terms, int64 ``[N, H', W', O]``.

    Args:
        op: the convolution.
        sources, xs: tensors and values of its inputs, in the order of ``op.inputs``.
    """
    acc = dot_product(op, op.bias, sources[0], xs[0])
    for term, source, x in zip(op.terms, sources[1:], xs[1:], strict=True):
        if isinstance(term, Product):
            acc = acc + dot_product(term, np.zeros(len(term.weights), np.int64), source, x)
        else:
            acc = acc + (x.astype(np.int64) << term.shift)
    return acc


def requantize(acc: NDArray, shift: NDArray | int, lo: int, hi: int) -> IntArray:
    """``clip((acc + (1 << (s - 1))) >> s, lo, hi)``; a shift of 0 adds nothing.

    ``shift`` is one number, or one a channel (the last axis of ``acc``).
    """
    shift = np.asarray(shift, dtype=np.int64)
    half = (np.int64(1) << shift) >> 1
    return np.clip((acc.astype(np.int64) + half) >> shift, lo, hi).astype(np.int32)


def looked_up(op: Conv | AveragePool, index: IntArray) -> IntArray:
    """The values of the op's table at ``index``, integers of its bounds; without one the index."""
    return index if op.table is None else op.table.lookup(index)


def conv(op: Conv, sources: Sequence[Tensor], xs: Sequence[NDArray]) -> IntArray:
    """Convolution or dense layer: int8 or uint8 values, or accumulators, ``[N, H', W', O]``."""
    acc = accumulate(op, sources, xs)
    if op.accumulators:
        return acc.astype(np.int32)
    return looked_up(op, requantize(acc, op.shift, op.lo, op.hi))


def max_pool(op: MaxPool, source: Tensor, x: NDArray) -> IntArray:
    """Maximum over a window; the border is the least byte, so that it never wins."""
    border = source.stored_offset - 128
    patches = windows(pad(x, op.padding, border), op.kernel, op.stride)
    result = patches[:, :, :, 0, 0, :].copy()
    for row, column in np.ndindex(op.kernel):
        np.maximum(result, patches[:, :, :, row, column, :], out=result)
    return result.astype(np.int32)


def average_pool(op: AveragePool, x: NDArray) -> IntArray:
    """Sum over a window, :func:`requantize`, table; the border counts as ``op.pad_value``."""
    patches = windows(pad(x.astype(np.int64), op.padding, op.pad_value), op.kernel, op.stride)
    total = np.zeros(patches.shape[:3] + patches.shape[-1:], np.int64)
    for row, column in np.ndindex(op.kernel):
        total += patches[:, :, :, row, column, :]
    return looked_up(op, requantize(total, op.shift, op.lo, op.hi))


def reshape(target: Tensor, x: NDArray) -> IntArray:
    """The same sequence of NHWC elements in the shape of ``target``."""
    return x.reshape(len(x), *target.shape).astype(np.int32)


def top_score(op: TopScore, x: NDArray) -> IntArray:
    """Index and value of the greatest score, ``[N, 1, 1, 2]``; the first of equal ones."""
    scores = x.reshape(len(x), -1)
    best = scores.argmax(axis=1)
    greatest = scores[np.arange(len(x)), best]
    if op.threshold is not None:
        best = np.where(greatest >= op.threshold, best, no_class(scores.shape[1]))
    return np.stack([best, greatest], axis=1).reshape(-1, 1, 1, 2).astype(np.int32)


def apply(program: Program, op: Op, x: NDArray, *others: NDArray) -> IntArray:
    """The output of one op of ``program`` for its inputs ``[N, H, W, C]``."""
    match op:
        case Conv():
            return conv(op, program.sources(op), (x, *others))
        case MaxPool():
            return max_pool(op, program.tensor(op.input), x)
        case AveragePool():
            return average_pool(op, x)
        case Reshape():
            return reshape(program.tensor(op.output), x)
        case TopScore():
            return top_score(op, x)
        case _:
            raise TypeError(f"no golden function for {type(op).__name__}")


def trace(program: Program, q: NDArray) -> dict[str, IntArray]:
    """Every tensor of the program, by name, for the integer inputs ``q[N, H, W, C]``.

    Raises:
        DataError: if ``q`` has the wrong shape or dtype, or values outside of the input's range.
    """
    parts = [_trace_batch(program, batch) for batch in _batches(program, q)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def run(program: Program, q: NDArray) -> IntArray:
    """The output tensor ``[N, H, W, C]`` for the integer inputs ``q[N, H, W, C]``.

    Raises:
        DataError: as :func:`trace`.
    """
    batches = _batches(program, q)
    return np.concatenate([_trace_batch(program, batch)[program.output] for batch in batches])


def predict(program: Program, x: NDArray) -> IntArray:
    """The output integers for real samples ``x``, both in the source model's layout.

    Raises:
        DataError: if ``x`` does not hold samples of the network's input.
    """
    return program.output_layout.from_nhwc(run(program, program.quantize_input(x)))


def _trace_batch(program: Program, q: IntArray) -> dict[str, IntArray]:
    values = {program.input: q}
    for op in program.ops:
        values[op.output] = apply(program, op, *(values[name] for name in op.inputs))
    return values


def _batches(program: Program, q: NDArray) -> Iterator[IntArray]:
    """``q`` in pieces whose patches stay in the cache; at least one, even if ``q`` is empty."""
    tensor = program.tensor(program.input)
    q = np.asarray(q)
    if q.ndim != 4 or q.shape[1:] != tensor.shape or q.dtype.kind not in "iu":
        raise DataError(
            f"inputs of '{program.name}' must be integers of shape [N, "
            f"{', '.join(map(str, tensor.shape))}], not {q.dtype} {list(q.shape)}; "
            "Program.quantize_input makes them from real samples"
        )
    if q.size and (q.min() < tensor.lo or q.max() > tensor.hi):
        raise DataError(
            f"inputs of '{program.name}' must lie in {tensor.lo}..{tensor.hi}, "
            f"not {q.min()}..{q.max()}"
        )
    largest = max((_patch_elements(program, op) for op in program.ops), default=1)
    step = max(1, BATCH_ELEMENTS // largest)
    for start in range(0, max(len(q), 1), step):
        yield q[start : start + step].astype(np.int32)


def _patch_elements(program: Program, op: Op) -> int:
    """Elements of one inference's patch matrix, or of the output where there is none."""
    height, width, channels = program.tensor(op.output).shape
    taps = op.weights[0].size if isinstance(op, Conv) else channels
    return height * width * max(taps, channels)
