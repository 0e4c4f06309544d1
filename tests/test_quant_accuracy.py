"""What int8 costs the MLPerf Tiny networks, calibrated on samples other than those measured."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from shiftwork.quant import float_executor
from shiftwork.quant.graph import Graph
from shiftwork.quant.program_ops import Residual
from shiftwork.quant.quantizer import QuantizerOptions, quantize
from shiftwork.quant.tflite_import import load
from shiftwork.sim import golden
from shiftwork.sim.evaluation import evaluate

pytestmark = pytest.mark.slow
WINDOWS, FRAMES = 196, 5
KWS_STEP, KWS_ZERO = np.float32(0.58470291), 83
AD_STEP, AD_ZERO = 0.39101523, 89


def model(shared: Path, name: str) -> Graph:
    return load(shared / "models" / "mlperf_tiny" / f"{name}.tflite")


def data(shared: Path, name: str) -> dict[str, NDArray]:
    with np.load(shared / "data" / f"{name}.npz") as archive:
        return {key: archive[key] for key in archive.files}


def enlarged(images: NDArray) -> NDArray[np.float32]:
    """``images[N, 32, 32, C]`` at three times the size, bilinear, rounded to bytes; 0 to 1."""
    position = (np.arange(96) + 0.5) / 3 - 0.5
    first = np.clip(np.floor(position).astype(int), 0, 31)
    second = np.minimum(first + 1, 31)
    part = np.clip(position - first, 0, 1).astype(np.float32)[:, None, None]
    x = images.astype(np.float32)
    x = x[:, first] * (1 - part) + x[:, second] * part
    x = x[:, :, first] * (1 - part[:, 0]) + x[:, :, second] * part[:, 0]
    return np.floor(x + 0.5) / 255


def windows(spectrograms: NDArray) -> NDArray[np.float32]:
    """Every five consecutive frames of ``[N, 200, 128]``, as ``[N * 196, 640]``."""
    parts = [spectrograms[:, i : i + FRAMES].reshape(-1, 640) for i in range(WINDOWS)]
    return np.stack(parts, axis=1).reshape(-1, 640).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "calibrated_on"),
    [("kws_ref_model_float32", "first 100"), ("kws_ref_model", "golden 12")],
)
def test_keyword_spotting(shared: Path, name: str, calibrated_on: str) -> None:
    dev, graph = data(shared, "kws/kws_dev"), model(shared, name)
    x = dev["x"][:100]
    if calibrated_on == "golden 12":
        integers = data(shared, "mlperf_tiny_golden/kws12")["x"].astype(np.float32)
        x = (integers - KWS_ZERO) * KWS_STEP
    program = quantize(graph, x)
    result = evaluate(graph, program, dev["x"][100:], dev["y"][100:].astype(np.int64))
    assert program.tensor(program.input).gain == pytest.approx(KWS_STEP, rel=1e-6)
    assert result.accuracy_float - result.accuracy_int8 <= 0.5
    assert result.agreement >= 98.5
    assert result.sqnr_db > 32
    assert max(layer.accumulator_bits for layer in result.layers) <= 24


def test_image_classification(shared: Path) -> None:
    graph = model(shared, "pretrainedResnet")
    train, dev = data(shared, "cifar10/cifar10_train500"), data(shared, "cifar10/cifar10_dev")
    program = quantize(graph, train["x"])
    result = evaluate(graph, program, dev["x"], dev["y"].astype(np.int64))
    assert result.accuracy_float - result.accuracy_int8 <= 0.5
    assert result.agreement >= 98.5
    assert result.sqnr_db > 35
    terms = [term for op in program.ops for term in getattr(op, "terms", ())]
    assert sorted(type(term).__name__ for term in terms) == ["Product", "Product", "Residual"]
    assert all(term.shift.max() <= 11 for term in terms if isinstance(term, Residual))
    assert max(layer.accumulator_bits for layer in result.layers) <= 24


def test_visual_wake_words(shared: Path) -> None:
    graph = model(shared, "vww_96_float")
    train, dev = data(shared, "cifar10/cifar10_train500"), data(shared, "cifar10/cifar10_dev")
    photos = (data(shared, "mlperf_tiny_golden/vww4")["x"].astype(np.float32) + 128) / 255
    program = quantize(graph, np.concatenate([photos, enlarged(train["x"][:100])]))
    assert program.macs < 3_760_000
    result = evaluate(graph, program, enlarged(dev["x"][:150]))
    assert result.agreement >= 98
    assert result.sqnr_db > 28
    result = evaluate(graph, program, photos)
    assert result.agreement == 100
    assert result.sqnr_db > 20


def test_anomaly_detection(shared: Path) -> None:
    """One normal spectrogram calibrates; six others, three of them anomalous, are measured."""
    graph, files = model(shared, "ad01_fp32"), data(shared, "mlperf_tiny_golden/ad6")
    options = QuantizerOptions(
        headroom=2.0, equalization=False, input_scale=AD_STEP, input_zero_point=AD_ZERO
    )
    program = quantize(graph, windows(files["extra_normal_float32"][None]), options)
    x = windows((files["x"].astype(np.float32) - AD_ZERO) * np.float32(AD_STEP))
    samples = graph.input_layout.to_nhwc(x, graph.shapes[graph.input])
    real = float_executor.run(graph, samples).reshape(len(x), -1)
    integer = program.dequantize_output(golden.run(program, program.quantize_input(x)))
    integer = integer.reshape(len(x), -1)
    noise = np.square(real - integer).sum()
    assert 10 * np.log10(np.square(real, dtype=np.float64).sum() / noise) > 39
    scores = [np.square(y - x).mean(axis=1).reshape(-1, WINDOWS).mean(1) for y in (real, integer)]
    np.testing.assert_allclose(scores[1], scores[0], rtol=0.02)
