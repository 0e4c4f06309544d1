"""Segments and walks: what they are made of, their weights in walking order, their cycles."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from shiftwork.errors import CapacityError, ProgramError
from shiftwork.hw.config import ArrayShape
from shiftwork.hw.schedule import make_schedule
from shiftwork.hw.segments import LARGEST_WEIGHT, LEAST_BYTE, Kind, Walk, segments
from shiftwork.quant.program import Program
from shiftwork.quant.program_ops import Op
from shiftwork.sim.example_programs import ProgramBuilder, random_program

SHAPES = [
    ArrayShape(rows=1, columns=3, word_bytes=2),
    ArrayShape(rows=3, columns=8, lanes=2),
    ArrayShape(rows=2, columns=12, lanes=4, word_bytes=8),
]


def builder(*shape: int, **settings: Any) -> ProgramBuilder:
    height, width, channels = shape
    return ProgramBuilder("case", (height, width, channels), np.random.default_rng(0), **settings)


def last_walks(program: ProgramBuilder, **shape: Any) -> tuple[Walk, ...]:
    return make_schedule(program.build(), ArrayShape(**shape)).layers[-1].walks


def last_segments(program: Program, **settings: Any) -> list[tuple[Kind, str, Any]]:
    parts = segments(program, program.ops[-1], **settings)
    return [(part.kind, part.source.name, part.kernel) for part in parts]


def test_an_op_has_a_segment_for_each_input() -> None:
    case = builder(5, 5, 4).conv(4, (1, 1), name="a").conv(4, (3, 3), padding=(1, 1, 1, 1))
    case.residual("a", np.zeros(4, np.int64)).shortcut("input", (2, 2), padding=(0, 0, 1, 1))
    assert last_segments(case.build()) == [
        (Kind.ROWS, "a", (3, 3)),
        (Kind.CHANNELS, "a", (1, 1)),
        (Kind.ROWS, "input", (2, 2)),
    ]


def test_kinds_of_the_other_ops() -> None:
    assert last_segments(builder(5, 5, 4).depthwise().build()) == [(Kind.CHANNELS, "input", (3, 3))]
    assert last_segments(builder(4, 4, 3).max_pool().build()) == [(Kind.POOL, "input", (2, 2))]
    average = builder(4, 4, 3).average_pool().build()
    assert last_segments(average) == [(Kind.CHANNELS, "input", (2, 2))]
    one_channel = builder(4, 4, 1).conv(1, (3, 3)).build()
    assert last_segments(one_channel) == [(Kind.ROWS, "input", (3, 3))]


def test_an_unknown_op_is_refused() -> None:
    program = builder(4, 4, 3).max_pool().build()

    class Strange(Op):
        pass

    with pytest.raises(ProgramError, match="op 'odd' of kind Strange has no hardware"):
        segments(program, Strange(name="odd", input="input", output="max_pool0"))


@pytest.mark.parametrize(("largest", "count"), [(0, 1), (6, 1), (7, 2), (10, 9), (16, 517)])
def test_a_residual_is_a_sum_of_weights(largest: int, count: int) -> None:
    """127 at a time: 2**7 is 127 + 1, 2**10 is 8 * 127 + 8."""
    shift = np.array([largest, 0, largest // 2], np.int64)
    program = builder(3, 3, 3).conv(3, (1, 1)).residual("input", shift).build()
    _, residual = segments(program, program.ops[0])
    assert residual.weights is not None
    assert residual.weights.shape == (3, count, 1, 1)
    assert residual.kernel == (count, 1)
    assert residual.repeats
    assert residual.weights.min() >= 0
    assert residual.weights.max() <= LARGEST_WEIGHT
    sums = residual.weights.astype(np.int64).sum(axis=(1, 2, 3))
    np.testing.assert_array_equal(sums, 1 << shift)


@pytest.mark.parametrize(("least", "weight"), [(0, 1), (2, 1), (5, 8), (30, 64)])
def test_an_average_has_one_weight(least: int, weight: int) -> None:
    """Its shift is 2: the weight raises it to ``least``, as far as int8 allows."""
    program = builder(4, 4, 3).average_pool((2, 2), (2, 2)).build()
    (average,) = segments(program, program.ops[0], least_shift=least)
    assert average.weights is not None
    assert average.hold
    assert average.weights.shape == (3, 2, 2, 1)
    assert np.unique(average.weights).tolist() == [weight]


@pytest.mark.parametrize(
    ("signed", "zero_point", "border"), [(True, -77, 256 - 77), (False, 0, 0x80), (False, 200, 72)]
)
def test_border_is_the_stored_zero_point(signed: bool, zero_point: int, border: int) -> None:
    case = builder(4, 4, 2, signed=signed, zero_point=zero_point)
    case.conv(2, (3, 3), padding=(1, 1, 1, 1)).at("input").average_pool(padding=(1, 1, 1, 1))
    program = case.build()
    assert [segments(program, op)[0].border for op in program.ops] == [border, border]


def test_border_of_a_maximum_never_wins() -> None:
    program = builder(4, 4, 2, signed=False).max_pool(padding=(1, 1, 1, 1)).build()
    assert segments(program, program.ops[0])[0].border == LEAST_BYTE == 0x80


def test_a_run_is_a_kernel_line() -> None:
    """15 bytes: three whole words of 4 cycles, then 3 bytes."""
    (walk,) = last_walks(builder(6, 6, 5).conv(4, (2, 3)), rows=2, columns=4)
    assert (walk.run_bytes, walk.words, walk.last_bytes, walk.last_cycles) == (15, 4, 3, 3)
    assert (walk.runs_x, walk.runs_y, walk.phases, walk.blocks) == (1, 2, 1, 1)
    assert walk.cycles == 2 * (3 * 4 + 3)
    assert walk.last_token == walk.cycles - 1
    assert walk.weight_bytes == 30
    assert walk.read_pattern() == 2 * (3 * [True, True, False, False] + [True, True, False])


def test_rows_stretch_the_words() -> None:
    """6 rows take their turns; the last byte of row 0 comes before the last turn."""
    (walk,) = last_walks(builder(6, 6, 5).conv(4, (1, 1)), rows=6, columns=4)
    assert (walk.words, walk.last_bytes, walk.last_cycles) == (2, 1, 6)
    assert (walk.cycles, walk.last_token) == (6 + 6, 6)
    assert walk.read_pattern() == [True] * 12


def test_a_dilated_window_has_a_run_for_each_tap() -> None:
    (walk,) = last_walks(builder(6, 6, 5).conv(4, (2, 3), dilation=(1, 2)), rows=2, columns=4)
    assert (walk.run_bytes, walk.runs_x, walk.runs_y) == (5, 3, 2)
    assert walk.cycles == 6 * (4 + 2)
    assert walk.last_token == walk.cycles - 2


def test_one_row_walks_a_depthwise_window_at_full_rate() -> None:
    (walk,) = last_walks(builder(6, 6, 4).depthwise((2, 3), stride=(2, 2)), rows=1, columns=4)
    assert (walk.taps, walk.runs_x, walk.runs_y, walk.phases, walk.blocks) == (3, 3, 2, 1, 1)
    assert (walk.cycles, walk.last_token, walk.weight_bytes) == (6, 5, 6)
    assert walk.read_pattern() == [True] * 6


def test_rows_share_the_words_of_a_line() -> None:
    """4 rows: row 3 sees its first word when row 0 has seen its third."""
    (walk,) = last_walks(builder(6, 6, 4).depthwise((2, 3)), rows=4, columns=4)
    assert (walk.taps, walk.runs_x, walk.phases) == (3, 3 + 3, 1)
    assert (walk.cycles, walk.last_token) == (12, 8)
    assert walk.weight_bytes == 6


def test_a_stride_is_walked_phase_by_phase() -> None:
    """Taps 0, 2, 4 in the first phase; 1, 3 and a zero in the second one."""
    (walk,) = last_walks(builder(6, 9, 4).depthwise((2, 5), stride=(1, 2)), rows=3, columns=4)
    assert (walk.phases, walk.taps, walk.runs_x) == (2, 3, 3 + 2)
    assert (walk.cycles, walk.last_token) == (2 * 2 * 5, 17)
    assert walk.weight_bytes == 2 * 2 * 3


def test_a_kernel_of_one_pixel_has_no_phases() -> None:
    (walk,) = last_walks(builder(6, 9, 4).depthwise((3, 1), stride=(2, 2)), rows=3, columns=4)
    assert (walk.phases, walk.taps, walk.runs_x, walk.cycles) == (1, 1, 3, 9)


def test_columns_beyond_a_word_take_more_blocks() -> None:
    """10 of 12 columns have a channel: 3 words of 4; each column has weights for all of them."""
    (walk,) = last_walks(builder(4, 4, 10).depthwise((2, 2)), rows=1, columns=12)
    assert (walk.blocks, walk.cycles, walk.weight_bytes) == (3, 12, 12)


@pytest.mark.parametrize(
    ("kernel", "stride", "rows", "hold", "weight_bytes"),
    [
        ((3, 3), (3, 3), 1, True, 2),
        ((4, 4), (2, 2), 3, True, 2),
        ((3, 3), (2, 2), 3, False, 2 * 3 * 2 * 2),
    ],
)
def test_an_average_holds_its_weight(
    kernel: Any, stride: Any, rows: int, hold: bool, weight_bytes: int
) -> None:
    """One for each of 2 blocks, but if a phase has fewer taps and needs zeros."""
    case = builder(6, 6, 8).average_pool(kernel, stride)
    (walk,) = last_walks(case, rows=rows, columns=8)
    assert (walk.hold, walk.blocks, walk.weight_bytes) == (hold, 2, weight_bytes)


def test_a_residual_reads_its_word_again_and_again() -> None:
    case = builder(3, 3, 4).conv(4, (1, 1)).residual("input", np.full(4, 9, np.int64))
    _, walk = last_walks(case, rows=2, columns=4)
    assert (walk.runs_y, walk.taps, walk.runs_x) == (5, 1, 2)
    assert (walk.cycles, walk.last_token, walk.weight_bytes) == (10, 8, 5)
    assert walk.fields()["y_run_step"] == walk.fields()["line_run_step"] == 0


def test_a_maximum_takes_a_cycle_a_tap_whatever_the_rows() -> None:
    (walk,) = last_walks(builder(6, 6, 4).max_pool((3, 2), (1, 1)), rows=4, columns=4)
    assert (walk.rows, walk.cycles, walk.last_token, walk.weight_bytes) == (1, 6, 5, 0)


@dataclass(frozen=True)
class Place:
    """A weight of a walk: what row 0's byte is multiplied by.

    ``channel`` is an input channel, or None where each output channel reads its own.
    """

    block: int
    ky: int
    kx: int
    channel: int | None


def walked(walk: Walk) -> list[Place]:
    """The weights in the order in which row 0 needs them."""
    segment = walk.segment
    height, width = segment.kernel
    if segment.kind is Kind.ROWS:
        return [
            Place(0, ky, kx, channel)
            for ky in range(height)
            for kx in range(width)
            for channel in range(walk.channels)
        ]
    if walk.hold:
        return [Place(block, 0, 0, None) for block in range(walk.blocks)]
    return [
        Place(block, ky, phase + tap * walk.phases, None)
        for block in range(walk.blocks)
        for phase in range(walk.phases)
        for ky in range(height)
        for tap in range(walk.taps)
    ]


def weight_at(walk: Walk, output: int, within: int, place: Place) -> int:
    """Of an output channel that is number ``within`` of its group; 0 where it has none."""
    weights = walk.segment.weights
    assert weights is not None
    if output >= len(weights) or place.kx >= weights.shape[2]:
        return 0
    if place.channel is not None:
        return int(weights[output, place.ky, place.kx, place.channel])
    own = within // walk.shape.word_bytes == place.block
    return int(weights[output, place.ky, place.kx, 0]) if own else 0


def check_columns(walk: Walk) -> None:
    shape, places = walk.shape, walked(walk)
    assert len(places) == walk.weight_bytes
    groups = -(-walk.segment.outputs // shape.columns)
    columns = walk.columns().view(np.int8)
    assert columns.shape == (groups, shape.columns, walk.weight_bytes)
    for group, column in np.ndindex(groups, shape.columns):
        within = shape.channel(column)
        output = group * shape.columns + within
        expected = [weight_at(walk, output, within, place) for place in places]
        assert columns[group, column].tolist() == expected


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape.rows}x{shape.columns}")
@pytest.mark.parametrize("seed", range(10))
def test_weights_lie_in_walking_order(shape: ArrayShape, seed: int) -> None:
    schedule = make_schedule(random_program(np.random.default_rng(seed), depth=2), shape)
    for layer in schedule.layers:
        for walk in layer.walks:
            assert len(walk.read_pattern()) == walk.cycles
            assert 0 <= walk.last_token < walk.cycles
            if walk.segment.weights is not None:
                check_columns(walk)


def test_weights_of_phases_and_blocks() -> None:
    case = builder(4, 9, 11).depthwise((2, 5), stride=(1, 3))
    (walk,) = last_walks(case, rows=3, columns=8)
    assert (walk.phases, walk.blocks) == (3, 2)
    check_columns(walk)


def test_dilated_depthwise_windows_need_one_row() -> None:
    case = builder(5, 5, 3).conv(3, (2, 2), dilation=(1, 2), groups=3, name="far")
    (walk,) = last_walks(case, rows=1, columns=4)
    assert (walk.runs_x, walk.fields()["run_step"]) == (2, 2 * 3)
    message = (
        "op 'far' is a depthwise convolution with a dilation of 2 along the line, "
        "which needs an array of one row, not 2; use --rows 1"
    )
    with pytest.raises(CapacityError, match=f"^{message}$"):
        last_walks(case, rows=2, columns=4)


def test_dilated_lines_of_a_depthwise_window_suit_any_array() -> None:
    case = builder(5, 5, 3).conv(3, (2, 2), dilation=(2, 1), groups=3)
    (walk,) = last_walks(case, rows=2, columns=4)
    assert walk.fields()["y_run_step"] == 2


WIDE_BANKS: dict[str, Any] = {"rows": 2, "columns": 4, "bank_bytes": 2}


@pytest.mark.parametrize(
    "case",
    [
        builder(5, 5, 4).conv(4, (3, 3), padding=(1, 1, 1, 1)),
        builder(5, 6, 1).conv(4, (1, 3)),
        builder(5, 5, 6).depthwise(),
        builder(1, 1, 35).dense(12),
        builder(4, 4, 8).max_pool(),
    ],
    ids=lambda case: f"{case.ops[0].name}-{case.tensors[0].shape[2]}",
)
def test_wide_banks_suit_even_steps_and_short_runs(case: ProgramBuilder) -> None:
    assert last_walks(case, **WIDE_BANKS)


@pytest.mark.parametrize(
    "case",
    [
        builder(5, 5, 5).conv(4, (1, 1), name="odd"),
        builder(5, 5, 3).conv(4, (2, 2), name="odd"),
        builder(5, 5, 5).depthwise(name="odd"),
        builder(5, 5, 5).max_pool(name="odd"),
        builder(5, 5, 4).conv(5, (1, 1), name="odd"),
        builder(5, 5, 5).average_pool(name="odd"),
    ],
    ids=lambda case: f"{type(case.ops[0]).__name__}-{case.last.shape}",
)
def test_wide_banks_refuse_words_at_odd_addresses(case: ProgramBuilder) -> None:
    """A step of 5 or 15 bytes, read or written, where a word of 4 does not fit behind it."""
    message = "op 'odd' reads or writes words at any byte, which memory banks of 2 bytes cannot"
    with pytest.raises(CapacityError, match=message):
        last_walks(case, **WIDE_BANKS)


@pytest.mark.parametrize(("outputs", "lanes", "fits"), [(6, 4, True), (5, 4, False), (5, 2, True)])
def test_wide_banks_and_the_planes_of_accumulators(outputs: int, lanes: int, fits: bool) -> None:
    """Each plane begins behind the one before, at any byte if the outputs are an odd number."""
    program = builder(1, 1, 2).conv(outputs, (1, 1), accumulators=True, name="odd").build()
    shape = ArrayShape(rows=1, columns=4, lanes=lanes, word_bytes=4, bank_bytes=2)
    if fits:
        assert make_schedule(program, shape).layers
        return
    with pytest.raises(CapacityError, match="op 'odd' reads or writes words at any byte, which"):
        make_schedule(program, shape)


def test_weights_of_16_bits_are_two_segments() -> None:
    """All first digits come before the accumulator is scaled, all second ones behind."""
    case = builder(4, 4, 3, signed=False).conv(3, (2, 2), padding=(0, 0, 1, 1), name="a", wide=True)
    case.shortcut("input", wide=True).shortcut("input").residual("input", [8, 9, 15])
    program = case.build()
    parts = segments(program, program.ops[0])
    assert [(part.kernel, part.power, part.scale) for part in parts] == [
        ((2, 2), 8, False),
        ((1, 1), 8, False),
        ((2, 1), 8, False),
        ((2, 2), 0, True),
        ((1, 1), 0, False),
        ((1, 1), 0, False),
    ]
    weights = [part.weights.astype(int) for part in parts if part.weights is not None]
    np.testing.assert_array_equal(256 * weights[0] + weights[3], program.ops[0].weights)
    assert weights[2].sum(axis=(1, 2, 3)).tolist() == [1, 2, 128]


@pytest.mark.parametrize(("shifts", "power"), [([8, 8, 8], 8), ([7, 8, 9], 0)])
def test_a_residual_goes_first_where_every_shift_allows_it(shifts: list[int], power: int) -> None:
    case = builder(3, 3, 3).conv(3, (1, 1), wide=True).residual("input", shifts)
    program = case.build()
    (residual,) = [p for p in segments(program, program.ops[0]) if p.kind is Kind.CHANNELS]
    assert residual.power == power
    assert residual.weights is not None
    sums = residual.weights.astype(np.int64).sum(axis=(1, 2, 3)) << power
    np.testing.assert_array_equal(sums, 1 << np.array(shifts))


def test_without_weights_of_16_bits_nothing_is_scaled() -> None:
    case = builder(3, 3, 3).conv(3, (1, 1)).residual("input", [9, 9, 9]).shortcut("input")
    config = make_schedule(case.build(), SHAPES[0]).config
    assert not config.scaled
    assert not any("scale" in name for name, _, _ in config.fields)


def test_weights_of_16_bits_take_twice_the_cycles_and_bytes() -> None:
    plain, wide = (
        last_walks(builder(5, 5, 3).conv(4, (3, 3), wide=wide), rows=2, columns=4)
        for wide in (False, True)
    )
    assert sum(walk.cycles for walk in wide) == 2 * sum(walk.cycles for walk in plain)
    assert sum(walk.weight_bytes for walk in wide) == 2 * sum(walk.weight_bytes for walk in plain)


def test_a_map_of_16_bits_is_read_plane_by_plane() -> None:
    """The high bytes have a sign and come first; they lie behind the low ones."""
    case = builder(2, 2, 3).conv(3, (1, 1), wide_output=True).conv(4, (1, 1), pad_value=-300)
    program = case.build()
    high, low = segments(program, program.ops[1])
    assert (high.plane, high.power, high.scale, high.source.stored_offset) == (12, 8, False, 0)
    assert (low.plane, low.power, low.scale, low.source.stored_offset) == (0, 0, True, 128)
    assert (high.border, low.border) == (0xFE, 0xD4 ^ 0x80)
    assert high.weights is low.weights


def test_16_bits_of_both_are_four_segments_and_three_powers() -> None:
    case = builder(1, 1, 3).conv(3, (1, 1), wide_output=True)
    program = case.conv(2, (1, 1), weights=[300, -300, 5] * 2, wide=True).build()
    parts = segments(program, program.ops[1])
    assert [(part.power, part.plane, part.scale) for part in parts] == [
        (16, 3, False),
        (8, 0, True),
        (8, 3, False),
        (0, 0, True),
    ]


@pytest.mark.parametrize(
    ("shifts", "powers"), [([0, 7, 3], [8, 0]), ([8, 9, 9], [8, 8]), ([7, 8, 8], [8, 0])]
)
def test_a_residual_of_16_bits_goes_as_far_ahead_as_its_shifts_allow(
    shifts: list[int], powers: list[int]
) -> None:
    case = builder(1, 2, 3).conv(3, (1, 1), wide_output=True, name="a").at("input")
    program = case.conv(3, (1, 1)).residual("a", shifts).build()
    parts = [p for p in segments(program, program.ops[1]) if p.kind is Kind.CHANNELS]
    assert [part.power for part in parts] == powers
    for part, power in zip(parts, (8, 0), strict=True):
        assert part.weights is not None
        sums = part.weights.astype(np.int64).sum(axis=(1, 2, 3)) << part.power
        np.testing.assert_array_equal(sums, 1 << (np.array(shifts) + power))


def test_banks_cannot_read_a_plane_that_begins_in_the_middle_of_one() -> None:
    case = builder(1, 1, 4).conv(5, (1, 1), wide_output=True).conv(2, (1, 1))
    with pytest.raises(CapacityError, match="op 'conv1' reads or writes words at any byte"):
        make_schedule(case.build(), ArrayShape(rows=1, columns=4, bank_bytes=2))
    even = builder(1, 1, 4).conv(6, (1, 1), wide_output=True).conv(2, (1, 1)).build()
    assert make_schedule(even, ArrayShape(rows=1, columns=4, bank_bytes=2)).config.output_bits == 16
