"""Engines for boards: what the networks share, head room, and what is refused."""

import pytest

from shiftwork.boards import resources
from shiftwork.boards.engine import LINK_BLOCKS, Engine
from shiftwork.errors import CapacityError, ShiftworkError
from shiftwork.hw.engine import layer_capacity
from shiftwork.sim.example_programs import dense_net, depthwise_net, residual_net, small_cnn


def blocks(engine: Engine) -> int:
    return resources.block_rams(engine.config, engine.board) + LINK_BLOCKS


@pytest.mark.parametrize("board", ["icebreaker", "ulx3s-25f", "ice40-hx8k"])
@pytest.mark.parametrize("room", [False, True])
def test_the_networks_run_and_the_memories_fit(board: str, room: bool) -> None:
    programs = [small_cnn(), dense_net()]
    engine = Engine(programs, board=board, rows=1, columns=4, room=room)
    assert engine.networks == ("small_cnn", "dense_net")
    assert engine.config.shape.family == engine.board.family
    assert blocks(engine) <= engine.board.bram
    for program in programs:
        schedule = engine.schedule(program)
        assert schedule.config == engine.config
        assert schedule.shared


def test_roms_are_whole_block_rams() -> None:
    exact = Engine([small_cnn()], board="icebreaker", rows=1, columns=4, room=False).config
    assert (exact.weight_depth, exact.parameter_depth, exact.program_depth) == (512, 256, 256)
    ecp5 = Engine([small_cnn()], board="ulx3s-25f", rows=1, columns=4, room=False).config
    assert (ecp5.weight_depth, ecp5.parameter_depth, ecp5.program_depth) == (2048, 512, 512)


def test_spare_block_rams_are_head_room() -> None:
    exact = Engine([small_cnn()], board="icebreaker", rows=1, columns=4, room=False)
    roomy = Engine([small_cnn()], board="icebreaker", rows=1, columns=4)
    assert roomy.config.weight_depth > exact.config.weight_depth
    assert layer_capacity(roomy.config) > layer_capacity(exact.config)
    assert roomy.config.parameter_depth == 2 * exact.config.parameter_depth
    assert roomy.config.activation_bytes >= 4 * exact.config.activation_bytes
    assert roomy.config.shift_base < exact.config.shift_base
    # Not another row of blocks for the weights fits beside them.
    unused = roomy.board.bram - blocks(roomy)
    assert unused < 4 or roomy.config.weight_depth == 4 * exact.config.weight_depth
    roomy.schedule(dense_net())
    with pytest.raises(CapacityError):
        exact.schedule(dense_net())


def test_features_are_those_of_all_networks() -> None:
    engine = Engine(
        [dense_net(), residual_net(), depthwise_net()], board="icebreaker", rows=1, columns=2
    )
    assert (engine.config.pooling, engine.config.depthwise) == (False, True)
    assert engine.config.segments == 2


def test_the_size_is_that_of_the_first_network_by_default() -> None:
    shape = Engine([dense_net()], board="icebreaker").config.shape
    assert shape.rows * shape.columns <= 16
    assert shape.column_bytes == 0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            {"board": "tang-nano-9k"},
            "tang-nano-9k is of the family 'gowin', whose block RAMs cannot be exchanged in a "
            "routed design; engines are for ecp5, ice40hx, ice40up: make a bitstream of the "
            "network's own",
        ),
        (
            {"board": "icebreaker", "rows": 2},
            "rows and columns must be given together, or neither",
        ),
    ],
)
def test_what_is_refused(arguments: dict, text: str) -> None:
    with pytest.raises(ShiftworkError) as caught:
        Engine([dense_net()], **arguments)
    assert str(caught.value) == text


def test_no_network() -> None:
    with pytest.raises(CapacityError) as caught:
        Engine([], board="icebreaker")
    assert str(caught.value) == ("an engine needs at least one network, whose needs it is made for")


def test_networks_that_do_not_fit_the_board() -> None:
    with pytest.raises(CapacityError) as caught:
        Engine([residual_net()], board="icebreaker", rows=1, columns=31)
    assert str(caught.value) == (
        "the memories do not fit iCEBreaker (Lattice iCE40 UP5K): an engine for all networks needs "
        "36 block RAMs (512 bytes of weights in each of 31 columns), 6 more than there are; "
        "weights of an engine are in block RAM alone: leave out the largest network, use fewer "
        "--columns that split the channels evenly, or a larger board"
    )
