import numpy as np
import pytest

from shiftwork.quant.graph import Grid
from shiftwork.quant.input_grid import grid_step, input_tensor, tensor_of_grid


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ([0, 255], {"lo": 0, "hi": 255, "signed": False, "gain": 1.0, "zero_point": 0}),
        ([3.0, 7.0], {"lo": 0, "hi": 255, "signed": False, "gain": 1.0, "zero_point": 0}),
        ([-128, 127], {"lo": -128, "hi": 127, "signed": True, "gain": 1.0, "zero_point": 0}),
        ([-1.0, 1.0], {"signed": True, "gain": 1.0, "zero_point": 0}),
        ([-129, 126], {"signed": True, "gain": 1.0, "zero_point": 1}),
        ([0, 0.5, 510], {"signed": True, "gain": 2.0, "zero_point": -128}),
        ([0.0, 1.0 / 255, 1.0], {"signed": True, "gain": 1 / 255, "zero_point": -128}),
        ([2.5, 5.1], {"signed": True, "gain": 0.02, "zero_point": -128}),
        ([-5.1, -2.5], {"signed": True, "gain": 0.02, "zero_point": 127}),
    ],
)
def test_grid_of_the_input(samples, expected):
    tensor = input_tensor("x", (1, 1, len(samples)), np.array(samples)[None, None, None])
    assert {key: getattr(tensor, key) for key in expected} == pytest.approx(expected)
    real = np.array(samples, dtype=np.float64)
    error = np.abs(tensor.dequantize(tensor.quantize(real)) - real)
    assert error.max() <= tensor.gain * 0.5 + 1e-12


def on_grid(step, zero_point, count=5000):
    integers = np.random.default_rng(0).integers(-128, 128, count)
    return ((integers - zero_point) * np.float32(step)).astype(np.float32).reshape(-1, 1, 1, 10)


@pytest.mark.parametrize(("step", "zero_point"), [(0.58470291, 83), (1 / 255, -128), (3e-7, -1)])
def test_samples_on_a_grid_keep_it(step, zero_point):
    x = on_grid(step, zero_point)
    tensor = input_tensor("x", (1, 1, 10), x)
    assert tensor.gain == pytest.approx(step, rel=1e-6)
    assert tensor.zero_point == zero_point
    assert np.abs(tensor.dequantize(tensor.quantize(x)) - x).max() < 1e-4 * step


def test_a_part_of_a_grid_gets_a_zero_point_in_the_middle():
    x = on_grid(0.5847, 20)
    x = np.clip(x, -64 * 0.5847, 36 * 0.5847)
    assert input_tensor("x", (1, 1, 10), x).zero_point == 14


def test_samples_on_no_grid():
    rng = np.random.default_rng(0)
    assert grid_step(rng.normal(size=200)) is None
    assert grid_step(rng.normal(size=2000)) is None
    assert grid_step(np.array([0.0, 0.5, 1.0])) is None
    assert grid_step(0.25 * np.arange(300)) is None


def test_the_tensor_of_a_grid():
    real = tensor_of_grid("x", (1, 1, 1), Grid(scale=0.3, zero_point=4, lo=-128, hi=127))
    assert (real.exponent, real.gain, real.zero_point, real.signed) == (0, 0.3, 4, True)
    power = tensor_of_grid("x", (1, 1, 1), Grid(scale=0.125, zero_point=0, lo=0, hi=255))
    assert (power.exponent, power.gain, power.lo, power.hi, power.signed) == (3, 1.0, 0, 255, False)
