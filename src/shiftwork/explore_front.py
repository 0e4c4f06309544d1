"""Which points of an exploration are worth a look: those that no other one beats."""

from collections.abc import Iterable, Sequence

from shiftwork.explore_points import Point

Values = tuple[float, ...]


def front(points: Sequence[Point], values: Sequence[Values]) -> list[int]:
    """The Pareto front: indices of the points that no other point dominates.

    A point dominates another if none of its values is greater and one is less. Points of equal
    values do not dominate each other, so that all of them are on the front; but of one design at
    several clocks with equal values (those above what it reaches) only the slowest clock is.
    Points that do not fit their board are never on it.

    Args:
        points: in any order.
        values: for each point what is to be small, as many numbers for all.

    Returns:
        In ascending order of the values; those of equal values in the order of the points.
    """
    order = sorted(
        (i for i, point in enumerate(points) if point.fits), key=lambda i: (values[i], i)
    )
    found: list[int] = []
    seen: set[tuple[tuple[str, str, int, int], Values]] = set()
    for index in order:
        # Whatever dominates a point comes before it, or is itself dominated by what does.
        if any(dominates(values[other], values[index]) for other in found):
            continue
        key = (_design(points[index]), values[index])
        if key not in seen:
            seen.add(key)
            found.append(index)
    return found


def dominates(first: Values, second: Values) -> bool:
    """Whether none of the first values is greater than the second's, and one is less."""
    return first != second and all(a <= b for a, b in zip(first, second, strict=True))


def fronts_by_board(points: Sequence[Point], values: Sequence[Values]) -> set[int]:
    """The points that are on the front of their own board."""
    found: set[int] = set()
    for name in dict.fromkeys(point.board for point in points):
        own = [index for index, point in enumerate(points) if point.board == name]
        found |= {own[i] for i in front(*_picked(points, values, own))}
    return found


def _picked(
    points: Sequence[Point], values: Sequence[Values], indices: Iterable[int]
) -> tuple[list[Point], list[Values]]:
    chosen = list(indices)
    return [points[i] for i in chosen], [values[i] for i in chosen]


def _design(point: Point) -> tuple[str, str, int, int]:
    return point.quantization, point.board, point.rows, point.columns
