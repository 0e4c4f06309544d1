"""Integer programs written directly from explicit weights and shifts.

They show how a network that was quantized elsewhere becomes a :class:`Program`, and they are what
the hardware's tests run on: every builder is deterministic, and the random ones cover the corners
of ``docs/program.md``.
"""

from collections.abc import Callable
from itertools import product
from typing import TypeVar

import numpy as np
from numpy.random import Generator

from shiftwork.quant.graph import Padding, Pair, Shape, window_count
from shiftwork.quant.program import Program
from shiftwork.quant.program_ops import Tensor
from shiftwork.sim.program_builder import LARGEST_RESIDUAL_SHIFT, ProgramBuilder

Item = TypeVar("Item")

SAME = (1, 1, 1, 1)
CHAIN_KINDS = frozenset({"conv", "max_pool", "average_pool"})
KINDS = CHAIN_KINDS | {
    "depthwise",
    "residual",
    "shortcut",
    "depthwise_residual",
    "depthwise_shortcut",
}


def small_cnn(seed: int = 0) -> Program:
    """Two padded convolutions with pooling and a dense layer: 12x12x1 pixels to 10 accumulators."""
    return (
        ProgramBuilder("small_cnn", (12, 12, 1), np.random.default_rng(seed), signed=False)
        .conv(6, (3, 3), padding=SAME, unsigned=True)
        .max_pool()
        .conv(9, (3, 3), padding=SAME, unsigned=True)
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


def residual_net(seed: int = 0) -> Program:
    """A tiny ResNet on 8x8x3 pixels: an identity block, a block with a strided shortcut, dense."""
    return (
        ProgramBuilder("residual_net", (8, 8, 3), np.random.default_rng(seed), signed=False)
        .conv(6, padding=SAME, unsigned=True, name="stem")
        .conv(6, padding=SAME, unsigned=True, name="block1a")
        .conv(6, padding=SAME, unsigned=True, name="block1b")
        .residual("stem")
        .conv(9, stride=(2, 2), padding=(0, 0, 1, 1), unsigned=True, name="block2a")
        .conv(9, padding=SAME, unsigned=True, name="block2b")
        .shortcut("block1b", stride=(2, 2))
        .average_pool((4, 4), (4, 4))
        .dense(5, accumulators=True)
        .build()
    )


def depthwise_net(seed: int = 0) -> Program:
    """A tiny MobileNet on 10x8x1 values: two depthwise separable convolutions, dense."""
    return (
        ProgramBuilder("depthwise_net", (10, 8, 1), np.random.default_rng(seed))
        .conv(7, (4, 3), stride=(1, 1), padding=(1, 1, 2, 1), unsigned=True)
        .depthwise(padding=SAME, unsigned=True)
        .conv(9, (1, 1), unsigned=True)
        .depthwise(stride=(2, 2), padding=(0, 0, 1, 1), unsigned=True)
        .conv(11, (1, 1), unsigned=True)
        .average_pool((5, 4), (5, 4))
        .dense(4, accumulators=True)
        .build()
    )


def random_program(
    rng: Generator, *, size: int = 9, depth: int = 3, kinds: frozenset[str] = KINDS
) -> Program:
    """A valid network of up to ``depth`` random ops, then often a dense layer.

    Odd numbers of channels, strides, unequal pads, dilation, signed and unsigned values, an input
    zero point (so ``pad_value != 0``), narrowed clips, a shift of 0, depthwise convolutions,
    residuals and shortcuts of any earlier tensor, several of them in one accumulator, and
    accumulators as output all occur.

    Args:
        rng: source of every choice.
        size: greatest height and width of the input.
        depth: greatest number of ops before the dense layer.
        kinds: what to choose from, a part of :data:`KINDS`.
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
    steps = [step for kind, step in _steps() if kind in kinds]
    for _ in range(int(rng.integers(1, depth + 1))):
        steps[int(rng.integers(len(steps)))](builder, rng)
    if rng.integers(3):
        builder.dense(int(rng.integers(1, 12)), accumulators=bool(rng.integers(2)))
        if "shortcut" in kinds and rng.integers(3) == 0:
            _join_shortcut(builder, rng)
    return builder.build()


def random_inputs(program: Program, rng: Generator, count: int = 4) -> np.ndarray:
    """Integers ``[count, H, W, C]`` over the whole range of the program's input, int32."""
    tensor = program.tensor(program.input)
    return rng.integers(tensor.lo, tensor.hi + 1, (count, *tensor.shape), dtype=np.int32)


Step = Callable[[ProgramBuilder, Generator], None]


def _steps() -> list[tuple[str, Step]]:
    """Kinds and what appends them; a kind that is listed twice is twice as likely."""
    return [
        ("conv", _random_conv),
        ("conv", _random_conv),
        ("max_pool", _random_max_pool),
        ("average_pool", _random_average_pool),
        ("depthwise", _random_depthwise),
        ("depthwise", _random_depthwise),
        ("residual", _random_residual),
        ("shortcut", _random_shortcut),
        ("depthwise_residual", _random_depthwise_residual),
        ("depthwise_shortcut", _random_depthwise_shortcut),
    ]


def _random_conv(builder: ProgramBuilder, rng: Generator) -> None:
    dilation = _pair(rng, 1, 2)
    kernel, padding, stride = _random_window(builder.last.shape, rng, dilation)
    unsigned, bounds = _random_range(rng)
    builder.conv(
        int(rng.integers(1, 20)),
        kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        unsigned=unsigned,
        bounds=bounds,
        shift=_random_shift(rng),
    )


def _random_depthwise(builder: ProgramBuilder, rng: Generator) -> None:
    kernel, padding, stride = _random_window(builder.last.shape, rng, largest=5)
    unsigned, bounds = _random_range(rng)
    builder.depthwise(
        kernel,
        stride=stride,
        padding=padding,
        unsigned=unsigned,
        bounds=bounds,
        shift=_random_shift(rng),
    )


def _random_residual(builder: ProgramBuilder, rng: Generator) -> None:
    """A convolution that keeps height and width, and a tensor that has them."""
    last = builder.last
    source = _choose(rng, [t for t in builder.tensors if t.shape[:2] == last.shape[:2]])
    kernel, padding = _same_window(rng)
    unsigned, bounds = _random_range(rng)
    builder.conv(source.shape[2], kernel, padding=padding, unsigned=unsigned, bounds=bounds)
    _join_residual(builder, source, rng)
    if rng.integers(4) == 0:
        _join_shortcut(builder, rng)


def _random_depthwise_residual(builder: ProgramBuilder, rng: Generator) -> None:
    source = _choose(rng, [t for t in builder.tensors if t.shape == builder.last.shape])
    kernel, padding = _same_window(rng)
    unsigned, bounds = _random_range(rng)
    builder.depthwise(kernel, padding=padding, unsigned=unsigned, bounds=bounds)
    _join_residual(builder, source, rng)


def _random_shortcut(builder: ProgramBuilder, rng: Generator) -> None:
    _random_conv(builder, rng)
    _join_shortcut(builder, rng)
    if rng.integers(4) == 0:
        _join_shortcut(builder, rng)


def _random_depthwise_shortcut(builder: ProgramBuilder, rng: Generator) -> None:
    _random_depthwise(builder, rng)
    _join_shortcut(builder, rng)


def _random_max_pool(builder: ProgramBuilder, rng: Generator) -> None:
    kernel, padding, stride = _random_window(builder.last.shape, rng)
    builder.max_pool(kernel, stride, padding)


def _random_average_pool(builder: ProgramBuilder, rng: Generator) -> None:
    kernel, padding, stride = _random_window(builder.last.shape, rng)
    builder.average_pool(kernel, stride, padding, finer=int(rng.integers(3)))


def _join_residual(builder: ProgramBuilder, source: Tensor, rng: Generator) -> None:
    """A residual with shifts that suit the output's range, or, now and then, any."""
    most = int(_choose(rng, [0, 0, 0, LARGEST_RESIDUAL_SHIFT, 16]))
    shift = rng.integers(0, most + 1, source.shape[2], dtype=np.int64) if most else None
    builder.residual(source.name, shift)


def _join_shortcut(builder: ProgramBuilder, rng: Generator) -> None:
    """A shortcut from an earlier tensor, where some window brings it to the right shape."""
    source = _choose(rng, builder.tensors[:-1])
    axes = [_fitting_windows(source.shape[axis], builder.last.shape[axis]) for axis in range(2)]
    if not all(axes):
        return
    (ky, before_y, after_y, sy, dy), (kx, before_x, after_x, sx, dx) = (
        _choose(rng, _favour_points(windows, rng)) for windows in axes
    )
    builder.shortcut(
        source.name,
        (ky, kx),
        stride=(sy, sx),
        padding=(before_y, before_x, after_y, after_x),
        dilation=(dy, dx),
    )


Window = tuple[int, int, int, int, int]


def _fitting_windows(size: int, outputs: int) -> list[Window]:
    """Kernel, padding before and after, stride, dilation that make ``outputs`` of ``size``."""
    return [
        (kernel, before, after, stride, dilation)
        for kernel, stride, dilation in product(range(1, 5), range(1, 4), range(1, 3))
        for before, after in product(range(kernel), repeat=2)
        if size + before + after > dilation * (kernel - 1)
        and window_count(size, kernel, stride, before, after, dilation) == outputs
    ]


def _favour_points(windows: list[Window], rng: Generator) -> list[Window]:
    """Mostly those with a kernel of 1, if there are any."""
    points = [window for window in windows if window[0] == 1]
    return points if points and rng.integers(3) else windows


def _random_range(rng: Generator) -> tuple[bool, Pair | None]:
    """Whether an output is unsigned, and the clip if it is narrower than the type."""
    unsigned = bool(rng.integers(2))
    return unsigned, (0, int(rng.integers(1, 127))) if rng.integers(4) == 0 else None


def _random_shift(rng: Generator) -> int | None:
    return 0 if rng.integers(8) == 0 else None


def _random_window(
    shape: Shape, rng: Generator, dilation: Pair = (1, 1), *, largest: int = 4
) -> tuple[Pair, Padding, Pair]:
    """A kernel, a padding smaller than it, and a stride that fit ``shape``."""
    kernel, stride = _pair(rng, 1, largest), _pair(rng, 1, 3)
    top, bottom = (int(v) for v in rng.integers(0, kernel[0], 2))
    left, right = (int(v) for v in rng.integers(0, kernel[1], 2))
    fits = (
        window_count(shape[0], kernel[0], 1, top, bottom, dilation[0]) > 0
        and window_count(shape[1], kernel[1], 1, left, right, dilation[1]) > 0
    )
    return (kernel, (top, left, bottom, right), stride) if fits else ((1, 1), (0, 0, 0, 0), stride)


def _same_window(rng: Generator) -> tuple[Pair, Padding]:
    """A kernel and a padding that keep height and width at a stride of 1."""
    kernel = _pair(rng, 1, 4)
    top, left = int(rng.integers(kernel[0])), int(rng.integers(kernel[1]))
    return kernel, (top, left, kernel[0] - 1 - top, kernel[1] - 1 - left)


def _pair(rng: Generator, least: int, most: int) -> Pair:
    first, second = rng.integers(least, most + 1, 2)
    return int(first), int(second)


def _choose(rng: Generator, items: list[Item]) -> Item:
    return items[int(rng.integers(len(items)))]
