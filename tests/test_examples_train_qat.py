"""The example of quantization-aware training, and that its network is taken over bit by bit."""

import sys
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from test_examples_train_mnist import write_mnist

from shiftwork.examples import train_mnist, train_qat
from shiftwork.quant import float_executor
from shiftwork.quant.onnx_import import load
from shiftwork.quant.options import QuantizerOptions
from shiftwork.quant.quantizer import quantize
from shiftwork.sim import golden

BUNDLED = Path(str(resources.files("shiftwork.examples")))


def images(count: int) -> np.ndarray:
    """Pixels as they are trained on, ``[N, 28, 28, 1]``."""
    x = np.random.default_rng(3).integers(0, 256, (count, 28, 28, 1))
    return np.ldexp(x, -train_qat.PIXEL_EXPONENT).astype(np.float32)


def raw(x: np.ndarray) -> np.ndarray:
    """What the written network takes, ``[N, 1, 28, 28]``."""
    return np.ldexp(x, train_qat.PIXEL_EXPONENT).transpose(0, 3, 1, 2)


@pytest.mark.parametrize("name", train_mnist.RECIPES)
def test_the_bundled_networks_are_read(name: str) -> None:
    x = images(5)
    graph = load(BUNDLED / f"{name}.onnx")
    pixels = graph.input_layout.to_nhwc(raw(x), graph.shapes[graph.input])
    expected = float_executor.run(graph, pixels).reshape(len(x), -1)
    layers = train_qat.float_layers(BUNDLED / f"{name}.onnx")
    np.testing.assert_allclose(train_mnist.forward(layers, x), expected, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("name", train_mnist.RECIPES)
def test_the_program_computes_what_was_trained(name: str, tmp_path: Path) -> None:
    layers = train_qat.with_rounding(train_qat.float_layers(BUNDLED / f"{name}.onnx"), images(20))
    train_qat.round_biases(layers)
    train_qat.export(layers, tmp_path / "qat.onnx")
    x = images(50)
    pixels = raw(x)
    options = QuantizerOptions(weights="int4")
    program = quantize(load(tmp_path / "qat.onnx"), pixels[:5], options)
    got = program.dequantize_output(golden.run(program, program.quantize_input(pixels)))
    np.testing.assert_array_equal(got, train_mnist.forward(layers, x))
    assert program.codebook == tuple(range(-8, 8))


def test_rounding_lets_gradients_pass_up_to_what_saturates() -> None:
    byte = train_qat.Byte(4)
    values = np.array([-1.0, 0.03, 0.04, 15.9, 16.0, 20.0], np.float32)
    assert byte.forward(values).tolist() == [0.0, 0.0, 0.0625, 15.875, 15.9375, 15.9375]
    assert byte.backward(np.ones(6, np.float32)).tolist() == [1, 1, 1, 1, 0, 0]
    dense = train_mnist.Dense(np.array([[0.9, 3.0], [0.2, -1.0]], np.float32), np.zeros(2))
    layer = train_qat.FewBits(dense, dense.weights, np.array([3, 1]))
    layer.forward(np.ones((1, 2), np.float32))
    assert dense.weights.tolist() == [[0.875, 3.0], [0.25, -1.0]]
    layer.backward(np.ones((1, 2), np.float32))
    assert layer.gradients[0].tolist() == [[1, 1], [1, 1]]
    layer.weights[0, 0] = 1.0
    assert layer.gradients[0].tolist() == [[0, 1], [1, 1]]


def test_training_improves_the_rounded_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_mnist(tmp_path)
    arguments = ["train_qat.py", "--data", str(tmp_path), "--epochs", "6", "--rate", "0.002"]
    output = tmp_path / "qat.onnx"
    monkeypatch.setattr(sys, "argv", [*arguments, "--output", str(output)])
    train_qat.main()
    before, after = (
        float(line.split()[1]) for line in capsys.readouterr().out.splitlines() if "ed:" in line
    )
    assert after > before
    layers = load(output).nodes
    assert layers
