"""The rules that every integer program keeps, those of ``docs/program.md``."""

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from shiftwork.errors import ProgramError
from shiftwork.quant.activation_table import verify_table
from shiftwork.quant.codebook import verify_average, verify_residual, verify_values
from shiftwork.quant.codebook import verify_weights as verify_coded
from shiftwork.quant.graph import Layout, Padding, Pair, Shape, output_shape
from shiftwork.quant.program_ops import (
    INT16,
    MAX_ACCUMULATOR_BITS,
    MAX_BIAS,
    MAX_CLASSES,
    MAX_SHIFT,
    WIDE_RANGE,
    AveragePool,
    Conv,
    MaxPool,
    Op,
    Product,
    Reshape,
    Residual,
    Tensor,
    Term,
    TopScore,
    class_bytes,
    no_class,
    output_aliases,
)
from shiftwork.quant.raw_input import RawInput
from shiftwork.quant.source_checks import MAX_ELEMENTS

if TYPE_CHECKING:
    from shiftwork.quant.program import Program

MAX_EXPONENT = 1000


def verify(program: "Program") -> None:
    """Checks every rule of ``docs/program.md``.

    Raises:
        ProgramError: naming the op or tensor, the rule and the value.
    """
    names = {tensor.name for tensor in program.tensors}
    if len(names) != len(program.tensors):
        raise ProgramError("tensor names must be unique")
    for tensor in program.tensors:
        _verify_tensor(tensor)
    for name in (program.input, program.output):
        _verify_name(names, name, "the program")
    for label, layout in program.layouts.items():
        _verify_layout(label, layout, program.tensor(getattr(program, label)))
    _verify_ops(program, names)
    _verify_output(program)
    _verify_streams(program)
    if program.codebook is not None:
        _verify_codebook(program, program.codebook)
    if program.raw_input is not None:
        _verify_raw_input(program, program.raw_input)
    if program.softmax is not None:
        _verify_softmax(program)


def _verify_ops(program: "Program", names: set[str]) -> None:
    """Each op in turn, and that it reads what those before it have written."""
    written = {program.input}
    layers = len(program.ops) - (program.top_score is not None)
    for index, op in enumerate(program.ops):
        for name in (*op.inputs, op.output):
            _verify_name(names, name, f"op '{op.name}'")
        for name in op.inputs:
            _verify_source(program, op, name, written)
        if op.output in written:
            raise ProgramError(f"op '{op.name}' writes '{op.output}' a second time")
        _verify_op(program, op, last=index == layers - 1)
        written.add(op.output)
    if program.output not in written:
        raise ProgramError(f"the output '{program.output}' is written by no op")


def _verify_streams(program: "Program") -> None:
    """What enters and leaves has 8 or 32 bits; only class and score differ in width."""
    for name in (program.input, program.scores.name):
        if program.tensor(name).wide:
            raise ProgramError(
                f"tensor '{name}' has 16 bits, which what streams in or out cannot have"
            )
    for tensor in program.tensors:
        if tensor.widths and not (program.top_score and tensor.name == program.top_score.output):
            raise ProgramError(f"tensor '{tensor.name}': only the output of a TopScore has widths")


def _verify_softmax(program: "Program") -> None:
    target = program.tensor(program.output)
    if target.shape[:2] != (1, 1) or target.bits != 8 or target.lo < 0:
        raise ProgramError(
            f"a softmax needs an output that is a vector of 8-bit values from 0; "
            f"'{target.name}' has {target.lo}..{target.hi} in {target.bits} bits and the shape "
            f"{target.shape}"
        )


def _verify_raw_input(program: "Program", raw: RawInput) -> None:
    tensor = program.tensor(program.input)
    if tensor.signed != (raw.dtype == "int8"):
        raise ProgramError(
            f"the raw input is {raw.dtype}, but '{tensor.name}' is "
            f"{'signed' if tensor.signed else 'unsigned'}"
        )
    raw.check_channels(tensor.shape[2])


def _verify_output(program: "Program") -> None:
    """The output's bytes, which reshapes share, are streamed out while the next frame runs."""
    shared = output_aliases(program.ops, program.output)
    if program.input in shared:
        raise ProgramError(
            "the network has no layer that computes anything: its output "
            f"'{program.output}' is its input '{program.input}' in another shape"
        )
    for op in program.ops:
        for name in op.inputs:
            if name in shared and op.output not in shared:
                raise ProgramError(
                    f"op '{op.name}' reads '{name}', which is the program's output "
                    f"'{program.output}' in another shape"
                )


def _verify_codebook(program: "Program", values: tuple[int, ...]) -> None:
    verify_values(values)
    for op in program.ops:
        if isinstance(op, AveragePool):
            verify_average(op.name, op.shift, values)
        elif isinstance(op, Conv):
            verify_coded(op.name, op.weights, values)
            for term in op.terms:
                if isinstance(term, Product):
                    verify_coded(op.name, term.weights, values)
                else:
                    verify_residual(op.name, values)


def _verify_name(names: set[str], name: str, who: str) -> None:
    if name not in names:
        raise ProgramError(f"{who} names the tensor '{name}', which does not exist")


def _verify_source(program: "Program", op: Op, name: str, written: set[str]) -> None:
    if name not in written:
        raise ProgramError(f"op '{op.name}' reads '{name}' before it is written")
    bits = program.tensor(name).bits
    if bits == 32 and op is not program.top_score:
        raise ProgramError(f"op '{op.name}' reads '{name}', which holds accumulators")
    if bits == 16 and isinstance(op, MaxPool | TopScore):
        raise ProgramError(
            f"op '{op.name}' reads '{name}', which has 16 bits: a {type(op).__name__} compares "
            "bytes or accumulators"
        )
    if name == program.output:
        raise ProgramError(f"op '{op.name}' reads the program's output '{name}'")


def _verify_op(program: "Program", op: Op, *, last: bool) -> None:
    source, target = program.tensor(op.input), program.tensor(op.output)
    match op:
        case Conv():
            _verify_conv(program, op, source, target, last=last)
        case MaxPool():
            _verify_shape(op, target.shape, _window_shape(op, source))
            _verify_windows(op, source, target)
            kept = (source.bits, source.signed, source.lo, source.hi)
            if kept != (target.bits, target.signed, target.lo, target.hi):
                raise ProgramError(f"op '{op.name}' must keep the range of its input")
        case AveragePool():
            _verify_shape(op, target.shape, _window_shape(op, source))
            _verify_shifts(op.name, np.array([op.shift]))
            _verify_range(op, target)
            _verify_pad(op.name, op.pad_value, source)
        case Reshape():
            kept = (source.bits, source.signed, source.lo, source.hi)
            if source.size != target.size or kept != (
                target.bits,
                target.signed,
                target.lo,
                target.hi,
            ):
                raise ProgramError(f"op '{op.name}' must keep size and range of its input")
        case TopScore():
            _verify_top_score(program, op, source, target)
        case _:
            raise ProgramError(f"op '{op.name}' is of the unknown kind {type(op).__name__}")


def _verify_top_score(program: "Program", op: TopScore, source: Tensor, target: Tensor) -> None:
    if op is not program.top_score or op.output != program.output:
        raise ProgramError(f"op '{op.name}' must be the last one and write the output")
    if source.shape[:2] != (1, 1) or source.size > MAX_CLASSES or source.widths:
        raise ProgramError(
            f"op '{op.name}' needs a vector of at most {MAX_CLASSES} scores, not "
            f"'{source.name}' of shape {source.shape}"
        )
    widths = (class_bytes(source.size), source.bits // 8)
    if (target.shape, target.bits, target.widths) != ((1, 1, 2), 32, widths):
        raise ProgramError(
            f"op '{op.name}' writes class and score, (1, 1, 2) of 32 bits in {widths} bytes, "
            f"not {target.shape} of {target.bits} bits in {target.widths}"
        )
    least, greatest = min(source.lo, 0), max(source.hi, no_class(source.size))
    if target.signed != source.signed or (target.lo, target.hi) != (least, greatest):
        raise ProgramError(
            f"op '{op.name}': '{target.name}' must have the range {least}..{greatest} and the "
            f"sign of '{source.name}', not {target.lo}..{target.hi}"
        )
    if op.threshold is not None and not source.lo <= op.threshold <= source.hi:
        raise ProgramError(
            f"op '{op.name}': the threshold must be in {source.lo}..{source.hi}, the range of "
            f"'{source.name}', not {op.threshold}"
        )


def _verify_conv(
    program: "Program", op: Conv, source: Tensor, target: Tensor, *, last: bool
) -> None:
    _verify_weights(op.name, op.weights, source, op.groups)
    if op.groups not in (1, source.shape[2]) or (
        op.groups > 1 and len(op.weights) != source.shape[2]
    ):
        raise ProgramError(
            f"op '{op.name}': groups must be 1, or equal the channels of input and output, "
            f"not {op.groups}"
        )
    for label, array in (("bias", op.bias), ("shift", op.shift)):
        if array.shape != (len(op.weights),) or array.dtype != np.int64:
            raise ProgramError(
                f"op '{op.name}': {label} must be int64 of shape ({len(op.weights)},), not "
                f"{array.dtype} {array.shape}"
            )
    _verify_shape(op, target.shape, _conv_shape(op, source, len(op.weights), name=op.name))
    _verify_shifts(op.name, op.shift)
    _verify_bias(op.name, op.bias)
    _verify_pad(op.name, op.pad_value, source)
    for term in op.terms:
        _verify_term(program, op, term, target)
    bits = program.accumulator_bits(op)
    if bits > MAX_ACCUMULATOR_BITS:
        raise ProgramError(
            f"op '{op.name}' needs {bits} accumulator bits; at most {MAX_ACCUMULATOR_BITS}"
        )
    if op.accumulators != (target.bits == 32) or (op.accumulators and not last):
        raise ProgramError(
            f"op '{op.name}': only the last op may return its accumulators, in a 32-bit tensor "
            "(a TopScore may follow)"
        )
    if not op.accumulators:
        _verify_range(op, target)
    elif op.table is not None:
        raise ProgramError(f"op '{op.name}' returns its accumulators, and has a table")


def _verify_term(program: "Program", op: Conv, term: Term, target: Tensor) -> None:
    source = program.tensor(term.input)
    if isinstance(term, Residual):
        if term.shift.shape != (len(op.weights),) or term.shift.dtype != np.int64:
            raise ProgramError(
                f"op '{op.name}': the shift of '{term.input}' must be int64 of shape "
                f"({len(op.weights)},), not {term.shift.dtype} {term.shift.shape}"
            )
        _verify_shape(op, target.shape, source.shape)
        _verify_shifts(op.name, term.shift)
        return
    _verify_weights(op.name, term.weights, source, groups=1)
    if len(term.weights) != len(op.weights):
        raise ProgramError(
            f"op '{op.name}' has {len(op.weights)} output channels, but its term on "
            f"'{term.input}' has {len(term.weights)}"
        )
    shape = _conv_shape(term, source, len(op.weights), name=op.name)
    _verify_shape(op, target.shape, shape)
    _verify_pad(op.name, term.pad_value, source)


def _verify_weights(name: str, weights: NDArray, source: Tensor, groups: int) -> None:
    if weights.dtype not in (np.int8, np.int16) or weights.ndim != 4 or not weights.size:
        raise ProgramError(
            f"op '{name}': weights must be int8 or int16 [O, kh, kw, I], none of them 0, not "
            f"{weights.dtype} {list(weights.shape)}"
        )
    if weights.dtype == np.int16 and weights.max() > INT16[1]:
        raise ProgramError(
            f"op '{name}': weights of 16 bits must be {INT16[0]}..{INT16[1]}, two digits of "
            f"-128..127 to the base 256, not {weights.max()}"
        )
    if weights.shape[3] * groups != source.shape[2]:
        raise ProgramError(
            f"op '{name}' has weights for {weights.shape[3] * groups} input channels, but "
            f"'{source.name}' has {source.shape[2]}"
        )


def _conv_shape(op: Conv | Product, source: Tensor, channels: int, *, name: str) -> Shape:
    _verify_window(name, source, op.kernel, op.stride, op.padding, op.dilation)
    return output_shape(source.shape, channels, op.kernel, op.stride, op.padding, op.dilation)


def _window_shape(op: MaxPool | AveragePool, source: Tensor) -> Shape:
    _verify_window(op.name, source, op.kernel, op.stride, op.padding)
    return output_shape(source.shape, source.shape[2], op.kernel, op.stride, op.padding)


def _verify_window(
    name: str,
    source: Tensor,
    kernel: Pair,
    stride: Pair,
    padding: Padding,
    dilation: Pair = (1, 1),
) -> None:
    steps = (*kernel, *stride, *dilation)
    if min(steps) < 1 or max(steps) > MAX_ELEMENTS or min(padding) < 0:
        raise ProgramError(
            f"op '{name}': kernel, stride and dilation must be 1..{MAX_ELEMENTS} and padding at "
            f"least 0, not {kernel}, {stride}, {dilation} and {padding}"
        )
    top, left, bottom, right = padding
    height, width, channels = source.shape
    padded = (height + top + bottom, width + left + right, channels)
    if math.prod(padded) > MAX_ELEMENTS:
        raise ProgramError(
            f"op '{name}' pads '{source.name}' to {padded}; at most {MAX_ELEMENTS} elements are "
            "supported"
        )
    for size, taps, step in zip(padded[:2], kernel, dilation, strict=True):
        extent = step * (taps - 1) + 1
        if extent > size:
            raise ProgramError(
                f"op '{name}' has a window of {extent} elements over '{source.name}', which has "
                f"{size} with its padding"
            )


def _verify_windows(op: MaxPool, source: Tensor, target: Tensor) -> None:
    """A maximum over padding alone has no value."""
    for axis in range(2):
        first = op.kernel[axis] - op.padding[axis]
        last = (target.shape[axis] - 1) * op.stride[axis] - op.padding[axis]
        if first < 1 or last >= source.shape[axis]:
            raise ProgramError(f"op '{op.name}' has a window that lies wholly in the padding")


def _verify_tensor(tensor: Tensor) -> None:
    lo, hi = (0, 255) if not tensor.signed else (-128, 127)
    if tensor.bits == 32:
        lo, hi = -(1 << 31), (1 << 31) - 1
    elif tensor.bits == 16 and tensor.signed:
        lo, hi = WIDE_RANGE
    elif tensor.bits != 8:
        raise ProgramError(
            f"tensor '{tensor.name}': bits must be 8, 32, or 16 with a sign, not {tensor.bits}"
        )
    if not lo <= tensor.lo <= tensor.hi <= hi:
        raise ProgramError(
            f"tensor '{tensor.name}': its range must lie in {lo}..{hi}, "
            f"not {tensor.lo}..{tensor.hi}"
        )
    if len(tensor.shape) != 3 or min(tensor.shape) < 1:
        raise ProgramError(f"tensor '{tensor.name}': the shape {tensor.shape} is not (H, W, C)")
    if tensor.size > MAX_ELEMENTS:
        raise ProgramError(
            f"tensor '{tensor.name}' of shape {tensor.shape} has {tensor.size} elements; at most "
            f"{MAX_ELEMENTS} are supported"
        )
    _verify_scales(tensor)


def _verify_scales(tensor: Tensor) -> None:
    if tensor.channel_exponents and len(tensor.channel_exponents) != tensor.shape[2]:
        raise ProgramError(f"tensor '{tensor.name}' needs one exponent for each channel")
    if tensor.channel_gains and len(tensor.channel_gains) != tensor.shape[2]:
        raise ProgramError(f"tensor '{tensor.name}' needs one gain for each channel")
    exponents = (tensor.exponent, *(tensor.channel_exponents or ()))
    if max(map(abs, exponents)) > MAX_EXPONENT:
        raise ProgramError(
            f"tensor '{tensor.name}': exponents must be within {-MAX_EXPONENT} and {MAX_EXPONENT}, "
            f"not {min(exponents)}..{max(exponents)}"
        )
    gains = (tensor.gain, *(tensor.channel_gains or ()))
    if not all(0 < gain < math.inf for gain in gains):
        raise ProgramError(f"tensor '{tensor.name}': gains must be positive and finite")


def _verify_layout(label: str, layout: Layout, tensor: Tensor) -> None:
    places = np.arange(tensor.size, dtype=np.int64)
    if (
        layout.order.dtype != np.int64
        or math.prod(layout.shape) != tensor.size
        or not np.array_equal(np.sort(layout.order, axis=None), places)
        or layout.order.ndim != 1
    ):
        raise ProgramError(
            f"the {label} layout must name each of the {tensor.size} elements of "
            f"'{tensor.name}' once, in int64; its shape is {layout.shape}"
        )


def _verify_shape(op: Op, got: Shape, expected: Shape) -> None:
    if tuple(got) != tuple(expected):
        raise ProgramError(f"op '{op.name}' makes the shape {expected}, not {tuple(got)}")


def _verify_shifts(name: str, shift: NDArray) -> None:
    if shift.min() < 0 or shift.max() > MAX_SHIFT:
        raise ProgramError(
            f"op '{name}': shifts must be 0..{MAX_SHIFT}, not {shift.min()}..{shift.max()}"
        )


def _verify_bias(name: str, bias: NDArray) -> None:
    """A bias that int64 could not add to anything; narrower ones show in the accumulator's bits."""
    if bias.min() < -MAX_BIAS or bias.max() > MAX_BIAS:
        raise ProgramError(
            f"op '{name}': biases must be {-MAX_BIAS}..{MAX_BIAS}, not {bias.min()}..{bias.max()}"
        )


def _verify_bounds(name: str, lo: int, hi: int, target: Tensor) -> None:
    if not target.lo <= lo <= hi <= target.hi:
        raise ProgramError(
            f"op '{name}' clips to {lo}..{hi}, outside of '{target.name}' "
            f"({target.lo}..{target.hi})"
        )


def _verify_range(op: Conv | AveragePool, target: Tensor) -> None:
    """The bounds lie in the output's range; those of a table's index have a domain of their own."""
    if op.table is None:
        _verify_bounds(op.name, op.lo, op.hi, target)
    elif target.wide:
        raise ProgramError(
            f"op '{op.name}' has a table, whose values have 8 bits, but '{target.name}' has 16"
        )
    else:
        verify_table(op.name, op.table, op.lo, op.hi, target.lo, target.hi)


def _verify_pad(name: str, pad_value: int, source: Tensor) -> None:
    least = -source.stored_offset + (128 if not source.signed else -128)
    least, most = WIDE_RANGE if source.wide else (least, least + 255)
    if not least <= pad_value <= most:
        raise ProgramError(f"op '{name}': pad_value {pad_value} does not fit '{source.name}'")
