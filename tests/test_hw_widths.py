"""Widths and depths: as much as a network needs, and nothing that it does not."""

from dataclasses import replace

import pytest

from shiftwork.hw.config import ArrayShape
from shiftwork.hw.schedule import make_schedule
from shiftwork.sim.example_programs import dense_net, depthwise_net, residual_net, small_cnn

PROGRAM_WORD = 32


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
