"""What an integer program consists of: tensors, ops, and the terms of a dot product.

``docs/program.md`` describes what each of them computes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftwork.quant.activation_table import Table
from shiftwork.quant.graph import Padding, Pair, Shape

MAX_SHIFT = 31
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
