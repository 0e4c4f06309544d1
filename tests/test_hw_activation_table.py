"""Tables in hardware: one lane alone, behind a drain, and what a schedule says of them."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from shiftwork.boards.engine import Engine
from shiftwork.errors import CapacityError
from shiftwork.hw.activation_table import (
    LATENCY,
    ActivationTable,
    table_fields,
    table_image,
    table_images,
    table_record,
)
from shiftwork.hw.config import ArrayShape, Family
from shiftwork.hw.drain import WRITE_LATENCY, write_latency
from shiftwork.hw.schedule import make_schedule
from shiftwork.quant.activation_table import ENTRIES
from shiftwork.sim.network_case import Case, amaranth_difference
from shiftwork.sim.program_builder import ProgramBuilder

SHAPE = ArrayShape(rows=2, columns=4)
RNG = np.random.default_rng(0)
SIGNED, UNSIGNED = RNG.permutation(ENTRIES) - 128, RNG.permutation(ENTRIES)


def tabled(*, signed=True):
    """Four layers: two of one table, one of another, one without."""
    builder = ProgramBuilder("tabled", (5, 4, 3), np.random.default_rng(3), signed=signed)
    builder.conv(6).table(SIGNED).depthwise((2, 2), padding=(1, 0, 0, 1)).table(SIGNED)
    builder.conv(5, (1, 1), unsigned=True).table(UNSIGNED, unsigned=True)
    return builder.average_pool((2, 2), (1, 1)).dense(7, accumulators=True).build()


@pytest.mark.parametrize("family", get_args(Family))
@pytest.mark.parametrize("tables", [1, 2, 3, 9])
def test_bytes_of_an_earlier_enabled_cycle(run_component, tables, family):
    rng = np.random.default_rng(tables)
    contents = rng.integers(0, 256, tables * ENTRIES)
    dut = ActivationTable(contents=contents.tolist(), family=family)

    async def bench(ctx):
        for number in (*range(tables), None):
            ctx.set(dut.used, int(number is not None))
            ctx.set(dut.number, number or 0)
            asked = []
            for _ in range(60):
                index, enable = int(rng.integers(256)), int(rng.integers(2))
                ctx.set(dut.index, index)
                ctx.set(dut.enable, enable)
                await ctx.tick()
                if enable:
                    asked.append(index)
                if len(asked) >= LATENCY:
                    index = asked[-LATENCY]
                    found = index if number is None else contents[number * ENTRIES + index]
                    assert ctx.get(dut.byte) == found

    run_component(dut, bench)


def test_equal_bytes_are_stored_once():
    program = tabled()
    images = table_images(program)
    assert [len(image) for image in images] == [ENTRIES, ENTRIES]
    assert images[0] == SIGNED.astype(np.int8).tobytes()
    assert images[1] == (UNSIGNED ^ 0x80).astype(np.uint8).tobytes()
    assert [table_image(program, op) for op in program.ops[:3]] == [images[0], images[0], images[1]]
    fields = [table_fields(program, op) for op in program.ops]
    assert [(f["table_used"], f["table_number"]) for f in fields[:4]] == [
        (1, 0),
        (1, 0),
        (1, 1),
        (0, 0),
    ]


def test_a_table_of_the_same_bytes_with_another_meaning_is_no_other_rom():
    program = tabled()
    first = program.ops[0]
    other = replace(first, table=replace(first.table, step=0.5))
    program = replace(program, ops=(other, *program.ops[1:]))
    assert len(program.tables) == 3 and len(table_images(program)) == 2


def test_a_network_without_tables_has_nothing_of_them():
    program = ProgramBuilder("plain", (4, 4, 2)).conv(3).build()
    schedule = make_schedule(program, SHAPE)
    assert not schedule.images.tables and schedule.config.tables == 0
    assert not [name for name, _, _ in schedule.config.fields if name.startswith("table")]
    assert write_latency(schedule.config) == WRITE_LATENCY
    assert table_fields(program, program.ops[0]) == table_record(program) == {}


def test_every_layer_takes_the_tables_latency_once():
    """In a network with tables each layer's last word comes so much later, and nothing else."""
    program = tabled()
    plain = replace(program, ops=tuple(_without(op) for op in program.ops))
    with_tables, without = (make_schedule(p, SHAPE) for p in (program, plain))
    assert write_latency(with_tables.config) == WRITE_LATENCY + LATENCY
    longer = len(with_tables.images.program) - len(without.images.program)
    load, rest = divmod(longer, len(program.ops))
    assert rest == 0
    for here, there in zip(with_tables.layers, without.layers, strict=True):
        assert here.cycles == there.cycles + LATENCY + load


def _without(op):
    return replace(op, table=None) if getattr(op, "table", None) is not None else op


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize(
    "shape",
    [
        SHAPE,
        replace(SHAPE, lanes=2),
        replace(SHAPE, single_port=True, lanes=4),
        replace(SHAPE, rows=1, single_port=True, column_bytes=64),
    ],
    ids=["rows", "lanes", "single port", "copied weights"],
)
def test_whole_networks_in_the_predicted_cycles(shape, signed):
    program = tabled(signed=signed)
    source = program.tensor(program.input)
    q = np.random.default_rng(1).integers(source.lo, source.hi + 1, (2, *source.shape))
    case = Case(program=program, shape=shape, q=q.astype(np.int32), stall_probability=0.4)
    assert amaranth_difference(case) is None


def test_a_manifest_says_who_uses_what():
    program = tabled()
    first = program.ops[0]
    named = replace(first, table=replace(first.table, function="tanh(x)"))
    program = replace(program, ops=(named, *program.ops[1:]))
    assert table_record(program)["tables"] == [
        {"address": 0, "functions": ["", "tanh(x)"], "ops": ["conv0", "depthwise1"]},
        {"address": ENTRIES, "functions": [""], "ops": ["conv2"]},
    ]


def test_engines_have_no_tables():
    text = "'tabled' looks up the outputs of 'conv0' in a table, and an engine for several networks"
    with pytest.raises(CapacityError, match=text):
        Engine([tabled()], board="icebreaker", rows=1, columns=2)
    plain = ProgramBuilder("plain", (4, 4, 2)).conv(3).build()
    with pytest.raises(CapacityError, match=text):
        make_schedule(tabled(), SHAPE, make_schedule(plain, SHAPE).config)
