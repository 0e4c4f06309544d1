"""Cycles against numbers derived by hand.

With two memory ports a layer takes::

    load + (chunks - 1) * chunk + walk + way + steps + 5

- ``load``: program words of a descriptor + 3.
- ``walk``: cycles of a chunk up to its last byte: runs of words of max(R, W) cycles, the last one
  of max(R, bytes).
- ``chunk``: the same with the whole last word, and ``pad`` idle cycles so that it is no less than
  ``steps`` of a full chunk + max(1, R + C - 2); for pooling + 1.
- ``way``: from the last byte to the first step of the drain: 8 + R + C - 2 through fetch unit and
  array; 6 through fetch unit and pooling.
- ``steps`` of the last chunk: (rows - 1) * C / Q + ceil(channels / Q), four times that for
  accumulators; then 5 cycles through the requantizer into memory.
"""

from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shiftwork.boards import fit, registry
from shiftwork.errors import CapacityError, ProgramError
from shiftwork.hw.config import ArrayShape
from shiftwork.hw.schedule import MAX_LAYERS, Schedule, make_schedule
from shiftwork.quant.calibration import read_samples
from shiftwork.quant.onnx_import import load
from shiftwork.quant.program import Program
from shiftwork.quant.quantizer import quantize
from shiftwork.sim.example_programs import ProgramBuilder, dense_net, random_program, small_cnn

BUNDLED = resources.files("shiftwork.examples")
PROGRAM_WORD = 32


def builder(*shape: int, **settings: Any) -> ProgramBuilder:
    height, width, channels = shape
    return ProgramBuilder("case", (height, width, channels), np.random.default_rng(0), **settings)


def load_cycles(schedule: Schedule) -> int:
    bits = sum(width for _, width, _ in schedule.config.fields)
    return -(-bits // PROGRAM_WORD) + 3


def single(program: ProgramBuilder, **shape: Any) -> tuple[Any, int]:
    """The plan of the only layer, and its cycles without the load."""
    schedule = make_schedule(program.build(), ArrayShape(**shape))
    (layer,) = schedule.layers
    assert schedule.cycles == layer.cycles
    return layer, layer.cycles - load_cycles(schedule)


def test_a_dense_layer() -> None:
    layer, cycles = single(builder(1, 1, 10).dense(4), rows=1, columns=4)
    assert (layer.tiles, layer.groups, layer.chunk_cycles, layer.chunk_pad) == (1, 1, 10, 0)
    assert cycles == (4 + 4 + 2) + (8 + 3) + 4 + 5


def test_lanes_shorten_the_drain() -> None:
    _, cycles = single(builder(1, 1, 10).dense(4), rows=1, columns=4, lanes=2)
    assert cycles == 10 + (8 + 3) + 2 + 5


def test_accumulators_take_four_steps_each() -> None:
    _, cycles = single(builder(1, 1, 10).dense(4, accumulators=True), rows=1, columns=4)
    assert cycles == 10 + (8 + 3) + 16 + 5


def test_rows_that_outnumber_the_bytes_of_a_word_stretch_it() -> None:
    layer, cycles = single(builder(1, 6, 5).conv(2, (1, 1)), rows=6, columns=2)
    assert (layer.tiles, layer.chunk_cycles) == (1, 6 + 6)
    assert cycles == (6 + 1) + (8 + 6) + (5 * 2 + 2) + 5


def test_a_convolution_of_several_tiles_and_groups() -> None:
    layer, cycles = single(builder(4, 4, 3).conv(6, (3, 3)), rows=2, columns=4)
    run = 4 + 4 + 2
    assert (layer.tiles, layer.groups, layer.chunk_cycles, layer.chunk_pad) == (2, 2, 3 * run, 0)
    assert cycles == 3 * 3 * run + (3 * run - 1) + (8 + 4) + (4 + 2) + 5


def test_a_dilated_convolution_has_a_run_for_each_tap() -> None:
    layer, cycles = single(
        builder(3, 5, 5).conv(4, (2, 2), dilation=(1, 2)), rows=1, columns=4, word_bytes=4
    )
    run = 4 + 1
    assert (layer.tiles, layer.groups, layer.chunk_cycles) == (2 * 3, 1, 4 * run)
    assert cycles == 5 * 4 * run + 4 * run + (8 + 3) + 4 + 5


def test_a_short_chunk_is_padded_until_the_drain_is_empty() -> None:
    layer, cycles = single(builder(1, 4, 1).conv(8, (1, 1)), rows=2, columns=4)
    full_steps, lead, walk = 8, 4, 2
    assert layer.chunk_pad == full_steps + lead - walk
    assert layer.chunk_cycles == 12
    assert cycles == 3 * 12 + 1 + (8 + 4) + 8 + 5


def test_pooling_takes_a_cycle_a_tap() -> None:
    layer, cycles = single(builder(4, 4, 6).max_pool(), rows=2, columns=4)
    assert (layer.tiles, layer.groups, layer.chunk_cycles, layer.chunk_pad) == (4, 2, 4 + 1, 1)
    assert cycles == 7 * 5 + 4 + 6 + 2 + 5
    assert layer.macs == 0


def test_a_single_port_delays_only_writes_that_meet_reads() -> None:
    """One chunk: nothing is read any more when its results are written."""
    one = builder(1, 1, 10).dense(4).build()
    both = [make_schedule(one, ArrayShape(rows=1, columns=4, single_port=port)) for port in (0, 1)]
    assert both[0].cycles == both[1].cycles


@pytest.mark.parametrize("seed", range(30))
def test_a_single_port_is_never_faster(seed: int) -> None:
    program = random_program(np.random.default_rng(seed))
    shape = ArrayShape(rows=1 + seed % 4, columns=4, lanes=1 + seed % 2)
    two_ports = make_schedule(program, shape)
    one_port = make_schedule(program, replace(shape, single_port=True))
    for first, second in zip(two_ports.layers, one_port.layers, strict=True):
        assert second.cycles >= first.cycles
        assert second.chunk_pad >= first.chunk_pad


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
    """Input and output twice; 6x6x6 bytes are free again when the last pooling writes its 81."""
    schedule = make_schedule(small_cnn(), ArrayShape(rows=2, columns=4))
    streams = 2 * (144 + 40)
    first, pooled = 12 * 12 * 6, 6 * 6 * 6
    assert schedule.activation_bytes == streams + first + pooled
    assert schedule.config.activation_bytes >= schedule.activation_bytes


def test_the_same_program_gives_the_same_schedule_and_is_left_alone() -> None:
    program = small_cnn()
    digest = program.digest
    first, second = (make_schedule(program, ArrayShape(rows=2, columns=4)) for _ in range(2))
    assert first.layers == second.layers
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
    assert first.layers == second.layers
    assert first.config.portable() == second.config


def test_a_network_without_layers() -> None:
    program = builder(2, 2, 3).reshape((1, 1, 12)).build()
    with pytest.raises(ProgramError, match="no layer that computes anything"):
        make_schedule(program, ArrayShape(rows=1, columns=1))


def test_too_many_layers() -> None:
    deep = builder(1, 1, 1)
    for _ in range(MAX_LAYERS):
        deep.conv(1, (1, 1), shift=0)
    shape = ArrayShape(rows=1, columns=1)
    assert len(make_schedule(deep.build(), shape).layers) == MAX_LAYERS
    with pytest.raises(CapacityError, match="the network has 257 layers; the engine runs 256"):
        make_schedule(deep.conv(1, (1, 1), shift=0).build(), shape)


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
    shape = fit.shape_for(registry.find("icebreaker"), rows=2, columns=8)
    schedule = make_schedule(program, shape)
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
    shape = fit.shape_for(registry.find("ulx3s-85f"), rows=1, columns=columns)
    schedule = make_schedule(mnist_mlp, shape)
    assert schedule.macs == 784 * 100 + 100 * 10
    assert schedule.cycles <= 1.15 * schedule.macs / columns
