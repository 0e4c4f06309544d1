"""The golden model, op by op, against onnxruntime's integer ops and shifts of Python's integers.

Nothing of the reference is ours: ONNX's ops do windows, borders, groups and sums in NCHW order,
Python's unlimited integers the shifts. Both operands of a dot product are given as unsigned bytes
with zero points: onnxruntime's products of unsigned by signed bytes saturate on some processors.
Operands of 16 bits are given byte by byte: a signed one, and an unsigned one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper

from shiftwork.quant.program import Program
from shiftwork.quant.program_ops import (
    AveragePool,
    Conv,
    MaxPool,
    Op,
    Product,
    Reshape,
    Residual,
    Tensor,
    TopScore,
)
from shiftwork.sim import golden
from shiftwork.sim.program_builder import ProgramBuilder
from shiftwork.sim.random_networks import frames, programs

TYPES = {
    np.dtype(np.uint8): TensorProto.UINT8,
    np.dtype(np.int8): TensorProto.INT8,
    np.dtype(np.int32): TensorProto.INT32,
    np.dtype(np.int64): TensorProto.INT64,
}
IR_VERSION = 8
OPSET = 13
BYTE_OFFSET = 128

Values = Mapping[str, NDArray[Any]]


def onnx_run(kind: str, values: Values, result: type, **attributes: Any) -> NDArray[Any]:
    """One ONNX op on ``values``, in their order."""
    node = helper.make_node(kind, list(values), ["y"], **attributes)
    inputs = [
        helper.make_tensor_value_info(name, TYPES[array.dtype], list(array.shape))
        for name, array in values.items()
    ]
    output = helper.make_tensor_value_info("y", TYPES[np.dtype(result)], None)
    graph = helper.make_graph([node], "reference", inputs, [output])
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, dict(values))[0]


def nchw(x: NDArray[np.int32]) -> NDArray[np.int32]:
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2))


def nhwc(x: NDArray[Any]) -> NDArray[np.int64]:
    return x.transpose(0, 2, 3, 1).astype(np.int64)


@dataclass(frozen=True)
class Bytes:
    """A byte of each operand: what they count, and the unsigned bytes less a zero point.

    Attributes:
        factor: 256 for the upper byte of two.
        values: unsigned bytes.
        zero: what stands for 0 among them.
    """

    factor: int
    values: NDArray[np.uint8]
    zero: int


def operand(x: NDArray[Any], *, signed: bool, wide: bool) -> list[Bytes]:
    """The bytes of integers of 8 or 16 bits."""
    whole = np.asarray(x).astype(np.int64)
    if not wide:
        zero = BYTE_OFFSET if signed else 0
        return [Bytes(1, (whole + zero).astype(np.uint8), zero)]
    upper, lower = np.divmod(whole, 256)
    return [
        Bytes(256, (upper + BYTE_OFFSET).astype(np.uint8), BYTE_OFFSET),
        Bytes(1, lower.astype(np.uint8), 0),
    ]


def activations(x: NDArray[Any], tensor: Tensor) -> list[Bytes]:
    return operand(x, signed=tensor.signed, wide=tensor.bits == 16)


def weight_bytes(weights: NDArray[Any]) -> list[Bytes]:
    return operand(weights, signed=True, wide=weights.dtype == np.int16)


def window_sum(
    op: Conv | Product | AveragePool,
    weights: NDArray[Any],
    x: NDArray[np.int32],
    tensor: Tensor,
) -> NDArray[np.int64]:
    """Sum of products over every window, ``[N, H', W', O]``.

    ConvInteger's border is its input's zero point: it sums ``w * (x - pad)`` with a border of 0,
    which is less than wanted by ``pad * sum(w)``.
    """
    total: NDArray[np.int64] = np.zeros(1, np.int64)
    pairs = zip(activations(x, tensor), activations(op.pad_value, tensor), strict=True)
    for (part, pad), row in product(pairs, weight_bytes(weights)):
        values = {
            "x": np.ascontiguousarray(part.values.transpose(0, 3, 1, 2)),
            "w": np.ascontiguousarray(row.values.transpose(0, 3, 1, 2)),
            "x_zero": np.array(pad.values, np.uint8),
            "w_zero": np.array(row.zero, np.uint8),
        }
        found = onnx_run(
            "ConvInteger",
            values,
            np.int32,
            kernel_shape=list(op.kernel),
            pads=list(op.padding),
            strides=list(op.stride),
            dilations=list(getattr(op, "dilation", (1, 1))),
            group=tensor.shape[2] // weights.shape[3],
        )
        sums = (row.values.reshape(len(weights), -1).astype(np.int64) - row.zero).sum(axis=1)
        total = total + part.factor * row.factor * (
            nhwc(found) + (int(pad.values) - pad.zero) * sums
        )
    return total


def dense_sum(op: Conv, x: NDArray[np.int32], tensor: Tensor) -> NDArray[np.int64]:
    """The same by MatMulInteger, for a map of one pixel."""
    total: NDArray[np.int64] = np.zeros(1, np.int64)
    for part, row in product(activations(x, tensor), weight_bytes(op.weights)):
        values = {
            "x": part.values.reshape(len(x), -1),
            "w": np.ascontiguousarray(row.values.reshape(len(op.weights), -1).T),
            "x_zero": np.array(part.zero, np.uint8),
            "w_zero": np.array(row.zero, np.uint8),
        }
        found = onnx_run("MatMulInteger", values, np.int32)
        total = total + part.factor * row.factor * found.astype(np.int64)
    return total.reshape(len(x), 1, 1, -1)


def shifted(acc: NDArray[Any], shift: Sequence[int], lo: int, hi: int) -> NDArray[np.int64]:
    """``floor(acc / 2**s + 1/2)``, clipped, in Python's integers; a shift a channel."""
    result = np.empty(acc.shape, np.int64)
    for index in np.ndindex(acc.shape):
        exact, s = int(acc[index]), shift[index[-1] % len(shift)]
        result[index] = min(max((2 * exact + (1 << s)) // (2 << s), lo), hi)
    return result


def looked_up(op: Conv | AveragePool, index: NDArray[np.int64]) -> NDArray[np.int64]:
    """Gather, to which negative indices count from the end."""
    if op.table is None:
        return index
    values = {"table": op.table.outputs.astype(np.int32), "index": index}
    return onnx_run("Gather", values, np.int32).astype(np.int64)


def residual(term: Residual, x: NDArray[np.int32]) -> NDArray[np.int64]:
    factors = [2 ** int(s) for s in term.shift]
    return np.array(
        [int(x[index]) * factors[index[-1]] for index in np.ndindex(x.shape)], np.int64
    ).reshape(x.shape)


def convolution(program: Program, op: Conv, values: Values) -> NDArray[np.int64]:
    source, *others = program.sources(op)
    acc = window_sum(op, op.weights, values[op.input], source) + op.bias
    for term, tensor in zip(op.terms, others, strict=True):
        x = values[term.input]
        if isinstance(term, Product):
            acc = acc + window_sum(term, term.weights, x, tensor)
        else:
            acc = acc + residual(term, x)
    if op.accumulators:
        return acc
    return looked_up(op, shifted(acc, op.shift.tolist(), op.lo, op.hi))


def maximum(op: MaxPool, x: NDArray[np.int32], tensor: Tensor) -> NDArray[np.int64]:
    dtype = np.int8 if tensor.signed else np.uint8
    return nhwc(
        onnx_run(
            "MaxPool",
            {"x": nchw(x).astype(dtype)},
            dtype,
            kernel_shape=list(op.kernel),
            pads=list(op.padding),
            strides=list(op.stride),
        )
    )


def average(op: AveragePool, x: NDArray[np.int32], tensor: Tensor) -> NDArray[np.int64]:
    ones = np.ones((tensor.shape[2], *op.kernel, 1), np.int8)
    return looked_up(op, shifted(window_sum(op, ones, x, tensor), [op.shift], op.lo, op.hi))


def reshaped(target: Tensor, x: NDArray[np.int32]) -> NDArray[np.int64]:
    shape = np.array([len(x), *target.shape], np.int64)
    return onnx_run("Reshape", {"x": x.astype(np.int32), "shape": shape}, np.int32).astype(np.int64)


def best_score(op: TopScore, x: NDArray[np.int32]) -> NDArray[np.int64]:
    """ArgMax takes the first of equal ones; no class is a byte or two of ones."""
    scores = {"x": x.reshape(len(x), -1).astype(np.int32)}
    index = onnx_run("ArgMax", scores, np.int64, axis=1, keepdims=1)
    score = onnx_run("ReduceMax", scores, np.int32, axes=[1], keepdims=1).astype(np.int64)
    if op.threshold is not None:
        index[score < op.threshold] = 0xFF if scores["x"].shape[1] < 256 else 0xFFFF
    return np.concatenate([index, score], axis=1).reshape(-1, 1, 1, 2)


def reference(program: Program, op: Op, values: Values) -> NDArray[np.int64]:
    """The output of ``op``."""
    x, source = values[op.input], program.tensor(op.input)
    match op:
        case Conv():
            return convolution(program, op, values)
        case MaxPool():
            return maximum(op, x, source)
        case AveragePool():
            return average(op, x, source)
        case Reshape():
            return reshaped(program.tensor(op.output), x)
        case TopScore():
            return best_score(op, x)
    raise AssertionError(f"no reference for {type(op).__name__}")


def check(program: Program, q: NDArray[np.int32]) -> None:
    values = golden.trace(program, q)
    for op in program.ops:
        np.testing.assert_array_equal(
            values[op.output], reference(program, op, values), err_msg=f"{type(op).__name__} {op}"
        )


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_random_networks(data: st.DataObject) -> None:
    program = data.draw(programs())
    check(program, np.stack(data.draw(st.lists(frames(program), min_size=1, max_size=3))))


def extremes(program: Program) -> NDArray[np.int32]:
    """All at the least, all at the greatest, checkered, random."""
    tensor = program.tensor(program.input)
    rng = np.random.default_rng(5)
    checkered = np.where(np.indices(tensor.shape).sum(0) % 2, tensor.lo, tensor.hi)
    random = rng.integers(tensor.lo, tensor.hi + 1, tensor.shape)
    constants = [np.full(tensor.shape, value) for value in (tensor.lo, tensor.hi)]
    return np.stack([*constants, checkered, random]).astype(np.int32)


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("weight", [-128, 127])
def test_the_largest_sums(signed: bool, weight: int) -> None:
    """Where a saturating product of bytes, or a sum of 16 bits, would show."""
    builder = ProgramBuilder("sums", (4, 4, 16), signed=signed)
    builder.conv(
        3, (3, 3), weights=np.full(3 * 3 * 3 * 16, weight), bias=[0, 1, -1], shift=[0, 9, 14]
    )
    builder.dense(2, accumulators=True)
    program = builder.build()
    check(program, extremes(program))


@pytest.mark.parametrize("signed", [True, False])
def test_dense_layers_as_matrix_products(signed: bool) -> None:
    rng = np.random.default_rng(2)
    builder = ProgramBuilder("dense", (1, 1, 37), rng, signed=signed)
    program = builder.dense(11, accumulators=True).build()
    (op,) = program.ops
    assert isinstance(op, Conv)
    q = extremes(program)
    expected = dense_sum(op, q, program.tensor("input")) + op.bias
    np.testing.assert_array_equal(golden.run(program, q), expected)


@given(
    acc=st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=20),
    shift=st.integers(0, 31),
    bounds=st.tuples(st.integers(-128, 255), st.integers(-128, 255)).map(sorted),
)
def test_every_shift_of_every_accumulator(acc: list[int], shift: int, bounds: list[int]) -> None:
    values, (lo, hi) = np.array(acc, np.int64).reshape(-1, 1), bounds
    np.testing.assert_array_equal(
        golden.requantize(values, shift, lo, hi), shifted(values, [shift], lo, hi)
    )


@pytest.mark.parametrize("shift", range(32))
def test_shifts_around_their_halves(shift: int) -> None:
    """Just below, at and above each point where rounding changes, at both ends of int32."""
    half = (1 << shift) >> 1
    near = [
        k * (1 << shift) + half + d
        for k in (-129, -128, -2, -1, 0, 1, 127, 255)
        for d in (-1, 0, 1)
    ]
    ends = [-(2**31), -(2**31) + half, 2**31 - 1, 2**31 - 1 - half]
    values = np.array([*near, *ends], np.int64).reshape(-1, 1)
    np.testing.assert_array_equal(
        golden.requantize(values, shift, -128, 255), shifted(values, [shift], -128, 255)
    )
