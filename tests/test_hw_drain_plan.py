"""Idle cycles: what a chunk drains must be gone before the next one's sums come."""

from dataclasses import replace

import numpy as np
import pytest
from schedule_cases import builder, drained, last_layer

from shiftwork.hw.config import ArrayShape
from shiftwork.hw.drain import CHUNK_GAP
from shiftwork.hw.schedule import make_schedule
from shiftwork.sim.example_programs import random_program


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
