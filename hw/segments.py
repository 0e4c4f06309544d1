"""How the hardware computes an op: the segments of its dot product, and how each is walked.

A segment is one input of a dot product. Rows of the array take turns where every output channel
reads all input channels (``ROWS``); a word of channels is broadcast to all rows where each output
channel reads its own (``CHANNELS``): depthwise convolutions, average pooling, and a residual,
whose factor ``2**k`` is a sum of int8 weights. A maximum is compared beside the array (``POOL``).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from shiftwork.errors import CapacityError, ProgramError
from shiftwork.hw.config import ArrayShape
from shiftwork.quant.codebook import average_exponents, summands
from shiftwork.quant.digits import DIGIT_BITS, split
from shiftwork.quant.graph import Padding, Pair
from shiftwork.quant.program import Program
from shiftwork.quant.program_ops import (
    AveragePool,
    Conv,
    MaxPool,
    Op,
    Product,
    Residual,
    Tensor,
    WeightArray,
)

LEAST_BYTE = 0x80
"""The stored byte that never wins a comparison."""
LARGEST_WEIGHT = 127
NO_PADDING: Padding = (0, 0, 0, 0)


class Kind(Enum):
    """What a segment's words are for."""

    ROWS = "rows"
    CHANNELS = "channels"
    POOL = "pool"


@dataclass(frozen=True, kw_only=True, eq=False)
class Segment:
    """One input of an op.

    Attributes:
        kind: who takes its words.
        source: the tensor.
        outputs: number of output channels.
        kernel, stride, padding, dilation: the window.
        border: the stored byte outside of the feature map.
        weights: int8 ``[O, kh, kw, I]``, ``I`` = 1 for channels; None for a maximum. Those of 16
            bits are two segments, one for each digit.
        hold: all weights are the same one, so that a column stores it once.
        repeats: the window is walked as often over the same place: a residual's factor is the sum
            of that many weights; its ``kh`` counts them.
        plane: bytes from the first one of the tensor to that of its plane.
        power: exponent of the power of two that its sum is multiplied with by what comes behind it.
        scale: its first product comes to an accumulator that is scaled before.
    """

    kind: Kind
    source: Tensor
    outputs: int
    kernel: Pair
    stride: Pair = (1, 1)
    padding: Padding = NO_PADDING
    dilation: Pair = (1, 1)
    border: int = 0
    weights: NDArray[np.int8] | None = None
    hold: bool = False
    repeats: bool = False
    plane: int = 0
    power: int = 0
    scale: bool = False

    def part(self, first: int, outputs: int) -> "Segment":
        """The same for ``outputs`` of the output channels, from ``first`` on."""
        assert self.weights is not None
        return replace(self, outputs=outputs, weights=self.weights[first : first + outputs])


@dataclass(frozen=True, kw_only=True, eq=False)
class Walk:
    """How the fetch unit walks a segment on an array of a given shape.

    Attributes:
        segment: what is walked.
        shape: of the array.
        by_line: tiles do not cross lines of the output.
        out_width: columns of the output.
    """

    segment: Segment
    shape: ArrayShape
    by_line: bool
    out_width: int

    @property
    def broadcast(self) -> bool:
        """Whether a run is one word for all rows."""
        return self.segment.kind is not Kind.ROWS

    @property
    def rows(self) -> int:
        """Rows of the array in use."""
        return 1 if self.segment.kind is Kind.POOL else self.shape.rows

    @property
    def channels(self) -> int:
        """Channels of the source."""
        return self.segment.source.shape[2]

    @cached_property
    def phases(self) -> int:
        """Walks over each kernel line, one for each pixel of the stride that rows share."""
        shared = self.segment.kind is Kind.CHANNELS and self.rows > 1 and self.segment.kernel[1] > 1
        return self.segment.stride[1] if shared else 1

    @property
    def hold(self) -> bool:
        """Whether the weight stays for a whole block; a phase with fewer taps needs zeros."""
        return self.segment.hold and self.segment.kernel[1] % self.phases == 0

    @property
    def taps(self) -> int:
        """Runs of a kernel line that belong to row 0."""
        if not self.broadcast:
            return 1 if self.segment.dilation[1] == 1 else self.segment.kernel[1]
        return -(-self.segment.kernel[1] // self.phases)

    @property
    def runs_x(self) -> int:
        """Runs of a kernel line."""
        return self.taps + (self.rows - 1 if self.segment.kind is Kind.CHANNELS else 0)

    @property
    def runs_y(self) -> int:
        """Kernel lines."""
        return self.segment.kernel[0]

    @property
    def blocks(self) -> int:
        """Words that hold the channels of a group."""
        if self.segment.kind is not Kind.CHANNELS:
            return 1
        return -(-min(self.shape.columns, self.segment.outputs) // self.shape.word_bytes)

    @property
    def run_bytes(self) -> int:
        """Bytes of a run; a broadcast word counts as one."""
        if self.broadcast:
            return 1
        return self.channels * (self.segment.kernel[1] if self.taps == 1 else 1)

    @property
    def words(self) -> int:
        """Words of a run."""
        return -(-self.run_bytes // self.shape.word_bytes)

    @property
    def last_bytes(self) -> int:
        """Bytes of a run's last word that count."""
        return self.run_bytes - (self.words - 1) * self.shape.word_bytes

    @property
    def last_cycles(self) -> int:
        """Cycles of a run's last word."""
        return 1 if self.broadcast else max(self.shape.rows, self.last_bytes)

    @cached_property
    def cycles(self) -> int:
        """Cycles of a window."""
        run = (self.words - 1) * self.shape.full_word_cycles + self.last_cycles
        return run * self.runs_x * self.runs_y * self.phases * self.blocks

    @property
    def last_token(self) -> int:
        """Cycle of the last byte of row 0, counted from the window's first turn."""
        behind = (self.runs_x - self.taps) * self.last_cycles
        return self.cycles - behind - self.last_cycles + self.last_bytes - 1

    @property
    def weight_bytes(self) -> int:
        """Bytes of a column's weights for one group."""
        if self.segment.kind is Kind.ROWS:
            return self.run_bytes * self.runs_x * self.runs_y
        if self.segment.kind is Kind.POOL:
            return 0
        return self.blocks * (1 if self.hold else self.taps * self.runs_y * self.phases)

    def read_pattern(self) -> list[bool]:
        """For each cycle of a window: does the fetch unit take a turn?"""
        turns = 1 if self.broadcast else self.shape.rows
        words = [self.shape.full_word_cycles] * (self.words - 1) + [self.last_cycles]
        run = [turn < turns for length in words for turn in range(length)]
        return run * (self.runs_x * self.runs_y * self.phases * self.blocks)

    def fields(self) -> dict[str, int]:
        """The segment's part of the layer's descriptor, but for the addresses."""
        segment = self.segment
        height, width, channels = segment.source.shape
        row_bytes = width * channels
        stride, dilation = segment.stride, segment.dilation
        line = 0 if segment.repeats else dilation[0]
        if self.segment.kind is Kind.CHANNELS:
            x_step = self.rows * stride[1] * channels
            last_x = -(-self.out_width // self.rows) - 1
            run_step = channels * (self.phases if self.phases > 1 else self._run_pixels)
        else:
            x_step = stride[1] * channels
            last_x = self.out_width - 1
            if self.by_line:
                last_x = -(-self.out_width // self.rows) * self.rows - 1
            run_step = dilation[1] * channels
        groups_apart = {Kind.ROWS: 0, Kind.CHANNELS: self.shape.columns}
        return {
            "broadcast": int(self.broadcast),
            "hold": int(self.hold),
            "row_bytes": row_bytes,
            "height": height,
            "x_first": -segment.padding[1] * channels,
            "y_first": -segment.padding[0],
            "x_step": x_step,
            "y_step": stride[0],
            "line_step": stride[0] * row_bytes,
            "out_width": last_x,
            "runs_y": self.runs_y - 1,
            "y_run_step": line,
            "line_run_step": line * row_bytes,
            "runs_x": self.runs_x - 1,
            "run_step": run_step,
            "taps": self.taps - 1 if self.runs_x > self.taps else self.runs_x - 1,
            "phases": self.phases - 1,
            "phase_step": channels if self.phases > 1 else 0,
            "blocks": self.blocks - 1,
            "group_step": groups_apart.get(segment.kind, self.shape.word_bytes),
            "run_words": self.words - 1,
            "last_bytes": self.last_bytes,
            "last_cycles": self.last_cycles - 1,
            "border": segment.border,
        }

    @property
    def _run_pixels(self) -> int:
        """Input pixels between the words of a kernel line; rows share words where they overlap."""
        if self.rows > 1 and self.segment.kernel[1] == 1:
            return self.segment.stride[1]
        return self.segment.dilation[1]

    def columns(self) -> NDArray[np.uint8]:
        """The weights of every group and column, ``[groups, columns, weight_bytes]``.

        Column c of a group works on channel ``shape.channel(c)`` of it.
        """
        assert self.segment.weights is not None
        weights, shape = self.segment.weights, self.shape
        groups = -(-len(weights) // shape.columns)
        padded = np.zeros((groups * shape.columns, *weights.shape[1:]), np.int8)
        padded[: len(weights)] = weights
        channels = padded.reshape(groups, shape.columns, *weights.shape[1:])
        if self.segment.kind is Kind.ROWS:
            rows = channels.reshape(groups, shape.columns, -1)
        elif self.hold:
            rows = self._in_own_block(channels.reshape(groups, shape.columns, -1)[:, :, :1])
        else:
            rows = self._channel_rows(channels[..., 0])
        order = [shape.channel(column) for column in range(shape.columns)]
        return np.ascontiguousarray(rows[:, order]).view(np.uint8)

    def _channel_rows(self, kernels: NDArray[np.int8]) -> NDArray[np.int8]:
        """``[groups, channels, kh, kw]`` in the order blocks, phases, lines, taps.

        Zeros stand where a phase has fewer taps.
        """
        groups, channels, height, width = kernels.shape
        filled = np.zeros((groups, channels, height, self.taps * self.phases), np.int8)
        filled[..., :width] = kernels
        split = filled.reshape(groups, channels, height, self.taps, self.phases)
        walked = split.transpose(0, 1, 4, 2, 3).reshape(groups, channels, -1)
        return self._in_own_block(walked)

    def _in_own_block(self, rows: NDArray[np.int8]) -> NDArray[np.int8]:
        """``rows[groups, channels, n]`` for every block: zeros in all but the channel's own."""
        groups, channels, _ = rows.shape
        own = np.arange(channels)[:, None] // self.shape.word_bytes == np.arange(self.blocks)
        return (rows[:, :, None, :] * own[None, :, :, None]).reshape(groups, channels, -1)


def segments(program: Program, op: Op, *, least_shift: int = 0) -> tuple[Segment, ...]:
    """The segments of ``op``.

    Args:
        least_shift: of the network's convolutions; an average's weight is such a power of two that
            its shift is no less, as far as int8 allows.

    Raises:
        ProgramError: if no hardware computes an op of that kind.
    """
    source = program.tensor(op.input)
    match op:
        case Conv():
            terms = zip(op.terms, program.sources(op)[1:], strict=True)
            depthwise = op.groups > 1 and source.shape[2] > 1
            parts = [_conv(op, source, depthwise=depthwise)]
            parts += [
                _conv(term, tensor, depthwise=False) if isinstance(term, Product) else ()
                for term, tensor in terms
            ]
            return _in_turn(*_with_residuals(program, op, parts))
        case AveragePool():
            return _in_turn(_average(op, source, average_scale(program, op, least_shift)))
        case MaxPool():
            return (
                Segment(
                    kind=Kind.POOL,
                    source=source,
                    outputs=source.shape[2],
                    kernel=op.kernel,
                    stride=op.stride,
                    padding=op.padding,
                    border=LEAST_BYTE,
                ),
            )
        case _:
            raise ProgramError(f"op '{op.name}' of kind {type(op).__name__} has no hardware")


def _with_residuals(
    program: Program, op: Conv, parts: Sequence[tuple[Segment, ...]]
) -> list[tuple[Segment, ...]]:
    """The segments of an op's products, and in their places those of its residuals."""
    terms = list(zip(op.terms, program.sources(op)[1:], strict=True))
    residuals = [(term, source) for term, source in terms if isinstance(term, Residual)]
    top = max(part.power for group in parts for part in group)
    top += DIGIT_BITS if any(source.wide for _, source in residuals) else 0
    filled = list(parts)
    for index, (term, source) in enumerate(terms, start=1):
        if isinstance(term, Residual):
            filled[index] = _residual(term, source, program.codebook, top=top)
    return filled


def _in_turn(*parts: tuple[Segment, ...]) -> tuple[Segment, ...]:
    """The segments in the order in which accumulators take them: Horner's rule.

    Those with the greatest power come first; the accumulator is scaled between two powers.
    """
    ordered = sorted((part for group in parts for part in group), key=lambda part: -part.power)
    return tuple(
        replace(part, scale=before is not None and part.power < before.power)
        for before, part in zip([None, *ordered], ordered, strict=False)
    )


def _conv(op: Conv | Product, source: Tensor, *, depthwise: bool) -> tuple[Segment, ...]:
    """A segment for each digit of the weights and each plane of the source."""
    return tuple(
        Segment(
            kind=Kind.CHANNELS if depthwise else Kind.ROWS,
            source=plane.source,
            outputs=len(op.weights),
            kernel=op.kernel,
            stride=op.stride,
            padding=op.padding,
            dilation=op.dilation,
            border=plane.border(op.pad_value),
            weights=weights,
            plane=plane.offset,
            power=power + plane.power,
        )
        for power, weights in _digits(op.weights)
        for plane in _planes(source)
    )


@dataclass(frozen=True, kw_only=True)
class _Plane:
    """What a segment reads of a tensor: its bytes, or those of one plane.

    Attributes:
        source: the tensor as a map of bytes.
        offset: of the plane's first byte from that of the tensor.
        power: exponent of what its bytes are multiplied with.
        whole: the plane is all of the tensor.
    """

    source: Tensor
    offset: int = 0
    power: int = 0
    whole: bool = True

    def border(self, pad_value: int) -> int:
        """The stored byte outside of the feature map."""
        if self.whole:
            return _stored(pad_value, self.source)
        return _stored(pad_value >> self.power & 0xFF, self.source)


def _planes(source: Tensor) -> tuple[_Plane, ...]:
    """The planes of a tensor: the low bytes of 16 bits lie first, and have no sign."""
    if not source.wide:
        return (_Plane(source=source),)
    low = replace(source, bits=8, signed=False, lo=0, hi=255)
    high = replace(source, bits=8, lo=source.lo >> DIGIT_BITS, hi=source.hi >> DIGIT_BITS)
    return (
        _Plane(source=high, offset=source.size, power=DIGIT_BITS, whole=False),
        _Plane(source=low, whole=False),
    )


def _digits(weights: WeightArray) -> tuple[tuple[int, NDArray[np.int8]], ...]:
    """The weights in 8 bits, and the exponents of what they are multiplied with."""
    if weights.dtype == np.int8:
        return ((0, weights.astype(np.int8, copy=False)),)
    high, low = split(weights)
    return (DIGIT_BITS, high), (0, low)


def _residual(
    term: Residual, source: Tensor, codebook: Sequence[int] | None, *, top: int
) -> tuple[Segment, ...]:
    """A window of one pixel, walked once for each of the weights that add up to ``2**k``.

    Scaling the accumulator does a part of it, as far as every ``k`` and ``top`` allow, the greatest
    power of a segment.
    """
    result = []
    for plane in _planes(source):
        least = int(term.shift.min()) + plane.power
        power = min(top, least // DIGIT_BITS * DIGIT_BITS)
        factors = np.int64(1) << (term.shift + plane.power - power)
        parts = _largest_parts(factors) if codebook is None else _coded_parts(factors, codebook)
        segment = Segment(
            kind=Kind.CHANNELS,
            source=plane.source,
            outputs=len(factors),
            kernel=(parts.shape[1], 1),
            weights=parts.astype(np.int8)[:, :, None, None],
            repeats=True,
            plane=plane.offset,
            power=power,
        )
        result.append(segment)
    return tuple(result)


def _largest_parts(factors: NDArray[np.int64]) -> NDArray[np.int64]:
    """Weights ``[O, n]`` that add up to ``factors[O]``: as large as int8 allows."""
    count = int(-(-factors.max() // LARGEST_WEIGHT))
    taken = LARGEST_WEIGHT * np.arange(count, dtype=np.int64)
    return np.clip(factors[:, None] - taken, 0, LARGEST_WEIGHT)


def _coded_parts(factors: NDArray[np.int64], codebook: Sequence[int]) -> NDArray[np.int64]:
    """The same of the values of ``codebook``."""
    sums = {int(factor): summands(int(factor), codebook) for factor in np.unique(factors)}
    count = max(len(values) for values in sums.values())
    return np.stack([np.pad(sums[f], (0, count - len(sums[f]))) for f in factors.tolist()])


def average_scale(program: Program, op: AveragePool, least_shift: int) -> int:
    """Exponent of the weight of an average: its shift grows by as much.

    With a codebook it is the least one in it that is no less than without, or the greatest.
    """
    scale = int(np.clip(least_shift - op.shift, 0, LARGEST_WEIGHT.bit_length() - 1))
    if program.codebook is None:
        return scale
    exponents = average_exponents(op.shift, program.codebook)
    return next((e for e in exponents if e >= scale), exponents[-1])


def _average(op: AveragePool, source: Tensor, scale: int) -> tuple[Segment, ...]:
    return tuple(
        Segment(
            kind=Kind.CHANNELS,
            source=plane.source,
            outputs=source.shape[2],
            kernel=op.kernel,
            stride=op.stride,
            padding=op.padding,
            border=plane.border(op.pad_value),
            weights=np.full((source.shape[2], *op.kernel, 1), 1 << scale, np.int8),
            hold=True,
            plane=plane.offset,
            power=plane.power,
        )
        for plane in _planes(source)
    )


def _stored(value: int, source: Tensor) -> int:
    return (value - source.stored_offset) & 0xFF


def check(op: Op, walks: tuple[Walk, ...], target: Tensor) -> None:
    """Refuses what an array of this shape cannot walk, or cannot write to ``target``.

    Raises:
        CapacityError: naming the op, the rule and the way out.
    """
    for walk in walks:
        segment = walk.segment
        if segment.kind is Kind.CHANNELS and walk.rows > 1 and segment.dilation[1] > 1:
            raise CapacityError(
                f"op '{op.name}' is a depthwise convolution with a dilation of "
                f"{segment.dilation[1]} along the line, which needs an array of one row, "
                f"not {walk.rows}; use --rows 1"
            )
        if walk.shape.bank_bytes > 1 and not (_aligned(walk) and _writes_aligned(walk, target)):
            raise CapacityError(
                f"op '{op.name}' reads or writes words at any byte, which memory banks of "
                f"{walk.shape.bank_bytes} bytes cannot"
            )


def _aligned(walk: Walk) -> bool:
    """Whether every word starts at a multiple of a bank, or is short enough where it does not."""
    banks, shape = walk.shape.bank_bytes, walk.shape
    if walk.run_bytes <= shape.word_bytes - banks + 1 and not walk.broadcast:
        return True
    fields = walk.fields()
    steps = {
        "row_bytes": walk.segment.source.shape[0] > 1,
        "x_first": True,
        "x_step": fields["out_width"] > 0,
        "run_step": walk.runs_x > 1,
        "phase_step": walk.phases > 1,
        "group_step": walk.segment.outputs > fields["group_step"],
    }
    if walk.segment.plane % banks:
        return False
    return not any(used and fields[name] % banks for name, used in steps.items())


def _writes_aligned(walk: Walk, target: Tensor) -> bool:
    """The same for the words of results."""
    shape = walk.shape
    pixels, channels = target.shape[0] * target.shape[1], target.shape[2]
    columns = shape.word_bytes if walk.segment.kind is Kind.POOL else shape.columns
    written = shape.lanes if target.bits > 8 else min(channels, columns, shape.word_bytes)
    if written <= shape.word_bytes - shape.bank_bytes + 1:
        return True
    planes = target.size if target.bits > 8 else 0
    steps = (channels if pixels > 1 else 0, columns if channels > columns else 0, planes)
    return not any(step % shape.bank_bytes for step in steps)
