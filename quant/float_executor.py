"""Runs the float graph in numpy, as fast as BLAS allows.

Convolutions are matrix products of the windows' elements (im2col); windows are separable for
pooling. Samples, and the rows of large feature maps, are taken in blocks, so that the memory in
use does not grow with the number of samples.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from shiftwork.errors import DataError
from shiftwork.quant.graph import (
    Add,
    Affine,
    AveragePool,
    Clip,
    Conv,
    FloatArray,
    Graph,
    MaxPool,
    Node,
    Padding,
    Pair,
    Reshape,
    Unary,
    window_count,
)

BLOCK_ELEMENTS = 1 << 22


def run(graph: Graph, x: NDArray) -> FloatArray:
    """The output ``[N, H, W, C]`` for samples ``x[N, H, W, C]`` in the graph's own layout.

    Raises:
        DataError: if ``x`` does not have the input's shape.
    """
    x = _checked(graph, x)
    result = np.empty((len(x), *graph.shapes[graph.output]), np.float32)
    for block in _blocks(graph, len(x)):
        result[block] = _run_block(graph, x[block])
    return result


def trace(graph: Graph, x: NDArray) -> dict[str, FloatArray]:
    """Every value ``[N, H, W, C]`` of the graph by name, for samples ``x[N, H, W, C]``.

    Raises:
        DataError: if ``x`` does not have the input's shape.
    """
    x = _checked(graph, x)
    names = [graph.input, *(node.output for node in graph.nodes)]
    values = {name: np.empty((len(x), *graph.shapes[name]), np.float32) for name in names}
    values[graph.input][...] = x
    for block in _blocks(graph, len(x)):
        for node in graph.nodes:
            result = execute(node, *(values[name][block] for name in node.inputs))
            values[node.output][block] = result.reshape(len(result), *graph.shapes[node.output])
    return values


def execute(node: Node, x: FloatArray, *others: FloatArray) -> FloatArray:
    """The output of one node for ``x[N, H, W, C]``; a reshape returns ``x`` itself.

    ``others`` are the values of the node's further inputs.
    """
    match node:
        case Conv():
            return conv(node, x)
        case Add():
            return x + others[0]
        case Affine():
            return x * node.scale + node.offset
        case Clip():
            return np.clip(x, np.float32(node.lo), np.float32(node.hi))
        case Unary():
            return node.function(x)
        case MaxPool():
            return max_pool(node, x)
        case AveragePool():
            return average_pool(node, x)
        case Reshape():
            return x
        case _:
            raise TypeError(f"node '{node.name}' is of the unknown kind {type(node).__name__}")


def conv(node: Conv, x: FloatArray) -> FloatArray:
    """Convolution of ``x[N, H, W, C]``, zero outside."""
    if node.groups > 1:
        return _grouped_conv(node, x)
    matrix = node.weights.reshape(len(node.weights), -1).T.astype(np.float64)
    if node.kernel == (1, 1) and node.stride == (1, 1) and not any(node.padding):
        return (x.astype(np.float64) @ matrix + node.bias).astype(np.float32)
    (rows, columns), (vertical, horizontal) = node.kernel, node.dilation
    extent = (vertical * (rows - 1) + 1, horizontal * (columns - 1) + 1)
    windows = sliding_window_view(_pad(x, node.padding, 0.0), extent, axis=(1, 2))
    windows = windows[:, :: node.stride[0], :: node.stride[1], :, ::vertical, ::horizontal]
    windows = windows.transpose(0, 1, 2, 4, 5, 3)
    count, height, width = windows.shape[:3]
    result = np.empty((count, height, width, len(node.weights)), np.float32)
    step = max(1, BLOCK_ELEMENTS // max(1, count * width * len(matrix)))
    for row in range(0, height, step):
        block = windows[:, row : row + step]
        product = block.reshape(-1, len(matrix)).astype(np.float64) @ matrix
        result[:, row : row + step] = (product + node.bias).reshape(*block.shape[:3], -1)
    return result


def _grouped_conv(node: Conv, x: FloatArray) -> FloatArray:
    """Each group of output channels sees its own group of input channels, tap by tap."""
    count = x.shape[0]
    x = _pad(x, node.padding, 0.0)
    (rows, columns), groups = node.kernel, node.groups
    height = window_count(x.shape[1], rows, node.stride[0], 0, 0, node.dilation[0])
    width = window_count(x.shape[2], columns, node.stride[1], 0, 0, node.dilation[1])
    per_group = len(node.weights) // groups
    weights = node.weights.reshape(groups, per_group, rows, columns, -1)
    weights = weights.astype(np.float64)
    result = np.zeros((count, height, width, groups, per_group))
    for row, column in np.ndindex(rows, columns):
        top, left = row * node.dilation[0], column * node.dilation[1]
        tap = x[
            :,
            top : top + (height - 1) * node.stride[0] + 1 : node.stride[0],
            left : left + (width - 1) * node.stride[1] + 1 : node.stride[1],
        ].reshape(count, height, width, groups, -1)
        if tap.shape[-1] == 1:
            result += tap * weights[:, :, row, column, 0]
        else:
            result += np.einsum("nhwgi,goi->nhwgo", tap, weights[:, :, row, column])
    return (result.reshape(count, height, width, -1) + node.bias).astype(np.float32)


def max_pool(node: MaxPool, x: FloatArray) -> FloatArray:
    """Maximum over windows of ``x[N, H, W, C]``."""
    x = _pad(x, node.padding, -np.inf)
    return _slide(np.maximum, x, node.kernel, node.stride)


def average_pool(node: AveragePool, x: FloatArray) -> FloatArray:
    """Mean over windows of ``x[N, H, W, C]``; the padding counts only if the node says so."""
    total = _slide(np.add, _pad(x, node.padding, 0.0), node.kernel, node.stride)
    inside = np.ones((1, *x.shape[1:3], 1), np.float32)
    inside = _pad(inside, node.padding, 1.0 if node.count_include_pad else 0.0)
    return total / _slide(np.add, inside, node.kernel, node.stride)


def _slide(combine: np.ufunc, x: FloatArray, kernel: Pair, stride: Pair) -> FloatArray:
    """Combines the elements of each window: first those of its rows, then those of its columns."""
    for axis in (1, 2):
        count = (x.shape[axis] - kernel[axis - 1]) // stride[axis - 1] + 1
        last = (count - 1) * stride[axis - 1] + 1
        taps = (
            x[(slice(None),) * axis + (slice(tap, tap + last, stride[axis - 1]),)]
            for tap in range(kernel[axis - 1])
        )
        result = np.array(next(taps))
        for tap in taps:
            combine(result, tap, out=result)
        x = result
    return x


def _pad(x: FloatArray, padding: Padding, value: float) -> FloatArray:
    if not any(padding):
        return x
    top, left, bottom, right = padding
    return np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=value)


def _checked(graph: Graph, x: NDArray) -> NDArray:
    expected = graph.shapes[graph.input]
    if x.ndim != 4 or x.shape[1:] != expected:
        raise DataError(
            f"samples for '{graph.input}' must have the shape "
            f"[N, {', '.join(map(str, expected))}], not {list(x.shape)}"
        )
    return x


def _blocks(graph: Graph, count: int) -> list[slice]:
    """Slices of the samples, each so small that its largest matrix is of bounded size."""
    largest = max(_work(graph, node) for node in graph.nodes) if graph.nodes else 1
    step = max(1, BLOCK_ELEMENTS // largest)
    return [slice(start, start + step) for start in range(0, count, step)]


def _work(graph: Graph, node: Node) -> int:
    size = int(np.prod(graph.shapes[node.output]))
    if isinstance(node, Conv):
        return max(size, size // len(node.weights) * node.weights[0].size)
    return max(size, int(np.prod(graph.shapes[node.input])))


def _run_block(graph: Graph, x: NDArray) -> FloatArray:
    last_use = {name: index for index, node in enumerate(graph.nodes) for name in node.inputs}
    values = {graph.input: np.asarray(x, np.float32)}
    for index, node in enumerate(graph.nodes):
        result = execute(node, *(values[name] for name in node.inputs))
        values[node.output] = result.reshape(len(result), *graph.shapes[node.output])
        for name in set(node.inputs):
            if last_use[name] == index and name != graph.output:
                del values[name]
    return values[graph.output]
