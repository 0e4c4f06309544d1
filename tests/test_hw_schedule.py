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
from typing import Any

import numpy as np
import pytest

from shiftwork.boards import fit, registry
from shiftwork.errors import CapacityError, ProgramError
from shiftwork.hw import pooling, weight_copier
from shiftwork.hw.array import SUM_LATENCY
from shiftwork.hw.config import ArrayShape
from shiftwork.hw.drain import CHUNK_GAP, WRITE_LATENCY
from shiftwork.hw.fetch import ROW_LATENCY, TOKEN_LATENCY
from shiftwork.hw.schedule import MAX_LAYERS, LayerPlan, Outline, Schedule, make_schedule
from shiftwork.hw.sequencer import DONE_LATENCY, LOAD_OVERHEAD
from shiftwork.quant.calibration import read_samples
from shiftwork.quant.onnx_import import load
from shiftwork.quant.program import Program
from shiftwork.quant.quantizer import quantize
from shiftwork.sim.example_programs import (
    ProgramBuilder,
    dense_net,
    depthwise_net,
    random_program,
    residual_net,
    small_cnn,
)

BUNDLED = resources.files("shiftwork.examples")
PROGRAM_WORD = 32
COLUMN_BYTES = 256
ARRAY_WAY = TOKEN_LATENCY + 1 + SUM_LATENCY
POOL_WAY = ROW_LATENCY + pooling.SUM_LATENCY


def builder(*shape: int, **settings: Any) -> ProgramBuilder:
    height, width, channels = shape
    return ProgramBuilder("case", (height, width, channels), np.random.default_rng(0), **settings)


def load_cycles(schedule: Schedule) -> int:
    bits = sum(width for _, width, _ in schedule.config.fields)
    return -(-bits // PROGRAM_WORD) + LOAD_OVERHEAD


def last_layer(program: ProgramBuilder, **shape: Any) -> tuple[LayerPlan, int]:
    """The plan of the last layer, and its cycles without the load."""
    schedule = make_schedule(program.build(), ArrayShape(**shape))
    layer = schedule.layers[-1]
    return layer, layer.cycles - load_cycles(schedule)


def drained(steps: int, *, skew: int) -> int:
    """Cycles from the array's last byte to the last write."""
    return ARRAY_WAY + skew + steps - 1 + WRITE_LATENCY + DONE_LATENCY


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


def test_a_short_chunk_is_padded_until_the_drain_is_empty() -> None:
    layer, cycles = last_layer(builder(1, 4, 1).conv(8, (1, 1)), rows=2, columns=4)
    full_steps, skew, walk = 8, 4, 2
    chunk = full_steps + max(CHUNK_GAP, skew)
    assert layer.chunk_pad == chunk - walk
    assert layer.chunk_cycles == chunk
    assert cycles == 3 * chunk + 1 + drained(8, skew=4)


def test_without_skew_the_gap_between_chunks_remains() -> None:
    layer, _ = last_layer(builder(1, 4, 1).conv(8, (1, 1)), rows=1, columns=4, stage_columns=4)
    assert layer.chunk_cycles == 4 + CHUNK_GAP


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


def test_a_single_port_takes_a_cycle_more_where_nothing_is_in_the_way() -> None:
    """One chunk: nothing is read any more when its results are written."""
    one = builder(1, 1, 10).dense(4).build()
    both = [make_schedule(one, ArrayShape(rows=1, columns=4, single_port=port)) for port in (0, 1)]
    assert both[1].cycles == both[0].cycles + 1


def test_a_single_port_has_idle_cycles_for_the_writes() -> None:
    """A maximum reads in every cycle and writes a word a chunk: that needs one idle cycle."""
    case = builder(4, 4, 8).max_pool()
    layer, _ = last_layer(case, rows=1, columns=4, lanes=4, single_port=True)
    assert (layer.chunk_cycles, layer.chunk_pad) == (4 + 1, 1)


def test_a_single_port_has_an_idle_cycle_for_each_word() -> None:
    """A depthwise layer that writes 2 words a chunk, where the drain alone would need none."""
    case = builder(6, 6, 8).depthwise()
    layer, _ = last_layer(case, rows=1, columns=8, lanes=4, stage_columns=8, single_port=True)
    assert (layer.chunk_cycles, layer.chunk_pad) == (2 * 9 + 2, 2)


@pytest.mark.parametrize("seed", range(30))
def test_a_single_port_is_never_faster(seed: int) -> None:
    program = random_program(np.random.default_rng(seed))
    shape = ArrayShape(rows=1 + seed % 4, columns=4, lanes=1 + seed % 2)
    two_ports = make_schedule(program, shape)
    one_port = make_schedule(program, replace(shape, single_port=True))
    for first, second in zip(two_ports.layers, one_port.layers, strict=True):
        assert second.cycles > first.cycles
        assert second.chunk_pad >= first.chunk_pad


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


@pytest.mark.parametrize("lanes", [1, 2, 4])
def test_depths_of_the_roms(lanes: int) -> None:
    """Conv of 6 channels: 2 groups; of 9: 3; of 10: 3. A pooling layer has one parameter word."""
    schedule = make_schedule(small_cnn(), ArrayShape(rows=2, columns=4, lanes=lanes))
    config, images = schedule.config, schedule.images
    assert config.weight_depth == 2 * 9 + 3 * 54 + 3 * 81
    assert config.parameter_depth == (2 + 3 + 3) * 4 // lanes + 2
    assert [len(column) for column in images.weights] == [config.weight_depth] * 4
    assert len(images.parameters) == config.parameter_depth
    assert len(images.program) == config.program_depth
    parameter_bits = lanes * (config.accumulator_bits + config.shift_bits)
    other_bits = parameter_bits * config.parameter_depth + PROGRAM_WORD * config.program_depth
    assert schedule.weight_bytes == 4 * config.weight_depth
    assert schedule.rom_bytes == 4 * config.weight_depth + -(-other_bits // 8)
    assert max(images.parameters).bit_length() <= parameter_bits
    assert max(images.program).bit_length() <= PROGRAM_WORD


def test_activation_bytes() -> None:
    """Input and output, and the greatest neighbours: 12x12x6 and 6x6x6 bytes."""
    schedule = make_schedule(small_cnn(), ArrayShape(rows=2, columns=4))
    first, pooled = 12 * 12 * 6, 6 * 6 * 6
    assert schedule.activation_bytes == 2 * (144 + 40) + first + pooled
    single = make_schedule(small_cnn(), ArrayShape(rows=2, columns=4, input_buffers=1))
    assert single.activation_bytes == 144 + 2 * 40 + first + pooled
    assert single.header["input_pitch"] == 0
    assert schedule.config.activation_bytes >= schedule.activation_bytes


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


def test_hardware_that_no_layer_needs_takes_no_bits() -> None:
    """A dense network has no pooling, no broadcast words, one segment, and fields of no width."""
    config = make_schedule(dense_net(), ArrayShape(rows=2, columns=4)).config
    assert (config.pooling, config.depthwise, config.segments) == (False, False, 1)
    widths = {name: width for name, width, _ in config.segment_fields}
    assert [widths[name] for name in ("taps", "phases", "phase_step", "blocks")] == [0] * 4


def test_hardware_that_some_layer_needs() -> None:
    shape = ArrayShape(rows=2, columns=12)
    config = make_schedule(depthwise_net(), shape).config
    assert (config.pooling, config.depthwise, config.segments) == (False, True, 1)
    widths = {name: width for name, width, _ in config.segment_fields}
    assert all(widths[name] for name in ("taps", "phases", "phase_step", "blocks"))
    config = make_schedule(residual_net(), shape).config
    assert (config.depthwise, config.segments) == (True, 2)
    assert make_schedule(small_cnn(), shape).config.pooling


def test_fields_of_a_segment_are_as_wide_as_those_of_the_others() -> None:
    config = make_schedule(residual_net(), ArrayShape(rows=2, columns=4)).config
    widths = {name: (width, sign) for name, width, sign in config.fields}
    for name, width, sign in config.segment_fields:
        assert widths[f"{name}_0"] == widths[f"{name}_1"] == (width, sign)


@pytest.mark.parametrize("column_bytes", [0, 4096])
@pytest.mark.parametrize("seed", range(10))
def test_descriptors_fit_their_fields(seed: int, column_bytes: int) -> None:
    program = random_program(np.random.default_rng(seed))
    shape = ArrayShape(rows=2, columns=4, column_bytes=column_bytes)
    schedule = make_schedule(program, shape)
    for layer in schedule.layers:
        assert {name for name, _, _ in schedule.config.fields} == set(layer.descriptor)
        for name, width, sign in schedule.config.fields:
            low, high = (-(1 << width - 1), 1 << width - 1) if sign else (0, 1 << width)
            assert low <= layer.descriptor[name] < high, name
    assert sum(layer.descriptor["frees_input"] for layer in schedule.layers) == 1


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


def test_a_flash_image_belongs_to_a_network_and_a_shape() -> None:
    shape = ArrayShape(rows=1, columns=4, column_bytes=1024)
    identities = {
        make_schedule(program, form).config.identity
        for program in (dense_net(0), dense_net(1))
        for form in (shape, replace(shape, rows=2), replace(shape, word_bytes=8))
    }
    assert len(identities) == 6
    again = make_schedule(dense_net(0), replace(shape, family="ecp5"))
    assert again.config.identity in identities
    assert make_schedule(dense_net(0), replace(shape, column_bytes=0)).config.identity == ""


def split_layers(column_bytes: int) -> list[LayerPlan]:
    """The passes over nine channels of 10 weights, in groups of four; another layer follows."""
    case = builder(1, 1, 10).dense(9, name="wide").dense(2).build()
    shape = ArrayShape(rows=1, columns=4, column_bytes=column_bytes)
    return list(make_schedule(case, shape).ops[0].passes)


@pytest.mark.parametrize(
    ("column_bytes", "groups", "channels"),
    [(30, [3], [9]), (29, [2, 1], [8, 1]), (20, [2, 1], [8, 1]), (10, [1, 1, 1], [4, 4, 1])],
)
def test_a_layer_of_more_weights_than_the_columns_hold_takes_passes(
    column_bytes: int, groups: list[int], channels: list[int]
) -> None:
    layers = split_layers(column_bytes)
    assert [layer.groups for layer in layers] == groups
    assert [layer.channels for layer in layers] == channels
    firsts = [sum(channels[:count]) for count in range(len(channels))]
    assert [layer.first_channel for layer in layers] == firsts
    bases = [layer.descriptor["output_base"] for layer in layers]
    assert [base - bases[0] for base in bases] == firsts
    assert [layer.descriptor["parameter_base"] for layer in layers] == firsts
    assert {layer.descriptor["pixel_step"] for layer in layers} == {9}
    sources = [layer.descriptor["copy_source"] for layer in layers]
    assert [source - sources[0] for source in sources] == [10 * first for first in firsts]
    assert [layer.descriptor["copy_words"] for layer in layers] == [10 * n for n in groups]
    frees = [0] * (len(layers) - 1) + [1]
    assert [layer.descriptor["frees_input"] for layer in layers] == frees
    assert [layer.macs for layer in layers] == [10 * count for count in channels]


def test_passes_are_evenly_filled() -> None:
    """Five groups: columns that hold four of them take two passes, of three and of two."""
    case = builder(1, 1, 10).dense(20).build()
    schedule = make_schedule(case, ArrayShape(rows=1, columns=4, column_bytes=40))
    assert [layer.groups for layer in schedule.layers] == [3, 2]


def test_every_pass_loads_and_copies() -> None:
    """Nine channels of 10 weights: two groups of four, then one channel."""
    case = builder(1, 1, 10).dense(9).build()
    schedule = make_schedule(case, ArrayShape(rows=1, columns=4, column_bytes=20))
    load = load_cycles(schedule)
    first = load + 20 + weight_copier.LATENCY + 10 + 10 + drained(4, skew=3)
    second = load + 10 + weight_copier.LATENCY + 10 + drained(1, skew=3)
    assert [layer.cycles for layer in schedule.layers] == [first, second]
    (op,) = schedule.ops
    assert (op.cycles, op.macs, op.weight_bytes) == (first + second, 90, 30)
    assert (op.name, op.kind, op.output) == ("conv0", "Conv", schedule.program.output)
    assert schedule.header["layers_last"] == 1


def test_a_pass_over_a_depthwise_layer_reads_its_own_channels() -> None:
    """Its residual too; a shortcut reads all channels."""
    case = builder(3, 3, 7).depthwise((2, 2), padding=(1, 0, 0, 1)).residual("input")
    program = case.shortcut("input").build()
    shape = ArrayShape(rows=1, columns=4)
    size = Outline(program, shape).group_need
    first, second = make_schedule(program, replace(shape, column_bytes=size)).layers
    bases = [f"input_base_{index}" for index in range(3)]
    moves = [second.descriptor[base] - first.descriptor[base] for base in bases]
    assert moves == [4, 4, 0]
    assert second.descriptor["parameter_base"] - first.descriptor["parameter_base"] == 4


def test_a_flash_image_of_other_passes_belongs_to_another_build() -> None:
    case = builder(1, 1, 10).dense(9).build()
    identities = [
        make_schedule(case, ArrayShape(rows=1, columns=4, column_bytes=size)).config.identity
        for size in (30, 40, 20, 10)
    ]
    assert identities[0] == identities[1]
    assert len(set(identities)) == 3


def test_columns_that_are_too_small_for_a_channel_group() -> None:
    message = (
        "op 'wide' has 10 bytes of weights for a single channel group in each of 4 columns, which "
        "hold 9; use a layer of fewer input channels or a smaller kernel, or a board with more "
        "block RAM"
    )
    with pytest.raises(CapacityError, match=f"^{message}$"):
        split_layers(9)


@pytest.mark.parametrize("seed", range(15))
def test_passes_hold_the_whole_network(seed: int) -> None:
    """The weights, multiply-accumulates and parameters of all passes are those of the layers."""
    program = random_program(np.random.default_rng(seed))
    shape = ArrayShape(rows=1 + seed % 3, columns=2, word_bytes=2)
    outline = Outline(program, shape)
    whole = make_schedule(program, replace(shape, column_bytes=outline.column_need))
    split = make_schedule(program, replace(shape, column_bytes=outline.group_need))
    assert outline.pass_need(outline.column_need) == outline.column_need
    assert outline.pass_need(outline.group_need) == outline.group_need
    assert max(layer.weight_bytes for layer in split.layers) == outline.group_need
    assert (split.payload, split.images.parameters) == (whole.payload, whole.images.parameters)
    for before, after in zip(whole.ops, split.ops, strict=True):
        assert (before.name, before.macs, before.output) == (after.name, after.macs, after.output)
        assert before.weight_bytes == after.weight_bytes
        assert before.cycles < after.cycles or len(after.passes) == 1
    again = Outline(program, replace(shape, column_bytes=outline.group_need))
    assert again.least_cycles < split.cycles
    assert (again.split, split.split) == (len(split.layers) > len(split.ops),) * 2
    assert not whole.split


def test_a_network_without_layers() -> None:
    with pytest.raises(ProgramError, match="no layer that computes anything"):
        builder(2, 2, 3).reshape((1, 1, 12)).build()


def test_too_many_layers() -> None:
    deep = builder(1, 1, 1)
    for _ in range(MAX_LAYERS):
        deep.conv(1, (1, 1), shift=0)
    shape = ArrayShape(rows=1, columns=1)
    assert len(make_schedule(deep.build(), shape).layers) == MAX_LAYERS
    with pytest.raises(CapacityError, match="the network has 257 layers; the engine runs 256"):
        make_schedule(deep.conv(1, (1, 1), shift=0).build(), shape)


def test_too_many_passes() -> None:
    """Of two bytes: two for the first layer, one for each output of the second."""
    shape = ArrayShape(rows=1, columns=1, column_bytes=2)
    enough, many = (
        builder(1, 1, 2).conv(2, (1, 1)).dense(MAX_LAYERS - 2 + more).build() for more in (0, 1)
    )
    assert len(make_schedule(enough, shape).layers) == MAX_LAYERS
    message = r"the network has 2 layers, which take 257 passes since .* the engine runs 256; use"
    with pytest.raises(CapacityError, match=message):
        make_schedule(many, shape)


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
