"""Codebooks: the few values that all weights of a program take.

``docs/program.md`` has the rules. A memory may then hold an index in place of each weight. What is
no weight of the program but a factor of a dot product, an average's or a residual's, is made of the
same values.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shiftwork.errors import ProgramError

MAX_VALUES = 16
"""Values of a codebook: an index of 4 bits names one."""
INT4 = tuple(range(-8, 8))
MAX_AVERAGE_SHIFT = 31
"""Greatest shift of an average, that of its weight included."""
LARGEST_POWER = 6
"""Exponent of the largest power of two in int8."""


def verify_values(codebook: Sequence[int]) -> None:
    """Refuses what is no codebook.

    Raises:
        ProgramError: naming the rule and the values.
    """
    text = f"not {list(codebook)!s:.100}"
    if len(codebook) > MAX_VALUES or list(codebook) != sorted(set(codebook)):
        raise ProgramError(
            f"the codebook must hold at most {MAX_VALUES} values in ascending order, {text}"
        )
    if 0 not in codebook or codebook[0] < -128 or codebook[-1] > 127:
        raise ProgramError(f"the codebook must hold 0, and values in -128..127, {text}")


def verify_weights(name: str, weights: NDArray, codebook: Sequence[int]) -> None:
    """Refuses weights of the op ``name`` that the codebook does not hold.

    Raises:
        ProgramError: naming the op, a weight and the values.
    """
    others = np.setdiff1d(weights, np.array(codebook, np.int64))
    if others.size:
        raise ProgramError(
            f"op '{name}' has the weight {others[0]}, which is not in the codebook {list(codebook)}"
        )


def verify_residual(name: str, codebook: Sequence[int]) -> None:
    """Refuses a codebook whose values do not sum up to every factor of a residual.

    Raises:
        ProgramError: naming the op and the values.
    """
    if 1 not in codebook:
        raise ProgramError(
            f"op '{name}' adds a residual: the codebook must hold 1, so that its values sum up to "
            f"every factor; it is {list(codebook)}"
        )


def verify_average(name: str, shift: int, codebook: Sequence[int]) -> None:
    """Refuses a codebook without a weight for the average ``name``, which shifts by ``shift``.

    Raises:
        ProgramError: naming the op, the greatest weight and the values.
    """
    if not average_exponents(shift, codebook):
        greatest = 1 << min(MAX_AVERAGE_SHIFT - shift, LARGEST_POWER)
        raise ProgramError(
            f"op '{name}' is an average: the codebook must hold a power of two of at most "
            f"{greatest}, to sum up with; it is {list(codebook)}"
        )


def powers_of_two(codebook: Sequence[int]) -> tuple[int, ...]:
    """The exponents of the powers of two in ``codebook``, in ascending order."""
    return tuple(e for e in range(LARGEST_POWER + 1) if 1 << e in codebook)


def average_exponents(shift: int, codebook: Sequence[int]) -> tuple[int, ...]:
    """Exponents of the weights that an average may sum up with, in ascending order.

    Args:
        shift: of the average; that of the weight comes on top.
    """
    return tuple(e for e in powers_of_two(codebook) if shift + e <= MAX_AVERAGE_SHIFT)


def summands(factor: int, codebook: Sequence[int]) -> NDArray[np.int64]:
    """The fewest values of ``codebook``, which holds 1, that add up to ``factor``, descending.

    None of them is negative. The greatest value ``g`` is among them while at least ``g * g`` is
    left: else there were more than ``g`` lesser values, some of them would add up to a multiple of
    ``g`` (pigeonhole principle), and fewer times ``g`` could stand for these.
    """
    values = [value for value in codebook if value > 0]
    greatest = max(values)
    certain = max(0, factor // greatest - greatest)
    rest = factor - certain * greatest
    fewest: list[int] = [0]
    last: list[int] = [0]
    for total in range(1, rest + 1):
        chosen = min(
            (value for value in reversed(values) if value <= total),
            key=lambda value: fewest[total - value],
        )
        last.append(chosen)
        fewest.append(fewest[total - chosen] + 1)
    found = []
    while rest:
        found.append(last[rest])
        rest -= last[rest]
    return np.concatenate([np.full(certain, greatest), np.sort(found)[::-1]]).astype(np.int64)
