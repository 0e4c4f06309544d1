"""ONNX's convolution and dense layers."""

import numpy as np
from numpy.typing import NDArray

from shiftwork.quant.graph import Conv
from shiftwork.quant.onnx_builder import CHANNELS_LAST_OF_NCHW, NO_PADDING
from shiftwork.quant.onnx_context import Handler, Importer, append, feature_map, nchw
from shiftwork.quant.onnx_file import OnnxNode
from shiftwork.quant.onnx_window import read_window
from shiftwork.quant.source_checks import as_float32, check_size


def _conv(node: OnnxNode, importer: Importer) -> None:
    weights = importer.float_constant(node, 1, "weights")
    if weights.ndim != 4:
        raise node.error(
            f"has weights of shape {list(weights.shape)}; only two-dimensional convolutions, with "
            "four-dimensional weights, are supported"
        )
    sample = feature_map(node, importer)
    group = node.attributes.get("group", 1)
    if weights.shape[1] * group != sample.shape[0]:
        raise node.error(
            f"has weights for {weights.shape[1]} input channels in {group} group(s), but its "
            f"input has {sample.shape[0]}"
        )
    if len(weights) % group:
        raise node.error(f"has {len(weights)} output channels, which {group} groups do not divide")
    bias = _bias(node, importer, len(weights))
    value = importer.builder.arrange(node, node.input(0), CHANNELS_LAST_OF_NCHW)
    shape = importer.builder.shapes[value]
    border = importer.builder.paddings.get(node.input(0), NO_PADDING)
    kernel = (weights.shape[2], weights.shape[3])
    window = read_window(node, shape, kernel, border=border)
    target = window.output(shape, len(weights))
    check_size(target, f"the output of node '{node.name}' ({node.op})")
    layer = Conv(
        name=node.name,
        input=value,
        output=node.outputs[0],
        weights=as_float32(weights.transpose(0, 2, 3, 1)),
        bias=as_float32(bias),
        stride=window.stride,
        padding=window.padding,
        dilation=window.dilation,
        groups=group,
    )
    append(node, importer, layer, target, nchw(target))


def _bias(node: OnnxNode, importer: Importer, channels: int) -> NDArray[np.float64]:
    if not node.input(2):
        return np.zeros(channels)
    bias = importer.float_constant(node, 2, "bias")
    if bias.shape != (channels,):
        raise node.error(f"has a bias of shape {list(bias.shape)}, not [{channels}]")
    return bias


def _matmul(node: OnnxNode, importer: Importer) -> None:
    if node.input(0) in importer.constants:
        raise node.error("multiplies a constant by features; the constant must come second")
    weights = importer.float_constant(node, 1, "weights")
    if weights.ndim != 2:
        raise node.error(
            f"has weights of shape {list(weights.shape)}; they must have two dimensions"
        )
    _dense(node, importer, weights.T, np.zeros(weights.shape[1]))


def _gemm(node: OnnxNode, importer: Importer) -> None:
    if node.attributes.get("transA", 0):
        raise node.error("transposes its input (transA); only its weights may be transposed")
    weights = importer.float_constant(node, 1, "weights")
    if weights.ndim != 2:
        raise node.error(
            f"has weights of shape {list(weights.shape)}; they must have two dimensions"
        )
    weights = weights if node.attributes.get("transB", 0) else weights.T
    bias = np.zeros(len(weights))
    if node.input(2):
        given = importer.float_constant(node, 2, "bias")
        if given.size not in (1, len(weights)) or given.shape[:-1] not in ((), (1,)):
            raise node.error(
                f"has a bias of shape {list(given.shape)}; one value for each of its "
                f"{len(weights)} outputs is supported"
            )
        bias = bias + given.ravel()
    alpha, beta = node.attributes.get("alpha", 1.0), node.attributes.get("beta", 1.0)
    if importer.builder.sample(node, node.input(0)).ndim != 1:
        raise node.error("needs an input of two dimensions (batch, features)")
    _dense(node, importer, alpha * weights, beta * bias)


def _dense(
    node: OnnxNode, importer: Importer, weights: NDArray[np.float64], bias: NDArray[np.float64]
) -> None:
    """A dense layer over the last axis; ``weights[O, I]`` in the order of the ONNX tensor."""
    builder, name = importer.builder, node.input(0)
    sample = builder.sample(node, name)
    features = sample.shape[-1] if sample.ndim else 0
    if features != weights.shape[1]:
        raise node.error(
            f"has weights for {weights.shape[1]} features, but its input has {features}"
        )
    if sample.size == features:
        value, order = builder.vector(node, name)
        permuted = np.empty_like(weights)
        permuted[:, order] = weights
        weights = permuted
    else:
        value = builder.rows(node, name)
    target = (1, sample.size // features, len(weights))
    size = check_size(target, f"the output of node '{node.name}' ({node.op})")
    layer = Conv(
        name=node.name,
        input=value,
        output=node.outputs[0],
        weights=as_float32(weights[:, None, None, :]),
        bias=as_float32(bias),
    )
    order = np.arange(size, dtype=np.int64).reshape(*sample.shape[:-1], len(weights))
    append(node, importer, layer, target, order)


LAYERS: dict[str, Handler] = {"Conv": _conv, "Gemm": _gemm, "MatMul": _matmul}
