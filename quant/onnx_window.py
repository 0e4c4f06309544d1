"""The sliding windows of ONNX's convolution and pooling: kernel, stride, padding, dilation."""

from dataclasses import dataclass

from shiftwork.quant.graph import Padding, Pair, Shape, output_shape
from shiftwork.quant.onnx_file import OnnxNode
from shiftwork.quant.source_checks import check_size

LARGEST = (1 << 31) - 1


@dataclass(frozen=True)
class Window:
    """A window over ``(H, W, C)``, with the padding that it really needs.

    Attributes:
        overhang: rows and columns of the padding at the bottom and right that only ``ceil_mode``
            adds; they are part of ``padding``.
        own: the part of ``padding`` that the node's own attributes ask for.
    """

    kernel: Pair
    stride: Pair
    padding: Padding
    dilation: Pair
    overhang: Pair = (0, 0)
    own: Padding = (0, 0, 0, 0)

    def output(self, shape: Shape, channels: int) -> Shape:
        """The shape that the window makes of ``shape``."""
        return output_shape(shape, channels, self.kernel, self.stride, self.padding, self.dilation)


def read_window(
    node: OnnxNode,
    shape: Shape,
    kernel: Pair | None = None,
    *,
    border: Padding = (0, 0, 0, 0),
) -> Window:
    """The window that the attributes of ``node`` describe, over a feature map of ``shape``.

    Args:
        kernel: that of the weights, if there are any.
        border: of a Pad before the node; it becomes part of the window's padding.

    Raises:
        ModelError: if the attributes are not those of a two-dimensional window that fits.
    """
    size = _pair(node, "kernel_shape", kernel)
    if kernel is not None and size != kernel:
        raise node.error(f"has the kernel_shape {list(size)}, but weights of {list(kernel)}")
    stride, dilation = _pair(node, "strides", (1, 1)), _pair(node, "dilations", (1, 1))
    top, left, bottom, right = border
    framed = (shape[0] + top + bottom, shape[1] + left + right, shape[2])
    own = _padding(node, framed, size, stride, dilation)
    top, left, bottom, right = (outer + inner for outer, inner in zip(own, border, strict=True))
    window = Window(size, stride, (top, left, bottom, right), dilation, own=own)
    if node.attributes.get("ceil_mode", 0):
        window = _with_overhang(window, shape)
    _check_fits(node, window, shape)
    return window


def _check_fits(node: OnnxNode, window: Window, shape: Shape) -> None:
    top, left, bottom, right = window.padding
    padded = (shape[0] + top + bottom, shape[1] + left + right, shape[2])
    check_size(padded, f"node '{node.name}' ({node.op}) pads its input; it then")
    for axis in (0, 1):
        extent = window.dilation[axis] * (window.kernel[axis] - 1) + 1
        if extent > padded[axis]:
            raise node.error(
                f"has a window of {extent} elements along axis {axis + 2}, larger than its padded "
                f"input of {padded[axis]}"
            )


def _pair(node: OnnxNode, key: str, default: Pair | None) -> Pair:
    values = node.attributes.get(key, default)
    if values is None:
        raise node.error(f"lacks the attribute {key}")
    if len(values) != 2 or not all(1 <= value <= LARGEST for value in values):
        raise node.error(
            f"has {key} {list(values)}; it must be two positive integers, as only "
            "two-dimensional windows are supported"
        )
    return int(values[0]), int(values[1])


def _padding(node: OnnxNode, shape: Shape, kernel: Pair, stride: Pair, dilation: Pair) -> Padding:
    mode = node.attributes.get("auto_pad", "NOTSET")
    if mode == "NOTSET":
        pads = list(node.attributes.get("pads", (0, 0, 0, 0)))
        if len(pads) != 4 or not all(0 <= pad <= LARGEST for pad in pads):
            raise node.error(f"has pads {pads}; they must be four integers of 0 or more")
        return pads[0], pads[1], pads[2], pads[3]
    if mode == "VALID":
        return (0, 0, 0, 0)
    if mode not in ("SAME_UPPER", "SAME_LOWER"):
        raise node.error(
            f"has auto_pad {mode}; supported are NOTSET, SAME_UPPER, SAME_LOWER and VALID"
        )
    before, after = [], []
    for axis in (0, 1):
        extent = dilation[axis] * (kernel[axis] - 1) + 1
        count = -(-shape[axis] // stride[axis])
        total = (count - 1) * stride[axis] + extent - shape[axis]
        if total < 0 and node.op != "Conv":
            raise node.error(
                f"has auto_pad {mode} and windows that skip elements at the end, which runtimes "
                "place differently; give it explicit pads"
            )
        small = max(total, 0) // 2
        large = max(total, 0) - small
        before.append(small if mode == "SAME_UPPER" else large)
        after.append(large if mode == "SAME_UPPER" else small)
    return before[0], before[1], after[0], after[1]


def _with_overhang(window: Window, shape: Shape) -> Window:
    """With ``ceil_mode`` as more padding; a window that would start in the padding is left out."""
    top, left, bottom, right = window.padding
    extra = []
    for axis, before, after in ((0, top, bottom), (1, left, right)):
        stride, padded = window.stride[axis], shape[axis] + before + after
        extent = window.dilation[axis] * (window.kernel[axis] - 1) + 1
        start = ((padded - extent) // stride + 1) * stride
        rounded = (padded - extent) % stride > 0 and start < shape[axis] + before
        extra.append(start + extent - padded if rounded else 0)
    return Window(
        window.kernel,
        window.stride,
        (top, left, bottom + extra[0], right + extra[1]),
        window.dilation,
        (extra[0], extra[1]),
        window.own,
    )
