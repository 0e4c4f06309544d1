"""Descriptors: every value fits its field, and fields of equal segments are equally wide."""

import numpy as np
import pytest

from shiftwork.hw.config import ArrayShape
from shiftwork.hw.schedule import make_schedule
from shiftwork.sim.example_programs import random_program, residual_net


def test_fields_of_a_segment_are_as_wide_as_those_of_the_others() -> None:
    config = make_schedule(residual_net(), ArrayShape(rows=2, columns=4)).config
    widths = {name: (width, sign) for name, width, sign in config.fields}
    for name, width, sign in config.segment_fields:
        assert widths[f"{name}_0"] == widths[f"{name}_1"] == (width, sign)


@pytest.mark.parametrize("column_bytes", [0, 4096])
@pytest.mark.parametrize("seed", range(10))
def test_descriptors_fit_their_fields(seed: int, column_bytes: int) -> None:
    program = random_program(np.random.default_rng(seed))
    shape = ArrayShape(rows=2, columns=4, column_bytes=column_bytes)
    schedule = make_schedule(program, shape)
    for layer in schedule.layers:
        assert {name for name, _, _ in schedule.config.fields} == set(layer.descriptor)
        for name, width, sign in schedule.config.fields:
            low, high = (-(1 << width - 1), 1 << width - 1) if sign else (0, 1 << width)
            assert low <= layer.descriptor[name] < high, name
    assert sum(layer.descriptor["frees_input"] for layer in schedule.layers) == 1
