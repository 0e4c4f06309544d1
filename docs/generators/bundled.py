"""The bundled convolutional network, as the pages show it: quantized, and on an iCEBreaker."""

import importlib.resources
from functools import cache
from pathlib import Path

import shiftwork as sw
from shiftwork.quant.calibration import read_samples
from shiftwork.quant.quantizer import QuantizerOptions

BOARD = "icebreaker"


def example(name: str) -> Path:
    """A bundled file."""
    return Path(str(importlib.resources.files("shiftwork.examples") / name))


@cache
def program() -> sw.Program:
    """The network in int8."""
    samples = read_samples(example("mnist_calibration.npz"))
    return sw.quantize(sw.load(example("mnist_cnn.onnx")), calibration=samples.x)


@cache
def accelerator() -> sw.Accelerator:
    """Its accelerator, with the board's default array."""
    return sw.Accelerator(program(), board=BOARD)


@cache
def coded_program() -> sw.Program:
    """The network with weights of 4 bits."""
    samples = read_samples(example("mnist_calibration.npz"))
    options = QuantizerOptions(weights="shared16")
    return sw.quantize(sw.load(example("mnist_cnn.onnx")), samples.x, options)
