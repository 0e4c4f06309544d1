"""The whole core on Amaranth's simulator against the golden model, over networks and shapes."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from itertools import cycle
from typing import Any

import numpy as np
import pytest
from amaranth import ResetInserter, Signal
from amaranth.sim import Simulator
from numpy.random import Generator

from shiftwork.errors import CapacityError
from shiftwork.hw.config import ArrayShape
from shiftwork.hw.core import Core
from shiftwork.hw.schedule import Outline, Schedule, make_schedule
from shiftwork.quant.codebook import INT4
from shiftwork.quant.levels import POWERS
from shiftwork.quant.program import Program
from shiftwork.sim import amaranth_engine, golden
from shiftwork.sim.amaranth_engine import Checker, Driver
from shiftwork.sim.coded_programs import coded, random_codebook
from shiftwork.sim.example_programs import (
    ProgramBuilder,
    dense_net,
    depthwise_net,
    random_inputs,
    random_program,
    residual_net,
    small_cnn,
)
from shiftwork.sim.executor import judge
from shiftwork.sim.layer_image import expected_frames, layer_images
from shiftwork.sim.observation import Job

FRAMES = 2
FAST_SEEDS = 20
ALL_SEEDS = 300
FAST_CODED = 4
ALL_CODED = 150
FAST_SPLITS = 6
ALL_SPLITS = 120
COLUMN_BYTES = 512
MOST_CYCLES = 600
"""Of a random network in the fast tests: about a second of simulation."""


def job_of(schedule: Schedule, *, seed: int = 0, frames: int = FRAMES, stalls: float = 0.25) -> Job:
    program = schedule.program
    return Job(
        program=program,
        images=layer_images(program, schedule.layers),
        q=random_inputs(program, np.random.default_rng(seed), frames),
        cycles=schedule.cycles,
        seed=seed,
        stall_probability=stalls,
    )


def check(program: Program, shape: ArrayShape, **settings: Any) -> None:
    """Every byte of every layer, the output stream, and the cycles of every frame."""
    schedule = make_schedule(program, shape)
    job = job_of(schedule, **settings)
    core = Core(config=schedule.config.portable(), images=schedule.images, preload=schedule.payload)
    seen = amaranth_engine.run(core, job)
    result = judge("amaranth", job, seen, build_seconds=0.0)
    assert result.passed, result.text
    assert seen.cycles_min == seen.cycles_max == schedule.cycles
    np.testing.assert_array_equal(
        np.asarray(result), program.output_layout.from_nhwc(golden.run(program, job.q))
    )


def random_shape(rng: Generator) -> ArrayShape:
    """Any mixture of the free choices."""
    lanes = int(rng.choice([1, 1, 2, 4]))
    columns = lanes * int(rng.integers(1, 5))
    word_bytes = int(rng.choice([width for width in (2, 4, 4, 8, 16) if width >= lanes]))
    return ArrayShape(
        rows=int(rng.integers(1, 6)),
        columns=columns,
        lanes=lanes,
        stage_columns=int(rng.integers(1, columns + 1)),
        word_bytes=word_bytes,
        bank_bytes=int(rng.choice([1, 1, 2])) if word_bytes > 2 else 1,
        single_port=bool(rng.integers(2)),
        column_bytes=int(rng.choice([0, 0, COLUMN_BYTES])),
        input_buffers=int(rng.integers(1, 3)),
    )


def random_case(seed: int, most_cycles: int) -> tuple[Program, ArrayShape]:
    """A random network and a shape that it suits, with no more than ``most_cycles``."""
    rng = np.random.default_rng(seed)
    while True:
        program, shape = random_program(rng, size=7), random_shape(rng)
        with suppress(CapacityError):
            if make_schedule(program, shape).cycles <= most_cycles:
                return program, shape


@pytest.mark.parametrize("seed", range(FAST_SEEDS))
def test_random_networks_on_random_shapes(seed: int) -> None:
    program, shape = random_case(seed, MOST_CYCLES)
    check(program, shape, seed=seed)


@pytest.mark.heavy
@pytest.mark.parametrize("seed", range(FAST_SEEDS, ALL_SEEDS))
def test_more_random_networks_on_random_shapes(seed: int) -> None:
    program, shape = random_case(seed, 5 * MOST_CYCLES)
    check(program, shape, seed=seed)


def coded_case(seed: int, most_cycles: int) -> tuple[Program, ArrayShape]:
    """A random network of few weights, on a random shape with ROMs."""
    rng = np.random.default_rng(seed)
    while True:
        program, shape = random_program(rng, size=7), replace(random_shape(rng), column_bytes=0)
        program = coded(program, random_codebook(rng))
        with suppress(CapacityError):
            if make_schedule(program, shape).cycles <= most_cycles:
                return program, shape


@pytest.mark.parametrize("seed", range(FAST_CODED))
def test_random_networks_of_few_weights(seed: int) -> None:
    check(*coded_case(seed, MOST_CYCLES), seed=seed)


@pytest.mark.heavy
@pytest.mark.parametrize("seed", range(FAST_CODED, ALL_CODED))
def test_more_random_networks_of_few_weights(seed: int) -> None:
    check(*coded_case(seed, 5 * MOST_CYCLES), seed=seed)


def builder(*shape: int, **settings: Any) -> ProgramBuilder:
    height, width, channels = shape
    return ProgramBuilder("case", (height, width, channels), np.random.default_rng(3), **settings)


CASES = {
    "map of one pixel": lambda: builder(1, 1, 5).conv(6, (1, 1)),
    "one byte in, one byte out": lambda: builder(1, 1, 1).conv(1, (1, 1)),
    "one channel": lambda: builder(5, 4, 1, signed=False).conv(3, (3, 2), unsigned=True),
    "one output": lambda: builder(4, 4, 3).conv(4, (2, 2)).dense(1, accumulators=True),
    "kernel larger than the map": lambda: builder(2, 2, 2).conv(4, (5, 5), padding=(2, 2, 2, 2)),
    "windows that lie in the border": lambda: builder(3, 3, 2).conv(
        3, (2, 2), padding=(3, 2, 3, 4)
    ),
    "unequal padding": lambda: builder(3, 4, 2).conv(4, (3, 4), padding=(0, 3, 2, 1)),
    "stride beyond the kernel": lambda: builder(9, 8, 2).conv(5, (2, 1), stride=(4, 3)),
    "dilation": lambda: builder(5, 6, 2).conv(4, (3, 3), dilation=(2, 3), padding=(2, 3, 0, 0)),
    "dilation of the lines only": lambda: builder(6, 4, 3).conv(5, (3, 2), dilation=(2, 1)),
    "a channel more than columns": lambda: builder(3, 3, 4).conv(9, (2, 2)).conv(7, (1, 1)),
    "accumulators of several pixels": lambda: builder(4, 3, 3).conv(
        6, (2, 2), padding=(1, 0, 0, 1), accumulators=True
    ),
    "ends in a maximum": lambda: builder(5, 5, 1).conv(5, (2, 2), unsigned=True).max_pool(),
    "ends in an average": lambda: (
        builder(6, 6, 2).conv(5, (3, 3), unsigned=True).average_pool((4, 4), (4, 4))
    ),
    "only a maximum": lambda: builder(5, 4, 5).max_pool((3, 2), (2, 1), (1, 0, 1, 1)),
    "only an average": lambda: builder(5, 5, 3, signed=False).average_pool(
        (3, 3), (2, 2), (1, 1, 1, 1)
    ),
    "signed zero point": lambda: builder(3, 3, 2, zero_point=-77).conv(
        5, (3, 3), padding=(1, 1, 1, 1)
    ),
    "unsigned zero point": lambda: (
        builder(4, 4, 2, signed=False, zero_point=200)
        .average_pool((2, 2), (2, 2), (1, 1, 1, 1))
        .conv(5, (3, 3), padding=(1, 1, 1, 1))
    ),
    "depthwise": lambda: builder(5, 6, 5).depthwise((3, 2), padding=(1, 1, 1, 1), unsigned=True),
    "depthwise of several groups": lambda: builder(3, 4, 19).depthwise((2, 3)),
    "depthwise with strides": lambda: builder(6, 9, 3).depthwise(
        (3, 5), stride=(2, 3), padding=(1, 2, 1, 2)
    ),
    "depthwise lines": lambda: builder(7, 5, 3).depthwise((3, 1), stride=(2, 2)),
    "depthwise accumulators": lambda: builder(3, 3, 6).conv(6, groups=6, accumulators=True),
    "depthwise with all terms": lambda: (
        builder(4, 5, 5, signed=False)
        .depthwise(padding=(1, 1, 1, 1), name="first")
        .depthwise((1, 1))
        .residual("first")
        .shortcut("input", (2, 3), padding=(0, 1, 1, 1))
        .residual("input")
    ),
    "a large residual": lambda: (
        builder(1, 2, 3).conv(3, (1, 1), shift=14).residual("input", np.array([14, 0, 7]))
    ),
    "a residual of the accumulators": lambda: (
        builder(3, 3, 5).conv(5, (3, 3), padding=(1, 1, 1, 1), accumulators=True).residual("input")
    ),
    "a strided shortcut": lambda: (
        builder(5, 5, 3)
        .conv(6, (3, 3), stride=(2, 2), padding=(1, 1, 1, 1), name="a", unsigned=True)
        .conv(6, (3, 3), padding=(1, 1, 1, 1))
        .shortcut("input", stride=(2, 2))
    ),
    "an average whose phases have unequal taps": lambda: builder(7, 7, 5).average_pool(
        (3, 3), (2, 2)
    ),
    "no shift": lambda: builder(3, 3, 2).conv(4, (2, 2), shift=0, bounds=(-5, 90)),
    "weights of 16 bits": lambda: builder(5, 4, 3, signed=False).conv(
        5, (3, 3), padding=(1, 1, 1, 1), wide=True, shift=18
    ),
    "depthwise weights of 16 bits": lambda: builder(4, 5, 9).depthwise(
        padding=(1, 1, 1, 1), stride=(1, 2), wide=True, shift=17
    ),
    "accumulators of 16-bit weights": lambda: builder(1, 1, 9).dense(
        5, accumulators=True, wide=True
    ),
    "16-bit maps": lambda: (
        builder(4, 3, 3, signed=False)
        .conv(5, (2, 3), padding=(1, 1, 0, 1), wide_output=True, shift=3, name="a")
        .depthwise(padding=(1, 1, 1, 1), pad_value=-300, wide_output=True, shift=9)
        .conv(6, (1, 1), shift=12, bounds=(0, 30_000), wide_output=True)
        .average_pool((2, 3), (1, 1), shift=1, pad_value=500, wide_output=True)
        .average_pool((2, 1), (1, 1), shift=9)
        .dense(3, accumulators=True)
    ),
    "16-bit maps and weights": lambda: (
        builder(1, 3, 4)
        .conv(3, (1, 2), wide_output=True, shift=2, name="a")
        .reshape((2, 1, 3))
        .conv(9, (2, 1), weights=np.arange(-540, 540, 20), wide=True, shift=13)
    ),
    "residuals of 16-bit maps": lambda: (
        builder(2, 2, 3)
        .conv(3, (1, 1), wide_output=True, shift=1, name="a")
        .conv(3, (1, 1), wide_output=True, shift=11, name="b")
        .residual("a", [0, 7, 3])
        .residual("input", [9, 8, 12])
        .conv(3, (1, 1), weights=np.arange(-450, 450, 100), wide=True, shift=17)
        .residual("a", [8, 10, 9])
        .residual("input", [1, 0, 3])
    ),
    "16 bits with all terms": lambda: (
        builder(4, 4, 5, signed=False)
        .conv(5, (2, 2), padding=(0, 0, 1, 1), name="first")
        .depthwise(padding=(1, 1, 1, 1), wide=True, shift=19)
        .residual("first", np.array([8, 9, 16, 12, 10]))
        .shortcut("input", (2, 3), padding=(0, 1, 1, 1), wide=True)
        .residual("input", np.array([3, 0, 9, 12, 10]))
        .shortcut("first")
    ),
}

SHAPES = [
    ArrayShape(rows=1, columns=3, word_bytes=2),
    ArrayShape(rows=3, columns=4, single_port=True),
    ArrayShape(rows=2, columns=8, lanes=4, word_bytes=8, stage_columns=3),
    ArrayShape(rows=2, columns=6, lanes=2, single_port=True, column_bytes=COLUMN_BYTES),
]


def title(value: object) -> str:
    """Of a test's parameter."""
    return f"{value.rows}x{value.columns}" if isinstance(value, ArrayShape) else str(value)


@pytest.mark.parametrize(
    ("name", "shape"), list(zip(CASES, cycle(SHAPES), strict=False)), ids=title
)
def test_corner(name: str, shape: ArrayShape) -> None:
    check(CASES[name]().build(), shape)


@pytest.mark.heavy
@pytest.mark.parametrize("shape", SHAPES, ids=title)
@pytest.mark.parametrize("name", CASES)
def test_every_corner_on_every_shape(name: str, shape: ArrayShape) -> None:
    check(CASES[name]().build(), shape)


@pytest.mark.parametrize("stalls", [0.0, 0.8])
def test_streams_do_not_change_the_cycles_of_a_frame(stalls: float) -> None:
    check(dense_net(), ArrayShape(rows=2, columns=2), frames=5, stalls=stalls)


def test_more_rows_than_pixels_and_columns_than_channels() -> None:
    check(builder(1, 2, 3).conv(2, (1, 1)).build(), ArrayShape(rows=5, columns=6, lanes=2))


@pytest.mark.parametrize("single_port", [False, True])
def test_a_layer_of_each_kind(single_port: bool) -> None:
    program = (
        builder(5, 5, 1, signed=False)
        .conv(4, (2, 2), unsigned=True)
        .max_pool()
        .conv(5, (2, 2), padding=(0, 0, 1, 1), unsigned=True)
        .average_pool()
        .dense(3, accumulators=True)
        .build()
    )
    check(program, ArrayShape(rows=2, columns=4, single_port=single_port))


@pytest.mark.slow
@pytest.mark.parametrize("network", [depthwise_net, residual_net], ids=["depthwise", "residual"])
def test_whole_networks(network: Callable[[], Program]) -> None:
    check(
        network(), ArrayShape(rows=2, columns=8, lanes=2, stage_columns=4, word_bytes=8), frames=1
    )


MIXED = (-100, -30, 0, 1, 16, 90)


@pytest.mark.parametrize(
    ("name", "codebook"),
    [
        ("a large residual", POWERS),
        ("only an average", INT4),
        ("only an average", MIXED),
        ("depthwise with all terms", MIXED),
    ],
)
def test_factors_made_of_the_values_of_a_codebook(name: str, codebook: tuple[int, ...]) -> None:
    check(coded(CASES[name]().build(), codebook), SHAPES[1])


ANSWERS = {
    "accumulators": lambda: ProgramBuilder("net", (2, 2, 3)).dense(5, accumulators=True),
    "signed": lambda: ProgramBuilder("net", (2, 2, 3)).dense(6),
    "unsigned": lambda: ProgramBuilder("net", (2, 2, 3)).conv(5, (2, 2), unsigned=True),
    "pooled": lambda: ProgramBuilder("net", (4, 4, 3)).conv(5).average_pool((2, 2)),
    "many": lambda: ProgramBuilder("net", (1, 1, 2)).dense(260),
}


@pytest.mark.parametrize(
    ("scores", "threshold"),
    [*((name, None) for name in ANSWERS), ("accumulators", 20), ("signed", 20)],
)
def test_class_and_score(scores: str, threshold: int | None) -> None:
    """In as many cycles as the network takes without them."""
    shape = ArrayShape(rows=2, columns=4, single_port=scores == "signed")
    program = ANSWERS[scores]().top_score(threshold).build()
    assert program.tensor(program.output).bytes <= 5
    check(program, shape)
    plain = make_schedule(ANSWERS[scores]().build(), shape)
    assert make_schedule(program, shape).cycles == plain.cycles


def test_a_codebook_changes_no_cycle() -> None:
    """Without residuals the walks are the same, and so are latencies."""
    program = builder(5, 5, 2).conv(6, (3, 3)).max_pool().depthwise((1, 1)).dense(4).build()
    for shape in SHAPES[:3]:
        plain, few = (make_schedule(p, shape) for p in (program, coded(program, INT4)))
        assert few.config.codebook == INT4
        assert [layer.cycles for layer in few.layers] == [layer.cycles for layer in plain.layers]
        assert few.weight_bytes == -(-plain.weight_bytes // 2)


def test_weights_that_are_copied_are_bytes() -> None:
    program = coded(dense_net(), INT4)
    shape = ArrayShape(rows=2, columns=4, column_bytes=COLUMN_BYTES)
    assert make_schedule(program, shape).config.codebook == ()
    check(program, shape)


WIDE_BANKS = ArrayShape(rows=2, columns=4, lanes=2, bank_bytes=2, single_port=True)


@pytest.mark.parametrize(
    "program",
    [
        builder(3, 4, 4).conv(8, (2, 2), padding=(1, 1, 0, 0)).depthwise((2, 2)).dense(5),
        builder(5, 6, 1).conv(6, (2, 3), padding=(1, 1, 1, 1)).max_pool().dense(3),
        builder(3, 3, 6).conv(6, (1, 1)).residual("input").average_pool((3, 3), (1, 1)),
    ],
    ids=["depthwise", "maximum", "residual"],
)
def test_wide_banks(program: ProgramBuilder) -> None:
    check(program.build(), WIDE_BANKS)


@pytest.mark.parametrize("input_buffers", [1, 2])
@pytest.mark.parametrize("stalls", [0.0, 0.6])
def test_a_frame_streams_in_while_its_buffer_is_free(input_buffers: int, stalls: float) -> None:
    """The input is added late: until then a single buffer is taken."""
    program = builder(3, 3, 4).conv(4, (1, 1)).conv(4, (1, 1)).residual("input").dense(2)
    shape = ArrayShape(rows=2, columns=4, input_buffers=input_buffers)
    check(program.build(), shape, frames=4, stalls=stalls)


@pytest.mark.parametrize("columns", [3, 10])
@pytest.mark.parametrize("single_port", [False, True])
def test_weights_that_are_copied_layer_by_layer(columns: int, single_port: bool) -> None:
    """Columns as deep as the largest layer needs, in one block and in three; then one pass more."""
    program = depthwise_chain()
    shape = ArrayShape(rows=2, columns=columns, single_port=single_port)
    outline = Outline(program, shape)
    whole, group = outline.column_need, outline.group_need
    layers = len(make_schedule(program, replace(shape, column_bytes=whole)).layers)
    check(program, replace(shape, column_bytes=whole))
    with pytest.raises(CapacityError, match=f"has {group} bytes of weights for a single channel"):
        make_schedule(program, replace(shape, column_bytes=group - 1))
    if group < whole:
        split = replace(shape, column_bytes=whole - 1)
        assert len(make_schedule(program, split).layers) == layers + 1
        check(program, split)


def split_case(seed: int, most_cycles: int) -> tuple[Program, ArrayShape]:
    """A random network with layers of several passes on a random shape."""
    rng = np.random.default_rng(seed)
    while True:
        program, shape = random_program(rng, size=7), replace(random_shape(rng), column_bytes=0)
        with suppress(CapacityError):
            outline = Outline(program, shape)
            if outline.group_need < outline.column_need:
                size = int(rng.integers(outline.group_need, outline.column_need))
                shape = replace(shape, column_bytes=size)
                if make_schedule(program, shape).cycles <= most_cycles:
                    return program, shape


@pytest.mark.parametrize("seed", range(FAST_SPLITS))
def test_random_networks_in_several_passes(seed: int) -> None:
    check(*split_case(seed, MOST_CYCLES), seed=seed)


@pytest.mark.heavy
@pytest.mark.parametrize("seed", range(FAST_SPLITS, ALL_SPLITS))
def test_more_random_networks_in_several_passes(seed: int) -> None:
    check(*split_case(seed, 5 * MOST_CYCLES), seed=seed)


SPLIT_CASES = {
    "accumulators": lambda: builder(3, 2, 2).conv(7, (2, 2), accumulators=True),
    "depthwise with all terms": CASES["depthwise with all terms"],
    "depthwise accumulators": CASES["depthwise accumulators"],
    "an average": lambda: builder(4, 5, 7).average_pool((2, 3), (1, 2), (1, 0, 1, 1)),
    "a shortcut and a residual": lambda: (
        builder(3, 4, 7).conv(7, (3, 3), padding=(1, 1, 1, 1)).shortcut("input").residual("input")
    ),
}


@pytest.mark.parametrize("input_buffers", [1, 2])
@pytest.mark.parametrize("name", SPLIT_CASES)
def test_a_pass_for_every_channel_group(name: str, input_buffers: int) -> None:
    """Columns as small as can be; the frame after the first waits until the last pass is done."""
    program = SPLIT_CASES[name]().build()
    shape = ArrayShape(rows=2, columns=2, input_buffers=input_buffers)
    shape = replace(shape, column_bytes=Outline(program, shape).group_need)
    schedule = make_schedule(program, shape)
    assert schedule.split
    check(program, shape, frames=3, stalls=0.0)


def depthwise_chain() -> Program:
    """Layers with weights, one after the other and around one without."""
    chain = builder(4, 4, 3).depthwise((2, 2), unsigned=True).conv(7, (1, 1))
    return chain.max_pool((2, 2), (1, 1)).average_pool((2, 2), (1, 1)).dense(4).build()


@pytest.mark.slow
def test_a_small_network_frame_after_frame() -> None:
    check(small_cnn(), ArrayShape(rows=4, columns=4, single_port=True), frames=2)


def test_the_portable_core_of_a_family_computes_the_same() -> None:
    schedule = make_schedule(dense_net(), ArrayShape(rows=2, columns=2, family="ice40up"))
    job = job_of(schedule)
    core = Core(config=schedule.config.portable(), images=schedule.images)
    result = judge("amaranth", job, amaranth_engine.run(core, job), build_seconds=0.0)
    assert result.passed, result.text


@pytest.mark.parametrize("moment", [3, 40, 97, 180])
def test_a_reset_drops_everything(moment: int) -> None:
    """Whatever a frame or two have left behind, the job that begins after a reset passes."""
    schedule = make_schedule(dense_net(), ArrayShape(rows=1, columns=4))
    job = job_of(schedule)
    core = Core(config=schedule.config, images=schedule.images)
    frames = expected_frames(job.program, job.images, job.q)
    driver = Driver(
        core,
        job,
        Checker(job, frames),
        (row for part in expected_frames(job.program, job.images, job.q) for row in part.inputs),
    )
    reset = Signal()

    async def testbench(ctx: Any) -> None:
        ctx.set(core.i.valid, 1)
        await ctx.tick().repeat(moment)
        ctx.set(core.i.valid, 0)
        ctx.set(reset, 1)
        await ctx.tick()
        ctx.set(reset, 0)
        await driver.testbench(ctx)

    simulator = Simulator(ResetInserter(reset)(core))
    simulator.add_clock(amaranth_engine.CLOCK_PERIOD)
    simulator.add_testbench(testbench)
    simulator.run()
    assert (driver.checker.mismatches, driver.checker.first, driver.hung) == (0, None, False)
    assert driver.cycles == [schedule.cycles] * FRAMES
