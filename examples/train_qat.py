"""Trains a bundled MNIST network on with weights of 4 bits, and writes it as ONNX with Quant nodes.

    python examples/train_qat.py --data FOLDER --network mnist_mlp --output qat.onnx

FOLDER is that of ``train_mnist.py``. Quantization-aware training: every pass forward rounds weights
to 4 bits and feature maps to 8, on scales that are powers of two; every pass back goes through the
rounding as if it were not there, but not to what saturates (the straight-through estimator: Bengio,
Leonard, Courville 2013). The nodes are QONNX's, as Brevitas exports them, so that
``shiftwork quantize qat.onnx --weights int4`` takes over every integer.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from shiftwork.examples import train_mnist
from shiftwork.examples.train_mnist import Array, Conv, Dense, Layer, MaxPool, OnnxWriter, Relu

DOMAIN = "qonnx.custom_op.general"
WEIGHT_LIMIT = 7
WEIGHT_BITS = 4
BYTE = 255
ACTIVATION_BITS = 8
PIXEL_EXPONENT = 8
"""Pixels count as ``0..255 / 2**8``."""
EXPONENTS = range(-4, 16)


@dataclass(eq=False)
class FewBits:
    """A convolution or dense layer whose weights are rounded to 4 bits, -7 to 7.

    Attributes:
        layer: the layer; it sees rounded weights only.
        weights: what is trained, ``[I, O]``.
        exponents: of each output channel ``[O]``.
    """

    layer: Conv | Dense
    weights: Array
    exponents: NDArray[np.int64]

    @classmethod
    def of(cls, layer: Conv | Dense, *, last: bool) -> "FewBits":
        """With the exponents of least squared error.

        Those of the last layer, whose accumulators are the outputs, are one for all channels.
        """
        errors = np.array(
            [((_rounded(layer.weights, e) - layer.weights) ** 2).sum(axis=0) for e in EXPONENTS]
        )
        if last:
            errors = errors.sum(axis=1, keepdims=True).repeat(errors.shape[1], axis=1)
        return cls(layer, layer.weights, errors.argmin(axis=0) + EXPONENTS.start)

    @property
    def parameters(self) -> list[Array]:
        """What the optimizer updates in place."""
        return [self.weights, self.layer.bias]

    @property
    def gradients(self) -> list[Array]:
        """Of the parameters; none for weights that saturate further."""
        weights, bias = self.layer.gradients
        inside = np.abs(np.ldexp(self.weights, self.exponents)) <= WEIGHT_LIMIT + 0.5
        return [weights * inside, bias]

    def forward(self, x: Array) -> Array:
        """That of the layer."""
        self.layer.weights = _rounded(self.weights, self.exponents)
        return self.layer.forward(x)

    def backward(self, gradient: Array) -> Array:
        """The loss gradient of the input."""
        return self.layer.backward(gradient)


@dataclass(eq=False)
class Byte:
    """Rounds to ``0..255 / 2**exponent``, halves up."""

    exponent: int
    parameters: list[Array] = field(default_factory=list)
    gradients: list[Array] = field(default_factory=list)

    @classmethod
    def of(cls, values: Array) -> "Byte":
        """With the exponent of least squared error."""
        errors = [((cls(e).forward(values) - values) ** 2).sum() for e in EXPONENTS]
        return cls(EXPONENTS[int(np.argmin(errors))])

    def forward(self, x: Array) -> Array:
        """Element by element."""
        scaled = np.ldexp(x, self.exponent)
        self.inside = scaled <= BYTE + 0.5
        return np.ldexp(np.floor(np.clip(scaled, 0, BYTE) + 0.5), -self.exponent).astype(np.float32)

    def backward(self, gradient: Array) -> Array:
        """The loss gradient of the input."""
        return gradient * self.inside


def _rounded(weights: Array, exponents: NDArray[np.int64] | int) -> Array:
    limited = np.clip(np.ldexp(weights, exponents), -WEIGHT_LIMIT, WEIGHT_LIMIT)
    return np.ldexp(np.floor(limited + 0.5), -np.asarray(exponents)).astype(np.float32)


def float_layers(path: Path) -> list[Layer]:
    """The layers of a network that ``train_mnist.py`` wrote, for pixels divided by ``2**8``."""
    graph = onnx.load(path).graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    layers, factor, shape = list[Layer](), np.float32(1 << PIXEL_EXPONENT), (28, 28, 1)
    none = np.empty(0, np.float32)
    for node in graph.node:
        weights, bias = (constants.get(name, none) for name in [*node.input, "", ""][1:3])
        match node.op_type:
            case "Conv":
                outputs, _, kernel, _ = weights.shape
                padding = next(a.ints[0] for a in node.attribute if a.name == "pads")
                flat = weights.transpose(2, 3, 1, 0).reshape(-1, outputs) * factor
                layers.append(Conv(flat, bias.copy(), kernel, padding))
                size = shape[0] + 2 * padding - kernel + 1
                factor, shape = np.float32(1), (size, size, outputs)
            case "Gemm":
                maps = weights.reshape(len(weights), shape[2], *shape[:2])
                flat = maps.transpose(2, 3, 1, 0).reshape(-1, len(weights)) * factor
                layers.append(Dense(flat, bias.copy()))
                factor, shape = np.float32(1), (1, 1, len(weights))
            case "Relu":
                layers.append(Relu())
            case "MaxPool":
                layers.append(MaxPool())
                shape = (shape[0] // 2, shape[1] // 2, shape[2])
    return layers


def with_rounding(layers: Sequence[Layer], x: Array) -> list[Layer]:
    """The layers with rounded weights, and with a :class:`Byte` behind each Relu.

    Args:
        x: images ``[N, 28, 28, 1]`` that the scales are chosen for.
    """
    result: list[Layer] = []
    for layer in layers:
        last = layer is layers[-1]
        rounded = FewBits.of(layer, last=last) if isinstance(layer, Conv | Dense) else layer
        x = rounded.forward(x)
        result.append(rounded)
        if isinstance(layer, Relu):
            result.append(Byte.of(x))
            x = result[-1].forward(x)
    return result


def round_biases(layers: Sequence[Layer]) -> None:
    """Rounds every bias to the step of its accumulator."""
    exponent = PIXEL_EXPONENT
    for layer in layers:
        if isinstance(layer, FewBits):
            step = exponent + layer.exponents
            whole = np.floor(np.ldexp(layer.layer.bias, step) + 0.5)
            layer.layer.bias = np.ldexp(whole, -step).astype(np.float32)
        elif isinstance(layer, Byte):
            exponent = layer.exponent


class QonnxWriter(OnnxWriter):
    """Writes Quant nodes for what is rounded."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = 2.0**-PIXEL_EXPONENT
        self.opsets.append(helper.make_opsetid(DOMAIN, 1))
        for name, value in (("zero", 0), ("w_bits", WEIGHT_BITS), ("x_bits", ACTIVATION_BITS)):
            self._constant(name, np.float32(value))
        self._constant("pixel", np.float32(1))
        self._quant(self.value, "pixels", "pixel", "x_bits", signed=0, narrow=0)
        self.value = "pixels"

    def add(self, layer: Layer) -> None:
        """Appends the nodes of one layer."""
        match layer:
            case FewBits():
                self._few_bits(layer)
            case Byte():
                scale, output = f"{self.value}_scale", f"{self.value}_byte"
                self._constant(scale, np.float32(2.0**-layer.exponent))
                self._quant(self.value, output, scale, "x_bits", signed=0, narrow=0)
                self.value = output
            case _:
                super().add(layer)

    def _few_bits(self, layer: FewBits) -> None:
        taken = self.scale
        layer.layer.weights = _rounded(layer.weights, layer.exponents)
        super().add(layer.layer)
        node = self.nodes.pop()
        scale, output = f"{node.name}_scale", f"{node.name}_rounded"
        shape = (-1, 1, 1, 1) if node.op_type == "Conv" else (-1, 1)
        self._constant(scale, np.float32(taken * 2.0**-layer.exponents).reshape(shape))
        self._quant(node.input[1], output, scale, "w_bits", signed=1, narrow=1)
        node.input[1] = output
        self.nodes.append(node)

    def _constant(self, name: str, value: Array | np.float32) -> None:
        self.weights.append(numpy_helper.from_array(np.asarray(value), name))

    def _quant(self, source: str, target: str, scale: str, bits: str, **attributes: int) -> None:
        self.nodes.append(
            helper.make_node(
                "Quant",
                [source, scale, "zero", bits],
                [target],
                name=target,
                domain=DOMAIN,
                rounding_mode="ROUND",
                **attributes,
            )
        )


def export(layers: Sequence[Layer], path: Path) -> None:
    """Writes the layers as ONNX with Quant nodes."""
    writer = QonnxWriter()
    for layer in layers:
        writer.add(layer)
    path.write_bytes(writer.model(path.stem).SerializeToString(deterministic=True))


def main() -> None:
    """Trains, reports the accuracies on the test images and writes the file."""
    parser = argparse.ArgumentParser(description="Train an MNIST network with weights of 4 bits.")
    parser.add_argument("--data", type=Path, required=True, help="folder of the MNIST files")
    parser.add_argument("--network", choices=train_mnist.RECIPES, default="mnist_mlp")
    parser.add_argument("--output", type=Path, default=Path("qat.onnx"))
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--rate", type=float, default=5e-4)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    train_x, train_y = train_mnist.read(arguments.data / "mnist_train.npz")
    test_x, test_y = train_mnist.read(arguments.data / "mnist_dev.npz")
    x, test = (
        np.ldexp(images[..., None], -PIXEL_EXPONENT).astype(np.float32)
        for images in (train_x, test_x)
    )
    layers = float_layers(Path(__file__).parent / f"{arguments.network}.onnx")
    print(f"float: {train_mnist.accuracy(layers, test, test_y):.2f} %", flush=True)
    layers = with_rounding(layers, x[:100])
    print(f"rounded: {train_mnist.accuracy(layers, test, test_y):.2f} %", flush=True)
    recipe = train_mnist.Recipe(build=train_mnist.mlp, epochs=arguments.epochs, rate=arguments.rate)
    train_mnist.train(layers, x, train_y, np.random.default_rng(arguments.seed), recipe)
    round_biases(layers)
    print(f"trained: {train_mnist.accuracy(layers, test, test_y):.2f} %")
    export(layers, arguments.output)


if __name__ == "__main__":
    main()
