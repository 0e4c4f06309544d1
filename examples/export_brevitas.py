"""Trains small networks with Brevitas and exports them, for ``shiftwork quantize`` to take over.

    pip install 'brevitas[export]==0.12.1' torch==2.4.1
    python examples/export_brevitas.py --output FOLDER

Three networks read the bundled digits, halved to 14 x 14 pixels:

- ``residual`` has an input, feature maps and weights on grids that are powers of two, weights of 8
  and of 4 bits, max pooling, and a residual;
- ``separable`` has one power of two for each channel's weights, a depthwise convolution,
  normalization that is merged into the weights, feature maps of 4 to 6 bits, and rounds halves up,
  as the program does;
- ``free`` has the scales of any value that Brevitas chooses by default.

Each is written as QONNX (``Quant`` nodes) and as QCDQ (``QuantizeLinear``, ``Clip`` and
``DequantizeLinear``). ``expected.npz`` holds the images ``x`` and, by network, Brevitas' own
outputs.
"""

import argparse
from pathlib import Path
from typing import Any

import brevitas.nn as qnn
import numpy as np
import torch
from brevitas.core.function_wrapper import RoundSte
from brevitas.export import export_onnx_qcdq, export_qonnx
from brevitas.function.ops_ste import floor_ste
from brevitas.nn.utils import merge_bn
from brevitas.quant import (
    Int8ActPerTensorFixedPoint,
    Int8ActPerTensorFloat,
    Int8WeightPerTensorFixedPoint,
    Int8WeightPerTensorFloat,
    Int32Bias,
    Uint8ActPerTensorFixedPoint,
    Uint8ActPerTensorFloat,
)
from brevitas.quant.fixed_point import Int8WeightPerChannelFixedPoint
from numpy.typing import NDArray
from torch import Tensor, nn

IMAGES = Path(__file__).parent / "mnist_samples.npz"
CLASSES = 10
KEPT = 40
"""Images that the outputs are kept for."""
STATISTICS_STEPS = 20
"""Steps of training from which the scales of feature maps start."""
FORMATS = {"qonnx": export_qonnx, "qcdq": export_onnx_qcdq}


class HalfUp(RoundSte):
    """Rounds halves up, and lets gradients pass; exported as any rounding to the nearest."""

    def forward(self, x: Tensor) -> Tensor:
        """Element by element."""
        return floor_ste(x + 0.5)


class Residual(nn.Module):
    """Convolutions with a residual between them, and a dense layer.

    Args:
        weights, signed, unsigned: quantizers of weights and of feature maps.
    """

    def __init__(self, weights: Any, signed: Any, unsigned: Any) -> None:
        super().__init__()
        quantized = {"weight_quant": weights, "bias_quant": Int32Bias, "return_quant_tensor": True}
        self.pixels = activation(qnn.QuantIdentity, unsigned)
        self.first = qnn.QuantConv2d(1, 8, 3, padding=1, **quantized)
        self.first_relu = activation(qnn.QuantReLU, unsigned)
        self.pool = nn.MaxPool2d(2)
        self.second = qnn.QuantConv2d(8, 8, 3, padding=1, weight_bit_width=4, **quantized)
        self.summand = activation(qnn.QuantIdentity, signed, bit_width=6)
        self.sum_relu = activation(qnn.QuantReLU, unsigned)
        self.third = qnn.QuantConv2d(8, 12, 3, stride=2, weight_bit_width=4, **quantized)
        self.third_relu = activation(qnn.QuantReLU, unsigned)
        self.dense = qnn.QuantLinear(12 * 9, CLASSES, bias=True, **quantized)

    def forward(self, x: Tensor) -> Any:
        """Scores ``[N, 10]`` of images ``[N, 1, 14, 14]``."""
        x = self.pool(self.first_relu(self.first(self.pixels(x))))
        x = self.sum_relu(self.summand(self.second(x)) + self.summand(x))
        return self.dense(torch.flatten(self.third_relu(self.third(x)), 1)).value


class Separable(nn.Module):
    """A convolution, a depthwise and a pointwise one, each normalized, and a dense layer."""

    def __init__(self) -> None:
        super().__init__()
        quantized = {
            "weight_quant": Int8WeightPerChannelFixedPoint,
            "weight_bit_width": 4,
            "bias_quant": Int32Bias,
            "return_quant_tensor": True,
        }
        unsigned, up = Uint8ActPerTensorFixedPoint, {"float_to_int_impl": HalfUp}
        self.pixels = activation(qnn.QuantIdentity, unsigned, **up)
        self.first = qnn.QuantConv2d(1, 8, 3, stride=2, padding=1, **quantized)
        self.first_norm = nn.BatchNorm2d(8)
        self.first_relu = activation(qnn.QuantReLU, unsigned, bit_width=6, **up)
        self.depthwise = qnn.QuantConv2d(8, 8, 3, padding=1, groups=8, **quantized)
        self.depthwise_norm = nn.BatchNorm2d(8)
        self.depthwise_relu = activation(qnn.QuantReLU, unsigned, bit_width=5, **up)
        self.pointwise = qnn.QuantConv2d(8, 12, 1, **quantized)
        self.pointwise_norm = nn.BatchNorm2d(12)
        self.pointwise_relu = activation(qnn.QuantReLU, unsigned, bit_width=4, **up)
        self.pool = nn.MaxPool2d(2)
        last = quantized | {"weight_quant": Int8WeightPerTensorFixedPoint}
        self.dense = qnn.QuantLinear(12 * 9, CLASSES, bias=True, **last)
        self.scores = activation(qnn.QuantIdentity, Int8ActPerTensorFixedPoint, **up)

    def forward(self, x: Tensor) -> Any:
        """Scores ``[N, 10]``, on a grid of their own, of images ``[N, 1, 14, 14]``."""
        x = self.first_relu(self.first_norm(self.first(self.pixels(x))))
        x = self.depthwise_relu(self.depthwise_norm(self.depthwise(x)))
        x = self.pool(self.pointwise_relu(self.pointwise_norm(self.pointwise(x))))
        return self.scores(self.dense(torch.flatten(x, 1))).value

    def merge(self) -> None:
        """Makes the normalizations part of the weights, which are rounded after it."""
        for name in ("first", "depthwise", "pointwise"):
            merge_bn(getattr(self, name), getattr(self, f"{name}_norm"))
            setattr(self, f"{name}_norm", nn.Identity())


def activation(kind: Any, quantizer: Any, **settings: Any) -> nn.Module:
    """A layer that rounds a feature map to the grid of ``quantizer``."""
    return kind(
        act_quant=quantizer,
        return_quant_tensor=True,
        collect_stats_steps=STATISTICS_STEPS,
        **settings,
    )


def images() -> tuple[Tensor, Tensor]:
    """Images ``[N, 1, 14, 14]``, 0 to 255 / 256, and their classes."""
    with np.load(IMAGES) as archive:
        x, y = archive["x"], archive["y"]
    halved = x.reshape(len(x), 1, 14, 2, 14, 2).astype(np.int64).sum(axis=(3, 5)) // 4
    return torch.tensor(halved / 256, dtype=torch.float32), torch.tensor(y.astype(np.int64))


def train(model: nn.Module, steps: int, rate: float = 3e-3) -> None:
    """Trains on all images, in batches of 50."""
    x, y = images()
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    model.train()
    for step in range(steps):
        chosen = torch.arange(50) + 50 * (step % (len(x) // 50))
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[chosen]), y[chosen]).backward()
        optimizer.step()
    model.eval()


def networks(steps: int) -> dict[str, nn.Module]:
    """The networks, trained."""
    residual = Residual(
        Int8WeightPerTensorFixedPoint, Int8ActPerTensorFixedPoint, Uint8ActPerTensorFixedPoint
    )
    free = Residual(Int8WeightPerTensorFloat, Int8ActPerTensorFloat, Uint8ActPerTensorFloat)
    separable = Separable()
    for model in (residual, separable, free):
        train(model, steps)
    separable.merge()
    train(separable, steps // 4, rate=3e-4)
    return {"residual": residual, "separable": separable, "free": free}


def outputs(model: nn.Module, x: Tensor) -> NDArray[np.float32]:
    """What Brevitas computes, ``[N, 10]``."""
    with torch.no_grad():
        return np.asarray(model(x).numpy(), np.float32)


def main() -> None:
    """Trains, reports the accuracies and writes the files."""
    parser = argparse.ArgumentParser(description="Export networks that Brevitas trained.")
    parser.add_argument("--output", type=Path, default=Path())
    parser.add_argument("--steps", type=int, default=200, help="of training, a network")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    torch.use_deterministic_algorithms(True)
    x, y = images()
    arguments.output.mkdir(parents=True, exist_ok=True)
    expected: dict[str, Any] = {"x": x[:KEPT].numpy()}
    for name, model in networks(arguments.steps).items():
        accuracy = (outputs(model, x).argmax(axis=1) == y.numpy()).mean()
        print(f"{name}: {100 * accuracy:.2f} % of the images it was trained on")
        expected[name] = outputs(model, x[:KEPT])
        for kind, export in FORMATS.items():
            path = arguments.output / f"{name}_{kind}.onnx"
            export(model, args=x[:1], export_path=str(path), opset_version=13)
    np.savez_compressed(arguments.output / "expected.npz", **expected)


if __name__ == "__main__":
    main()
