"""ONNX's pooling ops, and the mean over space."""

import numpy as np

from shiftwork.quant.graph import AveragePool, MaxPool, Node, Pair
from shiftwork.quant.onnx_builder import CHANNELS_LAST_OF_NCHW, NO_PADDING
from shiftwork.quant.onnx_context import Handler, Importer, append, feature_map, nchw
from shiftwork.quant.onnx_file import OnnxNode
from shiftwork.quant.onnx_window import Window, read_window


def _max_pool(node: OnnxNode, importer: Importer) -> None:
    _pool(node, importer, average=False)


def _average_pool(node: OnnxNode, importer: Importer) -> None:
    _pool(node, importer, average=True)


def _pool(node: OnnxNode, importer: Importer, *, average: bool) -> None:
    feature_map(node, importer)
    value = importer.builder.arrange(node, node.input(0), CHANNELS_LAST_OF_NCHW)
    shape = importer.builder.shapes[value]
    border = importer.builder.paddings.get(node.input(0), NO_PADDING)
    window = read_window(node, shape, border=border)
    if window.dilation != (1, 1):
        raise node.error(f"has dilations {list(window.dilation)}; only [1, 1] is supported")
    rows, columns = window.kernel
    top, left, bottom, right = own = window.own
    if max(top, bottom) >= rows or max(left, right) >= columns:
        raise node.error(
            f"has pads {list(own)}; they must be smaller than its kernel {list(window.kernel)}"
        )
    target = window.output(shape, shape[2])
    if not average:
        if any(border):
            _check_maximum_border(node, importer, value, window)
        layer: Node = MaxPool(
            name=node.name,
            input=value,
            output=node.outputs[0],
            kernel=window.kernel,
            stride=window.stride,
            padding=window.padding,
        )
    else:
        include = bool(node.attributes.get("count_include_pad", 0)) and any(own)
        if (include or any(border)) and any(window.overhang):
            raise node.error(
                "combines ceil_mode, pads and count_include_pad so that windows differ in what "
                "they divide by; leave one of the three out"
            )
        if any(border) and any(own) and not include:
            raise node.error(
                "averages with pads that do not count over a Pad, whose zeros do; set "
                "count_include_pad, or leave one of the two out"
            )
        layer = AveragePool(
            name=node.name,
            input=value,
            output=node.outputs[0],
            kernel=window.kernel,
            stride=window.stride,
            padding=window.padding,
            count_include_pad=include or any(border),
        )
    append(node, importer, layer, target, nchw(target))


def _check_maximum_border(node: OnnxNode, importer: Importer, value: str, window: Window) -> None:
    """Zeros around a maximum pool are no different from its own border if nothing is below 0."""
    if importer.builder.bounds(value)[0] < 0:
        raise node.error(
            "takes the maximum over a Pad, whose zeros may win over negative elements; put a Relu "
            "in front of the Pad, or use the pads of the MaxPool itself"
        )
    top, left, bottom, right = window.padding
    if max(top, bottom) >= window.kernel[0] or max(left, right) >= window.kernel[1]:
        raise node.error(
            f"has pads {list(window.padding)}, together with the Pad before it; they must be "
            f"smaller than its kernel {list(window.kernel)}"
        )


def _global_average_pool(node: OnnxNode, importer: Importer) -> None:
    feature_map(node, importer)
    value = importer.builder.arrange(node, node.input(0), CHANNELS_LAST_OF_NCHW)
    height, width, channels = importer.builder.shapes[value]
    layer = _mean(node, value, (height, width))
    append(node, importer, layer, (1, 1, channels), nchw((1, 1, channels)))


def _global_max_pool(node: OnnxNode, importer: Importer) -> None:
    feature_map(node, importer)
    value = importer.builder.arrange(node, node.input(0), CHANNELS_LAST_OF_NCHW)
    height, width, channels = importer.builder.shapes[value]
    layer = MaxPool(
        name=node.name,
        input=value,
        output=node.outputs[0],
        kernel=(height, width),
        stride=(1, 1),
    )
    append(node, importer, layer, (1, 1, channels), nchw((1, 1, channels)))


def _mean(node: OnnxNode, value: str, kernel: Pair) -> AveragePool:
    return AveragePool(
        name=node.name, input=value, output=node.outputs[0], kernel=kernel, stride=(1, 1)
    )


def _reduce_mean(node: OnnxNode, importer: Importer) -> None:
    builder, name = importer.builder, node.input(0)
    sample = feature_map(node, importer)
    given = importer.integers(node, "axes", 1) or ()
    rank = sample.ndim + 1
    axes = sorted({axis + rank if axis < 0 else axis for axis in given})
    if axes not in ([1, 2], [2, 3], [2], [3]):
        raise node.error(
            f"has the axes {list(given)} of {rank}; a mean is supported over the axes of height "
            "and width"
        )
    arrangement = (0, 1, 2) if axes == [1, 2] else CHANNELS_LAST_OF_NCHW
    value = builder.arrange(node, name, arrangement)
    height, width, channels = builder.shapes[value]
    kernel = (height if axes != [3] else 1, width if axes != [2] else 1)
    target = (height // kernel[0], width // kernel[1], channels)
    order = np.arange(int(np.prod(target)), dtype=np.int64).reshape(target)
    order = order.transpose(np.argsort(arrangement))
    if not node.attributes.get("keepdims", 1):
        order = np.squeeze(order, tuple(axis - 1 for axis in axes))
    append(node, importer, _mean(node, value, kernel), target, order)


POOLING: dict[str, Handler] = {
    "AveragePool": _average_pool,
    "GlobalAveragePool": _global_average_pool,
    "GlobalMaxPool": _global_max_pool,
    "MaxPool": _max_pool,
    "ReduceMean": _reduce_mean,
}
