"""What a codebook must hold, and the sums of its values."""

from itertools import combinations_with_replacement

import numpy as np
import pytest

from shiftwork.errors import ProgramError
from shiftwork.quant.codebook import (
    INT4,
    average_exponents,
    powers_of_two,
    summands,
    verify_average,
    verify_residual,
    verify_values,
    verify_weights,
)


@pytest.mark.parametrize("values", [(0,), INT4, (-128, 0, 127), tuple(range(16))])
def test_codebooks(values: tuple[int, ...]) -> None:
    verify_values(values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((), r"must hold 0, and values in -128\.\.127, not \[\]"),
        ((1, 2), r"must hold 0, and values in -128\.\.127, not \[1, 2\]"),
        ((-129, 0), "must hold 0, and values in"),
        ((0, 128), "must hold 0, and values in"),
        ((0, 0), r"at most 16 values in ascending order, not \[0, 0\]"),
        ((2, 0), "in ascending order"),
        (tuple(range(17)), "at most 16 values"),
    ],
)
def test_values_that_are_none(values: tuple[int, ...], message: str) -> None:
    with pytest.raises(ProgramError, match=message):
        verify_values(values)


def test_weights_that_are_not_among_the_values() -> None:
    verify_weights("a", np.array([[3, 0]], np.int8), (0, 3))
    with pytest.raises(ProgramError, match=r"op 'a' has the weight -4, which is not in the .*0, 3"):
        verify_weights("a", np.array([3, -4], np.int8), (0, 3))


def test_a_residual_asks_for_1() -> None:
    verify_residual("a", (0, 1))
    with pytest.raises(ProgramError, match=r"op 'a' adds a residual: the codebook must hold 1"):
        verify_residual("a", (0, 2))


@pytest.mark.parametrize(("shift", "greatest"), [(0, 64), (31, 1), (29, 4)])
def test_an_average_asks_for_a_power_of_two(shift: int, greatest: int) -> None:
    verify_average("a", shift, (0, greatest))
    with pytest.raises(ProgramError, match=f"op 'a' is an average: .* of at most {greatest},"):
        verify_average("a", shift, (-4, 0, 3, 2 * greatest))


def test_exponents() -> None:
    assert powers_of_two((-64, -1, 0, 1, 3, 4, 64, 100)) == (0, 2, 6)
    assert average_exponents(29, (0, 1, 4, 8)) == (0, 2)


@pytest.mark.parametrize("values", [INT4, (-5, 0, 1, 6, 9), (0, 1), (0, 1, 3, 11, 12)])
def test_the_fewest_summands(values: tuple[int, ...]) -> None:
    positive = [value for value in values if value > 0]
    for factor in range(1, 40):
        found = summands(factor, values)
        assert found.sum() == factor
        assert set(found) <= set(positive)
        fewer = combinations_with_replacement([0, *positive], len(found) - 1)
        assert len(positive) == 1 or all(sum(parts) != factor for parts in fewer)


@pytest.mark.parametrize("exponent", range(12))
def test_summands_of_large_factors(exponent: int) -> None:
    """Against a search without the shortcut."""
    values, factor = (-3, 0, 1, 20, 33, 47, 90), 1 << exponent
    fewest = [0]
    for total in range(1, factor + 1):
        fewest.append(1 + min(fewest[total - v] for v in values if 0 < v <= total))
    found = summands(factor, values)
    assert (found.sum(), len(found)) == (factor, fewest[factor])
