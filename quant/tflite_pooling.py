"""TFLite's pooling, and its mean over height and width."""

import numpy as np
import tflite

from shiftwork.quant.graph import AveragePool, MaxPool, Node, Padding, Pair, output_shape
from shiftwork.quant.source_checks import known_bounds
from shiftwork.quant.tflite_context import Handler, Importer
from shiftwork.quant.tflite_file import TfliteNode
from shiftwork.quant.tflite_window import (
    joined,
    kernel_of,
    padded_shape,
    stride_of,
    window_padding,
)


def _max_pool_2d(node: TfliteNode, importer: Importer) -> None:
    _pool(node, importer, average=False)


def _average_pool_2d(node: TfliteNode, importer: Importer) -> None:
    _pool(node, importer, average=True)


def _pool(node: TfliteNode, importer: Importer, *, average: bool) -> None:
    options = node.options(tflite.Pool2DOptions)
    value, shape, border = importer.feature_map(node)
    kernel, stride = kernel_of(node, options), stride_of(node, options)
    same = window_padding(
        node, padded_shape(shape, border), options.Padding(), kernel, stride, (1, 1)
    )
    padding = joined(border, same)
    if average:
        _check_average_border(node, border, same)
        layer: Node = AveragePool(
            name=node.name,
            input=value,
            output=node.name,
            kernel=kernel,
            stride=stride,
            padding=padding,
            count_include_pad=any(border),
        )
    else:
        if any(border):
            _check_maximum_border(node, importer, value, kernel, padding)
        layer = MaxPool(
            name=node.name,
            input=value,
            output=node.name,
            kernel=kernel,
            stride=stride,
            padding=padding,
        )
    target = output_shape(shape, shape[2], kernel, stride, padding)
    importer.add(
        node,
        layer,
        shape=target,
        view_shape=(importer.batch, *target),
        activation=options.FusedActivationFunction(),
    )


def _check_average_border(node: TfliteNode, border: Padding, same: Padding) -> None:
    if any(border) and any(same):
        raise node.error(
            "averages with SAME padding, which does not count, over the result of a PAD, which "
            "does; use VALID padding or leave the PAD out"
        )


def _check_maximum_border(
    node: TfliteNode, importer: Importer, value: str, kernel: Pair, padding: Padding
) -> None:
    """Zeros around a maximum pool are no different from its own border if nothing is below 0."""
    top, left, bottom, right = padding
    if max(top, bottom) >= kernel[0] or max(left, right) >= kernel[1]:
        raise node.error(
            f"takes the maximum over a border of {list(padding)}; it must be smaller than its "
            f"window of {list(kernel)}"
        )
    if known_bounds(importer.nodes, value)[0] < 0:
        raise node.error(
            "takes the maximum over a PAD, whose zeros may win over negative elements; put a RELU "
            "in front of the PAD, or use SAME padding without it"
        )


def _mean(node: TfliteNode, importer: Importer) -> None:
    given = importer.integers(node, 1, "axes").ravel()
    axes = sorted({int(axis) % 4 if -4 <= axis < 4 else int(axis) for axis in given})
    importer.view(node)
    value, (height, width, channels), _ = importer.feature_map(node)
    if axes not in ([1, 2], [1], [2]):
        raise node.error(
            f"has the axes {given.tolist()}; a mean is supported over the axes of height and "
            "width, 1 and 2"
        )
    kernel = (height if 1 in axes else 1, width if 2 in axes else 1)
    target = (height // kernel[0], width // kernel[1], channels)
    layer = AveragePool(name=node.name, input=value, output=node.name, kernel=kernel, stride=(1, 1))
    shape = (importer.batch, *target)
    if not node.options(tflite.ReducerOptions).KeepDims():
        shape = tuple(np.delete(shape, axes).tolist())
    importer.add(node, layer, shape=target, view_shape=shape)


POOLING: dict[str, Handler] = {
    "AVERAGE_POOL_2D": _average_pool_2d,
    "MAX_POOL_2D": _max_pool_2d,
    "MEAN": _mean,
}
