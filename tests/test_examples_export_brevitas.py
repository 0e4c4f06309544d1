"""Networks that Brevitas trained and exported: what is imported computes what Brevitas did.

``tests/vectors/brevitas`` holds what ``examples/export_brevitas.py`` wrote.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from shiftwork.errors import ModelError
from shiftwork.quant.onnx_import import load
from shiftwork.quant.onnx_qonnx import DOMAINS
from shiftwork.quant.options import QuantizerOptions
from shiftwork.quant.program import Program
from shiftwork.quant.quantizer import ANEW, quantize
from shiftwork.sim import golden

VECTORS = Path(__file__).parent / "vectors" / "brevitas"
FORMATS = ("qonnx", "qcdq")
EXACT = ("residual", "separable")
EVALUATED_OPSET = 19
Nearest = Callable[[NDArray[Any]], NDArray[Any]]


def half_up(x: NDArray[Any]) -> NDArray[Any]:
    """As a program rounds."""
    return np.asarray(np.floor(x + 0.5))


def rounding_ops(nearest: Nearest) -> list[type[OpRun]]:
    """QONNX's Quant and ONNX's QuantizeLinear, in which ``nearest`` rounds."""

    class Quant(OpRun):
        op_domain = DOMAINS[0]

        def _run(self, x, scale, zero_point, bits, narrow=0, rounding_mode="", signed=1):
            assert rounding_mode == "ROUND"
            steps = 2 ** int(bits)
            lo, hi = (narrow - steps // 2, steps // 2 - 1) if signed else (0, steps - 1 - narrow)
            stored = nearest(np.clip(x / scale + zero_point, lo, hi))
            return (np.asarray((stored - zero_point) * scale, np.float32),)

    class QuantizeLinear(OpRun):
        op_domain = ""

        def _run(self, x, scale, zero_point, **settings):
            limits = np.iinfo(zero_point.dtype)
            stored = np.clip(nearest(x / scale) + zero_point, limits.min, limits.max)
            return (stored.astype(zero_point.dtype),)

    return [Quant, QuantizeLinear]


def evaluated(path: Path, x: NDArray[Any], nearest: Nearest) -> NDArray[Any]:
    """The model's outputs by the reference evaluator of onnx."""
    model = onnx.load(path)
    model.opset_import[0].version = EVALUATED_OPSET
    constants = {tensor.name for tensor in model.graph.initializer}
    (name,) = (value.name for value in model.graph.input if value.name not in constants)
    evaluator = ReferenceEvaluator(model, new_ops=rounding_ops(nearest))
    return np.concatenate([evaluator.run(None, {name: sample[None]})[0] for sample in x])


def computed(program: Program, x: NDArray[Any]) -> NDArray[Any]:
    return program.dequantize_output(golden.run(program, program.quantize_input(x)))


@pytest.fixture(scope="module")
def expected() -> dict[str, NDArray[Any]]:
    with np.load(VECTORS / "expected.npz") as archive:
        return dict(archive)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("name", EXACT)
def test_every_output_is_the_models_with_halves_up(
    expected: dict[str, NDArray[Any]], name: str, kind: str
) -> None:
    path, x = VECTORS / f"{name}_{kind}.onnx", expected["x"]
    got = computed(quantize(load(path), x[:1]), x)
    np.testing.assert_array_equal(got, evaluated(path, x, half_up))


@pytest.mark.parametrize("kind", FORMATS)
def test_trained_with_halves_up_every_output_is_that_of_brevitas(
    expected: dict[str, NDArray[Any]], kind: str
) -> None:
    x = expected["x"]
    program = quantize(load(VECTORS / f"separable_{kind}.onnx"), x[:1])
    np.testing.assert_array_equal(computed(program, x), expected["separable"])
    assert [tensor.hi for tensor in program.tensors] == [255, 63, 31, 15, 15, 15, 127]


@pytest.mark.parametrize("kind", FORMATS)
def test_trained_with_halves_to_even_the_halves_are_all_that_differs(
    expected: dict[str, NDArray[Any]], kind: str
) -> None:
    """The model with halves to even is Brevitas', with halves up it is the program, see above."""
    path, x = VECTORS / f"residual_{kind}.onnx", expected["x"]
    np.testing.assert_array_equal(evaluated(path, x, np.rint), expected["residual"])
    got = computed(quantize(load(path), x[:1]), x)
    assert (got != expected["residual"]).any()
    assert got.argmax(axis=1).tolist() == expected["residual"].argmax(axis=1).tolist()


@pytest.mark.parametrize("name", EXACT)
def test_both_formats_make_the_same_program(expected: dict[str, NDArray[Any]], name: str) -> None:
    first, second = (
        quantize(load(VECTORS / f"{name}_{kind}.onnx"), expected["x"][:1]) for kind in FORMATS
    )
    grids = [
        [(tensor.exponent, tensor.lo, tensor.hi, tensor.gain) for tensor in program.tensors]
        for program in (first, second)
    ]
    assert grids[0] == grids[1]
    values = [
        [array.tobytes() for op in program.ops for array in vars(op).values() if _is_array(array)]
        for program in (first, second)
    ]
    assert values[0] == values[1]


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray)


def test_calibration_does_not_matter(expected: dict[str, NDArray[Any]]) -> None:
    graph, x = load(VECTORS / "residual_qonnx.onnx"), expected["x"]
    lines: list[str] = []
    first = quantize(graph, x[:1], progress=lines.append)
    np.testing.assert_array_equal(computed(first, x), computed(quantize(graph, 9 * x[5:]), x))
    assert lines == []


def test_weights_of_4_bits_stay_so(expected: dict[str, NDArray[Any]]) -> None:
    x, options = expected["x"], QuantizerOptions(weights="int4")
    program = quantize(load(VECTORS / "separable_qonnx.onnx"), x[:1], options)
    assert program.codebook == tuple(range(-8, 8))
    np.testing.assert_array_equal(computed(program, x), expected["separable"])
    with pytest.raises(
        ModelError, match=r"op '/first/Conv' has the weight -?\d+, which is no int4"
    ):
        quantize(load(VECTORS / "residual_qonnx.onnx"), x[:1], options)


@pytest.mark.parametrize("kind", FORMATS)
def test_other_scales_are_quantized_anew(expected: dict[str, NDArray[Any]], kind: str) -> None:
    lines: list[str] = []
    x, graph = expected["x"], load(VECTORS / f"free_{kind}.onnx")
    got = computed(quantize(graph, x, progress=lines.append), x)
    assert lines[0] == ANEW
    error = got - expected["free"]
    assert 10 * np.log10((expected["free"] ** 2).sum() / (error**2).sum()) > 40
    assert got.argmax(axis=1).tolist() == expected["free"].argmax(axis=1).tolist()
