import itertools
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shiftwork.explore_front import dominates, front, fronts_by_board
from shiftwork.explore_points import Design, Point


def point(board="a", rows=1, clock=None, problem=""):
    return Point(
        quantization="int8",
        board=board,
        rows=rows,
        columns=4,
        clock_mhz=clock,
        design=Design(problem=problem, cycles=100, fmax_mhz=50.0),
    )


def distinct(count):
    return [point(rows=index + 1) for index in range(count)]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((1, 2), (2, 2), True),
        ((1, 2), (2, 3), True),
        ((1, 2), (1, 2), False),
        ((1, 3), (2, 2), False),
        ((2, 2), (1, 2), False),
    ],
)
def test_dominates(first, second, expected):
    assert dominates(first, second) is expected


def test_front_in_order_of_the_values():
    values = [(3.0, 1.0), (2.0, 2.0), (1.0, 3.0), (3.0, 2.0), (2.5, 2.5)]
    assert front(distinct(5), values) == [2, 1, 0]


def test_equal_points_are_all_on_it_in_their_order():
    values = [(1.0, 2.0), (2.0, 1.0), (1.0, 2.0)]
    assert front(distinct(3), values) == [0, 2, 1]


def test_of_a_design_at_several_clocks_only_the_slowest_of_equals():
    points = [point(clock=40.0), point(clock=60.0), point(clock=None), point("b", clock=60.0)]
    values = [(2.0, 1.0), (1.0, 1.0), (1.0, 1.0), (1.0, 1.0)]
    assert front(points, values) == [1, 3]


def test_what_does_not_fit_is_never_on_it():
    points = [point(problem="too large"), point(rows=2)]
    assert front(points, [(math.inf, 0.0), (1.0, 1.0)]) == [1]
    assert front(points[:1], [(math.inf, 0.0)]) == []


def test_fronts_of_the_boards():
    points = [point("a"), point("a", rows=2), point("b"), point("b", rows=2)]
    values = [(1.0, 1.0), (2.0, 2.0), (3.0, 4.0), (4.0, 3.0)]
    assert front(points, values) == [0]
    assert fronts_by_board(points, values) == {0, 2, 3}


@settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(*[st.integers(0, 4)] * 3), max_size=30))
def test_against_the_definition(values):
    points = distinct(len(values))
    expected = {
        index
        for index, own in enumerate(values)
        if not any(
            all(a <= b for a, b in zip(other, own, strict=True)) and other != own
            for other in values
        )
    }
    found = front(points, values)
    assert set(found) == expected
    assert all(values[a] <= values[b] for a, b in itertools.pairwise(found))
