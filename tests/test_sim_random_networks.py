"""The strategies: what they draw is valid, small, and reaches the corners."""

import importlib
import os
import subprocess
import sys
from collections import Counter

import numpy as np
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st

from shiftwork.quant.program_ops import Conv, Reshape, Residual
from shiftwork.sim.network_case import Case
from shiftwork.sim.network_features import Feature, empty_cells, features
from shiftwork.sim.random_networks import (
    MOST_CYCLES,
    MOST_ELEMENTS,
    MOST_PAYLOAD,
    cases,
    frames,
    programs,
)
from shiftwork.soak import draw

MANY = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
FEW_EMPTY = 40
"""Cells of the coverage table that so few networks may leave empty."""


@MANY
@given(cases())
def test_cases_are_valid_and_small(case: Case) -> None:
    case.program.verify()
    tensor = case.program.tensor(case.program.input)
    assert tensor.lo <= case.q.min() <= case.q.max() <= tensor.hi
    assert case.schedule.cycles <= MOST_CYCLES
    assert len(case.schedule.payload) <= MOST_PAYLOAD
    assert max(tensor.size for tensor in case.program.tensors) <= MOST_ELEMENTS


@MANY
@given(programs(most_ops=3), st.data())
def test_something_is_computed(program, data) -> None:
    assert any(not isinstance(op, Reshape) for op in program.ops)
    frame = data.draw(frames(program))
    assert frame.shape == program.tensor(program.input).shape
    assert frame.dtype == np.int32


def test_few_draws_reach_most_of_the_table() -> None:
    """Sums that are as large as the accumulator's width claims among it."""
    counts: Counter[Feature] = Counter()
    for seed in range(4):
        for case in draw(30, seed):
            counts.update(features(case))
    assert len(empty_cells(counts)) <= FEW_EMPTY, empty_cells(counts)
    assert counts["Conv", "accumulator at its bound"]


def test_the_same_seed_draws_the_same_cases() -> None:
    first, second, other = (draw(8, seed) for seed in (3, 3, 4))
    assert [case.digest for case in first] == [case.digest for case in second]
    assert [case.digest for case in first] != [case.digest for case in other]


def test_what_is_imported_does_not_change_what_is_drawn(tmp_path, monkeypatch) -> None:
    first = [case.digest for case in draw(20, 3)]
    numbers = ", ".join(str(number) for number in range(2, 9))
    (tmp_path / "numbers_of_a_test.py").write_text(f"NUMBERS = [{numbers}]\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("numbers_of_a_test")
    assert [case.digest for case in draw(20, 3)] == first


def test_a_seed_stands_for_the_same_networks_in_every_process() -> None:
    """Whatever Python's hashes of strings, and addresses of objects, are there."""
    code = "from shiftwork.soak import draw; print([case.digest for case in draw(24, 3)])"
    drawn = [
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert drawn[0] == drawn[1] == f"{[case.digest for case in draw(24, 3)]}\n"


def test_a_residual_shrinks_to_one_op() -> None:
    program = find(
        programs(),
        lambda program: any(
            isinstance(term, Residual)
            for op in program.ops
            if isinstance(op, Conv)
            for term in op.terms
        ),
        settings=settings(max_examples=2000, database=None),
    )
    assert len(program.ops) <= 2
    assert program.tensor(program.input).size <= 2
