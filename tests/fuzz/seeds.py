"""Valid files to start from: the small networks and programs of the project's own tests."""

import io
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from shiftwork.quant.codebook import INT4
from shiftwork.quant.program import Program
from shiftwork.quant.raw_input import RawInput
from shiftwork.quant.softmax import Softmax
from shiftwork.sim import example_programs
from shiftwork.sim.coded_programs import coded
from shiftwork.sim.program_builder import ProgramBuilder

TESTS = Path(__file__).resolve().parents[1]
QUANTIZED = ("residual_qonnx.onnx", "separable_qonnx.onnx", "residual_qcdq.onnx")
"""Models that Brevitas exported: QONNX's Quant, and grids of fewer than 8 bits."""


@cache
def test_module(name: str) -> ModuleType:
    """A module of tests, for the networks in it."""
    spec = spec_from_file_location(f"fuzz_{name}", TESTS / f"{name}.py")
    assert spec and spec.loader
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def onnx_models() -> list[bytes]:
    """One model for every case of the float executor's test, and quantized ones."""
    cases = test_module("test_quant_float_executor").CASES
    models = [
        onnx_bytes(case.nodes, case.shape, case.constants, opset=case.opset)
        for case in cases.values()
    ]
    quantized = test_module("test_quant_onnx_quantization")
    models.append(onnx_bytes(quantized.NETWORK, ("N", 3, 6, 5), quantized.constants()))
    brevitas = TESTS / "vectors" / "brevitas"
    return [*models, *((brevitas / name).read_bytes() for name in QUANTIZED)]


def onnx_bytes(nodes: Any, shape: Any, constants: dict[str, Any], *, opset: int = 13) -> bytes:
    """A model with the input ``x`` and the output ``y``."""
    rng = np.random.default_rng(1)
    arrays = {
        key: rng.normal(size=value).astype(np.float32) if isinstance(value, tuple) else value
        for key, value in constants.items()
    }
    graph = helper.make_graph(
        list(nodes),
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), key) for key, value in arrays.items()],
    )
    opsets = [helper.make_opsetid("", opset)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    return bytes(model.SerializeToString())


def tflite_networks() -> list[tuple[dict[str, Any], list[Any]]]:
    """Tensors and operators of every case of the TFLite importer's test, and a quantized model."""
    module = test_module("test_quant_tflite_import")
    return [*module.CASES.values(), module.quantized_model()]


def tflite_bytes(tensors: dict[str, Any], ops: list[Any]) -> bytes:
    """The file of a network."""
    return bytes(test_module("test_quant_tflite_import").model_bytes(tensors, ops))


def programs() -> list[Program]:
    """Small programs with every op, term, table, width and part of the header."""
    return [
        example_programs.small_cnn(),
        example_programs.dense_net(),
        example_programs.residual_net(),
        _probable(),
        _wide(),
        _top_of_bytes(),
    ]


def _builder(name: str) -> ProgramBuilder:
    return ProgramBuilder(name, (4, 4, 2), np.random.default_rng(1))


def _probable() -> Program:
    """Tables, the last of which makes exponentials."""
    exponentials = [min(255, round(2.0 ** (i / 16))) for i in (*range(128), *range(-128, 0))]
    builder = _builder("probable").conv(3).table(exponentials, unsigned=True)
    program = builder.dense(4).table(exponentials, unsigned=True).build()
    return replace(program, softmax=Softmax(power=4, reference=2.5))


def _wide() -> Program:
    builder = _builder("wide").conv(3, wide=True).conv(3, (1, 1), wide_output=True)
    return builder.dense(4).build()


def _top_of_bytes() -> Program:
    """A sensor's bytes, 16 shared values, and the class."""
    program = coded(_builder("top_of_bytes").conv(3).dense(4).top_score(3).build(), INT4)
    return replace(program, raw_input=RawInput(dtype="int8", scale=(0.5, 0.25)))


def samples() -> list[dict[str, np.ndarray]]:
    """Arrays of sample files."""
    rng = np.random.default_rng(5)
    images = rng.normal(size=(3, 4, 4, 1)).astype(np.float32)
    return [
        {"x": images},
        {"x": images, "y": np.array([0, 2, 1])},
        {"x": rng.integers(0, 256, (2, 9)).astype(np.uint8), "y": np.array([[1.0], [0.0]])},
    ]


def saved(write: Callable[[io.BytesIO], None]) -> bytes:
    """The bytes that ``write`` puts in a stream."""
    stream = io.BytesIO()
    write(stream)
    return stream.getvalue()
