"""The figures that the project promises, on real networks; accuracy is in the tests of examples
and evaluation, place and route in those of synthesis."""

from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from shiftwork.boards.accelerator import Accelerator
from shiftwork.quant.calibration import read_samples
from shiftwork.quant.onnx_import import load
from shiftwork.quant.quantizer import quantize
from shiftwork.sim.example_programs import random_inputs, small_cnn
from shiftwork.sim.executor import SimulationResult, simulate

BUNDLED = resources.files("shiftwork.examples")
IMAGES = 100
SIMULATOR_GAIN = 20


def check(result: SimulationResult) -> None:
    assert result.passed, result.text
    assert result.inputs == IMAGES
    assert result.mismatches == 0
    assert result.cycles_measured == result.cycles_predicted


@pytest.mark.slow
def test_mnist_8_in_verilator_is_bit_exact(shared: Path) -> None:
    graph = load(shared / "models" / "onnx_mnist8" / "mnist-8.onnx")
    with np.load(shared / "data" / "mnist" / "mnist_train.npz") as train:
        program = quantize(graph, train["x"][:100])
    with np.load(shared / "data" / "mnist" / "mnist_dev.npz") as test:
        images = test["x"][:IMAGES]
    accelerator = Accelerator(program, board="icebreaker")
    assert accelerator.config.shape.elements == 16
    assert accelerator.schedule.cycles <= 56_500
    check(simulate(accelerator, images))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "board"), [("mnist_cnn", "icebreaker"), ("mnist_mlp", "ulx3s-85f")]
)
def test_the_bundled_networks_in_verilator_are_bit_exact(name: str, board: str) -> None:
    calibration = read_samples(str(BUNDLED / "mnist_calibration.npz"))
    program = quantize(load(str(BUNDLED / f"{name}.onnx")), calibration.x)
    images = read_samples(str(BUNDLED / "mnist_samples.npz")).x[:IMAGES]
    check(simulate(Accelerator(program, board=board), images))


@pytest.mark.slow
def test_verilator_is_much_faster_than_amaranth() -> None:
    """Both engines on the same design in one run; each gets enough frames to be timed."""
    program = small_cnn()
    accelerator = Accelerator(program, rows=4, columns=4)
    x = random_inputs(program, np.random.default_rng(0), 200).astype(np.float64)
    fast = simulate(accelerator, x, engine="verilator")
    slow = simulate(accelerator, x, engine="amaranth", limit=1)
    assert fast.passed and slow.passed
    assert fast.cycles_per_second is not None and slow.cycles_per_second is not None
    assert fast.cycles_per_second >= SIMULATOR_GAIN * slow.cycles_per_second
