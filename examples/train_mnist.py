"""Trains the two bundled MNIST networks with numpy alone, and writes them as ONNX.

    python examples/train_mnist.py --data FOLDER

FOLDER holds ``mnist_train.npz`` (60,000 images) and ``mnist_dev.npz`` (test images), each with
``x`` uint8 ``[N, 28, 28]`` and ``y`` ``[N]``; MNIST.md says where the data come from. Four files
are written beside this script: ``mnist_mlp.onnx``, ``mnist_cnn.onnx``, ``mnist_samples.npz`` (200
test images with labels) and ``mnist_calibration.npz`` (100 training images with labels).

Both networks read raw pixels, 0..255: the normalisation to 0..1 is folded into the first layer.
The same seed, libraries and number of threads (OPENBLAS_NUM_THREADS) give the same files.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import onnx
from numpy.random import Generator
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[np.float32]
OPSET = 13
PIXEL_RANGE = 255.0
BATCH = 128


class Layer(Protocol):
    """A step of a network, forward and backward."""

    @property
    def parameters(self) -> list[Array]: ...

    @property
    def gradients(self) -> list[Array]: ...

    def forward(self, x: Array) -> Array: ...

    def backward(self, gradient: Array) -> Array: ...


@dataclass(eq=False)
class Dense:
    """A dense layer on the flattened input: ``weights[I, O]``, ``bias[O]``."""

    weights: Array
    bias: Array
    gradients: list[Array] = field(default_factory=list)

    @classmethod
    def random(cls, inputs: int, outputs: int, rng: Generator) -> "Dense":
        """He initialization."""
        return cls(_he(rng, (inputs, outputs), inputs), np.zeros(outputs, np.float32))

    @property
    def parameters(self) -> list[Array]:
        """What the optimizer updates in place."""
        return [self.weights, self.bias]

    def forward(self, x: Array) -> Array:
        """``[N, ...]`` to ``[N, O]``."""
        self.x = x
        return x.reshape(len(x), -1) @ self.weights + self.bias

    def backward(self, gradient: Array) -> Array:
        """The loss gradient of the input; keeps that of the parameters."""
        self.gradients = [self.x.reshape(len(self.x), -1).T @ gradient, gradient.sum(axis=0)]
        return (gradient @ self.weights.T).reshape(self.x.shape)


@dataclass(eq=False)
class Conv:
    """A square convolution of stride 1 on NHWC maps: ``weights[kh * kw * I, O]``, ``bias[O]``."""

    weights: Array
    bias: Array
    kernel: int
    padding: int
    gradients: list[Array] = field(default_factory=list)

    @classmethod
    def random(cls, inputs: int, outputs: int, kernel: int, padding: int, rng: Generator) -> "Conv":
        """He initialization."""
        fan_in = kernel * kernel * inputs
        weights = _he(rng, (fan_in, outputs), fan_in)
        return cls(weights, np.zeros(outputs, np.float32), kernel, padding)

    @property
    def parameters(self) -> list[Array]:
        """What the optimizer updates in place."""
        return [self.weights, self.bias]

    def forward(self, x: Array) -> Array:
        """``[N, H, W, I]`` to ``[N, H', W', O]``."""
        border = (self.padding, self.padding)
        self.x = np.pad(x, ((0, 0), border, border, (0, 0)))
        patches = np.lib.stride_tricks.sliding_window_view(
            self.x, (self.kernel, self.kernel), axis=(1, 2)
        ).transpose(0, 1, 2, 4, 5, 3)
        self.patches = np.ascontiguousarray(patches).reshape(-1, len(self.weights))
        shape = patches.shape[:3]
        return (self.patches @ self.weights + self.bias).reshape(*shape, -1)

    def backward(self, gradient: Array) -> Array:
        """The loss gradient of the input; keeps that of the parameters."""
        n, height, width, outputs = gradient.shape
        flat = gradient.reshape(-1, outputs)
        self.gradients = [self.patches.T @ flat, flat.sum(axis=0)]
        taps = (flat @ self.weights.T).reshape(n, height, width, self.kernel, self.kernel, -1)
        result = np.zeros_like(self.x)
        for row, column in np.ndindex(self.kernel, self.kernel):
            result[:, row : row + height, column : column + width] += taps[:, :, :, row, column]
        inner = slice(self.padding, -self.padding or None)
        return result[:, inner, inner]


@dataclass(eq=False)
class Relu:
    """``max(x, 0)``."""

    parameters: list[Array] = field(default_factory=list)
    gradients: list[Array] = field(default_factory=list)

    def forward(self, x: Array) -> Array:
        """Element by element."""
        self.positive = x > 0
        return x * self.positive

    def backward(self, gradient: Array) -> Array:
        """The loss gradient of the input."""
        return gradient * self.positive


@dataclass(eq=False)
class MaxPool:
    """The maximum of each 2x2 block of an NHWC map of even size."""

    parameters: list[Array] = field(default_factory=list)
    gradients: list[Array] = field(default_factory=list)

    def forward(self, x: Array) -> Array:
        """``[N, H, W, C]`` to ``[N, H/2, W/2, C]``."""
        n, height, width, channels = x.shape
        blocks = x.reshape(n, height // 2, 2, width // 2, 2, channels)
        result = blocks.max(axis=(2, 4))
        self.winners = blocks == result[:, :, None, :, None, :]
        return result

    def backward(self, gradient: Array) -> Array:
        """The loss gradient of the input."""
        n, height, width, channels = gradient.shape
        spread = self.winners * gradient[:, :, None, :, None, :]
        return spread.reshape(n, 2 * height, 2 * width, channels)


@dataclass(eq=False)
class Dropout:
    """Sets a share ``rate`` of the elements to 0 while training."""

    rate: float
    rng: Generator
    training: bool = True
    parameters: list[Array] = field(default_factory=list)
    gradients: list[Array] = field(default_factory=list)

    def forward(self, x: Array) -> Array:
        """Element by element; the identity once training has ended."""
        if not self.training:
            return x
        keep = self.rng.random(x.shape, dtype=np.float32) >= self.rate
        self.scale = keep.astype(np.float32) / np.float32(1.0 - self.rate)
        return x * self.scale

    def backward(self, gradient: Array) -> Array:
        """The loss gradient of the input."""
        return gradient * self.scale


class Adam:
    """Adam with decoupled weight decay (Kingma and Ba 2015; Loshchilov and Hutter 2019)."""

    def __init__(self, layers: list[Layer], *, decay: float) -> None:
        self.layers = layers
        self.decay = decay
        self.step_count = 0
        self.moments = [
            (np.zeros_like(p), np.zeros_like(p)) for layer in layers for p in layer.parameters
        ]

    def step(self, rate: float) -> None:
        """Updates every parameter with the gradients that its layer keeps."""
        self.step_count += 1
        first_bias, second_bias = 1 - 0.9**self.step_count, 1 - 0.999**self.step_count
        pairs = [p for layer in self.layers for p in _paired(layer)]
        for (parameter, gradient), (mean, square) in zip(pairs, self.moments, strict=True):
            mean += np.float32(0.1) * (gradient - mean)
            square += np.float32(0.001) * (gradient * gradient - square)
            step = (mean / first_bias) / (np.sqrt(square / second_bias) + 1e-8)
            shrink = self.decay * parameter if parameter.ndim > 1 else 0.0
            parameter -= (rate * (step + shrink)).astype(np.float32)


def _paired(layer: Layer) -> list[tuple[Array, Array]]:
    return list(zip(layer.parameters, layer.gradients, strict=True))


def _he(rng: Generator, shape: tuple[int, int], fan_in: int) -> Array:
    return (rng.standard_normal(shape) * np.sqrt(2.0 / fan_in)).astype(np.float32)


def mlp(rng: Generator) -> list[Layer]:
    """784-100-10: 79,400 weights."""
    return [Dense.random(784, 100, rng), Relu(), Dense.random(100, 10, rng)]


def cnn(rng: Generator) -> list[Layer]:
    """Two convolutions with pooling and a dense layer: 6,984 weights, 228,096 MACs."""
    return [
        Conv.random(1, 8, 3, 1, rng),
        Relu(),
        MaxPool(),
        Conv.random(8, 16, 3, 0, rng),
        Relu(),
        MaxPool(),
        Dropout(0.2, rng),
        Dense.random(576, 10, rng),
    ]


def forward(layers: list[Layer], x: Array) -> Array:
    """The logits ``[N, 10]`` of images ``[N, 28, 28, 1]``, 0..1."""
    for layer in layers:
        x = layer.forward(x)
    return x


def backward(layers: list[Layer], logits: Array, labels: NDArray) -> None:
    """Back-propagates the mean cross entropy of a batch."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    gradient = shifted / shifted.sum(axis=1, keepdims=True)
    gradient[np.arange(len(labels)), labels] -= 1.0
    gradient /= len(labels)
    for layer in reversed(layers):
        gradient = layer.backward(gradient)


def shifted_images(images: Array, rng: Generator, most: int) -> Array:
    """Each image of ``[N, 28, 28, 1]`` moved by up to ``most`` pixels, black moving in."""
    border = ((0, 0), (most, most), (most, most), (0, 0))
    views = np.lib.stride_tricks.sliding_window_view(np.pad(images, border), (28, 28), axis=(1, 2))
    rows, columns = rng.integers(0, 2 * most + 1, (2, len(images)))
    return views[np.arange(len(images)), rows, columns].transpose(0, 2, 3, 1)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A network and how it is trained.

    Attributes:
        build: makes its layers.
        epochs: passes over the training images.
        rate: the learning rate at the start; it falls to 0 along a half cosine.
    """

    build: Callable[[Generator], list[Layer]]
    epochs: int
    rate: float


def train(layers: list[Layer], x: Array, y: NDArray, rng: Generator, recipe: Recipe) -> None:
    """Trains in place, on images moved at random by up to one pixel."""
    optimizer = Adam(layers, decay=0.01)
    steps = recipe.epochs * (len(x) // BATCH)
    for epoch in range(recipe.epochs):
        order = rng.permutation(len(x))[: len(x) // BATCH * BATCH].reshape(-1, BATCH)
        for chosen in order:
            images = shifted_images(x[chosen], rng, 1)
            backward(layers, forward(layers, images), y[chosen])
            optimizer.step(recipe.rate * 0.5 * (1 + np.cos(np.pi * optimizer.step_count / steps)))
        print(f"  epoch {epoch + 1} of {recipe.epochs}", flush=True)
    for layer in layers:
        if isinstance(layer, Dropout):
            layer.training = False


RECIPES = {
    "mnist_mlp": Recipe(build=mlp, epochs=40, rate=2e-3),
    "mnist_cnn": Recipe(build=cnn, epochs=12, rate=4e-3),
}


def accuracy(layers: list[Layer], x: Array, y: NDArray) -> float:
    """Percent of the images whose largest logit is that of the label."""
    batches = [forward(layers, x[start : start + 500]) for start in range(0, len(x), 500)]
    return float(100.0 * (np.concatenate(batches).argmax(axis=1) == y).mean())


class OnnxWriter:
    """Collects the nodes of an NCHW ONNX model from a list of layers."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.value = "image"
        self.shape: tuple[int, int, int] = (28, 28, 1)
        self.scale = 1.0 / PIXEL_RANGE
        self.opsets = [helper.make_opsetid("", OPSET)]

    def add(self, layer: Layer) -> None:
        """Appends the nodes of one layer; Dropout leaves none."""
        match layer:
            case Conv():
                self._conv(layer)
            case Dense():
                self._dense(layer)
            case Relu():
                self._node("Relu", "relu", [])
            case MaxPool():
                self._node("MaxPool", "pool", [], kernel_shape=[2, 2], strides=[2, 2])
                self.shape = (self.shape[0] // 2, self.shape[1] // 2, self.shape[2])

    def model(self, name: str) -> onnx.ModelProto:
        """The finished, checked model."""
        last = self.nodes[-1]
        last.output[0] = "logits"
        image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 1, 28, 28])
        logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 10])
        graph = helper.make_graph(self.nodes, name, [image], [logits], self.weights)
        model = helper.make_model(graph, producer_name="train_mnist.py", opset_imports=self.opsets)
        model.ir_version = 8
        onnx.checker.check_model(model)
        return model

    def _conv(self, layer: Conv) -> None:
        kernel, padding = layer.kernel, layer.padding
        inputs, outputs = self.shape[2], len(layer.bias)
        weights = layer.weights.reshape(kernel, kernel, inputs, outputs).transpose(3, 2, 0, 1)
        self._node(
            "Conv",
            "conv",
            [weights * np.float32(self._take_scale()), layer.bias],
            kernel_shape=[kernel, kernel],
            pads=[padding] * 4,
        )
        shrink = kernel - 1 - 2 * padding
        self.shape = (self.shape[0] - shrink, self.shape[1] - shrink, outputs)

    def _dense(self, layer: Dense) -> None:
        height, width, channels = self.shape
        weights = layer.weights.reshape(height, width, channels, -1).transpose(2, 0, 1, 3)
        if (height, width) != (1, 1):
            self._node("Flatten", "flatten", [])
        flat = weights.reshape(-1, weights.shape[-1]) * np.float32(self._take_scale())
        self._node("Gemm", "dense", [flat.T, layer.bias], transB=1)
        self.shape = (1, 1, len(layer.bias))

    def _take_scale(self) -> float:
        """The factor of the normalisation, for the first layer with weights only."""
        scale, self.scale = self.scale, 1.0
        return scale

    def _node(self, op: str, kind: str, weights: list[Array], **attributes: object) -> None:
        count = sum(node.op_type == op for node in self.nodes) + 1
        name = f"{kind}{count}"
        names = [f"{name}_weights", f"{name}_bias"][: len(weights)]
        for label, array in zip(names, weights, strict=True):
            self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), label))
        self.nodes.append(
            helper.make_node(op, [self.value, *names], [f"{name}_out"], name=name, **attributes)
        )
        self.value = f"{name}_out"


def export(layers: list[Layer], path: Path) -> None:
    """Writes the layers as ONNX."""
    writer = OnnxWriter()
    for layer in layers:
        writer.add(layer)
    path.write_bytes(writer.model(path.stem).SerializeToString(deterministic=True))


def read(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images ``[N, 28, 28]`` and labels ``[N]``."""
    with np.load(path) as archive:
        return archive["x"], archive["y"].astype(np.int64)


def main() -> None:
    """Trains, reports the accuracies on the test images and writes the files."""
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(description="Train the bundled MNIST networks with numpy.")
    parser.add_argument("--data", type=Path, required=True, help="folder of the MNIST files")
    parser.add_argument("--output", type=Path, default=here, help="folder of the results")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    train_x, train_y = read(arguments.data / "mnist_train.npz")
    test_x, test_y = read(arguments.data / "mnist_dev.npz")
    x, test = ((images[..., None] / PIXEL_RANGE).astype(np.float32) for images in (train_x, test_x))
    for name, recipe in RECIPES.items():
        rng = np.random.default_rng(arguments.seed)
        layers = recipe.build(rng)
        print(name, flush=True)
        train(layers, x, train_y, rng, recipe)
        print(f"  {accuracy(layers, test, test_y):.2f} % of {len(test)} test images")
        export(layers, arguments.output / f"{name}.onnx")
    for name, images, labels in (
        ("mnist_samples", test_x[:200], test_y[:200]),
        ("mnist_calibration", train_x[:100], train_y[:100]),
    ):
        np.savez_compressed(arguments.output / f"{name}.npz", x=images, y=labels.astype(np.uint8))


if __name__ == "__main__":
    main()
