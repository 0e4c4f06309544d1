"""TFLite's convolutions and dense layer."""

import numpy as np
import tflite
from numpy.typing import NDArray

from shiftwork.quant.graph import Conv, output_shape
from shiftwork.quant.source_checks import as_float32
from shiftwork.quant.tflite_context import Handler, Importer
from shiftwork.quant.tflite_file import TfliteNode
from shiftwork.quant.tflite_window import (
    dilation_of,
    joined,
    padded_shape,
    stride_of,
    window_padding,
)


def _conv_2d(node: TfliteNode, importer: Importer) -> None:
    weights = _four_dimensional(node, importer)
    channels = importer.feature_map(node)[1][2]
    groups = channels // weights.shape[3]
    if groups * weights.shape[3] != channels or not groups or len(weights) % groups:
        raise node.error(
            f"has weights of shape {list(weights.shape)}, but its input has {channels} channels; "
            f"the weights' input channels must divide them into groups of equal size"
        )
    _convolution(node, importer, weights, groups, node.options(tflite.Conv2DOptions))


def _depthwise_conv_2d(node: TfliteNode, importer: Importer) -> None:
    weights = _four_dimensional(node, importer)
    channels = importer.feature_map(node)[1][2]
    if weights.shape[0] != 1 or weights.shape[3] % channels:
        raise node.error(
            f"has weights of shape {list(weights.shape)}, but its input has {channels} channels; "
            "depthwise weights are [1, height, width, multiplier * channels]"
        )
    _convolution(
        node,
        importer,
        weights.transpose(3, 1, 2, 0),
        channels,
        node.options(tflite.DepthwiseConv2DOptions),
    )


def _four_dimensional(node: TfliteNode, importer: Importer) -> NDArray[np.float64]:
    weights = importer.real(node, 1, "weights")
    if weights.ndim != 4 or not weights.size:
        raise node.error(
            f"has weights of shape {list(weights.shape)}; they must have four dimensions"
        )
    return weights


def _convolution(
    node: TfliteNode,
    importer: Importer,
    weights: NDArray[np.float64],
    groups: int,
    options: tflite.Conv2DOptions,
) -> None:
    """A convolution with ``weights[O, kh, kw, I / groups]``."""
    bias = _bias(node, importer, len(weights))
    value, shape, border = importer.feature_map(node)
    kernel = (weights.shape[1], weights.shape[2])
    stride, dilation = stride_of(node, options), dilation_of(node, options)
    same = window_padding(
        node, padded_shape(shape, border), options.Padding(), kernel, stride, dilation
    )
    layer = Conv(
        name=node.name,
        input=value,
        output=node.name,
        weights=as_float32(weights),
        bias=as_float32(bias),
        stride=stride,
        padding=joined(border, same),
        dilation=dilation,
        groups=groups,
    )
    target = output_shape(shape, len(weights), kernel, stride, layer.padding, dilation)
    importer.add(
        node,
        layer,
        shape=target,
        view_shape=(importer.batch, *target),
        activation=options.FusedActivationFunction(),
    )


def _bias(node: TfliteNode, importer: Importer, channels: int) -> NDArray[np.float64]:
    if node.input(2) < 0:
        return np.zeros(channels)
    bias = importer.real(node, 2, "bias")
    if bias.shape != (channels,):
        raise node.error(f"has a bias of shape {list(bias.shape)}, not [{channels}]")
    return bias


def _fully_connected(node: TfliteNode, importer: Importer) -> None:
    options = node.options(tflite.FullyConnectedOptions)
    weights = importer.real(node, 1, "weights")
    if weights.ndim != 2 or not weights.size:
        raise node.error(
            f"has weights of shape {list(weights.shape)}; they must have two dimensions"
        )
    if options.WeightsFormat() != tflite.FullyConnectedOptionsWeightsFormat.DEFAULT:
        raise node.error("has shuffled weights; only the default format is supported")
    view = importer.view(node)
    units, features = weights.shape
    total = int(np.prod(view.shape))
    if total % (features * importer.batch):
        raise node.error(
            f"has weights for {features} features, which do not divide its input of shape "
            f"{list(view.shape)}"
        )
    rows = total // features // importer.batch
    layer = Conv(
        name=node.name,
        input=importer.arranged(view, (1, rows, features)),
        output=node.name,
        weights=as_float32(weights[:, None, None, :]),
        bias=as_float32(_bias(node, importer, units)),
    )
    if options.KeepNumDims() and view.shape[-1] != features:
        raise node.error(
            f"keeps the dimensions of its input of shape {list(view.shape)}, whose last one must "
            f"then be {features}, the features of its weights"
        )
    leading = view.shape[:-1] if options.KeepNumDims() else (rows * importer.batch,)
    importer.add(
        node,
        layer,
        shape=(1, rows, units),
        view_shape=(*leading, units),
        activation=options.FusedActivationFunction(),
    )


LAYERS: dict[str, Handler] = {
    "CONV_2D": _conv_2d,
    "DEPTHWISE_CONV_2D": _depthwise_conv_2d,
    "FULLY_CONNECTED": _fully_connected,
}
