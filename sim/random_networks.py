"""Hypothesis strategies for whole networks, arrays and inputs; they need the extra ``test``.

What is drawn is small, so that it simulates fast and shrinks well, and covers what a program may
hold by the rules of ``docs/program.md``: every op and attribute, branches, tensors that nothing
reads, maps of one pixel, one channel, one output.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from hypothesis import reject
from hypothesis import strategies as st
from numpy.typing import NDArray

from shiftwork.errors import CapacityError
from shiftwork.hw.config import ArrayShape
from shiftwork.hw.schedule import make_schedule
from shiftwork.quant.activation_table import ENTRIES
from shiftwork.quant.digits import DIGIT_BITS
from shiftwork.quant.graph import Padding, Pair
from shiftwork.quant.program import Program
from shiftwork.quant.program_ops import (
    INT16,
    WIDE_RANGE,
    Conv,
    Tensor,
    WeightArray,
    output_aliases,
    signed_bits,
    table_of,
)
from shiftwork.sim.network_case import Case
from shiftwork.sim.program_builder import ProgramBuilder, byte_range
from shiftwork.sim.shifting_cases import shifting

T = TypeVar("T")
Draw = Callable[[st.SearchStrategy[T]], T]

MOST_CYCLES = 700
"""Of a frame: what Amaranth's simulator runs in half a second."""
MOST_PAYLOAD = 1_024
"""Bytes of weights that are loaded from a flash: 16 cycles each."""
MOST_ELEMENTS = 400
"""Of a tensor."""
MOST_WEIGHTS = 1_500
"""Of an op."""
LARGEST_RESIDUAL_SHIFT = 14
LARGEST_WIDE_SHIFT = 11
"""Of a residual of 16 bits."""
COLUMN_BYTES = (0, 0, 0, 512, 64)
"""Weights in ROMs; copied to columns that hold any layer, or to columns that hold few."""
FEW_COLUMN_BYTES = (4, 8, 16, 32)
"""Of the columns that are so small that a layer's weights are copied in several passes."""

SHIFTING = 4
"""One of so many networks has powers of two for weights, if it then fits as well."""

KINDS = ("conv", "conv", "depthwise", "dense", "max_pool", "average_pool", "reshape")
WEIGHTS = ("zero", "random", "one", "random", "lo", "random", "hi", "extremes", "sparse")
TABLES = ("random", "again", "monotone", "again", "constant")
MOST_WIDE = 24
"""Products of an output whose weights have 16 bits: 32 bits then hold the sums of four such."""
MOST_WIDE_TWICE, LARGEST_TWICE = 8, 1023
"""The same where the input has 16 bits too, and the largest weight then."""
MOST_OF_WIDE = 48
"""The same where the input has 16 bits and weights have 8."""
FRAMES = ("zero", "random", "lo", "random", "hi", "extremes", "steered_up", "steered_down")


@st.composite
def cases(draw: Draw[Any], *, most_cycles: int = MOST_CYCLES) -> Case:
    """A network, an array that it suits, and one to three inputs.

    Args:
        draw: given by Hypothesis.
        most_cycles: of a frame.
    """
    program = draw(programs())
    shape = draw(shapes())
    if shape.column_bytes and draw(st.booleans()):
        shape = _least_columns(program, shape)
    case = Case(
        program=program,
        shape=shape,
        q=np.stack(draw(st.lists(frames(program), min_size=1, max_size=3))),
        seed=draw(st.integers(0, 999)),
        stall_probability=draw(st.sampled_from((0.0, 0.25, 0.6))),
    )
    try:
        schedule = case.schedule
    except CapacityError:
        reject()
    if schedule.cycles > most_cycles or len(schedule.payload) > MOST_PAYLOAD:
        reject()
    return shifting(case, most_cycles=most_cycles) if case.seed % SHIFTING == 1 else case


def _least_columns(program: Program, shape: ArrayShape) -> ArrayShape:
    """The array with columns that just hold a group of every layer."""
    for column_bytes in FEW_COLUMN_BYTES:
        small = replace(shape, column_bytes=column_bytes)
        try:
            make_schedule(program, small)
        except CapacityError:
            continue
        return small
    return shape


@st.composite
def shapes(draw: Draw[Any]) -> ArrayShape:
    """Any mixture of an array's free choices."""
    lanes = draw(st.sampled_from((1, 1, 2, 4)))
    columns = lanes * draw(st.integers(1, 8 // lanes))
    word_bytes = draw(st.sampled_from([width for width in (4, 2, 8, 16) if width >= lanes]))
    banks = [width for width in (1, 1, 1, 2, 4) if 2 * width <= word_bytes]
    return ArrayShape(
        rows=draw(st.sampled_from((1, 2, 1, 3, 2, 5))),
        columns=columns,
        lanes=lanes,
        stage_columns=draw(st.integers(1, columns)),
        word_bytes=word_bytes,
        bank_bytes=draw(st.sampled_from(banks)),
        single_port=draw(st.booleans()),
        column_bytes=draw(st.sampled_from(COLUMN_BYTES)),
        input_buffers=draw(st.sampled_from((2, 1))),
    )


@st.composite
def programs(draw: Draw[Any], *, most_ops: int = 5) -> Program:
    """A valid network of at most so many ops.

    Args:
        draw: given by Hypothesis.
        most_ops: that it has.
    """
    signed = draw(st.booleans())
    lo, hi = byte_range(signed=signed)
    bounds = draw(st.one_of(st.none(), st.none(), _bounds(lo, hi)))
    least, most = bounds or (lo, hi)
    shape = (draw(st.integers(1, 7)), draw(st.integers(1, 7)), draw(_channels()))
    if math.prod(shape) > MOST_ELEMENTS:
        reject()
    builder = ProgramBuilder(
        "random",
        shape,
        signed=signed,
        zero_point=draw(st.one_of(st.just(min(max(0, least), most)), st.integers(least, most))),
        bounds=bounds,
    )
    tabled = draw(st.booleans())
    for index in range(most_ops):
        if draw(_steps(builder, may_go_on=index < most_ops - 1, tabled=tabled)):
            break
    shared = output_aliases(builder.ops, builder.tensors[-1].name)
    readers = [op for op in builder.ops if op.output not in shared]
    if "input" in shared or any(shared.intersection(op.inputs) for op in readers):
        reject()
    if builder.last.shape[:2] == (1, 1) and draw(st.booleans()):
        builder.top_score(draw(_thresholds(builder.last)))
    return builder.build()


def _thresholds(scores: Tensor) -> st.SearchStrategy[int | None]:
    """None, near the middle, or any."""
    near = (
        st.integers(max(scores.lo, -40), min(scores.hi, 40)) if _holds_zero(scores) else st.none()
    )
    return st.one_of(st.none(), near, st.integers(scores.lo, scores.hi))


def _holds_zero(tensor: Tensor) -> bool:
    return tensor.lo <= 0 <= tensor.hi


def frames(program: Program) -> st.SearchStrategy[NDArray[np.int32]]:
    """One input ``[H, W, C]``: all at the least or the greatest value, at the zero point, random,
    random between the two extremes, or such that an accumulator of the first convolution comes as
    high or as low as it can.
    """
    return st.builds(
        lambda kind, seed: _frame(program, kind, np.random.default_rng(seed)),
        st.sampled_from(FRAMES),
        st.integers(0, 999),
    )


def _frame(program: Program, kind: str, rng: np.random.Generator) -> NDArray[np.int32]:
    tensor = program.tensor(program.input)
    constant = {"zero": tensor.zero_point, "lo": tensor.lo, "hi": tensor.hi}
    if kind in constant:
        return np.full(tensor.shape, constant[kind], np.int32)
    if kind == "random":
        return rng.integers(tensor.lo, tensor.hi + 1, tensor.shape, dtype=np.int32)
    ends = np.array([tensor.lo, tensor.hi], np.int32)
    frame = ends[rng.integers(0, 2, tensor.shape)]
    if kind != "extremes":
        _steer(program, frame, ends if kind == "steered_up" else ends[::-1])
    return frame


def _steer(program: Program, frame: NDArray[np.int32], ends: NDArray[np.int32]) -> None:
    """Sets the first window with a pixel of the map so that channel 0's products are extreme."""
    readers = [op for op in program.ops if op.input == program.input and isinstance(op, Conv)]
    if not readers:
        return
    op = readers[0]
    height, width, _ = frame.shape
    firsts = [
        -(-pad // step) * step - pad for pad, step in zip(op.padding, op.stride, strict=False)
    ]
    for u, v, c in np.ndindex(op.weights.shape[1:]):
        y, x = firsts[0] + u * op.dilation[0], firsts[1] + v * op.dilation[1]
        if y < height and x < width:
            frame[y, x, c] = ends[int(op.weights[0, u, v, c] > 0)]


def _channels() -> st.SearchStrategy[int]:
    return st.sampled_from((1, 2, 3, 4, 5, 7, 8, 9, 11))


def _bounds(lo: int, hi: int) -> st.SearchStrategy[Pair]:
    return st.tuples(st.integers(lo, hi), st.integers(lo, hi)).map(lambda p: (min(p), max(p)))


@dataclass(frozen=True)
class _Axis:
    """A window along one axis."""

    kernel: int
    stride: int = 1
    before: int = 0
    after: int = 0
    dilation: int = 1


@st.composite
def _steps(draw: Draw[Any], builder: ProgramBuilder, *, may_go_on: bool, tabled: bool) -> bool:
    """Appends one op, so that Hypothesis can leave it out; tells whether it was the last one."""
    last = not may_go_on or draw(st.sampled_from((True, False, False, False)))
    _Step(draw, builder, last=last, tabled=tabled).append()
    return last


class _Step:
    """Appends one random op.

    Parameters:
        draw: of Hypothesis.
        builder: what it is appended to.
        last: whether no op follows.
        tabled: whether the op may have a table.
    """

    def __init__(
        self, draw: Draw[Any], builder: ProgramBuilder, *, last: bool, tabled: bool
    ) -> None:
        self.draw = draw
        self.builder = builder
        self.last = last
        self.tabled = tabled

        self._kinds = {
            "conv": self._conv,
            "depthwise": self._depthwise,
            "dense": self._dense,
            "max_pool": self._max_pool,
            "average_pool": self._average_pool,
            "reshape": self._reshape,
        }

    def append(self) -> None:
        """The op."""
        if self.draw(st.sampled_from((False, False, False, True))):
            self.builder.at(self.draw(st.sampled_from(self.builder.tensors)).name)
        # Names, not methods: Hypothesis groups what it has drawn by the hash of the choices, and a
        # method's hash is an address, so that a seed would stand for other networks each time.
        self._kinds[self.draw(st.sampled_from(KINDS))]()
        if self.builder.last.size > MOST_ELEMENTS:
            reject()

    def _conv(self) -> None:
        twin = self._twin()
        channels = twin.shape[2] if twin else self.draw(_channels())
        axes = [self._axis(size, same=twin is not None) for size in self.builder.last.shape[:2]]
        self._append_conv(channels, axes, twin)

    def _depthwise(self) -> None:
        channels = self.builder.last.shape[2]
        twin = self._twin(channels)
        axes = [self._axis(size, same=twin is not None) for size in self.builder.last.shape[:2]]
        self._append_conv(channels, axes, twin, groups=channels)

    def _dense(self) -> None:
        if self.builder.last.shape[:2] != (1, 1):
            self.builder.reshape((1, 1, self.builder.last.size))
        self._append_conv(self.draw(_channels()), [_Axis(1), _Axis(1)], None)

    def _append_conv(
        self, channels: int, axes: list[_Axis], twin: Tensor | None, groups: int = 1
    ) -> None:
        source, (y, x) = self.builder.last, axes
        count = channels * y.kernel * x.kernel * (source.shape[2] // groups)
        unsigned = self.draw(st.booleans())
        accumulators = self.last and self.draw(st.booleans())
        wide = self._wide(count // channels, source)
        wide_output = not self.last and self.draw(st.sampled_from((False, False, True)))
        unsigned = unsigned and not wide_output
        self.builder.conv(
            channels,
            (y.kernel, x.kernel),
            **_settings(axes),
            dilation=(y.dilation, x.dilation),
            unsigned=unsigned and not accumulators,
            bounds=None if accumulators else self._clip(unsigned, wide=wide_output),
            weights=self._weights(count, wide=wide, source=source),
            wide=wide,
            wide_output=wide_output,
            bias=self._bias(channels),
            shift=0,
            pad_value=self._pad_value(source),
            accumulators=accumulators,
            groups=groups,
        )
        if twin is not None:
            self.builder.residual(twin.name, self._residual_shift(channels, twin))
        while len(self._conv_op.terms) < 3 and self.draw(st.sampled_from((False, False, True))):
            self._append_term(channels)
        self._set_shift()
        if not accumulators and not wide_output:
            self._set_table()

    def _append_term(self, channels: int) -> None:
        """A residual, or a shortcut by whatever window makes the right shape."""
        target = self.builder.last
        earlier = self.builder.tensors[:-1]
        twins = [tensor for tensor in earlier if tensor.shape == target.shape]
        if twins and self.draw(st.booleans()):
            twin = self.draw(st.sampled_from(twins))
            self.builder.residual(twin.name, self._residual_shift(channels, twin))
            return
        source = self.draw(st.sampled_from(earlier))
        y, x = (
            self._fitting_axis(size, outputs)
            for size, outputs in zip(source.shape[:2], target.shape[:2], strict=True)
        )
        taps = y.kernel * x.kernel * source.shape[2]
        wide = self._wide(taps, source)
        self.builder.shortcut(
            source.name,
            (y.kernel, x.kernel),
            **_settings([y, x]),
            dilation=(y.dilation, x.dilation),
            weights=self._weights(channels * taps, wide=wide, source=source),
            wide=wide,
            pad_value=self._pad_value(source),
        )

    def _max_pool(self) -> None:
        if self.builder.last.wide:
            reject()
        axes = [self._axis(size, pool=True) for size in self.builder.last.shape[:2]]
        self.builder.max_pool((axes[0].kernel, axes[1].kernel), **_settings(axes))

    def _average_pool(self) -> None:
        source = self.builder.last
        axes = [self._axis(size, dilations=(1,)) for size in source.shape[:2]]
        wide = not self.last and self.draw(st.sampled_from((False, False, False, True)))
        unsigned = self.draw(st.booleans()) and not wide
        most = (axes[0].kernel * axes[1].kernel - 1).bit_length()
        self.builder.average_pool(
            (axes[0].kernel, axes[1].kernel),
            **_settings(axes),
            shift=self.draw(st.one_of(st.integers(0, most), st.integers(0, 31))),
            unsigned=unsigned,
            wide_output=wide,
            bounds=self._clip(unsigned, wide=wide),
            pad_value=self._pad_value(source),
        )
        if not wide:
            self._set_table()

    def _reshape(self) -> None:
        if self.last and self.builder.last.wide:
            reject()
        size = self.builder.last.size
        height = self.draw(st.sampled_from(_divisors(size)))
        width = self.draw(st.sampled_from(_divisors(size // height)))
        self.builder.reshape((height, width, size // height // width))

    def _axis(
        self,
        size: int,
        *,
        same: bool = False,
        pool: bool = False,
        dilations: tuple[int, ...] = (1, 1, 2, 3),
    ) -> _Axis:
        """A window that fits ``size``; ``same`` keeps it, ``pool`` has no window in the border."""
        kernel = self.draw(st.integers(1, 4))
        if same:
            before = self.draw(st.integers(0, kernel - 1))
            return _Axis(kernel, before=before, after=kernel - 1 - before)
        dilation = 1 if pool else self.draw(st.sampled_from(dilations))
        span = dilation * (kernel - 1) + 1
        most = kernel - 1 if pool else self.draw(st.sampled_from((0, kernel - 1, span + 1)))
        before = self.draw(st.integers(0, most))
        least = max(0, span - size - before)
        return _Axis(
            kernel,
            stride=self.draw(st.integers(1, 4)),
            before=before,
            after=self.draw(st.integers(least, max(least, most))),
            dilation=dilation,
        )

    def _fitting_axis(self, size: int, outputs: int) -> _Axis:
        """A window that makes ``outputs`` of ``size``."""
        kernel = self.draw(st.sampled_from((1, 1, 2, 3)))
        dilation = self.draw(st.sampled_from((1, 2)))
        span = dilation * (kernel - 1) + 1
        # All lines of the map and the border: from this many on, and stride - 1 more.
        least_stride = max(1, -(-(size - span + 1) // outputs))
        stride = least_stride + self.draw(st.integers(0, 2))
        least = stride * (outputs - 1) + span - size
        padding = self.draw(st.integers(max(0, least), least + stride - 1))
        before = self.draw(st.integers(0, padding))
        return _Axis(kernel, stride, before, padding - before, dilation)

    def _twin(self, channels: int | None = None) -> Tensor | None:
        """Sometimes an earlier tensor with the height and width of the last one, to be added."""
        if self.draw(st.sampled_from((True, True, False))):
            return None
        last = self.builder.last
        twins = [
            tensor
            for tensor in self.builder.tensors
            if tensor.shape[:2] == last.shape[:2] and channels in (None, tensor.shape[2])
        ]
        return self.draw(st.sampled_from(twins))

    def _clip(self, unsigned: bool, *, wide: bool = False) -> Pair | None:
        lo, hi = WIDE_RANGE if wide else byte_range(signed=not unsigned)
        return self.draw(st.one_of(st.none(), st.none(), _bounds(lo, hi)))

    def _pad_value(self, source: Tensor) -> int:
        lo, hi = WIDE_RANGE if source.wide else byte_range(signed=source.signed)
        return self.draw(
            st.one_of(st.just(source.zero_point), st.just(source.zero_point), st.integers(lo, hi))
        )

    def _wide(self, products: int, source: Tensor) -> bool:
        """Sometimes, where an output has few products: weights of 16 bits."""
        if source.wide and products > MOST_OF_WIDE:
            reject()
        most = MOST_WIDE_TWICE if source.wide else MOST_WIDE
        return products <= most and self.draw(st.sampled_from((False, False, True)))

    def _weights(self, count: int, *, wide: bool, source: Tensor) -> WeightArray:
        if count > MOST_WEIGHTS:
            reject()
        dtype: type[np.signedinteger[Any]] = np.int16 if wide else np.int8
        lo, hi = INT16 if wide else (-128, 127)
        if wide and source.wide:
            lo, hi = -LARGEST_TWICE - 1, LARGEST_TWICE
        kind = self.draw(st.sampled_from(WEIGHTS))
        rng = np.random.default_rng(self.draw(st.integers(0, 999)))
        constant = {"zero": 0, "one": 1, "lo": lo, "hi": hi}
        if kind in constant:
            return np.full(count, constant[kind], dtype)
        if kind == "extremes":
            return np.array([lo, hi], dtype)[rng.integers(0, 2, count)]
        weights = rng.integers(lo, hi + 1, count, dtype=dtype)
        return weights * (rng.random(count) < 0.2) if kind == "sparse" else weights

    def _bias(self, channels: int) -> NDArray[np.int64]:
        size = 1 << self.draw(st.sampled_from((0, 8, 12, 20, 29)))
        rng = np.random.default_rng(self.draw(st.integers(0, 999)))
        return rng.integers(-size + 1, size, channels, dtype=np.int64)

    def _residual_shift(self, channels: int, source: Tensor) -> NDArray[np.int64]:
        most = self.draw(st.sampled_from((0, 4, 8, LARGEST_RESIDUAL_SHIFT)))
        most = min(most, LARGEST_WIDE_SHIFT) if source.wide else most
        if self._conv_op.wide and self.draw(st.booleans()):
            return self._varied(channels, DIGIT_BITS, max(DIGIT_BITS, most))
        return self._varied(channels, 0, most)

    def _set_shift(self) -> None:
        """Shifts of any size, or such that the output's range is used."""
        op = self._conv_op
        kind = self.draw(st.sampled_from(("zero", "fitting", "fitting", "fitting", "any")))
        if kind == "zero" or op.accumulators:
            return
        least, most = 0, 31
        if kind == "fitting":
            sources = [self.builder.tensor(name) for name in op.inputs]
            lo, hi = op.accumulator_range(*sources)
            bits = signed_bits(int(lo.min()), int(hi.max()))
            bits -= self.builder.last.bits - 8
            least, most = max(0, bits - 13), max(0, bits - 7)
        self.builder.shift(self._varied(len(op.weights), least, most))

    def _set_table(self) -> None:
        """Sometimes a table: random, constant, monotone, or that of an op before."""
        if not self.tabled or self.draw(st.sampled_from((False, False, True))):
            return
        kind = self.draw(st.sampled_from(TABLES))
        unsigned = self.draw(st.booleans())
        lo, hi = byte_range(signed=not unsigned)
        rng = np.random.default_rng(self.draw(st.integers(0, 999)))
        values = rng.integers(lo, hi + 1, ENTRIES)
        earlier = [op for op in self.builder.ops[:-1] if table_of(op) is not None]
        if kind == "constant":
            values = np.full(ENTRIES, values[0])
        elif kind == "monotone":
            # Signed indices: the negative ones stand at the end.
            values = np.roll(np.sort(values), ENTRIES // 2)
        elif kind == "again" and earlier and (table := table_of(earlier[0])) is not None:
            values = table.outputs.astype(np.int64)
            unsigned = not self.builder.tensor(earlier[0].output).signed
        self.builder.table(values, unsigned=unsigned)

    def _varied(self, channels: int, least: int, most: int) -> NDArray[np.int64]:
        """A shift a channel: all the same, or all random."""
        if self.draw(st.booleans()):
            return np.full(channels, self.draw(st.integers(least, most)), np.int64)
        rng = np.random.default_rng(self.draw(st.integers(0, 999)))
        return rng.integers(least, most + 1, channels, dtype=np.int64)

    @property
    def _conv_op(self) -> Conv:
        op = self.builder.ops[-1]
        assert isinstance(op, Conv)
        return op


def _settings(axes: list[_Axis]) -> dict[str, Any]:
    y, x = axes
    padding: Padding = (y.before, x.before, y.after, x.after)
    return {"stride": (y.stride, x.stride), "padding": padding}


def _divisors(size: int) -> list[int]:
    return [number for number in range(1, size + 1) if size % number == 0]
