"""The check of the weights: it passes for the right ROMs, and for no others."""

import gc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from amaranth import ResetInserter, Signal
from amaranth.sim import Simulator
from framed_streams import Frames, Host, accumulators_net, values_net

from shiftwork.hw import core as core_module
from shiftwork.hw.array import SystolicArray
from shiftwork.hw.config import ArrayShape
from shiftwork.hw.core import Core
from shiftwork.hw.schedule import Schedule, make_schedule
from shiftwork.hw.weight_check import CheckResult, factors, signature
from shiftwork.quant.levels import POWERS
from shiftwork.quant.program import Program
from shiftwork.sim.coded_programs import coded
from shiftwork.sim.example_programs import ProgramBuilder

PERIOD = 1e-8
PATIENCE = 300


def mixed_net() -> Program:
    """With pools and a depthwise layer: operands come from all sides."""
    builder = ProgramBuilder("mixed", (4, 4, 3), np.random.default_rng(2), signed=False)
    chain = builder.conv(4, (2, 2), unsigned=True).max_pool((2, 2), (1, 1))
    return chain.depthwise((2, 2)).dense(2).build()


def coded_net() -> Program:
    """The same with weights that are indices in the ROMs."""
    return coded(mixed_net(), POWERS)


CASES = [
    (values_net, ArrayShape(rows=1, columns=3)),
    (accumulators_net, ArrayShape(rows=3, columns=2, single_port=True)),
    (mixed_net, ArrayShape(rows=2, columns=6, lanes=2, stage_columns=2)),
    (mixed_net, ArrayShape(rows=2, columns=4, lanes=4)),
    (coded_net, ArrayShape(rows=2, columns=6, lanes=2, stage_columns=2)),
    (coded_net, ArrayShape(rows=2, columns=6, lanes=2, products="shift")),
    (coded_net, ArrayShape(rows=3, columns=6, products="mixed")),
]


def core_of(schedule: Schedule, **options: Any) -> Core:
    return Core(
        config=schedule.config,
        images=schedule.images,
        preload=schedule.payload,
        framed=True,
        **options,
    )


def check_cycles(schedule: Schedule) -> int:
    """More than the check takes."""
    shape = schedule.config.shape
    return len(schedule.images.weights[0]) + shape.columns + shape.skew + 20


def simulate(component: Any, bench: Callable[[Any], Any]) -> None:
    simulator = Simulator(component)
    simulator.add_clock(PERIOD)
    simulator.add_testbench(bench)
    simulator.run()


def title(value: Any) -> str:
    """Of a test's parameter."""
    return f"{value.rows}x{value.columns}" if isinstance(value, ArrayShape) else value.__name__


@pytest.mark.parametrize(("network", "shape"), CASES, ids=title)
def test_right_weights_pass_and_frames_follow(
    network: Callable[[], Program], shape: ArrayShape
) -> None:
    """Twice, with a reset amid the second frame: the sequencer has a layer then."""
    schedule = make_schedule(network(), shape)
    core, frames, reset = core_of(schedule, checksum=True), Frames(schedule.program), Signal()
    host = Host(core)

    async def bench(ctx: Any) -> None:
        for number in range(2):
            host.restart()
            host.send(frames.inputs[number])
            while ctx.get(core.weight_check) == CheckResult.RUNNING:
                assert not ctx.get(core.i.ready)
                assert host.idle < check_cycles(schedule)
                await host.cycle(ctx)
            assert ctx.get(core.weight_check) == CheckResult.PASSED
            host.idle = 0
            while not host.answers:
                assert host.idle < PATIENCE
                await host.cycle(ctx)
            assert host.answers == [frames.answers[number]]
            host.send(frames.inputs[2])
            for _ in range(len(frames.inputs[2]) + schedule.cycles // 2):
                await host.cycle(ctx)
            assert ctx.get(core.busy)
            ctx.set(reset, 1)
            await ctx.tick()
            ctx.set(reset, 0)

    simulate(ResetInserter(reset)(core), bench)


@pytest.mark.parametrize("bit", range(8))
def test_one_wrong_bit_fails(monkeypatch: pytest.MonkeyPatch, bit: int) -> None:
    """In whichever column; nothing is computed, and it stays so."""
    schedule = make_schedule(values_net(), ArrayShape(rows=2, columns=4, lanes=2))
    weights = [bytearray(column) for column in schedule.images.weights]
    place = np.random.default_rng(bit).integers(len(weights[0]))
    weights[bit % 4][place] ^= 1 << bit
    monkeypatch.setattr(
        core_module,
        "SystolicArray",
        lambda *, config, weights_=weights, **_: SystolicArray(config=config, weights=weights_),
    )
    core = core_of(schedule, checksum=True)

    async def bench(ctx: Any) -> None:
        ctx.set(core.i.valid, 1)
        for _ in range(check_cycles(schedule)):
            assert not ctx.get(core.i.ready)
            await ctx.tick()
        assert ctx.get(core.weight_check) == CheckResult.FAILED
        for _ in range(PATIENCE):
            assert not ctx.get(core.i.ready)
            assert not ctx.get(core.busy)
            await ctx.tick()
        assert ctx.get(core.weight_check) == CheckResult.FAILED

    simulate(core, bench)


def test_every_wrong_byte_changes_the_signature() -> None:
    schedule = make_schedule(accumulators_net(), ArrayShape(rows=1, columns=2))
    columns, config = schedule.images.weights, schedule.config
    good = signature(columns, config=config)
    for place in range(len(columns[0])):
        for value in set(range(256)) - {columns[0][place]}:
            wrong = columns[0][:place] + bytes([value]) + columns[0][place + 1 :]
            assert signature([wrong, columns[1]], config=config) != good
    assert signature(columns[::-1], config=config) != good


def test_factors_are_odd_and_do_not_repeat_soon() -> None:
    source = factors()
    values = [next(source) for _ in range(2000)]
    assert all(value % 2 and -128 < value < 128 for value in values)
    assert len(set(values)) == 128
    windows = {tuple(values[k : k + 12]) for k in range(len(values) - 12)}
    assert len(windows) == len(values) - 12


@pytest.mark.parametrize(
    ("network", "shape"),
    [
        (values_net, ArrayShape(rows=1, columns=3, column_bytes=64)),
        (
            lambda: ProgramBuilder("pool", (4, 4, 2), np.random.default_rng(0)).max_pool().build(),
            ArrayShape(rows=1, columns=2),
        ),
    ],
    ids=["flash", "no weights"],
)
@pytest.mark.filterwarnings("ignore:.* created but never used")
def test_no_weights_in_roms(network: Callable[[], Program], shape: ArrayShape) -> None:
    with pytest.raises(ValueError, match="checksum needs weights in ROMs"):
        core_of(make_schedule(network(), shape), checksum=True)
    gc.collect()
