"""LiteRT as a reference to compare with."""

import sys
from pathlib import Path

import numpy as np
import pytest

from shiftwork import litert
from shiftwork.errors import ToolError


def test_an_int8_file_in_real_units(shared: Path) -> None:
    """The network of TensorFlow's "hello world" was trained to compute the sine."""
    x = np.linspace(0.0, 2 * np.pi, 50).reshape(-1, 1)
    found = litert.outputs(shared / "models" / "tflite_micro" / "hello_world_int8.tflite", x)
    assert found.shape == (50, 1)
    assert np.abs(found - np.sin(x)).max() < 0.2
    assert np.square(found - np.sin(x)).mean() < 0.01


def test_inputs_are_rounded_to_the_grid_and_saturate() -> None:
    details = {"quantization": (0.5, -10), "dtype": np.int8}
    stored = litert._stored(np.array([0.0, 0.3, -0.8, 1e4, -1e4]), details)
    assert stored.dtype == np.int8
    assert stored.tolist() == [-10, -9, -12, 127, -128]
    assert litert._real(stored, details).tolist() == [0.0, 0.5, -1.0, 68.5, -59.0]
    plain = {"quantization": (0.0, 0), "dtype": np.float32}
    assert litert._stored(np.array([0.3]), plain).dtype == np.float32
    assert litert._real(np.array([0.25], np.float32), plain).tolist() == [0.25]


def test_a_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    with pytest.raises(ToolError, match=r"ai-edge-litert is missing.*pip install ai-edge-litert"):
        litert.version()
