"""Layers whose weights are more than the columns hold, in passes; and too many of either."""

from dataclasses import replace

import numpy as np
import pytest
from schedule_cases import builder, drained, load_cycles

from shiftwork.errors import CapacityError
from shiftwork.hw import weight_copier
from shiftwork.hw.config import ArrayShape
from shiftwork.hw.layer_work import MAX_LAYERS
from shiftwork.hw.schedule import LayerPlan, Outline, make_schedule
from shiftwork.sim.example_programs import random_program


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
