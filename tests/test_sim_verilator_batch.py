"""Several cores in one Verilator model."""

from dataclasses import replace

import numpy as np
import pytest

from shiftwork.hw.config import ArrayShape
from shiftwork.sim import verilator_batch
from shiftwork.sim.layer_image import LayerImage
from shiftwork.sim.network_case import Case, difference
from shiftwork.sim.observation import Kind
from shiftwork.sim.program_builder import ProgramBuilder
from shiftwork.sim.verilator_batch import Design


def case(shape: ArrayShape, channels: int) -> Case:
    program = ProgramBuilder("net", (2, 2, 2)).conv(channels, (2, 1)).dense(2).build()
    q = np.random.default_rng(channels).integers(-128, 128, (2, 2, 2, 2))
    return Case(program=program, shape=shape, q=q)


@pytest.mark.slow
def test_each_core_runs_its_own_job() -> None:
    """Different networks and arrays; flashes, passes, and one whose expected bytes are wrong."""
    plain = case(ArrayShape(rows=1, columns=2, word_bytes=2), 3)
    flash = case(ArrayShape(rows=2, columns=3, column_bytes=64), 4)
    wrong = case(ArrayShape(rows=1, columns=1), 1)
    split = case(ArrayShape(rows=1, columns=2, column_bytes=10), 5)
    assert [len(op.passes) for op in split.schedule.ops] == [2, 1]
    jobs = (plain.job, flash.job, replace(wrong.job, images=broken(wrong)), split.job)
    some = (plain, flash, wrong, split)
    designs = [Design(core=one.core(), job=job) for one, job in zip(some, jobs, strict=True)]
    seen = verilator_batch.run(designs, seed=7)
    assert difference("verilator", plain, seen[0]) is None
    assert difference("verilator", flash, seen[1]) is None
    assert difference("verilator", split, seen[3]) is None
    assert [one.cycles_max for one in seen] == [one.schedule.cycles for one in some]
    assert seen[2].first is not None
    assert seen[2].first.kind is Kind.WRONG_VALUE
    assert seen[2].mismatches == 2 * wrong.job.image_bytes


def broken(some: Case) -> tuple[LayerImage, ...]:
    """The layers' images with their tensors taken for unsigned: every byte is expected flipped."""
    return tuple(
        replace(image, tensor=replace(image.tensor, signed=False)) for image in some.job.images
    )
