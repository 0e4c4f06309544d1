from dataclasses import replace

import numpy as np
import pytest

from shiftwork.boards.binding import (
    MAX_WORD_BYTES,
    further_bindings,
    shapes_for,
    split_bindings,
)
from shiftwork.boards.board import Board
from shiftwork.boards.registry import BOARDS, find
from shiftwork.errors import CapacityError
from shiftwork.hw.activation_bank import SPRAM_BYTES
from shiftwork.hw.config import ArrayShape
from shiftwork.hw.schedule import Outline
from shiftwork.quant.program import Program
from shiftwork.sim.example_programs import (
    ProgramBuilder,
    dense_net,
    depthwise_net,
    residual_net,
    small_cnn,
)

ICE, ULX = find("icebreaker"), find("ulx3s-85f")
SPRAM = {"family": "ice40up", "single_port": True}


def shapes(board: Board | None, program: Program, rows: int, columns: int) -> list[ArrayShape]:
    return list(shapes_for(board, program, rows=rows, columns=columns))


def averaging_net() -> Program:
    return ProgramBuilder("averages", (4, 4, 8), np.random.default_rng(0)).average_pool().build()


@pytest.mark.parametrize(
    ("board", "rows", "columns", "expected"),
    [
        (None, 2, 8, ArrayShape(rows=2, columns=8)),
        (None, 5, 3, ArrayShape(rows=5, columns=3, word_bytes=8)),
        (
            ULX,
            1,
            20,
            ArrayShape(rows=1, columns=20, lanes=4, stage_columns=8, family="ecp5"),
        ),
        (ULX, 1, 10, ArrayShape(rows=1, columns=10, lanes=2, stage_columns=8, family="ecp5")),
        (ULX, 1, 25, ArrayShape(rows=1, columns=25, lanes=1, stage_columns=8, family="ecp5")),
        (ULX, 3, 4, ArrayShape(rows=3, columns=4, lanes=4, stage_columns=4, family="ecp5")),
    ],
)
def test_a_board_with_block_ram_alone(
    board: Board | None, rows: int, columns: int, expected: ArrayShape
) -> None:
    assert shapes(board, small_cnn(), rows, columns) == [expected]


def test_spram_is_read_in_whole_words_or_in_bytes() -> None:
    wide = ArrayShape(rows=2, columns=8, stage_columns=8, word_bytes=8, bank_bytes=2, **SPRAM)
    assert shapes(ICE, small_cnn(), 2, 8) == [wide, replace(wide, word_bytes=4, bank_bytes=1)]


@pytest.mark.parametrize("board", [None, ULX], ids=["none", "ulx3s-85f"])
@pytest.mark.parametrize("make", [depthwise_net, residual_net, averaging_net])
def test_words_reach_all_columns_where_layers_take_words_of_channels(make, board) -> None:
    for rows, columns, word_bytes in ((2, 16, 16), (2, 12, 16), (1, 3, 4), (8, 2, 8), (1, 64, 32)):
        (shape,) = shapes(board, make(), rows, columns)
        assert shape.word_bytes == word_bytes <= MAX_WORD_BYTES
    for program in (small_cnn(), dense_net()):
        assert shapes(board, program, 2, 16)[0].word_bytes == 4


@pytest.mark.parametrize("board", [None, *BOARDS], ids=lambda b: b.name if b else "none")
def test_lanes_divide_columns_and_words(board: Board | None) -> None:
    for columns in range(1, 40):
        for shape in shapes(board, small_cnn(), 2, columns):
            assert columns % shape.lanes == shape.word_bytes % shape.lanes == 0


@pytest.mark.parametrize(("rows", "columns"), [(0, 4), (4, 0), (-1, 2)])
def test_no_rows_or_columns(rows: int, columns: int) -> None:
    for board in (None, *BOARDS):
        with pytest.raises(CapacityError, match="must be at least 1, not"):
            shapes(board, small_cnn(), rows, columns)


def further(board: Board | None, program: Program) -> list[tuple[int, int]]:
    """Buffers of the input and bytes of a column of the further bindings."""
    shape = shapes(board, program, 2, 4)[-1]
    found = list(further_bindings(board, Outline(program, shape)))
    for other in found:
        assert replace(other, input_buffers=2, column_bytes=0) == shape
    return [(other.input_buffers, other.column_bytes) for other in found]


def test_one_input_buffer_comes_before_weights_from_a_flash() -> None:
    assert further(ICE, small_cnn()) == [(1, 0), (2, 512), (1, 512)]


def test_without_other_memory_the_weights_stay_in_roms() -> None:
    assert further(ULX, small_cnn()) == [(1, 0)]
    assert further(None, small_cnn()) == []


@pytest.mark.parametrize(("features", "column_bytes"), [(256, 512), (257, 1024), (1024, 2048)])
def test_a_column_holds_the_largest_layer_in_whole_block_rams(
    features: int, column_bytes: int
) -> None:
    """Eight outputs on four columns: a column has the weights of two."""
    program = (
        ProgramBuilder("net", (1, 1, features), np.random.default_rng(0)).dense(8).dense(3).build()
    )
    assert {size for _, size in further(ICE, program)} == {0, column_bytes}


def split(board: Board | None, program: Program, columns: int) -> list[tuple[int, int]]:
    """Buffers of the input and bytes of a column of the bindings with several passes."""
    shape = shapes(board, program, 1, columns)[-1]
    return [
        (other.input_buffers, other.column_bytes)
        for other in split_bindings(board, Outline(program, shape))
    ]


def dense_layer(features: int, channels: int) -> Program:
    rng = np.random.default_rng(0)
    return ProgramBuilder("net", (1, 1, features), rng).dense(channels).build()


def test_columns_of_fewer_channel_groups_are_no_larger_than_their_passes() -> None:
    """Eight groups of 600 bytes are 10 block RAMs; 6 hold five, of which a pass takes but four."""
    program = dense_layer(600, 32)
    assert split(ICE, program, 4) == [(2, 2560), (1, 2560), (2, 2048), (1, 2048)] + [
        (buffers, size) for size in (1536, 1024) for buffers in (2, 1)
    ]


def test_the_smallest_columns_hold_a_channel_group_whether_they_fit_or_not() -> None:
    assert split(ICE, dense_layer(2000, 32), 16) == [(2, 2048), (1, 2048)]


def test_a_layer_of_one_channel_group_has_no_passes() -> None:
    assert split(ICE, dense_layer(2000, 16), 16) == []


def test_passes_do_not_help_where_all_weights_are_too_many() -> None:
    assert split(ICE, dense_layer(2000, 64), 4) != []
    assert split(ICE, dense_layer(2000, 66), 4) == []
    assert split(ULX, dense_layer(2000, 64), 4) == split(None, dense_layer(2000, 64), 4) == []


def test_as_many_banks_as_the_board_has_single_port_rams() -> None:
    half = replace(ICE, spram_bytes=2 * SPRAM_BYTES)
    assert [(s.word_bytes, s.bank_bytes) for s in shapes(half, small_cnn(), 1, 2)] == [
        (4, 2),
        (2, 1),
    ]
