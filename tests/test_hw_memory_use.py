from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from shiftwork.hw.config import ArrayShape
from shiftwork.hw.memory_use import Region, Use, memory_use
from shiftwork.hw.schedule import make_schedule
from shiftwork.quant.program import Program
from shiftwork.sim.example_programs import (
    ProgramBuilder,
    dense_net,
    random_program,
    residual_net,
    small_cnn,
)

ONE = ArrayShape(rows=1, columns=4)
FROM_FLASH = ArrayShape(rows=2, columns=4, single_port=True, column_bytes=512, input_buffers=1)


def seeded(seed: int) -> Callable[[], Program]:
    return lambda: random_program(np.random.default_rng(seed), size=7)


@pytest.mark.parametrize("shape", [ONE, FROM_FLASH], ids=["roms", "flash"])
@pytest.mark.parametrize(
    "network", [small_cnn, dense_net, residual_net, *(seeded(seed) for seed in range(8))]
)
def test_what_is_used_at_the_same_time_lies_apart(
    network: Callable[[], Program], shape: ArrayShape
) -> None:
    schedule = make_schedule(network(), shape)
    regions = memory_use(schedule)
    assert max(region.address + region.bytes for region in regions) <= schedule.activation_bytes
    for index in range(len(schedule.ops)):
        used = [region for region in regions if region.uses[index] is not None]
        for before, after in pairwise(used):
            assert before.address + before.bytes <= after.address
        written = [region for region in used if region.uses[index] is Use.WRITTEN]
        assert len(written) == 1
        assert any(region.uses[index] is Use.READ for region in used)


def named(regions: tuple[Region, ...]) -> dict[str, Region]:
    return {region.name: region for region in regions}


def test_a_chain() -> None:
    schedule = make_schedule(small_cnn(), ONE)
    found = named(memory_use(schedule))
    kinds = [op.kind for op in schedule.ops]
    assert kinds == ["Conv", "MaxPool", "Conv", "MaxPool", "Conv"]
    source, target = schedule.program.input, schedule.program.output
    assert found[source].uses == (Use.READ, *(Use.STREAM,) * 4)
    assert found[f"{source}, next frame"].uses == (Use.STREAM,) * 5
    assert found[target].uses == (*(Use.STREAM,) * 4, Use.WRITTEN)
    assert found[target].bytes == 40
    first = found[schedule.ops[0].output]
    assert (first.bytes, first.address) == (12 * 12 * 6, schedule.memory.base[first.name])
    assert first.uses == (Use.WRITTEN, Use.READ, None, None, None)


def test_a_residual_is_kept() -> None:
    schedule = make_schedule(residual_net(), ONE)
    stem = named(memory_use(schedule))[schedule.ops[0].output]
    assert stem.uses[:3] == (Use.WRITTEN, Use.READ, Use.READ)


def test_an_input_that_is_read_again_is_kept_until_then() -> None:
    builder = ProgramBuilder("again", (4, 4, 2), np.random.default_rng(0))
    source = builder.last.name
    builder.conv(2, (1, 1)).conv(2, (1, 1)).conv(2, (1, 1)).residual(source)
    schedule = make_schedule(builder.build(), ONE)
    uses = named(memory_use(schedule))[source].uses
    assert uses == (Use.READ, Use.KEPT, Use.READ)


def test_weights_lie_behind_the_feature_maps() -> None:
    schedule = make_schedule(small_cnn(), FROM_FLASH)
    weights = [region for region in memory_use(schedule) if region.name.startswith("weights of")]
    assert [region.name for region in weights] == [
        f"weights of {op.name}" for op in schedule.ops if op.kind == "Conv"
    ]
    assert weights[0].address == schedule.config.payload_base
    assert weights[0].uses == (Use.COPIED, *(Use.WEIGHTS,) * 4)
    assert sum(region.bytes for region in weights) == schedule.config.payload_bytes
    assert f"{schedule.program.input}, next frame" not in named(memory_use(schedule))


def test_the_scores_that_are_answered_for() -> None:
    builder = ProgramBuilder("top", (4, 4, 2), np.random.default_rng(0))
    schedule = make_schedule(builder.conv(3, (1, 1)).dense(5).top_score(None).build(), ONE)
    found = named(memory_use(schedule))
    scores = schedule.program.scores
    assert found[scores.name].uses == (Use.STREAM, Use.WRITTEN)
    assert found[scores.name].bytes == scores.bytes
    assert schedule.program.output not in found
