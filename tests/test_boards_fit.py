import re
from dataclasses import replace

import numpy as np
import pytest

from shiftwork.boards import fit
from shiftwork.boards.binding import shapes_for
from shiftwork.boards.board import Board
from shiftwork.boards.estimate import estimate, least_lut
from shiftwork.boards.registry import BOARDS, find
from shiftwork.errors import CapacityError
from shiftwork.hw import layer_work
from shiftwork.hw.schedule import Outline, Schedule, make_schedule
from shiftwork.quant.program import Program
from shiftwork.sim.example_programs import (
    ProgramBuilder,
    dense_net,
    depthwise_net,
    residual_net,
    small_cnn,
)

ICE, ULX = find("icebreaker"), find("ulx3s-85f")


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


def deep(channels: int, layers: int = 12) -> Program:
    """Many equal layers: none is large, all together are more than the block RAM of a UP5K."""
    builder = ProgramBuilder("deep", (8, 8, channels), np.random.default_rng(0))
    for _ in range(layers):
        builder.conv(channels, padding=(1, 1, 1, 1), unsigned=True)
    return builder.build()


def misfit(program: Program, board: Board, **targets: int) -> str:
    """What the refusal of a network says."""
    with pytest.raises(CapacityError) as caught:
        fit.choose(program, board, **targets)
    return str(caught.value)


def time_of(schedule: Schedule, board: Board | None) -> float:
    """At the estimated clock; cycles without a board."""
    if board is None:
        return float(schedule.cycles)
    return estimate(schedule.config, board).latency_us(schedule.cycles)


def outlines(program: Program, board: Board, rows: int, columns: int) -> list[Outline]:
    return [Outline(program, s) for s in shapes_for(board, program, rows=rows, columns=columns)]


@pytest.mark.parametrize(("rows", "columns"), [(0, 4), (4, 0), (-1, 2)])
def test_no_rows_or_columns(rows: int, columns: int) -> None:
    for board in (None, *BOARDS):
        with pytest.raises(CapacityError, match="must be at least 1, not"):
            fit.bind(dense_net(), board, rows=rows, columns=columns)


@pytest.mark.parametrize("board", [None, *BOARDS], ids=lambda b: b.name if b else "none")
@pytest.mark.parametrize(
    "program", [small_cnn(), dense_net(), residual_net(), depthwise_net()], ids=lambda p: p.name
)
def test_the_choice_is_as_good_as_any_full_array(program: Program, board: Board | None) -> None:
    limit = board.max_elements if board else fit.DEFAULT_ELEMENTS
    chosen = fit.choose(program, board)
    assert chosen.config.shape.elements <= limit
    assert fit.problem(chosen, board) is None
    for rows in (1, 2, 3, 4):
        try:
            other = fit.bind(program, board, rows=rows, columns=limit // rows)
        except CapacityError:
            continue
        assert time_of(chosen, board) <= fit.NEARLY_AS_FAST * time_of(other, board)


def test_the_choice_is_the_same_every_time() -> None:
    first, second = (fit.choose(small_cnn(), ICE) for _ in range(2))
    assert first.config == second.config
    assert [layer.descriptor for layer in first.layers] == [
        layer.descriptor for layer in second.layers
    ]


def test_a_dense_network_gets_one_row() -> None:
    assert fit.choose(dense(64, 32, 16), ICE).config.shape.rows == 1


def test_a_smaller_array_is_preferred_to_one_that_is_hardly_faster() -> None:
    """Ten outputs: ten columns do what sixteen would."""
    shape = fit.choose(dense(256, 10), ICE).config.shape
    assert (shape.rows, shape.columns) == (1, 10)


def test_a_network_that_ends_in_pooling_without_a_convolution_gets_an_array() -> None:
    program = (
        ProgramBuilder("pool", (4, 4, 3), np.random.default_rng(0)).average_pool((4, 4)).build()
    )
    for board in (None, *BOARDS):
        assert fit.choose(program, board).config.shape.elements >= 1


def test_without_a_board_everything_fits() -> None:
    schedule = fit.bind(dense(5000, 100), None, rows=1, columns=10)
    assert fit.problem(schedule, None) is None


@pytest.mark.parametrize("board", [None, *BOARDS], ids=lambda b: b.name if b else "none")
def test_elements_limit_the_array(board: Board | None) -> None:
    program = small_cnn()
    few, more = (fit.choose(program, board, elements=count) for count in (4, 12))
    assert few.config.shape.elements <= 4 < more.config.shape.elements <= 12
    assert more.cycles < few.cycles
    assert fit.choose(program, board, elements=1).config.shape.elements == 1


def test_elements_may_exceed_what_the_board_gets_by_default() -> None:
    program = deep(32, 2)
    chosen = fit.choose(program, ULX, elements=2 * ULX.max_elements)
    assert chosen.config.shape.elements > ULX.max_elements


@pytest.mark.parametrize("elements", [0, -3])
def test_no_elements(elements: int) -> None:
    with pytest.raises(CapacityError, match=f"elements must be at least 1, not {elements}"):
        fit.choose(dense_net(), ICE, elements=elements)


def test_a_latency_is_met_by_the_smallest_array() -> None:
    program = small_cnn()
    fastest = fit.choose(program, ICE)
    allowed = 2.5 * fastest.cycles / ICE.target_mhz
    chosen = fit.choose(program, ICE, latency_us=allowed)
    assert chosen.cycles / ICE.target_mhz <= allowed
    assert chosen.config.shape.elements < fastest.config.shape.elements
    for rows in range(1, 5):
        for columns in range(1, (chosen.config.shape.elements - 1) // rows + 1):
            smaller = fit.bind(program, ICE, rows=rows, columns=columns)
            assert smaller.cycles / ICE.target_mhz > allowed


def test_a_latency_beyond_reach() -> None:
    fastest = fit.choose(small_cnn(), ICE, latency_us=1e9)
    assert fastest.config.shape.elements == 1
    with pytest.raises(CapacityError) as caught:
        fit.choose(small_cnn(), ICE, latency_us=1.5)
    text = str(caught.value)
    assert text.startswith("no array on iCEBreaker (Lattice iCE40 UP5K) takes 1.5 us: the fastest")
    best = fit.choose(small_cnn(), ICE)
    assert f"needs {best.cycles} cycles, {best.cycles / 36:.1f} us at 36 MHz" in text
    assert text.endswith("allow more --elements, more time, or use a larger board")


def test_a_latency_without_a_board() -> None:
    with pytest.raises(CapacityError, match="a latency target needs a board"):
        fit.choose(small_cnn(), None, latency_us=100)


def test_a_latency_without_a_clock() -> None:
    with pytest.raises(CapacityError, match="the clock must be more than 0 MHz, not 0"):
        fit.choose(small_cnn(), replace(ICE, target_mhz=0.0), latency_us=100)


@pytest.mark.parametrize("latency", [0.0, -1.0, float("nan")])
def test_no_latency(latency: float) -> None:
    with pytest.raises(CapacityError, match="the latency must be more than 0 us, not"):
        fit.choose(small_cnn(), ICE, latency_us=latency)


def test_weights_beyond_block_ram_lie_in_single_port_ram() -> None:
    schedule = fit.choose(deep(16), ICE)
    config = schedule.config
    assert config.weight_depth == config.shape.column_bytes == 512
    assert config.payload_bytes == len(schedule.payload) >= 12 * 16 * 9 * 16
    assert config.shape.input_buffers == 2
    assert fit.choose(deep(16), ULX).config.shape.column_bytes == 0


def test_weights_that_fit_block_ram_stay_there() -> None:
    shape = fit.choose(deep(16, 2), ICE).config.shape
    assert (shape.column_bytes, shape.input_buffers) == (0, 2)


@pytest.mark.parametrize(("channels", "words"), [(16, (8, 2)), (15, (4, 1))])
def test_odd_channels_need_banks_of_single_bytes(channels: int, words: tuple[int, int]) -> None:
    shape = fit.choose(deep(channels), ICE).config.shape
    assert (shape.word_bytes, shape.bank_bytes) == words


@pytest.mark.parametrize(("side", "buffers"), [(150, 2), (200, 2), (230, 1)])
def test_a_large_input_gets_one_buffer(side: int, buffers: int) -> None:
    schedule = fit.choose(large_map(side), ICE)
    shape = schedule.config.shape
    assert (shape.input_buffers, shape.column_bytes) == (buffers, 0)
    result, pooled = 2 * (side // 2) ** 2, (side // 2) ** 2
    least = buffers * side**2 + 2 * result + pooled
    assert least <= schedule.activation_bytes <= least + 5 * shape.word_bytes


def test_a_single_input_buffer_is_held_until_its_last_reader_ends() -> None:
    first, second = (fit.choose(large_map(side), ICE) for side in (150, 230))
    assert first.input_held_cycles == 0
    assert second.input_held_cycles == second.layers[0].cycles < second.cycles


def test_one_input_buffer_on_a_board_whose_maps_lie_in_block_ram() -> None:
    assert fit.choose(large_map(420), ULX).config.shape.input_buffers == 1


def test_weights_that_do_not_fit() -> None:
    program = dense(14000, 1)
    assert misfit(program, ICE) == (
        "the weights do not fit iCEBreaker (Lattice iCE40 UP5K): 14000 bytes in one column need "
        f"{(28 + other_blocks(program) - 30) * 512} bytes of block RAM more than the "
        f"{(30 - other_blocks(program)) * 512} there are (largest layer: 'conv0', 14000 bytes); "
        "use a smaller network or a larger board"
    )
    text = misfit(dense(5000, 100), ULX)
    assert text.startswith("the weights do not fit ULX3S (Lattice ECP5 85F): 500000 bytes in one")
    assert "(largest layer: 'conv0', 500000 bytes)" in text


def other_blocks(program: Program) -> int:
    """Block RAMs of parameters and program on a 1 x 1 array of a UP5K."""
    (outline,) = outlines(program, ICE, 1, 1)[:1]
    config = outline.config
    assert max(config.program_depth, config.parameter_depth) <= 256
    return -(-(config.accumulator_bits + config.shift_bits) // 16) + 2


def test_the_missing_bytes_are_counted_in_block_rams() -> None:
    """1,000 x 20 bytes on ten columns: 2,000 a column are four blocks of 512, forty in all."""
    program = dense(1000, 20)
    outline = outlines(program, ICE, 1, 10)[0]
    others = other_blocks(program)
    found = fit.problem(outline, ICE)
    assert found is not None
    assert found.missing == (10 * 4 + others - ICE.bram) * 512
    assert f"2000 bytes in each of 10 columns need {found.missing} bytes of block RAM" in found.text
    assert f"more than the {(ICE.bram - others) * 512} there are" in found.text
    assert "use a smaller network, fewer --columns that split the channels evenly," in found.text


def test_a_single_layer_that_is_too_large_for_the_columns() -> None:
    """Its weights lie in activation memory, but even alone they are more than the columns hold."""
    program = dense(1000, 20)
    (rom, *_), board = outlines(program, ICE, 1, 10), ICE
    copied = Outline(program, replace(rom.shape, column_bytes=2048, input_buffers=1))
    found = fit.problem(copied, board)
    assert found is not None
    assert found.text.startswith(
        "the weights of a layer do not fit the block RAM of iCEBreaker (Lattice iCE40 UP5K): 2048 "
        f"bytes in each of 10 columns need {found.missing} bytes of block RAM more than"
    )
    assert "(largest layer: 'conv0', 20000 bytes)" in found.text
    assert "use a smaller layer, fewer --columns" in found.text


def test_weights_beside_the_feature_maps_that_do_not_fit() -> None:
    program = dense(64, *([100, 64] * 12))
    text = misfit(program, ICE)
    need = 24 * 6400 + 64 + 2 * 64 + 100 + 64
    assert text.startswith(
        "the feature maps and the 153600 bytes of weights beside them do not fit iCEBreaker "
        "(Lattice iCE40 UP5K): they need "
    )
    assert f"they need {need} bytes, {need - 131072} more than the 131072 there are" in text
    assert "(largest: 'conv0', 100 bytes; largest layer: 'conv0', 6400 bytes)" in text
    assert text.endswith("use a smaller network, a smaller input, or a larger board")


def test_the_refusal_is_that_of_the_array_that_comes_closest() -> None:
    program = dense(14000, 1)
    missing = [
        found.missing
        for rows in (1, 2)
        for columns in (1, 5, 8)
        for outline in outlines(program, ICE, rows, columns)
        if (found := fit.problem(outline, ICE))
    ]
    text = misfit(program, ICE)
    assert f"need {min(missing)} bytes" in text


def test_the_refusal_is_that_of_the_memories_that_come_closest() -> None:
    """Two groups of 3,600 bytes for four columns: those of one need 8 block RAMs in each."""
    program = dense(3600, 8)
    shape = replace(outlines(program, ICE, 1, 4)[0].shape, column_bytes=8 * 512)
    closest = fit.problem(Outline(program, shape), ICE)
    assert closest is not None
    assert closest.text.startswith(
        "the weights of a channel group do not fit the block RAM of iCEBreaker (Lattice iCE40 "
        f"UP5K): 4096 bytes in each of 4 columns need {closest.missing} bytes of block RAM more"
    )
    with pytest.raises(CapacityError) as caught:
        fit.bind(program, ICE, rows=1, columns=4)
    assert str(caught.value) == closest.text


def test_a_layer_that_no_columns_hold_takes_passes() -> None:
    """Two groups of 1,000 bytes for ten columns: two block RAMs each hold those of one."""
    schedule = fit.bind(dense(1000, 20), ICE, rows=1, columns=10)
    assert schedule.config.shape.column_bytes == 1024
    assert [len(op.passes) for op in schedule.ops] == [2]
    assert fit.problem(schedule, ICE) is None


def test_as_few_passes_as_the_block_ram_allows() -> None:
    """Twelve groups of 500 bytes for six columns: four block RAMs each hold those of four."""
    schedule = fit.bind(dense(500, 72), ICE, rows=1, columns=6)
    assert schedule.config.shape.column_bytes == 4 * 512
    assert [len(op.passes) for op in schedule.ops] == [3]
    program = dense(500, 72, 6)
    assert fit.bind(program, ICE, rows=1, columns=2).config.shape.column_bytes > 4 * 512


def test_more_passes_than_the_engine_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are no way out, and what is said is what does not fit."""
    monkeypatch.setattr(layer_work, "MAX_LAYERS", 1)
    with pytest.raises(CapacityError, match=r"^the weights do not fit iCEBreaker"):
        fit.bind(dense(1000, 20), ICE, rows=1, columns=10)


def test_the_weights_of_a_shortcut_count() -> None:
    program = (
        ProgramBuilder("join", (1, 1, 7000), np.random.default_rng(0))
        .conv(2, (1, 1), name="main")
        .shortcut("input")
        .build()
    )
    assert "(largest layer: 'main', 28000 bytes)" in misfit(program, ICE)


def test_columns_that_split_the_channels_badly_waste_weights() -> None:
    """A network that just fits with ten columns needs twice the blocks with sixteen."""
    program = dense(1000, 10)
    assert fit.bind(program, ICE, rows=1, columns=10).config.shape.columns == 10
    with pytest.raises(CapacityError, match="bytes in each of 16 columns"):
        fit.bind(program, ICE, rows=1, columns=16)
    assert fit.choose(program, ICE).config.shape.columns == 10


def test_feature_maps_that_do_not_fit() -> None:
    assert misfit(large_map(300), ICE) == (
        "the feature maps do not fit iCEBreaker (Lattice iCE40 UP5K): they need 202500 bytes, "
        "71428 more than the 131072 there are (largest: 'input', 90000 bytes); use a smaller "
        "input or a larger board"
    )


@pytest.mark.parametrize("side", [100, 220])
def test_no_more_banks_than_the_board_has_of_its_single_port_ram(side: int) -> None:
    schedule = fit.choose(large_map(side), ICE)
    shape = schedule.config.shape
    assert shape.word_bytes // shape.bank_bytes == 4
    assert schedule.activation_bytes <= ICE.spram_bytes


@pytest.mark.parametrize("ends_with_weights", [True, False])
def test_feature_maps_that_do_not_fit_block_ram(ends_with_weights: bool) -> None:
    program = large_map(600)
    if not ends_with_weights:
        program = ProgramBuilder("map", (600, 600, 1), np.random.default_rng(0)).max_pool().build()
    assert misfit(program, ULX).startswith("the feature maps do not fit ULX3S (Lattice ECP5 85F):")


def test_an_array_given_by_hand_is_checked_too() -> None:
    with pytest.raises(CapacityError, match="the weights do not fit iCEBreaker"):
        fit.bind(dense_net(), replace(ICE, bram=2), rows=1, columns=4)


def test_multipliers_that_do_not_fit() -> None:
    board = replace(ULX, dsp=28)
    with pytest.raises(CapacityError) as caught:
        fit.bind(dense(64, 32), board, rows=1, columns=32)
    assert str(caught.value) == (
        "the multipliers do not fit ULX3S (Lattice ECP5 85F): 1 x 32 processing elements need 32 "
        "multiplier blocks, 4 more than the 28 there are; use fewer processing elements (--rows, "
        "--columns, --elements) or a larger board"
    )


def test_logic_that_clearly_does_not_fit() -> None:
    outline = outlines(dense(64, 32), ICE, 8, 16)[0]
    estimated = estimate(outline.config, ICE)
    least = least_lut(estimated, ICE)
    found = fit.problem(outline, ICE)
    assert found is not None
    assert found.missing == least - ICE.lut > 0
    assert found.text == (
        "the logic does not fit iCEBreaker (Lattice iCE40 UP5K): 8 x 16 processing elements and "
        f"what serves them need an estimated {estimated.lut} lookup tables, {least} at the very "
        f"least, {least - 5280} more than the 5280 there are (largest block: 'array', "
        f"{estimated.blocks['array']}); use fewer processing elements (--rows, --columns, "
        "--elements) or a larger board"
    )


def test_logic_is_refused_only_beyond_the_error_of_the_estimate() -> None:
    outline = outlines(dense(64, 32), ICE, 1, 16)[0]
    least = least_lut(estimate(outline.config, ICE), ICE)
    assert fit.problem(outline, replace(ICE, lut=least)) is None
    assert fit.problem(outline, replace(ICE, lut=least - 1)) is not None


def test_an_array_that_cannot_run_the_network() -> None:
    program = (
        ProgramBuilder("dilated", (4, 9, 4), np.random.default_rng(0))
        .conv(4, (2, 2), dilation=(1, 2), groups=4, name="wide")
        .build()
    )
    for board in (None, *BOARDS):
        with pytest.raises(CapacityError, match=r"op 'wide' is a depthwise.*use --rows 1"):
            fit.bind(program, board, rows=2, columns=4)
        assert fit.choose(program, board).config.shape.rows == 1


@pytest.mark.parametrize("board", [None, *BOARDS], ids=lambda b: b.name if b else "none")
@pytest.mark.parametrize("program", [small_cnn(), depthwise_net()], ids=lambda p: p.name)
def test_an_outline_tells_the_sizes_and_bounds_the_cycles(
    program: Program, board: Board | None
) -> None:
    for shape in shapes_for(board, program, rows=2, columns=4):
        try:
            outline = Outline(program, shape)
        except CapacityError:
            continue
        schedule: Schedule = make_schedule(program, shape)
        assert outline.least_cycles <= schedule.cycles
        assert outline.activation_bytes == schedule.activation_bytes
        assert outline.config.weight_depth == schedule.config.weight_depth
        assert outline.config.program_depth <= schedule.config.program_depth


def test_an_array_leaves_room_for_what_stands_beside_it_and_for_the_placer() -> None:
    """A lookup table too many, and it gets another form, or becomes smaller."""
    alone = fit.choose(small_cnn(), ICE)
    room = int(fit.FILLED * ICE.lut) - estimate(alone.config, ICE).lut
    assert fit.choose(small_cnn(), ICE, beside=room).config == alone.config
    crowded = fit.choose(small_cnn(), ICE, beside=room + 1)
    assert estimate(crowded.config, ICE).lut < estimate(alone.config, ICE).lut
    assert crowded.cycles > alone.cycles


def test_logic_that_does_not_fit_beside_the_link() -> None:
    with pytest.raises(CapacityError) as caught:
        fit.choose(small_cnn(), ICE, elements=1, beside=4000)
    assert re.fullmatch(
        r"the logic does not fit iCEBreaker \(Lattice iCE40 UP5K\) beside the link to the host: "
        r"1 x 1 processing elements and what serves them need an estimated \d+ lookup tables, the "
        r"link 4000, \d+ more than the 4857 of 5280 that a placer is sure to fill; try an array of "
        r"your own \(--rows, --columns\), or use a larger board",
        str(caught.value),
    )
