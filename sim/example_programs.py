"""Integer programs written directly from explicit weights and shifts.

They show how a network that was quantized elsewhere becomes a :class:`Program`, and they are what
the hardware's tests run on: every builder is deterministic, and the random ones cover the corners
of ``docs/program.md``.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.random import Generator

from shiftwork.quant.graph import Layout, Padding, Pair, Shape, output_shape, window_count
from shiftwork.quant.program import AveragePool, Conv, MaxPool, Op, Program, Reshape, Tensor


class ProgramBuilder:
    """Appends ops one by one and keeps track of the shapes.

    Parameters:
        name: the program's name.
        shape: ``(H, W, C)`` of the input.
        rng: where the weights come from.
        signed: whether input bytes are -128..127 or 0..255.
        zero_point: of the input.
    """

    def __init__(
        self, name: str, shape: Shape, rng: Generator, *, signed: bool = True, zero_point: int = 0
    ) -> None:
        lo, hi = (-128, 127) if signed else (0, 255)
        self.name = name
        self.rng = rng
        self.tensors = [
            Tensor(name="input", shape=shape, lo=lo, hi=hi, signed=signed, zero_point=zero_point)
        ]
        self.ops: list[Op] = []

    @property
    def last(self) -> Tensor:
        """The tensor that the next op reads."""
        return self.tensors[-1]

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
        shift: int | None = None,
        accumulators: bool = False,
    ) -> "ProgramBuilder":
        """A convolution with random weights.

        ``bounds`` narrows the clip; ``shift`` is that of every channel, by default one that fills
        the output's range, and differs from channel to channel.
        """
        source = self.last
        shape = output_shape(source.shape, channels, kernel, stride, padding, dilation)
        weights = self.rng.integers(-128, 128, (channels, *kernel, source.shape[2]), dtype=np.int8)
        bias = self.rng.integers(-(1 << 12), 1 << 12, channels, dtype=np.int64)
        lo, hi = bounds or ((0, 255) if unsigned else (-128, 127))
        target = Tensor(name=f"conv{len(self.ops)}", shape=shape, lo=lo, hi=hi, signed=not unsigned)
        if accumulators:
            target = _accumulator_tensor(target)
        op = Conv(
            name=target.name,
            input=source.name,
            output=target.name,
            weights=weights,
            bias=bias,
            shift=self._shifts(weights, channels) if shift is None else np.full(channels, shift),
            lo=lo,
            hi=hi,
            stride=stride,
            padding=padding,
            dilation=dilation,
            pad_value=source.zero_point,
            accumulators=accumulators,
        )
        return self._append(op, target)

    def dense(
        self, channels: int, *, unsigned: bool = False, accumulators: bool = False
    ) -> "ProgramBuilder":
        """A dense layer on the flattened feature map."""
        if self.last.shape[:2] != (1, 1):
            self.reshape((1, 1, self.last.size))
        return self.conv(channels, (1, 1), unsigned=unsigned, accumulators=accumulators)

    def reshape(self, shape: Shape) -> "ProgramBuilder":
        """The same elements in another shape."""
        name = f"reshape{len(self.ops)}"
        op = Reshape(name=name, input=self.last.name, output=name)
        return self._append(op, replace(self.last, name=name, shape=shape))

    def max_pool(
        self, kernel: Pair = (2, 2), stride: Pair = (2, 2), padding: Padding = (0, 0, 0, 0)
    ) -> "ProgramBuilder":
        """A maximum over windows."""
        source, name = self.last, f"max_pool{len(self.ops)}"
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
    ) -> "ProgramBuilder":
        """A shift-only average over windows; what is left of 1/n goes into the gain.

        ``finer`` is how much less than ``ceil(log2(n))`` the shift is; large averages saturate.
        """
        source, name = self.last, f"average_pool{len(self.ops)}"
        shape = output_shape(source.shape, source.shape[2], kernel, stride, padding)
        taps = kernel[0] * kernel[1]
        most = (taps - 1).bit_length()
        shift = max(0, most - finer)
        op = AveragePool(
            name=name,
            input=source.name,
            output=name,
            kernel=kernel,
            stride=stride,
            padding=padding,
            shift=shift,
            lo=source.lo,
            hi=source.hi,
            pad_value=source.zero_point,
        )
        target = replace(
            source,
            name=name,
            shape=shape,
            gain=source.gain * 2.0**most / taps,
            exponent=source.exponent + most - shift,
        )
        return self._append(op, target)

    def build(self) -> Program:
        """The program, verified."""
        first, last = self.tensors[0], self.tensors[-1]
        return Program(
            name=self.name,
            tensors=tuple(self.tensors),
            ops=tuple(self.ops),
            input=first.name,
            output=last.name,
            input_layout=Layout.identity(first.shape),
            output_layout=Layout.identity(last.shape),
        )

    def _append(self, op: Op, target: Tensor) -> "ProgramBuilder":
        self.ops.append(op)
        self.tensors.append(target)
        return self

    def _shifts(self, weights: np.ndarray, channels: int) -> np.ndarray:
        typical = 40.0 * np.sqrt((weights[0].astype(np.float64) ** 2).sum())
        usual = max(1, round(np.log2(typical / 64.0)))
        return np.maximum(usual + self.rng.integers(-1, 2, channels, dtype=np.int64), 0)


def small_cnn(seed: int = 0) -> Program:
    """Two padded convolutions with pooling and a dense layer: 12x12x1 pixels to 10 accumulators."""
    return (
        ProgramBuilder("small_cnn", (12, 12, 1), np.random.default_rng(seed), signed=False)
        .conv(6, (3, 3), padding=(1, 1, 1, 1), unsigned=True)
        .max_pool()
        .conv(9, (3, 3), padding=(1, 1, 1, 1), unsigned=True)
        .max_pool()
        .dense(10, accumulators=True)
        .build()
    )


def dense_net(seed: int = 0) -> Program:
    """Two dense layers: 35 signed features, 12 hidden units, 5 signed 8-bit outputs."""
    return (
        ProgramBuilder("dense_net", (1, 1, 35), np.random.default_rng(seed))
        .dense(12, unsigned=True)
        .dense(5)
        .build()
    )


def random_program(rng: Generator, *, size: int = 9, depth: int = 3) -> Program:
    """A valid chain of up to ``depth`` random ops, then often a dense layer.

    Odd numbers of channels, strides, unequal pads, dilation, signed and unsigned values, an input
    zero point (so ``pad_value != 0``), narrowed clips, a shift of 0 and accumulators all occur.
    """
    signed = bool(rng.integers(2))
    zero_point = int(rng.integers(-128, 128) if signed else rng.integers(256))
    shape = (
        int(rng.integers(1, size + 1)),
        int(rng.integers(1, size + 1)),
        int(rng.integers(1, 8)),
    )
    builder = ProgramBuilder(
        "random", shape, rng, signed=signed, zero_point=zero_point if rng.integers(2) else 0
    )
    steps: list[Callable[[ProgramBuilder, Generator], None]] = [
        _random_conv,
        _random_conv,
        _random_max_pool,
        _random_average_pool,
    ]
    for _ in range(int(rng.integers(1, depth + 1))):
        steps[int(rng.integers(len(steps)))](builder, rng)
    if rng.integers(3):
        builder.dense(int(rng.integers(1, 12)), accumulators=bool(rng.integers(2)))
    return builder.build()


def random_inputs(program: Program, rng: Generator, count: int = 4) -> np.ndarray:
    """Integers ``[count, H, W, C]`` over the whole range of the program's input, int32."""
    tensor = program.tensor(program.input)
    return rng.integers(tensor.lo, tensor.hi + 1, (count, *tensor.shape), dtype=np.int32)


def _random_conv(builder: ProgramBuilder, rng: Generator) -> None:
    dilation = _pair(rng, 1, 2)
    kernel, padding, stride = _random_window(builder.last.shape, rng, dilation)
    unsigned = bool(rng.integers(2))
    narrowed = (0, int(rng.integers(1, 127))) if rng.integers(4) == 0 else None
    builder.conv(
        int(rng.integers(1, 20)),
        kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        unsigned=unsigned,
        bounds=narrowed,
        shift=0 if rng.integers(8) == 0 else None,
    )


def _random_max_pool(builder: ProgramBuilder, rng: Generator) -> None:
    kernel, padding, stride = _random_window(builder.last.shape, rng)
    builder.max_pool(kernel, stride, padding)


def _random_average_pool(builder: ProgramBuilder, rng: Generator) -> None:
    kernel, padding, stride = _random_window(builder.last.shape, rng)
    builder.average_pool(kernel, stride, padding, finer=int(rng.integers(3)))


def _random_window(
    shape: Shape, rng: Generator, dilation: Pair = (1, 1)
) -> tuple[Pair, Padding, Pair]:
    """A kernel, a padding smaller than it, and a stride that fit ``shape``."""
    kernel, stride = _pair(rng, 1, 4), _pair(rng, 1, 3)
    top, bottom = (int(v) for v in rng.integers(0, kernel[0], 2))
    left, right = (int(v) for v in rng.integers(0, kernel[1], 2))
    fits = (
        window_count(shape[0], kernel[0], 1, top, bottom, dilation[0]) > 0
        and window_count(shape[1], kernel[1], 1, left, right, dilation[1]) > 0
    )
    return (kernel, (top, left, bottom, right), stride) if fits else ((1, 1), (0, 0, 0, 0), stride)


def _pair(rng: Generator, least: int, most: int) -> Pair:
    first, second = rng.integers(least, most + 1, 2)
    return int(first), int(second)


def _accumulator_tensor(target: Tensor) -> Tensor:
    return replace(target, lo=-(1 << 31), hi=(1 << 31) - 1, signed=True, bits=32)
