"""The sliding windows of TFLite's convolution and pooling."""

import tflite

from shiftwork.quant.graph import Padding, Pair, Shape
from shiftwork.quant.source_checks import check_size
from shiftwork.quant.tflite_file import TfliteNode


def stride_of(node: TfliteNode, options: tflite.Conv2DOptions) -> Pair:
    """The vertical and horizontal step of a window."""
    return _positive(node, "strides", options.StrideH(), options.StrideW())


def dilation_of(node: TfliteNode, options: tflite.Conv2DOptions) -> Pair:
    """The vertical and horizontal distance between the taps of a window."""
    return _positive(node, "dilations", options.DilationHFactor(), options.DilationWFactor())


def kernel_of(node: TfliteNode, options: tflite.Pool2DOptions) -> Pair:
    """Height and width of a pooling window."""
    return _positive(node, "filter size", options.FilterHeight(), options.FilterWidth())


def _positive(node: TfliteNode, label: str, vertical: int, horizontal: int) -> Pair:
    if min(vertical, horizontal) < 1:
        raise node.error(f"has {label} {[vertical, horizontal]}; both must be positive")
    return vertical, horizontal


def window_padding(
    node: TfliteNode, shape: Shape, mode: int, kernel: Pair, stride: Pair, dilation: Pair
) -> Padding:
    """The border that TFLite's ``SAME`` or ``VALID`` adds to a feature map of ``shape``.

    ``SAME`` makes ``ceil(size / stride)`` positions and puts an odd element at the end.

    Raises:
        ModelError: if the window is larger than the padded map.
    """
    if mode not in (tflite.Padding.SAME, tflite.Padding.VALID):
        raise node.error(f"has the padding {mode}; supported are SAME and VALID")
    before, after = [0, 0], [0, 0]
    for axis in (0, 1):
        extent = dilation[axis] * (kernel[axis] - 1) + 1
        if mode == tflite.Padding.SAME:
            count = -(-shape[axis] // stride[axis])
            total = max(0, (count - 1) * stride[axis] + extent - shape[axis])
            before[axis], after[axis] = total // 2, total - total // 2
        padded = shape[axis] + before[axis] + after[axis]
        if extent > padded:
            raise node.error(
                f"has a window of {extent} elements along axis {axis + 1}, larger than its padded "
                f"input of {padded}"
            )
    padding = (before[0], before[1], after[0], after[1])
    check_size(
        (shape[0] + before[0] + after[0], shape[1] + before[1] + after[1], shape[2]),
        f"node '{node.name}' ({node.op}) pads its input; it then",
    )
    return padding


def joined(first: Padding, second: Padding) -> Padding:
    """The border of both together."""
    top, left, bottom, right = (a + b for a, b in zip(first, second, strict=True))
    return top, left, bottom, right


def padded_shape(shape: Shape, padding: Padding) -> Shape:
    """The shape of a feature map with a border around it."""
    top, left, bottom, right = padding
    return shape[0] + top + bottom, shape[1] + left + right, shape[2]
