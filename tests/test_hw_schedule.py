"""Cycles against numbers derived by hand.

With two memory ports a layer takes::

    load + (chunks - 1) * chunk + walk + way + steps - 1 + WRITE_LATENCY + DONE_LATENCY

- ``load``: program words of a descriptor + LOAD_OVERHEAD; where weights are copied, their words
  and the copier's latency.
- ``walk``: cycles of a chunk up to the last byte of row 0: runs of words of max(R, W) cycles, the
  last one of max(R, bytes). A broadcast word takes a cycle; R - 1 further ones follow the last that
  row 0 needs.
- ``chunk``: all cycles of the walk, and ``pad`` idle ones so that it is no less than ``steps`` of a
  full chunk + max(CHUNK_GAP, skew), skew = R - 1 + stages - 1; for pooling + CHUNK_GAP.
- ``way``: from the last byte to the first step of the drain: fetch unit, a register for the weight
  address, array, skew; or fetch unit and pooling.
- ``steps`` of the last chunk: (rows - 1) * C / Q + ceil(channels / Q), four times that for
  accumulators; each takes WRITE_LATENCY to memory.
"""

from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from schedule_cases import builder, drained, last_layer

from shiftwork.boards import fit, registry
from shiftwork.errors import CapacityError, ProgramError
from shiftwork.hw import pooling, weight_copier
from shiftwork.hw.config import ArrayShape
from shiftwork.hw.drain import CHUNK_GAP, WRITE_LATENCY
from shiftwork.hw.fetch import ROW_LATENCY
from shiftwork.hw.schedule import LayerPlan, Outline, Schedule, make_schedule
from shiftwork.hw.sequencer import DONE_LATENCY
from shiftwork.quant.calibration import read_samples
from shiftwork.quant.onnx_import import load
from shiftwork.quant.program import Program
from shiftwork.quant.quantizer import quantize
from shiftwork.sim.example_programs import dense_net, depthwise_net, random_program, small_cnn

BUNDLED = resources.files("shiftwork.examples")
COLUMN_BYTES = 256
POOL_WAY = ROW_LATENCY + pooling.SUM_LATENCY


def test_a_dense_layer() -> None:
    layer, cycles = last_layer(builder(1, 1, 10).dense(4), rows=1, columns=4)
    assert (layer.tiles, layer.groups, layer.chunk_cycles, layer.chunk_pad) == (1, 1, 10, 0)
    assert cycles == (4 + 4 + 2) + drained(4, skew=3)


def test_lanes_shorten_the_drain() -> None:
    _, cycles = last_layer(builder(1, 1, 10).dense(4), rows=1, columns=4, lanes=2)
    assert cycles == 10 + drained(2, skew=3)


@pytest.mark.parametrize(("stage_columns", "skew"), [(1, 7), (3, 2), (4, 1), (8, 0)])
def test_columns_that_share_a_stage_are_ready_together(stage_columns: int, skew: int) -> None:
    case = builder(1, 1, 10).dense(8)
    _, cycles = last_layer(case, rows=1, columns=8, stage_columns=stage_columns)
    assert cycles == 10 + drained(8, skew=skew)


def test_accumulators_take_four_steps_each() -> None:
    _, cycles = last_layer(builder(1, 1, 10).dense(4, accumulators=True), rows=1, columns=4)
    assert cycles == 10 + drained(16, skew=3)


def test_rows_that_outnumber_the_bytes_of_a_word_stretch_it() -> None:
    layer, cycles = last_layer(builder(1, 6, 5).conv(2, (1, 1)), rows=6, columns=2)
    assert (layer.tiles, layer.chunk_cycles) == (1, 6 + 6)
    assert cycles == (6 + 1) + drained(5 * 2 + 2, skew=6)


def test_a_convolution_of_several_tiles_and_groups() -> None:
    layer, cycles = last_layer(builder(4, 4, 3).conv(6, (3, 3)), rows=2, columns=4)
    run = 4 + 4 + 2
    assert (layer.tiles, layer.groups, layer.chunk_cycles, layer.chunk_pad) == (2, 2, 3 * run, 0)
    assert cycles == 3 * 3 * run + (3 * run - 1) + drained(4 + 2, skew=4)


def test_a_dilated_convolution_has_a_run_for_each_tap() -> None:
    layer, cycles = last_layer(
        builder(3, 5, 5).conv(4, (2, 2), dilation=(1, 2)), rows=1, columns=4, word_bytes=4
    )
    run = 4 + 1
    assert (layer.tiles, layer.groups, layer.chunk_cycles) == (2 * 3, 1, 4 * run)
    assert cycles == 5 * 4 * run + 4 * run + drained(4, skew=3)


def test_pooling_takes_a_cycle_a_tap() -> None:
    layer, cycles = last_layer(builder(4, 4, 6).max_pool(), rows=2, columns=4)
    chunk = 4 + CHUNK_GAP
    assert (layer.tiles, layer.groups, layer.chunk_cycles) == (4, 2, chunk)
    assert layer.chunk_pad == CHUNK_GAP
    assert cycles == 7 * chunk + 4 + POOL_WAY + 2 - 1 + WRITE_LATENCY + DONE_LATENCY
    assert layer.macs == 0


def test_one_row_walks_depthwise_windows_at_full_rate() -> None:
    """2 x 3 windows of 9 words."""
    layer, cycles = last_layer(builder(4, 5, 4).depthwise(), rows=1, columns=4)
    assert (layer.tiles, layer.groups, layer.chunk_cycles, layer.chunk_pad) == (6, 1, 9, 0)
    assert cycles == 5 * 9 + 9 + drained(4, skew=3)
    assert layer.macs == 2 * 3 * 4 * 9


def test_rows_share_words_and_tiles_end_with_a_line() -> None:
    """2 lines of 5 pixels: tiles of 3 and 2; a kernel line takes 3 + 2 words."""
    layer, cycles = last_layer(builder(4, 7, 4).depthwise(), rows=3, columns=4)
    skew, walk = 2 + 3, 3 * (3 + 2)
    chunk = 3 * 4 + skew
    assert (layer.tiles, layer.groups) == (4, 1)
    assert (layer.chunk_cycles, layer.chunk_pad) == (chunk, chunk - walk)
    assert cycles == 3 * chunk + (walk - 2) + drained(2 * 4, skew=skew)
    names = ("line_tiles", "tile_lines", "last_rows", "tile_step", "line_end_step")
    assert [layer.descriptor[name] for name in names] == [2 - 1, 2 - 1, 2 - 1, 3 * 4, 2 * 4]


def test_a_stride_along_the_line_has_a_phase_for_each_pixel() -> None:
    """Taps 0 and 2, then tap 1 and a zero: 2 + 1 words each. 3 lines of 4 pixels."""
    case = builder(3, 9, 4).depthwise((1, 3), stride=(1, 2))
    layer, cycles = last_layer(case, rows=2, columns=4)
    skew, walk = 1 + 3, 2 * (2 + 1)
    chunk = 2 * 4 + skew
    assert (layer.tiles, layer.chunk_cycles, layer.chunk_pad) == (6, chunk, chunk - walk)
    assert cycles == 5 * chunk + (walk - 1) + drained(8, skew=skew)


def test_columns_beyond_a_word_walk_the_window_for_every_word() -> None:
    layer, cycles = last_layer(builder(2, 2, 6).depthwise((2, 2)), rows=1, columns=8)
    assert (layer.tiles, layer.groups, layer.chunk_cycles) == (1, 1, 2 * 4)
    assert cycles == 2 * 4 + drained(6, skew=7)


def test_a_residual_takes_a_word_for_each_of_its_weights() -> None:
    """2**9 is a sum of 5 weights. Row 0 of 3 rows has 2 more words than the last it needs."""
    shift = np.full(4, 9, np.int64)
    case = builder(1, 1, 4).conv(4, (1, 1)).residual("input", shift)
    layer, cycles = last_layer(case, rows=1, columns=4)
    assert layer.chunk_cycles == 4 + 5
    assert cycles == 4 + 5 + drained(4, skew=3)
    case = builder(1, 4, 4).conv(4, (1, 1)).residual("input", shift)
    layer, cycles = last_layer(case, rows=3, columns=4)
    walk = 4 + 5 * (1 + 2)
    assert (layer.tiles, layer.chunk_cycles, layer.chunk_pad) == (2, walk, 0)
    assert cycles == walk + (walk - 2) + drained(4, skew=2 + 3)


def test_a_shortcut_is_one_more_walk() -> None:
    """3 runs of 3 words, then a run of a word."""
    case = builder(2, 2, 4).conv(4, padding=(1, 1, 1, 1)).conv(4, padding=(1, 1, 1, 1))
    layer, cycles = last_layer(case.shortcut("input"), rows=2, columns=4)
    walk = 3 * 3 * 4 + 4
    assert (layer.tiles, layer.chunk_cycles, layer.chunk_pad) == (2, walk, 0)
    assert cycles == walk + walk + drained(8, skew=4)
    assert layer.macs == 2 * 2 * 4 * (4 * 9 + 4)


def test_an_average_holds_a_weight_for_each_word() -> None:
    case = builder(4, 4, 8).average_pool((4, 4), (4, 4))
    layer, cycles = last_layer(case, rows=1, columns=8)
    assert cycles == layer.chunk_cycles + drained(8, skew=7)
    assert layer.chunk_cycles == 2 * 16
    assert make_schedule(case.build(), ArrayShape(rows=1, columns=8)).config.weight_depth == 2


@pytest.mark.parametrize(("columns", "blocks"), [(4, 1), (6, 2)])
def test_copied_weights_take_a_cycle_a_word(columns: int, blocks: int) -> None:
    """10 weights for each column; a block of columns is a word."""
    case = builder(1, 1, 10).dense(4)
    layer, cycles = last_layer(case, rows=1, columns=columns, column_bytes=COLUMN_BYTES)
    assert layer.descriptor["copy_words"] == 10 * blocks
    copy = 10 * blocks + weight_copier.LATENCY
    assert cycles == copy + 10 + drained(4, skew=columns - 1)


def test_nothing_is_copied_for_a_maximum() -> None:
    case = builder(4, 4, 6).max_pool()
    plain, cycles = last_layer(case, rows=2, columns=4)
    copied, same = last_layer(case, rows=2, columns=4, column_bytes=COLUMN_BYTES)
    assert copied.descriptor["copy_words"] == 0
    assert (copied.chunk_cycles, same) == (plain.chunk_cycles, cycles)


@pytest.mark.parametrize("single_port", [False, True])
@pytest.mark.parametrize("seed", range(15))
def test_an_outline_knows_all_but_the_idle_cycles(seed: int, single_port: bool) -> None:
    program = random_program(np.random.default_rng(seed))
    shape = ArrayShape(rows=1 + seed % 3, columns=4, single_port=single_port)
    outline, schedule = Outline(program, shape), make_schedule(program, shape)
    assert 0 < outline.least_cycles < schedule.cycles
    assert outline.memory == schedule.memory
    assert outline.activation_bytes == schedule.activation_bytes
    columns = [layer.groups * sum(w.weight_bytes for w in layer.walks) for layer in schedule.layers]
    assert outline.column_need == max(columns)
    fields = {name for name, _, _ in schedule.config.fields}
    assert {name for name, _, _ in outline.config.fields} == fields
    sizes = ("accumulator_bits", "shift_bits", "weight_depth", "parameter_depth", "bank_depth")
    for name in sizes:
        assert getattr(outline.config, name) == getattr(schedule.config, name)


def uneven(rows: int, window: int) -> Schedule:
    """A tile of ``rows`` pixels and one of a single pixel, then a maximum."""
    net = builder(1, rows + 3, 3).average_pool((1, 3), (1, 1)).max_pool((1, window), (1, 1))
    return make_schedule(net.build(), ArrayShape(rows=rows, columns=8, word_bytes=8))


def test_a_layer_may_begin_while_idle_cycles_count() -> None:
    """The idle cycles behind the last tile are those that a whole one would need."""
    first, second = plain(uneven(9, 1))
    assert first.idle_until == first.tiles * first.groups * first.chunk_cycles
    assert second.chunk_pad > 0
    assert first.idle_until >= first.cycles
    assert uneven(9, 1).config.overtakes


def test_idle_cycles_that_are_over_or_that_meet_none_need_nothing() -> None:
    first, _ = plain(uneven(2, 1))
    assert first.idle_until < first.cycles
    assert not uneven(2, 1).config.overtakes
    first, second = plain(uneven(9, 8))
    assert second.chunk_pad == 0
    assert first.idle_until >= first.cycles
    assert not uneven(9, 8).config.overtakes


def test_multiply_accumulates_and_utilization() -> None:
    schedule = make_schedule(small_cnn(), ArrayShape(rows=4, columns=4))
    macs = [12 * 12 * 6 * 9, 0, 6 * 6 * 9 * 9 * 6, 0, 10 * 3 * 3 * 9]
    assert [layer.macs for layer in schedule.layers] == macs
    assert schedule.macs == sum(macs) == small_cnn().macs
    assert schedule.utilization == sum(macs) / (16 * schedule.cycles)
    assert schedule.cycles == sum(layer.cycles for layer in schedule.layers)


def test_layers_are_in_order_and_reshapes_have_none() -> None:
    schedule = make_schedule(small_cnn(), ArrayShape(rows=4, columns=4))
    assert [layer.index for layer in schedule.layers] == [0, 1, 2, 3, 4]
    kinds = ["Conv", "MaxPool", "Conv", "MaxPool", "Conv"]
    assert [layer.kind for layer in schedule.layers] == kinds


def plain(schedule: Schedule) -> list[LayerPlan]:
    """The layers without their walks, which are only equal to themselves."""
    return [replace(layer, walks=()) for layer in schedule.layers]


def test_the_same_program_gives_the_same_schedule_and_is_left_alone() -> None:
    program = small_cnn()
    digest = program.digest
    first, second = (make_schedule(program, ArrayShape(rows=2, columns=4)) for _ in range(2))
    assert plain(first) == plain(second)
    assert (first.config, first.header, first.memory) == (
        second.config,
        second.header,
        second.memory,
    )
    assert first.images == second.images
    assert program.digest == digest


def test_a_family_does_not_change_the_cycles() -> None:
    shape = ArrayShape(rows=2, columns=2, family="ice40up", single_port=True)
    first, second = (make_schedule(dense_net(), s) for s in (shape, shape.portable()))
    assert plain(first) == plain(second)
    assert first.config.portable() == second.config


@pytest.mark.parametrize("columns", [3, 4, 10])
def test_payload_holds_the_columns_layer_by_layer(columns: int) -> None:
    """Word i of a layer: block i % blocks of the columns, address i // blocks in each."""
    shape = ArrayShape(rows=2, columns=columns, column_bytes=1024)
    schedule = make_schedule(depthwise_net(), shape)
    config, payload = schedule.config, schedule.payload
    assert (config.payload_base, config.payload_bytes) == (schedule.memory.size, len(payload))
    assert config.weight_depth == shape.column_bytes
    assert schedule.activation_bytes == schedule.memory.size + len(payload)
    place, first = config.payload_base, 0
    for layer in schedule.layers:
        weight_bytes = layer.groups * sum(walk.weight_bytes for walk in layer.walks)
        words = weight_bytes * config.weight_blocks
        assert (layer.descriptor["copy_source"], layer.descriptor["copy_words"]) == (place, words)
        assert layer.descriptor["weight_base"] == 0
        start = place - config.payload_base
        part = np.frombuffer(payload[start : start + 4 * words], np.uint8)
        by_column = part.reshape(weight_bytes, -1).T
        for column, stored in enumerate(schedule.images.weights):
            expected = np.frombuffer(stored[first : first + weight_bytes], np.uint8)
            np.testing.assert_array_equal(by_column[column], expected)
        place += 4 * words
        first += weight_bytes


def test_a_network_without_layers() -> None:
    with pytest.raises(ProgramError, match="no layer that computes anything"):
        builder(2, 2, 3).reshape((1, 1, 12)).build()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rows": 0}, "rows must be at least 1, not 0"),
        ({"columns": -3}, "columns must be at least 1, not -3"),
        ({"word_bytes": 6}, "word_bytes must be a power of two, at least 2, not 6"),
        ({"word_bytes": 1}, "word_bytes must be a power of two, at least 2, not 1"),
        ({"columns": 6, "lanes": 4}, r"lanes must divide columns \(6\), not be 4"),
        ({"columns": 8, "lanes": 8}, r"lanes must divide word_bytes \(4\), not be 8"),
    ],
)
def test_impossible_shapes(settings: dict[str, int], message: str) -> None:
    with pytest.raises(CapacityError, match=message):
        ArrayShape(**{"rows": 1, "columns": 4} | settings)


def test_mnist_8_with_16_elements(shared: Path) -> None:
    graph = load(shared / "models" / "onnx_mnist8" / "mnist-8.onnx")
    with np.load(shared / "data" / "mnist" / "mnist_train.npz") as train:
        program = quantize(graph, train["x"][:100])
    schedule = fit.bind(program, registry.find("icebreaker"), rows=2, columns=8)
    assert schedule.macs == 786_560
    assert schedule.cycles <= 56_500


@pytest.fixture(scope="module")
def mnist_mlp() -> Program:
    calibration = read_samples(str(BUNDLED / "mnist_calibration.npz"))
    return quantize(load(str(BUNDLED / "mnist_mlp.onnx")), calibration.x)


@pytest.mark.parametrize("columns", [10, 16, 20, 25])
def test_the_dense_network_on_one_row_comes_near_the_ideal(
    mnist_mlp: Program, columns: int
) -> None:
    schedule = fit.bind(mnist_mlp, registry.find("ulx3s-85f"), rows=1, columns=columns)
    assert schedule.macs == 784 * 100 + 100 * 10
    assert schedule.cycles <= 1.15 * schedule.macs / columns
