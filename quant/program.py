"""The integer program: the numeric contract between quantizer, golden model and hardware.

``docs/program.md`` is its normative description. All values are integers in their true domain:
an unsigned activation is 0..255 here, whatever byte the hardware stores for it.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftwork.errors import DataError, OutputError, ProgramError
from shiftwork.quant.activation_table import Table, distinct_tables, verify_table
from shiftwork.quant.array_file import ArrayFileError, read_arrays, write_arrays
from shiftwork.quant.codebook import (
    verify_average,
    verify_residual,
    verify_values,
)
from shiftwork.quant.codebook import verify_weights as verify_coded
from shiftwork.quant.graph import Layout, Padding, Pair, Shape, output_shape
from shiftwork.quant.raw_input import RawInput
from shiftwork.quant.records import from_json
from shiftwork.quant.softmax import Softmax
from shiftwork.quant.source_checks import MAX_ELEMENTS, flat, one_line
from shiftwork.quant.whole_file import whole_file

FORMAT_VERSION = 2
ENDS_VERSION = 3
"""Of files with a :class:`TopScore` or raw input, which readers of version 2 have to refuse."""
LATEST_VERSION = 4
"""Of files with tables, or with weights or feature maps of 16 bits: older readers refuse them."""
MAX_SHIFT = 31
MAX_BYTES = 1 << 28
MAX_EXPONENT = 1000
_MISFITS = (
    *(KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError),
    DataError,
)
MAX_BIAS = 1 << 48
MAX_ACCUMULATOR_BITS = 32
MAX_CLASSES = (1 << 16) - 1
WIDE_RANGE = (-(1 << 15), (1 << 15) - 1)
"""Of feature maps of 16 bits."""
INT16 = (-(1 << 15), 127 * 256 + 127)
"""Weights of 16 bits: what two digits of -128..127 to the base 256 make up, within int16."""
WeightArray = NDArray[np.signedinteger[Any]]
"""int8 or int16."""


def signed_bits(lo: int, hi: int) -> int:
    """Width in bits of the narrowest two's complement type that holds ``lo`` and ``hi``."""
    return max(int(hi).bit_length(), (-int(lo) - 1).bit_length() if lo < 0 else 0) + 1


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """A feature map: integers ``q`` in NHWC order that stand for real numbers.

    ``real = (q - zero_point) * gain * 2.0 ** -exponent``.

    Attributes:
        name: unique within the program.
        shape: ``(H, W, C)``.
        lo, hi: the values it can take, inside -128..127 (signed) or 0..255 (unsigned), or the
            accumulator's range where ``bits`` is 32; inside -32768..32767 where it is 16.
        signed: how 8-bit values are stored; an unsigned one is stored with its top bit flipped.
        bits: 8, or 32 for the accumulators of the last layer; or 16, signed, between two layers.
        exponent: of the power of two. None where channels differ (32-bit accumulators).
        gain: real factor beside the power of two: the scale of the network's own input, or what
            a shift-only average leaves.
        zero_point: nonzero only for the network's input.
        channel_exponents: one exponent a channel, for 32-bit accumulators.
        channel_gains: a real factor a channel, beside ``gain``: what equalization divided by.
        widths: bytes that each channel takes on the output stream, for what a :class:`TopScore`
            writes: class and score; all channels but the last are unsigned, ``signed`` is the
            score's.
    """

    name: str
    shape: Shape
    lo: int = -128
    hi: int = 127
    signed: bool = True
    bits: int = 8
    exponent: int = 0
    gain: float = 1.0
    zero_point: int = 0
    channel_exponents: tuple[int, ...] | None = None
    channel_gains: tuple[float, ...] | None = None
    widths: tuple[int, ...] | None = None

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def wide(self) -> bool:
        """Whether its elements have 16 bits."""
        return self.bits == 16

    @property
    def bytes(self) -> int:
        """Bytes in memory, or on the output stream where ``widths`` are given."""
        return sum(self.widths) if self.widths else self.size * self.bits // 8

    @property
    def stored_offset(self) -> int:
        """What is subtracted from a value to give the signed byte that is stored."""
        return 0 if self.signed else 128

    @property
    def scales(self) -> NDArray[np.float64]:
        """The real step of each channel, ``[C]``."""
        exponents = self.channel_exponents or (self.exponent,) * self.shape[2]
        gains = self.gain * np.asarray(self.channel_gains or (1.0,), dtype=np.float64)
        return gains * np.exp2(-np.asarray(exponents, dtype=np.float64))

    def quantize(self, x: NDArray) -> NDArray[np.int32]:
        """Real numbers ``[..., H, W, C]`` to integers, rounded half up and clipped."""
        q = np.floor(np.asarray(x, dtype=np.float64) / self.scales + 0.5) + self.zero_point
        return np.clip(q, self.lo, self.hi).astype(np.int32)

    def dequantize(self, q: NDArray) -> NDArray[np.float64]:
        """Integers ``[..., H, W, C]`` to the real numbers they stand for."""
        return (np.asarray(q, dtype=np.float64) - self.zero_point) * self.scales


@dataclass(frozen=True, eq=False, kw_only=True)
class Op:
    """An operation of the program: reads a tensor, or several, and writes one."""

    name: str
    input: str
    output: str

    @property
    def inputs(self) -> tuple[str, ...]:
        """The tensors that the op reads."""
        return (self.input,)


@dataclass(frozen=True, eq=False, kw_only=True)
class Product:
    """A further dot product in the accumulator: a shortcut's convolution.

    Attributes:
        input: the tensor that it reads.
        weights: int8 or int16 ``[O, kh, kw, I]``, at the exponent ``f_acc[o] - f_input``.
        pad_value: the input tensor's zero point, in its true domain.
    """

    input: str
    weights: WeightArray
    stride: Pair = (1, 1)
    padding: Padding = (0, 0, 0, 0)
    dilation: Pair = (1, 1)
    pad_value: int = 0

    @property
    def kernel(self) -> Pair:
        """Height and width of the window."""
        return self.weights.shape[1], self.weights.shape[2]


@dataclass(frozen=True, eq=False, kw_only=True)
class Residual:
    """A tensor of the output's shape in the accumulator: ``x[o] << shift[o]``.

    Attributes:
        input: the tensor that it reads.
        shift: int64 ``[O]``, ``f_acc[o] - f_input``, 0..31.
    """

    input: str
    shift: NDArray[np.int64]


Term = Product | Residual


@dataclass(frozen=True, eq=False, kw_only=True)
class Conv(Op):
    """The dot product: a convolution, or a dense layer as a 1x1 convolution on ``(1, 1, N)``.

    ``acc[o] = bias[o] + sum(x * weights[o])`` and the sums of ``terms``, ``x = pad_value`` outside
    the feature map; ``y = clip((acc + (1 << (s - 1))) >> s, lo, hi)``, ``s = shift[o]`` (``s = 0``
    adds nothing).
    With ``accumulators`` the output is ``acc`` itself, 32 bit, and shift, lo and hi do not count.
    With a ``table`` the output is its value at ``y``.

    Attributes:
        weights: int8 or int16 ``[O, kh, kw, I / groups]``; int16 ones are in :data:`INT16`.
        bias: int64 ``[O]``, at the accumulator's exponent.
        shift: int64 ``[O]``, 0..31.
        pad_value: the input tensor's zero point, in its true domain.
        groups: 1, or, for a depthwise convolution, the number of channels: ``O = I``, and output
            channel o reads input channel o alone.
        terms: what else is added up before the requantization.
        table: what is looked up behind it, if anything is.
    """

    weights: WeightArray
    bias: NDArray[np.int64]
    shift: NDArray[np.int64]
    lo: int = -128
    hi: int = 127
    stride: Pair = (1, 1)
    padding: Padding = (0, 0, 0, 0)
    dilation: Pair = (1, 1)
    pad_value: int = 0
    accumulators: bool = False
    groups: int = 1
    terms: tuple[Term, ...] = ()
    table: Table | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """The tensors that the op reads: its own input, then those of its terms."""
        return (self.input, *(term.input for term in self.terms))

    @property
    def products(self) -> tuple[WeightArray, ...]:
        """The weights of all its dot products: its own, then those of its terms."""
        return (self.weights, *(t.weights for t in self.terms if isinstance(t, Product)))

    @property
    def wide(self) -> bool:
        """Whether any of its weights have 16 bits."""
        return any(weights.dtype == np.int16 for weights in self.products)

    @property
    def kernel(self) -> Pair:
        """Height and width of the window."""
        return self.weights.shape[1], self.weights.shape[2]

    @property
    def macs_per_output(self) -> int:
        """Multiply-accumulates of one output value; a residual is none."""
        return sum(weights[0].size for weights in self.products)

    def accumulator_range(
        self, source: Tensor, *others: Tensor
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Least and greatest ``acc`` a channel can reach over all inputs.

        Args:
            source, others: the tensors of :attr:`inputs`, in that order.
        """
        least, greatest = _dot_range(self.weights, source, self.pad_value)
        least, greatest = least + self.bias, greatest + self.bias
        for term, tensor in zip(self.terms, others, strict=True):
            if isinstance(term, Product):
                lo, hi = _dot_range(term.weights, tensor, term.pad_value)
            else:
                lo, hi = tensor.lo << term.shift, tensor.hi << term.shift
            least, greatest = least + lo, greatest + hi
        return least, greatest


def _dot_range(
    weights: WeightArray, tensor: Tensor, pad_value: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Least and greatest dot product of each row of ``weights`` over all inputs."""
    w = weights.reshape(len(weights), -1).astype(np.int64)
    lo, hi = min(tensor.lo, pad_value), max(tensor.hi, pad_value)
    positive, negative = np.maximum(w, 0).sum(1), np.minimum(w, 0).sum(1)
    return positive * lo + negative * hi, positive * hi + negative * lo


@dataclass(frozen=True, eq=False, kw_only=True)
class MaxPool(Op):
    """Maximum over a window; positions outside the feature map never win."""

    kernel: Pair
    stride: Pair
    padding: Padding = (0, 0, 0, 0)


@dataclass(frozen=True, eq=False, kw_only=True)
class AveragePool(Op):
    """``y = clip((sum + (1 << (shift - 1))) >> shift, lo, hi)`` over a window of n positions.

    With ``k = ceil(log2 n)`` the output's exponent is the input's plus ``k - shift``, and its gain
    the input's times ``2**k / n``. Positions outside the feature map count as ``pad_value``.
    With a ``table`` the output is its value at ``y``, and has a scale of its own.
    """

    kernel: Pair
    stride: Pair
    shift: int
    padding: Padding = (0, 0, 0, 0)
    pad_value: int = 0
    lo: int = -128
    hi: int = 127
    table: Table | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Reshape(Op):
    """Another shape for the same bytes; moves no data."""


@dataclass(frozen=True, eq=False, kw_only=True)
class TopScore(Op):
    """The class with the greatest score, and that score: ``(argmax, max)`` of a vector.

    Of equal scores the one with the lowest index wins. With a ``threshold`` a greatest score below
    it gives no class: all bits of the index are ones, 255 or 65535.

    Attributes:
        threshold: the least score, as the input's integers, that makes a class; None for any.
    """

    threshold: int | None = None


OPS: dict[str, type[Op]] = {
    cls.__name__: cls for cls in (Conv, MaxPool, AveragePool, Reshape, TopScore)
}
TERMS: dict[str, type[Product] | type[Residual]] = {"Product": Product, "Residual": Residual}


def table_of(op: Op) -> Table | None:
    """The table behind an op's requantizer, if it has one."""
    return op.table if isinstance(op, Conv | AveragePool) else None


def class_bytes(classes: int) -> int:
    """Bytes of a class index: 1 or 2, so that all ones are left for no class."""
    return 1 if classes < 256 else 2


def no_class(classes: int) -> int:
    """The index that stands for no class: all ones."""
    return (1 << 8 * class_bytes(classes)) - 1


def output_aliases(ops: Sequence[Op], output: str) -> frozenset[str]:
    """``output``, and what reshapes or a TopScore make it of: bytes of the output buffers."""
    shared = {output}
    for op in reversed(ops):
        if isinstance(op, Reshape | TopScore) and op.output in shared:
            shared.add(op.input)
    return frozenset(shared)


@dataclass(frozen=True, eq=False, kw_only=True)
class Program:
    """A network in integers, complete and verified.

    Attributes:
        name: of the network.
        tensors: every feature map; the input's first.
        ops: in execution order.
        input, output: names of the network's input and output tensors.
        input_layout, output_layout: how the source model orders these two.
        dropped: ops at the end that are left to the host, such as ``Softmax``.
        info: free text facts, such as how it was quantized.
        codebook: in ascending order all values that weights take, if they are few enough to store
            an index in place of each; None if they may be any.
        raw_input: what the input's bytes stand for, if they are those of a sensor; None if the
            input tensor's own scale says it.
        softmax: how the host makes probabilities of the output; None if it is none of those.
    """

    name: str
    tensors: tuple[Tensor, ...]
    ops: tuple[Op, ...]
    input: str
    output: str
    input_layout: Layout
    output_layout: Layout
    dropped: tuple[str, ...] = ()
    info: dict[str, str] = field(default_factory=dict)
    codebook: tuple[int, ...] | None = None
    raw_input: RawInput | None = None
    softmax: Softmax | None = None

    def __post_init__(self) -> None:
        self.verify()

    @cached_property
    def _by_name(self) -> dict[str, Tensor]:
        return {tensor.name: tensor for tensor in self.tensors}

    def tensor(self, name: str) -> Tensor:
        """The tensor of that name."""
        return self._by_name[name]

    def sources(self, op: Op) -> tuple[Tensor, ...]:
        """The tensors that ``op`` reads."""
        return tuple(self.tensor(name) for name in op.inputs)

    def quantize_input(self, x: NDArray) -> NDArray[np.int32]:
        """Samples in the source model's layout as integers ``[N, H, W, C]``.

        They are real numbers; with a raw input arrays of an integer type hold its bytes.

        Raises:
            DataError: if ``x`` does not hold samples of the network's input.
        """
        tensor = self.tensor(self.input)
        samples = self.input_layout.to_nhwc(np.asarray(x), tensor.shape)
        if self.raw_input is None:
            return tensor.quantize(samples)
        return np.clip(self.raw_input.to_raw(samples), tensor.lo, tensor.hi)

    def real_input(self, x: NDArray) -> NDArray:
        """Samples in the source model's layout as its real numbers: raw bytes are converted.

        Raises:
            DataError: as :meth:`quantize_input`.
        """
        x = np.asarray(x)
        if self.raw_input is None or x.dtype.kind == "f":
            return x
        raw = self.quantize_input(x)
        return self.input_layout.from_nhwc(self.raw_input.to_real(raw))

    def dequantize(self, name: str, q: NDArray) -> NDArray[np.float64]:
        """Integers ``[N, H, W, C]`` of a tensor as the real numbers they stand for.

        Beside the tensor's own scale this knows the offset of a raw input, which pools and
        reshapes hand on.
        """
        return self.tensor(name).dequantize(q) + self._raw_offsets.get(name, 0.0)

    @cached_property
    def _raw_offsets(self) -> dict[str, NDArray[np.float64]]:
        """By name, what is missing in the tensors that are raw bytes: the input, and its moves."""
        if self.raw_input is None:
            return {}
        source = self.tensor(self.input)
        rest = np.array(self.raw_input.offset) + np.array(self.raw_input.scale) * source.zero_point
        found = {self.input: rest}
        for op in self.ops:
            if op.input in found and not (isinstance(op, Conv | TopScore) or table_of(op)):
                rest = found[op.input]
                if isinstance(op, Reshape) and rest.size > 1:
                    rest = np.broadcast_to(rest, self.tensor(op.input).shape)
                    rest = rest.reshape(self.tensor(op.output).shape)
                found[op.output] = rest
        return found

    def dequantize_output(self, q: NDArray) -> NDArray[np.float64]:
        """Integers ``[N, H, W, C]`` as real numbers in the source model's layout."""
        return self.output_layout.from_nhwc(self.tensor(self.output).dequantize(q))

    @property
    def top_score(self) -> TopScore | None:
        """The last op, if it makes a class of the scores."""
        last = self.ops[-1] if self.ops else None
        return last if isinstance(last, TopScore) else None

    @property
    def scores(self) -> Tensor:
        """What the layers end with: the input of a TopScore, or the output."""
        top = self.top_score
        return self.tensor(top.input if top else self.output)

    def classes(self, q: NDArray) -> NDArray[np.int64]:
        """The class of each sample, int64 ``[N]``, for output integers ``q[N, H, W, C]``.

        It is the index of the greatest real number in the source model's layout, or what a
        TopScore says; -1 for no class.
        """
        if self.top_score is None:
            return self.dequantize_output(q).reshape(len(q), -1).argmax(axis=1).astype(np.int64)
        found = q.reshape(len(q), -1)[:, 0].astype(np.int64)
        return np.where(found == no_class(self.scores.size), -1, found)

    def probabilities(self, q: NDArray) -> NDArray[np.float64]:
        """The probabilities ``[N, classes]`` for output integers ``q[N, 1, 1, classes]``.

        Raises:
            DataError: if the output is none that probabilities are made of.
        """
        if self.softmax is None:
            raise DataError(
                f"'{self.name}' gives no probabilities; quantize the network with the option "
                "softmax"
            )
        return self.softmax.probabilities(self.output_layout.from_nhwc(q))

    def dequantize_scores(self, q: NDArray) -> NDArray[np.float64]:
        """Integers ``[N, H, W, C]`` of :attr:`scores` as real numbers in the source's layout."""
        real = self.scores.dequantize(q)
        return real.reshape(len(q), -1) if self.top_score else self.output_layout.from_nhwc(real)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference, borders included."""
        return sum(
            self.tensor(op.output).size * op.macs_per_output
            for op in self.ops
            if isinstance(op, Conv)
        )

    @cached_property
    def tables(self) -> tuple[Table, ...]:
        """The tables behind the requantizer, without repetitions, in the order of their use."""
        return distinct_tables(map(table_of, self.ops))

    @property
    def wide(self) -> bool:
        """Whether any feature map has 16 bits."""
        return any(tensor.wide for tensor in self.tensors)

    def accumulator_bits(self, op: Conv) -> int:
        """Width that ``op``'s biased accumulator needs in the worst case of its actual weights."""
        lo, hi = op.accumulator_range(*self.sources(op))
        return signed_bits(int(lo.min()), int(hi.max()))

    @cached_property
    def digest(self) -> str:
        """SHA-256 over everything that has a meaning, in hexadecimal."""
        sha = hashlib.sha256()
        header, arrays = _encode(self)
        sha.update(json.dumps(header, sort_keys=True).encode())
        for key in sorted(arrays):
            sha.update(f"{key}{arrays[key].dtype.str}{arrays[key].shape}".encode())
            sha.update(np.ascontiguousarray(arrays[key]).tobytes())
        return sha.hexdigest()

    def verify(self) -> None:
        """Checks every rule of ``docs/program.md``.

        Raises:
            ProgramError: naming the op or tensor, the rule and the value.
        """
        if len(self._by_name) != len(self.tensors):
            raise ProgramError("tensor names must be unique")
        for tensor in self.tensors:
            _verify_tensor(tensor)
        for name in (self.input, self.output):
            self._require(name, "the program")
        for label, layout in _layouts(self):
            _verify_layout(label, layout, self.tensor(getattr(self, label)))
        written = {self.input}
        layers = len(self.ops) - (self.top_score is not None)
        for index, op in enumerate(self.ops):
            for name in (*op.inputs, op.output):
                self._require(name, f"op '{op.name}'")
            for name in op.inputs:
                self._verify_source(op, name, written)
            if op.output in written:
                raise ProgramError(f"op '{op.name}' writes '{op.output}' a second time")
            self._verify_op(op, last=index == layers - 1)
            written.add(op.output)
        if self.output not in written:
            raise ProgramError(f"the output '{self.output}' is written by no op")
        self._verify_output()
        for name in (self.input, self.scores.name):
            if self.tensor(name).wide:
                raise ProgramError(
                    f"tensor '{name}' has 16 bits, which what streams in or out cannot have"
                )
        for tensor in self.tensors:
            if tensor.widths and not (self.top_score and tensor.name == self.top_score.output):
                raise ProgramError(
                    f"tensor '{tensor.name}': only the output of a TopScore has widths"
                )
        if self.codebook is not None:
            self._verify_codebook(self.codebook)
        if self.raw_input is not None:
            self._verify_raw_input(self.raw_input)
        if self.softmax is not None:
            self._verify_softmax()

    def _verify_softmax(self) -> None:
        target = self.tensor(self.output)
        if target.shape[:2] != (1, 1) or target.bits != 8 or target.lo < 0:
            raise ProgramError(
                f"a softmax needs an output that is a vector of 8-bit values from 0; "
                f"'{target.name}' has {target.lo}..{target.hi} in {target.bits} bits and the shape "
                f"{target.shape}"
            )

    def _verify_raw_input(self, raw: RawInput) -> None:
        tensor = self.tensor(self.input)
        if tensor.signed != (raw.dtype == "int8"):
            raise ProgramError(
                f"the raw input is {raw.dtype}, but '{tensor.name}' is "
                f"{'signed' if tensor.signed else 'unsigned'}"
            )
        raw.check_channels(tensor.shape[2])

    def _verify_output(self) -> None:
        """The output's bytes, which reshapes share, are streamed out while the next frame runs."""
        shared = output_aliases(self.ops, self.output)
        if self.input in shared:
            raise ProgramError(
                "the network has no layer that computes anything: its output "
                f"'{self.output}' is its input '{self.input}' in another shape"
            )
        for op in self.ops:
            for name in op.inputs:
                if name in shared and op.output not in shared:
                    raise ProgramError(
                        f"op '{op.name}' reads '{name}', which is the program's output "
                        f"'{self.output}' in another shape"
                    )

    def _verify_codebook(self, values: tuple[int, ...]) -> None:
        verify_values(values)
        for op in self.ops:
            if isinstance(op, AveragePool):
                verify_average(op.name, op.shift, values)
            elif isinstance(op, Conv):
                verify_coded(op.name, op.weights, values)
                for term in op.terms:
                    if isinstance(term, Product):
                        verify_coded(op.name, term.weights, values)
                    else:
                        verify_residual(op.name, values)

    def _require(self, name: str, who: str) -> None:
        if name not in self._by_name:
            raise ProgramError(f"{who} names the tensor '{name}', which does not exist")

    def _verify_source(self, op: Op, name: str, written: set[str]) -> None:
        if name not in written:
            raise ProgramError(f"op '{op.name}' reads '{name}' before it is written")
        bits = self.tensor(name).bits
        if bits == 32 and op is not self.top_score:
            raise ProgramError(f"op '{op.name}' reads '{name}', which holds accumulators")
        if bits == 16 and isinstance(op, MaxPool | TopScore):
            raise ProgramError(
                f"op '{op.name}' reads '{name}', which has 16 bits: a {type(op).__name__} compares "
                "bytes or accumulators"
            )
        if name == self.output:
            raise ProgramError(f"op '{op.name}' reads the program's output '{name}'")

    def _verify_op(self, op: Op, *, last: bool) -> None:
        source, target = self.tensor(op.input), self.tensor(op.output)
        match op:
            case Conv():
                self._verify_conv(op, source, target, last=last)
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
                self._verify_top_score(op, source, target)
            case _:
                raise ProgramError(f"op '{op.name}' is of the unknown kind {type(op).__name__}")

    def _verify_top_score(self, op: TopScore, source: Tensor, target: Tensor) -> None:
        if op is not self.top_score or op.output != self.output:
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

    def _verify_conv(self, op: Conv, source: Tensor, target: Tensor, *, last: bool) -> None:
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
            self._verify_term(op, term, target)
        bits = self.accumulator_bits(op)
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

    def _verify_term(self, op: Conv, term: Term, target: Tensor) -> None:
        source = self.tensor(term.input)
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

    def save(self, path: str | Path) -> None:
        """Writes the program to ``path`` (.npz), the same bytes for the same program.

        Raises:
            OutputError: if it cannot be written; nothing is left behind.
        """
        header, arrays = _encode(self)
        text = np.frombuffer(json.dumps(header, sort_keys=True).encode(), dtype=np.uint8)
        path = Path(path)
        try:
            with whole_file(path) as stream:
                write_arrays(stream, {"program": text, **arrays})
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror or error}") from error

    @classmethod
    def load(cls, path: str | Path) -> "Program":
        """Reads and verifies a program file. Never unpickles, and unpacks 256 MiB at most.

        Raises:
            ProgramError: if the file is missing, damaged or of another format version.
        """
        path = Path(path)
        header, arrays = _read(path)
        version = header.get("version") if isinstance(header, dict) else None
        if version not in (FORMAT_VERSION, ENDS_VERSION, LATEST_VERSION):
            raise ProgramError(
                f"{path} has the format version {version!r:.20}; this Shiftwork reads "
                f"{FORMAT_VERSION} to {LATEST_VERSION}"
            )
        try:
            return _decode(header, arrays)
        except ProgramError as error:
            raise ProgramError(f"{path}: {flat(error)}") from error
        except _MISFITS as error:
            raise ProgramError(f"{path} is damaged: {one_line(error)}") from error


def _read(path: Path) -> tuple[Any, dict[str, NDArray]]:
    """The JSON value and the arrays of a program file."""
    try:
        arrays = read_arrays(path, limit=MAX_BYTES, single="x")
        return json.loads(arrays.pop("program").tobytes()), arrays
    except FileNotFoundError:
        raise ProgramError(f"{path}: no such file") from None
    except RecursionError:
        raise ProgramError(
            f"{path} is not a program file, or is damaged (its header is nested too deeply); "
            "'shiftwork quantize' makes one"
        ) from None
    except (ArrayFileError, OSError, ValueError, KeyError) as error:
        raise ProgramError(
            f"{path} is not a program file, or is damaged ({one_line(error)}); "
            "'shiftwork quantize' makes one"
        ) from error


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


def _encode(program: Program) -> tuple[dict[str, Any], dict[str, NDArray]]:
    arrays: dict[str, NDArray] = {}
    ops = [
        _encode_record(op, f"op{index}", arrays) | _encode_table(op, program.tables)
        for index, op in enumerate(program.ops)
    ]
    for index, table in enumerate(program.tables):
        arrays[f"table{index}"] = table.outputs
    for label, layout in _layouts(program):
        arrays[f"{label}_order"] = layout.order
    header = {
        "version": _version(program),
        "name": program.name,
        "tensors": [_encode_tensor(tensor) for tensor in program.tensors],
        "ops": ops,
        "input": program.input,
        "output": program.output,
        "layouts": {label: layout.shape for label, layout in _layouts(program)},
        "dropped": program.dropped,
        "info": program.info,
    }
    if program.codebook is not None:
        header["codebook"] = program.codebook
    if program.raw_input is not None:
        header["raw_input"] = asdict(program.raw_input)
    if program.softmax is not None:
        header["softmax"] = asdict(program.softmax)
    return header, arrays


def _version(program: Program) -> int:
    """The oldest format version whose readers understand the program."""
    wide = any(isinstance(op, Conv) and op.wide for op in program.ops)
    if program.tables or wide or program.wide or program.softmax:
        return LATEST_VERSION
    return ENDS_VERSION if program.top_score or program.raw_input else FORMAT_VERSION


def _encode_table(op: Op, tables: Sequence[Table]) -> dict[str, Any]:
    """An op's table: the number of its array, and what it means; nothing without one."""
    table = table_of(op)
    if table is None:
        return {}
    number = [other.key for other in tables].index(table.key)
    return {"table": {"number": number, "function": table.function, "step": table.step}}


def _encode_tensor(tensor: Tensor) -> dict[str, Any]:
    """The fields of a tensor; ``widths`` only where there are any, as files had none at first."""
    record = asdict(tensor)
    if tensor.widths is None:
        del record["widths"]
    return record


def _encode_record(item: Op | Term, prefix: str, arrays: dict[str, NDArray]) -> dict[str, Any]:
    """The fields of an op or a term; its arrays go to ``arrays``, named after ``prefix``."""
    record: dict[str, Any] = {"kind": type(item).__name__}
    for key, value in vars(item).items():
        if key == "table":
            continue
        if isinstance(value, np.ndarray):
            arrays[f"{prefix}_{key}"] = value
        elif key == "terms":
            record[key] = [
                _encode_record(term, f"{prefix}_term{number}", arrays)
                for number, term in enumerate(value)
            ]
        else:
            record[key] = value
    return record


def _layouts(program: Program) -> Iterator[tuple[str, Layout]]:
    yield "input", program.input_layout
    yield "output", program.output_layout


def _decode(header: dict[str, Any], arrays: dict[str, NDArray]) -> Program:
    layouts = {
        label: Layout(tuple(int(dim) for dim in shape), arrays[f"{label}_order"])
        for label, shape in header["layouts"].items()
    }
    own = {key: header[key] for key in ("name", "input", "output", "dropped", "info")}
    own |= {key: header[key] for key in ("codebook",) if key in header}
    raw, softmax = header.get("raw_input"), header.get("softmax")
    return from_json(
        Program,
        own,
        tensors=tuple(from_json(Tensor, record) for record in header["tensors"]),
        ops=tuple(
            _decode_record(record, f"op{index}_", arrays, OPS)
            for index, record in enumerate(header["ops"])
        ),
        input_layout=layouts["input"],
        output_layout=layouts["output"],
        raw_input=None if raw is None else from_json(RawInput, raw),
        softmax=None if softmax is None else from_json(Softmax, softmax),
    )


def _decode_table(record: dict[str, Any], arrays: dict[str, NDArray]) -> Table:
    number = record.pop("number")
    return from_json(Table, record, outputs=arrays[f"table{number}"])


def _decode_record(
    record: dict[str, Any], prefix: str, arrays: dict[str, NDArray], kinds: Mapping[str, Any]
) -> Any:
    """The op or term of a record, with the arrays that are named after ``prefix``."""
    values = {key: value for key, value in record.items() if key not in ("kind", "terms", "table")}
    names = {key.removeprefix(prefix): key for key in arrays if key.startswith(prefix)}
    own: dict[str, Any] = {
        name: arrays[key] for name, key in names.items() if not name.startswith("term")
    }
    if "terms" in record:
        own["terms"] = tuple(
            _decode_record(term, f"{prefix}term{number}_", arrays, TERMS)
            for number, term in enumerate(record["terms"])
        )
    if "table" in record:
        own["table"] = _decode_table(dict(record["table"]), arrays)
    kind = record["kind"]
    if isinstance(kind, str) and kind not in kinds:
        raise ProgramError(
            f"it has an op of the kind {kind!r:.40}, which this Shiftwork does not know; it knows "
            f"{', '.join(kinds)}"
        )
    return from_json(kinds[kind], values, **own)
