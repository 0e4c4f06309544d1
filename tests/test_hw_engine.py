"""Engines: what several networks need together, head room, and what does not fit."""

from dataclasses import replace

import numpy as np
import pytest

from shiftwork.errors import CapacityError
from shiftwork.hw.config import ArrayConfig, ArrayShape
from shiftwork.hw.core import Core
from shiftwork.hw.engine import (
    check_fit,
    common_ground,
    greatest_depth,
    layer_capacity,
    merged,
    with_room,
)
from shiftwork.hw.schedule import Outline, make_schedule
from shiftwork.quant.program import Program
from shiftwork.sim import amaranth_engine
from shiftwork.sim.coded_programs import coded
from shiftwork.sim.example_programs import (
    dense_net,
    depthwise_net,
    random_inputs,
    random_program,
    residual_net,
    small_cnn,
)
from shiftwork.sim.executor import judge
from shiftwork.sim.layer_image import layer_images
from shiftwork.sim.observation import ERASED, Job
from shiftwork.sim.program_builder import ProgramBuilder

SHAPE = ArrayShape(rows=1, columns=2)
NETWORKS = (small_cnn(), dense_net(), residual_net(), depthwise_net())


def engine_for(*programs: Program, shape: ArrayShape = SHAPE) -> ArrayConfig:
    ground = common_ground([Outline(program, shape).config for program in programs])
    return merged([Outline(program, shape, ground).config for program in programs])


def simulated(program: Program, config: ArrayConfig) -> str:
    """What Amaranth's simulation of every layer on the engine finds."""
    schedule = make_schedule(program, config.shape, config)
    q = random_inputs(program, np.random.default_rng(1), 2).astype(np.int32)
    job = Job(
        program=program,
        images=layer_images(program, schedule.layers),
        q=q,
        cycles=schedule.cycles,
        seed=0,
        stall_probability=0.25,
        flash=ERASED,
    )
    seen = amaranth_engine.run(Core(config=config, images=schedule.images), job)
    result = judge("amaranth", job, seen, build_seconds=0.0)
    assert result.passed, result.text
    return result.text


def tiny(name: str, channels: int, **options: bool) -> Program:
    builder = ProgramBuilder(name, (3, 3, 2), np.random.default_rng(channels))
    return builder.conv(channels, (2, 2), unsigned=True).dense(3, **options).build()


@pytest.mark.parametrize("room", [False, True])
def test_networks_share_an_engine_bit_by_bit(room: bool) -> None:
    programs = [
        tiny("convolution", 4, accumulators=True),
        ProgramBuilder("dense", (1, 1, 6), np.random.default_rng(2)).dense(5).build(),
        ProgramBuilder("pool", (4, 4, 3), np.random.default_rng(3)).max_pool().build(),
        coded(tiny("codebook", 3), (-8, -2, 0, 1, 2, 7)),
        ProgramBuilder("wide", (1, 1, 6), np.random.default_rng(4)).dense(5, wide=True).build(),
        ProgramBuilder("maps", (1, 1, 6), np.random.default_rng(5))
        .dense(5, wide_output=True)
        .dense(2)
        .build(),
    ]
    config = engine_for(*programs)
    if room:
        config = with_room(config, bank_depth=4 * config.bank_depth)
    for program in programs:
        assert "every byte of every layer" in simulated(program, config)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_random_networks_share_an_engine_bit_by_bit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    programs = [random_program(rng, size=5, depth=2) for _ in range(3)]
    shape = ArrayShape(rows=1 + seed % 2, columns=2)
    config = with_room(engine_for(*programs, shape=shape), bank_depth=4096)
    for program in programs:
        assert "every byte of every layer" in simulated(program, config)


def test_an_engine_has_the_most_of_everything() -> None:
    engine = engine_for(*NETWORKS)
    for program in NETWORKS:
        own = Outline(program, SHAPE).config
        assert engine.weight_depth >= own.weight_depth
        assert engine.bank_depth >= own.bank_depth
        assert engine.shift_base <= own.shift_base
        assert engine.accumulator_bits >= own.accumulator_bits
        schedule = make_schedule(program, SHAPE, engine)
        assert schedule.config == engine
        assert {len(column) for column in schedule.images.weights} == {engine.weight_depth}
        assert len(schedule.images.parameters) == engine.parameter_depth
        assert len(schedule.images.program) == engine.program_depth
    assert (engine.pooling, engine.depthwise, engine.segments) == (True, True, 2)
    assert layer_capacity(engine) == 7


def test_shifts_count_from_the_least_of_all_networks() -> None:
    programs = [
        ProgramBuilder(f"by{shift}", (1, 1, 6), np.random.default_rng(shift))
        .dense(5)
        .shift(shift)
        .build()
        for shift in (9, 3, 6)
    ]
    engine = engine_for(*programs)
    assert engine.shift_base == 3
    assert engine.shift_bits == 3
    for program, shift in zip(programs, (6, 0, 3), strict=True):
        words = make_schedule(program, SHAPE, engine).images.parameters
        assert {word >> engine.accumulator_bits for word in words[:5]} == {shift}


def test_a_schedule_differs_in_the_loading_of_descriptors_alone() -> None:
    engine = with_room(engine_for(*NETWORKS), bank_depth=1024)
    for program in NETWORKS:
        own, shared = make_schedule(program, SHAPE), make_schedule(program, SHAPE, engine)
        longer = {b.cycles - a.cycles for a, b in zip(own.layers, shared.layers, strict=True)}
        assert len(longer) == 1
        assert [a.chunk_cycles for a in own.layers] == [b.chunk_cycles for b in shared.layers]


def test_head_room_narrows_nothing() -> None:
    least = engine_for(*NETWORKS)
    roomy = with_room(least, bank_depth=2 * least.bank_depth)
    for name in ("fields", "segment_fields", "header_fields"):
        before, after = getattr(least, name), getattr(roomy, name)
        assert [field[0] for field in before] == [field[0] for field in after]
        assert all(a[1] <= b[1] for a, b in zip(before, after, strict=True))
    assert roomy.shift_base == least.shift_base - 2
    top = least.shift_base + (1 << least.shift_bits)
    assert roomy.shift_base + (1 << roomy.shift_bits) >= top
    assert layer_capacity(roomy) == layer_capacity(least)
    assert greatest_depth(roomy, "weight_base") >= 4 * least.weight_depth
    # What has no hardware keeps having none.
    assert ("tile_lines", 0, False) in roomy.fields


def test_head_room_takes_a_later_network() -> None:
    given = engine_for(tiny("a", 4))
    later = tiny("b", 6, accumulators=True)
    with pytest.raises(CapacityError):
        make_schedule(later, SHAPE, given)
    roomy = with_room(given, bank_depth=64)
    roomy = replace(roomy, weight_depth=128, parameter_depth=16)
    assert make_schedule(later, SHAPE, roomy).config == roomy


def test_a_network_that_does_not_fit() -> None:
    engine = replace(
        with_room(engine_for(small_cnn(), depthwise_net()), bank_depth=4096), weight_depth=2048
    )
    with pytest.raises(CapacityError) as caught:
        make_schedule(residual_net(), SHAPE, engine)
    assert str(caught.value) == (
        "'residual_net' does not fit the engine: terms of a layer: 2 inputs, the engine holds 1; "
        "place and route an engine for this network too (name it in 'shiftwork engine'), or make "
        "a bitstream of its own"
    )


NEED = replace(engine_for(*NETWORKS), scaled=True, output_bits=16)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"weight_depth": 1156}, "weights: 1,157 bytes a column, the engine holds 1,156"),
        (
            {"parameter_depth": 3},
            f"parameters: {NEED.parameter_depth} words, the engine holds 3",
        ),
        (
            {"bank_depth": 9},
            f"feature maps: {4 * NEED.bank_depth:,} bytes of activation memory, "
            "the engine holds 36",
        ),
        ({"accumulator_bits": 9}, "accumulators: 21 bits, the engine holds 9"),
        ({"shift_base": 8}, "least shift: 6, the engine's is 8"),
        ({"shift_bits": 1}, "greatest shift: more than 7, the engine's greatest"),
        ({"pooling": False}, "pooling: the engine has no pooling unit"),
        (
            {"depthwise": False},
            "layers with a channel each (depthwise, average, residual): the engine runs none",
        ),
        (
            {"scaled": False},
            "weights or feature maps of 16 bits: the engine's accumulators do not scale",
        ),
        ({"output_bits": 8}, "feature maps of 16 bits: the engine writes bytes"),
        ({"segments": 1}, "terms of a layer: 2 inputs, the engine holds 1"),
        ({"x_bits": 2}, "positions in a line: 10 bits, the engine holds 2"),
        ({"y_bits": 2}, "line numbers: 6 bits, the engine holds 2"),
    ],
)
def test_what_is_missing_is_named(change: dict[str, int], text: str) -> None:
    with pytest.raises(CapacityError) as caught:
        check_fit(NEED, replace(NEED, **change), network="n")
    assert str(caught.value).startswith(f"'n' does not fit the engine: {text}; place and route")


def test_narrow_fields_are_named_up_to_three() -> None:
    narrow = tuple((name, min(width, 1), sign) for name, width, sign in NEED.fields)
    with pytest.raises(CapacityError) as caught:
        check_fit(NEED, replace(NEED, fields=narrow, program_depth=999), network="n")
    text = str(caught.value)
    assert "'tiles' of a layer: 8 bits, the engine has 1; " in text
    assert text.count("of a layer") == 3
    assert "; and " in text
    assert " more; place and route" in text


def test_a_field_that_is_a_bit_too_narrow() -> None:
    tiles = next(width for name, width, _ in NEED.fields if name == "tiles")
    narrow = tuple((name, width - (name == "tiles"), sign) for name, width, sign in NEED.fields)
    with pytest.raises(CapacityError) as caught:
        check_fit(NEED, replace(NEED, fields=narrow, program_depth=999), network="n")
    assert f": 'tiles' of a layer: {tiles} bits, the engine has {tiles - 1}; place" in str(
        caught.value
    )
