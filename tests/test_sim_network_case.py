"""A case on the portable core, and what is said of an engine that differs."""

from dataclasses import replace

import numpy as np
import pytest

from shiftwork.errors import CapacityError
from shiftwork.hw.config import ArrayShape
from shiftwork.sim import amaranth_engine
from shiftwork.sim.network_case import Case, amaranth_difference, difference
from shiftwork.sim.observation import ERASED
from shiftwork.sim.program_builder import ProgramBuilder

SHAPE = ArrayShape(rows=2, columns=3)


def case(shape: ArrayShape = SHAPE, seed: int = 0) -> Case:
    builder = ProgramBuilder("net", (2, 3, 2)).conv(4, (2, 2), name="first").dense(3)
    q = np.arange(24).reshape(2, 2, 3, 2)
    return Case(program=builder.build(), shape=shape, q=q, seed=seed)


def test_the_hardware_agrees() -> None:
    assert amaranth_difference(case()) is None


def test_the_job_has_the_cycles_of_the_schedule_and_no_flash() -> None:
    job = case().job
    assert (job.cycles, job.flash, job.q.dtype) == (case().schedule.cycles, ERASED, np.int32)
    assert [image.name for image in job.images] == ["first", "conv2"]


def test_weights_of_a_flash_are_in_its_image_and_in_the_portable_core() -> None:
    copied = case(replace(SHAPE, column_bytes=64))
    assert copied.job.flash.startswith(b"SWF1")
    assert amaranth_difference(copied) is None


def test_a_wrong_byte_is_named() -> None:
    one = case()
    seen = amaranth_engine.run(one.portable_core(), one.job)
    seen.output[1] ^= 1
    text = difference("amaranth", one, seen)
    assert text is not None
    assert text.startswith("amaranth: 1 bytes differ; the first: input 0, output stream (conv2)")


def test_other_cycles_are_a_difference() -> None:
    one = case()
    seen = amaranth_engine.run(one.portable_core(), one.job)
    text = difference("amaranth", one, replace(seen, cycles_max=seen.cycles_max + 1))
    cycles = one.schedule.cycles
    assert text == (f"amaranth: an inference took {cycles + 1} cycles; the schedule says {cycles}")


def test_a_core_that_hangs_is_a_difference() -> None:
    one = case()
    seen = amaranth_engine.run(one.portable_core(), one.job)
    text = difference("amaranth", one, replace(seen, hung=True))
    assert text is not None
    assert text.startswith("amaranth: the core hung")


def test_the_digest_tells_cases_apart() -> None:
    digests = {case().digest, case(seed=1).digest, case(replace(SHAPE, rows=1)).digest}
    assert len(digests) == 3
    assert case().digest in digests


def test_a_network_that_is_not_for_the_shape_is_refused() -> None:
    with pytest.raises(CapacityError, match=r"op 'first' has .* bytes of weights"):
        _ = case(replace(SHAPE, column_bytes=2)).schedule
