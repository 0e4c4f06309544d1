"""The phases of a frame: their sums, and what the hardware does in the simulator."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator

from shiftwork.hw import core as core_module
from shiftwork.hw import layouts, weight_copier
from shiftwork.hw.config import ArrayShape
from shiftwork.hw.core import Core
from shiftwork.hw.fetch import ROW_LATENCY, TOKEN_LATENCY, Fetch
from shiftwork.hw.schedule import Schedule, make_schedule
from shiftwork.hw.sequencer import LOAD_OVERHEAD, Sequencer
from shiftwork.hw.timeline import PHASES, LayerPhases, timeline
from shiftwork.quant.program import Program
from shiftwork.sim.example_programs import (
    ProgramBuilder,
    dense_net,
    depthwise_net,
    random_inputs,
    residual_net,
    small_cnn,
)

PERIOD = 1e-8
SHAPES = [
    ArrayShape(rows=2, columns=4),
    ArrayShape(rows=1, columns=6, lanes=2, stage_columns=3),
    ArrayShape(rows=3, columns=2, single_port=True),
    ArrayShape(rows=2, columns=4, single_port=True, column_bytes=512),
    ArrayShape(rows=4, columns=1),
]
NETWORKS = [small_cnn, dense_net, depthwise_net, residual_net]


def split_net() -> Program:
    """A layer with more weights than the columns of a narrow memory hold."""
    return ProgramBuilder("split", (1, 1, 24), np.random.default_rng(1)).dense(16).dense(3).build()


def mixed_net() -> Program:
    """A convolution, both kinds of pools, a depthwise and a dense layer on few pixels."""
    builder = ProgramBuilder("mixed", (6, 6, 3), np.random.default_rng(2), signed=False)
    chain = builder.conv(4, (2, 2), unsigned=True).max_pool((2, 2), (1, 1))
    return chain.depthwise((2, 2)).average_pool((3, 3)).dense(2).build()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("network", NETWORKS)
def test_the_cycles_add_up(network: Callable[[], Program], shape: ArrayShape) -> None:
    schedule = make_schedule(network(), shape)
    phases = timeline(schedule)
    assert [layer.cycles for layer in phases] == [layer.cycles for layer in schedule.layers]
    assert sum(getattr(layer, name) for layer in phases for name in PHASES) == schedule.cycles
    ends = [layer.begin + layer.cycles for layer in phases]
    assert [layer.begin for layer in phases] == [0, *ends[:-1]]
    assert ends[-1] == schedule.cycles
    assert sum(layer.macs for layer in phases) == schedule.macs
    for layer in phases:
        assert min(getattr(layer, name) for name in PHASES) >= 0
        assert layer.draining > 0
        assert layer.pooling == layer.kind.endswith("Pool")
        assert 0.0 < layer.utilization <= 1.0 or layer.pooling


def test_passes_copy_their_weights_one_by_one() -> None:
    schedule = make_schedule(split_net(), ArrayShape(rows=1, columns=4, column_bytes=48))
    first, second, last = timeline(schedule)
    assert (first.name, second.name) == ("conv0", "conv0")
    assert first.copying == second.copying == 2 * 24 + weight_copier.LATENCY
    assert last.copying == 16 + weight_copier.LATENCY
    words = layouts.descriptor_words(schedule.config.fields)
    assert {layer.loading for layer in timeline(schedule)} == {words + LOAD_OVERHEAD}


def test_waiting_is_what_the_schedule_pads() -> None:
    """A 1x1 window of one channel is over long before eight columns have drained."""
    builder = ProgramBuilder("thin", (4, 4, 1), np.random.default_rng(0))
    schedule = make_schedule(builder.conv(8, (1, 1)).build(), ArrayShape(rows=2, columns=8))
    (layer,) = timeline(schedule)
    pad = schedule.layers[0].chunk_pad
    assert pad > 0
    assert layer.waiting == 7 * pad
    assert layer.fetching == layer.walking - layer.waiting


@pytest.mark.parametrize(
    ("network", "shape"),
    [
        (dense_net, SHAPES[1]),
        *((mixed_net, shape) for shape in SHAPES[:4]),
        (split_net, ArrayShape(rows=1, columns=4, column_bytes=48)),
    ],
)
def test_the_hardware_runs_through_the_phases(
    monkeypatch: pytest.MonkeyPatch, network: Callable[[], Program], shape: ArrayShape
) -> None:
    schedule = make_schedule(network(), shape)
    assert observed(monkeypatch, schedule) == [expected(layer) for layer in timeline(schedule)]


def expected(layer: LayerPhases) -> tuple[int, int, int, int, int]:
    """What :func:`observed` should see of a layer."""
    return (
        layer.begin,
        layer.loading + layer.copying,
        layer.filling,
        layer.walking,
        layer.draining,
    )


def observed(
    monkeypatch: pytest.MonkeyPatch, schedule: Schedule
) -> list[tuple[int, int, int, int, int]]:
    """Begin, cycles up to ``start``, filling, walking and draining of each layer of a frame."""
    parts: dict[str, Any] = {}

    def kept(name: str, component: type) -> Callable[..., Any]:
        def make(**fields: Any) -> Any:
            parts[name] = component(**fields)
            return parts[name]

        return make

    monkeypatch.setattr(core_module, "Fetch", kept("fetch", Fetch))
    monkeypatch.setattr(core_module, "Sequencer", kept("sequencer", Sequencer))
    core = Core(config=schedule.config, images=schedule.images, preload=schedule.payload)
    frame = random_inputs(schedule.program, np.random.default_rng(0), 1).reshape(-1)
    found: list[tuple[int, int, int, int, int]] = []

    async def send(ctx: Any) -> None:
        ctx.set(core.o.ready, 1)
        ctx.set(core.i.valid, 1)
        for value in frame.tolist():
            ctx.set(core.i.payload, value & 0xFF)
            await ctx.tick().until(core.i.ready)
        ctx.set(core.i.valid, 0)

    async def watch(ctx: Any) -> None:
        sequencer, fetch = parts["sequencer"], parts["fetch"]
        await ctx.tick().until(core.busy)
        begin, tokens, start = 0, list[int](), 0
        for cycle in range(1, schedule.cycles):
            start = cycle if ctx.get(sequencer.start) else start
            if ctx.get(fetch.token.valid):
                tokens.append(cycle + ROW_LATENCY - TOKEN_LATENCY)
            if ctx.get(sequencer.layer_ended):
                walking = tokens[-1] - tokens[0] + 1
                filling, draining = tokens[0] - start - 1, cycle - tokens[-1]
                found.append((begin, start + 1 - begin, filling, walking, draining))
                begin, tokens = cycle + 1, []
            await ctx.tick()

    simulator = Simulator(core)
    simulator.add_clock(PERIOD)
    simulator.add_testbench(send)
    simulator.add_testbench(watch)
    simulator.run()
    return found
