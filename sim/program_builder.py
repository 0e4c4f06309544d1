"""Writes integer programs op by op, with random weights or given ones."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

from shiftwork.quant.activation_table import Table
from shiftwork.quant.graph import Layout, Padding, Pair, Shape, output_shape
from shiftwork.quant.program import Program
from shiftwork.quant.program_ops import (
    INT16,
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
    WeightArray,
)
from shiftwork.quant.top_score import answer_tensor

LARGEST_RESIDUAL_SHIFT = 9


class ProgramBuilder:
    """Appends ops one by one and keeps track of the shapes.

    Every op reads :attr:`last`, the output of the op before it; :meth:`at` goes back to an earlier
    tensor. :meth:`residual` and :meth:`shortcut` extend the accumulator of the last op.

    Parameters:
        name: the program's name.
        shape: ``(H, W, C)`` of the input, the tensor ``input``.
        rng: where weights, biases and shifts come from that are not given.
        signed: whether input bytes are -128..127 or 0..255.
        zero_point: of the input.
        bounds: least and greatest value of the input, if that is less than its bytes can hold.
    """

    def __init__(
        self,
        name: str,
        shape: Shape,
        rng: Generator | None = None,
        *,
        signed: bool = True,
        zero_point: int = 0,
        bounds: Pair | None = None,
    ) -> None:
        lo, hi = bounds or byte_range(signed=signed)
        self.name = name
        self.rng = rng or np.random.default_rng(0)
        self.tensors = [
            Tensor(name="input", shape=shape, lo=lo, hi=hi, signed=signed, zero_point=zero_point)
        ]
        self.ops: list[Op] = []
        self.last = self.tensors[0]

    def tensor(self, name: str) -> Tensor:
        """The tensor of that name."""
        return next(tensor for tensor in self.tensors if tensor.name == name)

    def at(self, name: str) -> "ProgramBuilder":
        """The next op reads the tensor ``name``."""
        self.last = self.tensor(name)
        return self

    def conv(
        self,
        channels: int,
        kernel: Pair = (3, 3),
        *,
        stride: Pair = (1, 1),
        padding: Padding = (0, 0, 0, 0),
        dilation: Pair = (1, 1),
        unsigned: bool = False,
        bounds: Pair | None = None,
        weights: ArrayLike | None = None,
        bias: ArrayLike | None = None,
        shift: ArrayLike | None = None,
        pad_value: int | None = None,
        accumulators: bool = False,
        groups: int = 1,
        wide: bool = False,
        wide_output: bool = False,
        name: str | None = None,
    ) -> "ProgramBuilder":
        """A convolution, with random weights and biases unless they are given.

        ``bounds`` narrows the clip; ``shift`` is one number, or one a channel, by default such that
        the output's range is filled, different from channel to channel. ``weights`` may have any
        shape of the right size; ``wide`` ones have 16 bits, as a ``wide_output`` has. ``pad_value``
        is the input's zero point if it is not given.
        """
        source = self.last
        shape = output_shape(source.shape, channels, kernel, stride, padding, dilation)
        weights = self._weights(weights, (channels, *kernel, source.shape[2] // groups), wide)
        if bias is None:
            bias = self.rng.integers(-(1 << 12), 1 << 12, channels, dtype=np.int64)
        lo, hi = bounds or (WIDE_RANGE if wide_output else byte_range(signed=not unsigned))
        name = name or f"conv{len(self.ops)}"
        bits = 16 if wide_output else 8
        target = Tensor(name=name, shape=shape, lo=lo, hi=hi, signed=not unsigned, bits=bits)
        if accumulators:
            target = _accumulator_tensor(target)
        op = Conv(
            name=target.name,
            input=source.name,
            output=target.name,
            weights=weights,
            bias=np.asarray(bias, np.int64),
            shift=self._shifts(weights) if shift is None else _per_channel(shift, channels),
            lo=lo,
            hi=hi,
            stride=stride,
            padding=padding,
            dilation=dilation,
            pad_value=source.zero_point if pad_value is None else pad_value,
            accumulators=accumulators,
            groups=groups,
        )
        return self._append(op, target)

    def depthwise(
        self,
        kernel: Pair = (3, 3),
        *,
        stride: Pair = (1, 1),
        padding: Padding = (0, 0, 0, 0),
        dilation: Pair = (1, 1),
        unsigned: bool = False,
        bounds: Pair | None = None,
        weights: ArrayLike | None = None,
        bias: ArrayLike | None = None,
        shift: ArrayLike | None = None,
        pad_value: int | None = None,
        accumulators: bool = False,
        wide: bool = False,
        wide_output: bool = False,
        name: str | None = None,
    ) -> "ProgramBuilder":
        """A depthwise convolution; arguments as of :meth:`conv`."""
        channels = self.last.shape[2]
        return self.conv(
            channels,
            kernel,
            stride=stride,
            padding=padding,
            dilation=dilation,
            unsigned=unsigned,
            bounds=bounds,
            weights=weights,
            bias=bias,
            shift=shift,
            pad_value=pad_value,
            accumulators=accumulators,
            groups=channels,
            wide=wide,
            wide_output=wide_output,
            name=name or f"depthwise{len(self.ops)}",
        )

    def dense(
        self,
        channels: int,
        *,
        unsigned: bool = False,
        accumulators: bool = False,
        wide: bool = False,
        wide_output: bool = False,
        name: str | None = None,
    ) -> "ProgramBuilder":
        """A dense layer on the flattened feature map."""
        if self.last.shape[:2] != (1, 1):
            self.reshape((1, 1, self.last.size))
        return self.conv(
            channels,
            (1, 1),
            unsigned=unsigned,
            accumulators=accumulators,
            wide=wide,
            wide_output=wide_output,
            name=name,
        )

    def residual(self, tensor: str, shift: ArrayLike | None = None) -> "ProgramBuilder":
        """Adds the earlier ``tensor`` to the accumulators of the last op, a convolution.

        ``shift`` is the left shift, one number or one a channel. By default the shifts differ from
        channel to channel, 0..9, and most leave the sum within reach of the output's range.
        """
        if shift is None:
            near = self._last_conv.shift + self.rng.integers(-6, 2, self.last.shape[2])
            shift = np.clip(near, 0, LARGEST_RESIDUAL_SHIFT)
        shifts = _per_channel(shift, self.last.shape[2])
        return self._extend(Residual(input=tensor, shift=shifts))

    def shortcut(
        self,
        tensor: str,
        kernel: Pair = (1, 1),
        *,
        stride: Pair = (1, 1),
        padding: Padding = (0, 0, 0, 0),
        dilation: Pair = (1, 1),
        weights: ArrayLike | None = None,
        pad_value: int | None = None,
        wide: bool = False,
    ) -> "ProgramBuilder":
        """Adds a convolution of the earlier ``tensor`` to the accumulators of the last op.

        Arguments as of :meth:`conv`.
        """
        source = self.tensor(tensor)
        return self._extend(
            Product(
                input=tensor,
                weights=self._weights(
                    weights, (self.last.shape[2], *kernel, source.shape[2]), wide
                ),
                stride=stride,
                padding=padding,
                dilation=dilation,
                pad_value=source.zero_point if pad_value is None else pad_value,
            )
        )

    def shift(self, shift: ArrayLike) -> "ProgramBuilder":
        """Replaces the right shift of the last op, a convolution: one number, or one a channel."""
        op = self._last_conv
        self.ops[-1] = replace(op, shift=_per_channel(shift, len(op.weights)))
        return self

    def table(self, values: ArrayLike, *, unsigned: bool = False) -> "ProgramBuilder":
        """Gives the last op, a Conv or AveragePool, a table of 256 ``values``.

        The op's bounds become those of the index. ``unsigned`` tells whether values are 0..255.
        """
        op = self.ops[-1]
        if not isinstance(op, Conv | AveragePool):
            raise TypeError(f"a table needs a convolution or an average, not '{op.name}'")
        array = np.asarray(values, np.int16)
        self.ops[-1] = replace(op, table=Table(outputs=array))
        self.last = replace(
            self.last,
            lo=int(array.min()),
            hi=int(array.max()),
            signed=not unsigned,
            exponent=0,
            gain=1.0,
        )
        self.tensors[-1] = self.last
        return self

    def reshape(self, shape: Shape, *, name: str | None = None) -> "ProgramBuilder":
        """The same elements in another shape."""
        name = name or f"reshape{len(self.ops)}"
        op = Reshape(name=name, input=self.last.name, output=name)
        return self._append(op, replace(self.last, name=name, shape=shape))

    def max_pool(
        self,
        kernel: Pair = (2, 2),
        stride: Pair = (2, 2),
        padding: Padding = (0, 0, 0, 0),
        *,
        name: str | None = None,
    ) -> "ProgramBuilder":
        """A maximum over windows."""
        source, name = self.last, name or f"max_pool{len(self.ops)}"
        shape = output_shape(source.shape, source.shape[2], kernel, stride, padding)
        op = MaxPool(
            name=name,
            input=source.name,
            output=name,
            kernel=kernel,
            stride=stride,
            padding=padding,
        )
        return self._append(op, replace(source, name=name, shape=shape))

    def average_pool(
        self,
        kernel: Pair = (2, 2),
        stride: Pair = (2, 2),
        padding: Padding = (0, 0, 0, 0),
        *,
        finer: int = 0,
        shift: int | None = None,
        unsigned: bool | None = None,
        bounds: Pair | None = None,
        pad_value: int | None = None,
        wide_output: bool = False,
        name: str | None = None,
    ) -> "ProgramBuilder":
        """A shift-only average over windows; what is left of 1/n goes into the gain.

        ``finer`` is how much less than ``ceil(log2(n))`` the shift is; large averages saturate.
        ``shift`` states it instead. The output is as its input unless ``unsigned`` or ``bounds``
        are given; a ``wide_output`` has 16 bits.
        """
        source, name = self.last, name or f"average_pool{len(self.ops)}"
        shape = output_shape(source.shape, source.shape[2], kernel, stride, padding)
        taps = kernel[0] * kernel[1]
        most = (taps - 1).bit_length()
        shift = max(0, most - finer) if shift is None else shift
        signed = wide_output or (source.signed if unsigned is None else not unsigned)
        kept = unsigned is None and not source.wide
        lo, hi = (source.lo, source.hi) if kept else byte_range(signed=signed)
        lo, hi = WIDE_RANGE if wide_output else (lo, hi)
        lo, hi = bounds or (lo, hi)
        op = AveragePool(
            name=name,
            input=source.name,
            output=name,
            kernel=kernel,
            stride=stride,
            padding=padding,
            shift=shift,
            lo=lo,
            hi=hi,
            pad_value=source.zero_point if pad_value is None else pad_value,
        )
        target = replace(
            source,
            name=name,
            shape=shape,
            lo=lo,
            hi=hi,
            signed=signed,
            bits=16 if wide_output else 8,
            zero_point=0,
            gain=source.gain * 2.0**most / taps,
            exponent=source.exponent + most - shift,
        )
        return self._append(op, target)

    def top_score(
        self, threshold: int | None = None, *, name: str | None = None
    ) -> "ProgramBuilder":
        """The class with the greatest score, and the score, in place of all scores.

        ``threshold`` is the least score that makes a class.
        """
        source, name = self.last, name or f"top_score{len(self.ops)}"
        op = TopScore(name=name, input=source.name, output=name, threshold=threshold)
        return self._append(op, answer_tensor(source, name))

    def build(self, output: str | None = None) -> Program:
        """The program, verified; its output is the output of the last op, if none is named."""
        first, last = self.tensors[0], self.tensor(output or self.tensors[-1].name)
        return Program(
            name=self.name,
            tensors=tuple(self.tensors),
            ops=tuple(self.ops),
            input=first.name,
            output=last.name,
            input_layout=Layout.identity(first.shape),
            output_layout=Layout.identity(last.shape),
        )

    @property
    def _last_conv(self) -> Conv:
        op = self.ops[-1]
        if not isinstance(op, Conv):
            raise TypeError(f"a residual or shortcut needs a convolution, not '{op.name}'")
        return op

    def _extend(self, term: Term) -> "ProgramBuilder":
        op = self._last_conv
        self.ops[-1] = replace(op, terms=(*op.terms, term))
        return self

    def _append(self, op: Op, target: Tensor) -> "ProgramBuilder":
        self.ops.append(op)
        self.tensors.append(target)
        self.last = target
        return self

    def _weights(
        self, given: ArrayLike | None, shape: tuple[int, int, int, int], wide: bool
    ) -> WeightArray:
        dtype: type[np.signedinteger[Any]] = np.int16 if wide else np.int8
        lo, hi = INT16 if wide else (-128, 127)
        if given is not None:
            return np.asarray(given, dtype).reshape(shape)
        return self.rng.integers(lo, hi + 1, shape, dtype=dtype)

    def _shifts(self, weights: WeightArray) -> NDArray[np.int64]:
        typical = 40.0 * np.sqrt((weights[0].astype(np.float64) ** 2).sum())
        usual = max(1, round(np.log2(max(typical, 1.0) / 64.0)))
        steps = self.rng.integers(-1, 2, len(weights), dtype=np.int64)
        return np.maximum(usual + steps, 0)


def byte_range(*, signed: bool) -> Pair:
    """Least and greatest value of a byte."""
    return (-128, 127) if signed else (0, 255)


def _per_channel(shift: ArrayLike, channels: int) -> NDArray[np.int64]:
    return np.array(np.broadcast_to(np.asarray(shift, np.int64), channels))


def _accumulator_tensor(target: Tensor) -> Tensor:
    return replace(target, lo=-(1 << 31), hi=(1 << 31) - 1, signed=True, bits=32)
