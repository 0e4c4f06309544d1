import re
from dataclasses import replace

import numpy as np
import pytest

from shiftwork.boards import fit
from shiftwork.boards.board import Board
from shiftwork.boards.registry import BOARDS, find
from shiftwork.errors import CapacityError
from shiftwork.hw.activation_bank import SPRAM_BYTES
from shiftwork.hw.config import ArrayShape
from shiftwork.hw.schedule import make_schedule
from shiftwork.quant.program import Program
from shiftwork.sim.example_programs import ProgramBuilder, dense_net, small_cnn


def dense(features: int, *channels: int) -> Program:
    builder = ProgramBuilder("dense", (1, 1, features), np.random.default_rng(0))
    for count in channels:
        builder.dense(count)
    return builder.build()


def large_map(side: int) -> Program:
    return (
        ProgramBuilder("map", (side, side, 1), np.random.default_rng(0))
        .max_pool()
        .conv(2, (1, 1))
        .build()
    )


@pytest.mark.parametrize(
    ("board", "rows", "columns", "expected"),
    [
        (None, 2, 8, ArrayShape(rows=2, columns=8)),
        (None, 5, 3, ArrayShape(rows=5, columns=3, word_bytes=8)),
        (
            "icebreaker",
            2,
            8,
            ArrayShape(rows=2, columns=8, family="ice40up", single_port=True),
        ),
        ("ulx3s-85f", 1, 20, ArrayShape(rows=1, columns=20, lanes=4, family="ecp5")),
        ("ulx3s-85f", 1, 10, ArrayShape(rows=1, columns=10, lanes=2, family="ecp5")),
        ("ulx3s-85f", 1, 25, ArrayShape(rows=1, columns=25, lanes=1, family="ecp5")),
    ],
)
def test_the_shape_a_board_builds(
    board: str | None, rows: int, columns: int, expected: ArrayShape
) -> None:
    found = fit.shape_for(find(board) if board else None, rows=rows, columns=columns)
    assert found == expected


@pytest.mark.parametrize(("rows", "columns"), [(0, 4), (4, 0), (-1, 2)])
def test_no_rows_or_columns(rows: int, columns: int) -> None:
    for board in (None, *BOARDS):
        with pytest.raises(CapacityError, match="must be at least 1, not"):
            fit.shape_for(board, rows=rows, columns=columns)


@pytest.mark.parametrize("board", [None, *BOARDS], ids=lambda b: b.name if b else "none")
@pytest.mark.parametrize("program", [small_cnn(), dense_net()], ids=lambda p: p.name)
def test_the_choice_is_as_good_as_any_full_array(program: Program, board: Board | None) -> None:
    limit = board.max_elements if board else fit.DEFAULT_ELEMENTS
    chosen = fit.choose(program, board)
    assert chosen.config.shape.elements <= limit
    assert not fit.problems(chosen, board)
    for rows in (1, 2, 4):
        shape = fit.shape_for(board, rows=rows, columns=limit // rows)
        other = make_schedule(program, shape)
        if not fit.problems(other, board):
            assert chosen.cycles <= fit.NEARLY_AS_FAST * other.cycles


def test_the_choice_is_the_same_every_time() -> None:
    first, second = (fit.choose(small_cnn(), find("icebreaker")) for _ in range(2))
    assert first.config == second.config
    assert first.layers == second.layers


def test_a_dense_network_gets_one_row() -> None:
    assert fit.choose(dense(64, 32, 16), find("icebreaker")).config.shape.rows == 1


def test_a_smaller_array_is_preferred_to_one_that_is_hardly_faster() -> None:
    """Ten outputs: ten columns do what sixteen would."""
    shape = fit.choose(dense(256, 10), find("icebreaker")).config.shape
    assert (shape.rows, shape.columns) == (1, 10)


def test_a_network_that_ends_in_pooling_without_a_convolution_gets_an_array() -> None:
    program = (
        ProgramBuilder("pool", (4, 4, 3), np.random.default_rng(0)).average_pool((4, 4)).build()
    )
    for board in (None, *BOARDS):
        assert fit.choose(program, board).config.shape.elements >= 1


def test_without_a_board_everything_fits() -> None:
    schedule = make_schedule(dense(5000, 100), fit.shape_for(None, rows=1, columns=10))
    assert fit.problems(schedule, None) == []
    fit.check(schedule, None)


@pytest.mark.parametrize(
    ("name", "program", "title"),
    [
        ("icebreaker", dense(1000, 20), "iCEBreaker (Lattice iCE40 UP5K)"),
        ("ulx3s-85f", dense(5000, 100), "ULX3S (Lattice ECP5 85F)"),
    ],
)
def test_weights_that_do_not_fit(name: str, program: Program, title: str) -> None:
    with pytest.raises(CapacityError) as caught:
        fit.choose(program, find(name))
    text = str(caught.value)
    layer = program.ops[-1]
    assert text.startswith(f"the weights do not fit {title}: ")
    assert re.search(r"\d+ columns of \d+ bytes need \d+ bytes of block RAM more than", text)
    assert f"(largest layer: '{layer.name}', {layer.weights.size} bytes)" in text  # type: ignore[union-attr]
    assert text.endswith("or a larger board")


def test_the_missing_bytes_are_counted_in_block_rams() -> None:
    """1,000 x 20 bytes on ten columns: 2,000 a column are four blocks of 512, forty in all."""
    board = find("icebreaker")
    schedule = make_schedule(dense(1000, 20), fit.shape_for(board, rows=1, columns=10))
    config = schedule.config
    parameters = -(-(config.accumulator_bits + config.shift_bits) // 16)
    others = parameters + 2
    assert config.program_depth <= 256
    missing = 10 * 4 + others - board.bram
    (text,) = fit.problems(schedule, board)
    assert f"10 columns of 2000 bytes need {missing * 512} bytes of block RAM more" in text
    assert f"than the {(board.bram - others) * 512} there are" in text


def test_columns_that_split_the_channels_badly_waste_weights() -> None:
    """A network that just fits with ten columns needs twice the blocks with sixteen."""
    board = find("icebreaker")
    program = dense(1000, 10)
    good, bad = (make_schedule(program, fit.shape_for(board, rows=1, columns=c)) for c in (10, 16))
    assert fit.problems(good, board) == []
    assert "16 columns of 1000 bytes" in fit.problems(bad, board)[0]
    assert fit.choose(program, board).config.shape.columns == 10


def test_feature_maps_that_do_not_fit() -> None:
    with pytest.raises(CapacityError) as caught:
        fit.choose(large_map(300), find("icebreaker"))
    text = str(caught.value)
    assert "the feature maps do not fit iCEBreaker (Lattice iCE40 UP5K): they need" in text
    assert "there are 131072 (largest: 'input', 90000 bytes)" in text
    assert text.endswith("use a smaller input or a larger board")


def test_feature_maps_that_just_fit() -> None:
    """Two buffers of the input, two of the result, and the pooled map between them."""
    schedule = fit.choose(large_map(200), find("icebreaker"))
    assert schedule.activation_bytes == 2 * (40_000 + 20_000) + 10_000


@pytest.mark.parametrize("program", [large_map(100), large_map(220)], ids=["small", "large"])
def test_no_more_banks_than_the_board_has_of_its_single_port_ram(program: Program) -> None:
    """220 x 220 pixels need more bytes than the four blocks of 32 KiB have."""
    board = find("icebreaker")
    fitting = [
        schedule
        for rows in range(1, fit.MAX_ROWS + 1)
        if not fit.problems(
            schedule := make_schedule(program, fit.shape_for(board, rows=rows, columns=2)), board
        )
    ]
    for schedule in fitting:
        assert schedule.config.shape.word_bytes * SPRAM_BYTES <= board.spram_bytes
        assert schedule.activation_bytes <= board.spram_bytes


def test_feature_maps_that_do_not_fit_block_ram() -> None:
    with pytest.raises(CapacityError, match=r"the feature maps do not fit ULX3S"):
        fit.choose(large_map(600), find("ulx3s-85f"))


def test_feature_maps_that_do_not_fit_block_ram_without_any_weights() -> None:
    program = ProgramBuilder("map", (600, 600, 1), np.random.default_rng(0)).max_pool().build()
    with pytest.raises(CapacityError, match=r"do not fit ULX3S"):
        fit.choose(program, find("ulx3s-85f"))


def test_an_array_given_by_hand_is_checked_too() -> None:
    board = replace(find("icebreaker"), bram=2)
    schedule = make_schedule(dense_net(), fit.shape_for(board, rows=1, columns=4))
    with pytest.raises(CapacityError, match="the weights do not fit"):
        fit.check(schedule, board)
