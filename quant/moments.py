"""Second moments of what a layer reads: how much an error of each weight matters."""

from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from shiftwork.quant.graph import Conv
from shiftwork.quant.scales import FloatArray

WORK = 1 << 34
"""Multiplications that are spent on the moments of one layer; more samples are thinned out."""
BLOCK = 1 << 23
"""Elements of the windows in memory at a time."""

Real = NDArray[np.float32]


def moments(convs: tuple[Conv, ...], inputs: tuple[Real, ...], *, centred: bool) -> FloatArray:
    """The moments of the elements of the windows that a layer's convolutions multiply.

    Sums of products of integers are exact in float64, in any order: all machines agree on them.

    Args:
        convs: the convolutions, whose outputs are added.
        inputs: what each reads, ``[N, H, W, C]``, zero meaning 0.0.
        centred: take the mean off: covariances, for errors whose mean a bias makes good.

    Returns:
        ``[K, K]``, K counting the columns of all convolutions; for a depthwise one, whose channels
        have columns of their own, ``[C, K, K]``; such a one stands alone.
    """
    first = convs[0]
    if first.groups > 1:
        return _depthwise_moments(first, inputs[0], centred=centred)
    columns = sum(_elements(conv, x) for conv, x in zip(convs, inputs, strict=True))
    total, mean, count = np.zeros((columns, columns)), np.zeros(columns), 0
    for part in _batches(convs, inputs, columns * columns, columns):
        rows = np.concatenate([x.reshape(-1, x[0, 0, 0].size) for x in part], axis=1)
        rows = rows.astype(np.float64)
        total += rows.T @ rows
        mean += rows.sum(axis=0)
        count += len(rows)
    mean = mean / count if centred else np.zeros(columns)
    return total / count - np.outer(mean, mean)


def _depthwise_moments(conv: Conv, x: Real, *, centred: bool) -> FloatArray:
    taps = conv.kernel[0] * conv.kernel[1]
    channels = x.shape[3]
    total, mean, count = np.zeros((channels, taps, taps)), np.zeros((channels, taps)), 0
    for (part,) in _batches((conv,), (x,), channels * taps * taps, channels * taps):
        rows = part.reshape(-1, taps, channels).transpose(2, 1, 0).astype(np.float64)
        total += rows @ rows.transpose(0, 2, 1)
        mean += rows.sum(axis=2)
        count += rows.shape[2]
    mean = mean / count if centred else np.zeros((channels, taps))
    return total / count - mean[:, :, None] * mean[:, None, :]


def _elements(conv: Conv, x: Real) -> int:
    return conv.kernel[0] * conv.kernel[1] * x.shape[3]


def _batches(
    convs: tuple[Conv, ...], inputs: tuple[Real, ...], work: int, columns: int
) -> Iterator[tuple[Real, ...]]:
    """The windows of all convolutions, a few samples at a time; ``work`` is that of one pixel."""
    pixels, samples = windows(convs[0], inputs[0][:1])[0, :, :, 0, 0, 0].size, len(inputs[0])
    used = int(np.clip(WORK // max(1, work * pixels), 1, samples))
    chosen = np.linspace(0, samples - 1, used).astype(np.int64)
    step = max(1, BLOCK // max(1, pixels * columns))
    for start in range(0, used, step):
        batch = chosen[start : start + step]
        yield tuple(windows(conv, x[batch]) for conv, x in zip(convs, inputs, strict=True))


def windows(conv: Conv, x: Real) -> Real:
    """What each output pixel of ``conv`` sees of ``x[N, H, W, C]``: ``[N, H', W', kh, kw, C]``."""
    top, left, bottom, right = conv.padding
    x = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))
    (rows, columns), (vertical, horizontal) = conv.kernel, conv.dilation
    extent = (vertical * (rows - 1) + 1, horizontal * (columns - 1) + 1)
    result = sliding_window_view(x, extent, axis=(1, 2))
    result = result[:, :: conv.stride[0], :: conv.stride[1], :, ::vertical, ::horizontal]
    return result.transpose(0, 1, 2, 4, 5, 3)
