import sys
from importlib import resources

import numpy as np
import onnx
import pytest

from shiftwork.examples import train_mnist
from shiftwork.quant import float_executor, onnx_import
from shiftwork.quant.calibration import read_samples
from shiftwork.quant.quantizer import quantize
from shiftwork.sim.evaluation import evaluate

BUNDLED = resources.files("shiftwork.examples")


def write_mnist(folder, count=256):
    """MNIST files with images of ``count`` blurred spots, whose place is their class."""
    rng = np.random.default_rng(0)
    for name in ("mnist_train", "mnist_dev"):
        y = rng.integers(0, 10, count)
        x = rng.integers(0, 40, (count, 28, 28))
        for image, label in zip(x, y, strict=True):
            image[2 * label + 2 : 2 * label + 8, 4:24] += 200
        np.savez(folder / f"{name}.npz", x=x.astype(np.uint8), y=y)


@pytest.mark.parametrize("build", [train_mnist.mlp, train_mnist.cnn])
def test_gradients_equal_finite_differences(build):
    rng = np.random.default_rng(0)
    layers = [layer for layer in build(rng) if not isinstance(layer, train_mnist.Dropout)]
    x = rng.random((3, 28, 28, 1), dtype=np.float32)
    y = np.array([1, 5, 9])

    def loss():
        logits = train_mnist.forward(layers, x).astype(np.float64)
        return np.log(np.exp(logits).sum(axis=1)).mean() - logits[np.arange(3), y].mean()

    train_mnist.backward(layers, train_mnist.forward(layers, x), y)
    trained = [layer for layer in layers if layer.parameters]
    gradients = [(p, g.copy()) for layer in trained for p, g in train_mnist._paired(layer)]
    for parameter, gradient in gradients:
        index = np.unravel_index(np.abs(gradient).argmax(), gradient.shape)
        start, step = parameter[index], np.float32(1e-2)
        parameter[index] = start + step
        above = loss()
        parameter[index] = start - step
        below = loss()
        parameter[index] = start
        assert (above - below) / (2 * step) == pytest.approx(gradient[index], rel=0.02, abs=1e-4)


def test_training_twice_gives_the_same_files(tmp_path, monkeypatch):
    write_mnist(tmp_path)
    recipes = {
        name: train_mnist.Recipe(build=recipe.build, epochs=4, rate=recipe.rate)
        for name, recipe in train_mnist.RECIPES.items()
    }
    monkeypatch.setattr(train_mnist, "RECIPES", recipes)
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        output = str(tmp_path / name)
        monkeypatch.setattr(sys, "argv", ["x", "--data", str(tmp_path), "--output", output])
        train_mnist.main()
    files = sorted(path.name for path in (tmp_path / "first").iterdir())
    assert files == [
        "mnist_calibration.npz",
        "mnist_cnn.onnx",
        "mnist_mlp.onnx",
        "mnist_samples.npz",
    ]
    for name in files:
        first, second = ((tmp_path / run / name).read_bytes() for run in ("first", "second"))
        assert first == second


def test_exported_models_compute_what_was_trained(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (5, 28, 28)).astype(np.uint8)
    for name, recipe in train_mnist.RECIPES.items():
        layers = [
            layer for layer in recipe.build(rng) if not isinstance(layer, train_mnist.Dropout)
        ]
        train_mnist.export(layers, tmp_path / f"{name}.onnx")
        graph = onnx_import.load(tmp_path / f"{name}.onnx")
        expected = train_mnist.forward(layers, (images[..., None] / 255.0).astype(np.float32))
        nhwc = graph.input_layout.to_nhwc(images, graph.shapes[graph.input])
        outputs = graph.output_layout.from_nhwc(float_executor.run(graph, nhwc))
        np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "macs", "float_percent"), [("mnist_mlp", 79_400, 97), ("mnist_cnn", 228_096, 98)]
)
def test_bundled_networks_on_the_bundled_images(name, macs, float_percent):
    samples = read_samples(BUNDLED / "mnist_samples.npz")
    calibration = read_samples(BUNDLED / "mnist_calibration.npz")
    assert samples.x.shape == (200, 28, 28)
    assert samples.y is not None
    assert calibration.x.shape == (100, 28, 28)
    graph = onnx_import.load(BUNDLED / f"{name}.onnx")
    program = quantize(graph, calibration.x)
    result = evaluate(graph, program, samples.x, samples.y)
    assert program.macs == macs
    assert result.accuracy_float >= float_percent
    assert result.agreement >= 99.5
    assert max(layer.accumulator_bits for layer in result.layers) <= 24


def test_the_bundled_cnn_fits_nine_kilobytes_of_weights():
    model = onnx.load(BUNDLED / "mnist_cnn.onnx")
    weights = sum(np.prod(array.dims) for array in model.graph.initializer if len(array.dims) > 1)
    assert weights == 6984


@pytest.mark.parametrize(("name", "least"), [("mnist_mlp", 97.5), ("mnist_cnn", 98.5)])
def test_bundled_networks_on_the_test_images(shared, name, least):
    graph = onnx_import.load(BUNDLED / f"{name}.onnx")
    program = quantize(graph, read_samples(BUNDLED / "mnist_calibration.npz").x)
    samples = read_samples(shared / "data" / "mnist" / "mnist_dev.npz")
    result = evaluate(graph, program, samples.x, samples.y)
    assert result.accuracy_float >= least
    assert abs(result.accuracy_float - result.accuracy_int8) <= 0.2
