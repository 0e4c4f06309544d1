"""Whether a value that lies on the grid of a quantized model is rounded to another grid."""

from collections.abc import Iterable, Mapping

import numpy as np

from shiftwork.quant.graph import Clip, Grid, MaxPool, Node, Reshape


def grid_of(nodes: Iterable[Node], grids: Mapping[str, Grid], value: str) -> Grid | None:
    """The grid that ``value`` lies on: its own, or that of what it is the maximum or a part of.

    Args:
        nodes: those that write ``value`` and what it depends on.
        grids: of the values that are rounded.
    """
    producers = {node.output: node for node in nodes}
    while value not in grids:
        producer = producers.get(value)
        if not isinstance(producer, Clip | MaxPool | Reshape):
            return None
        value = producer.input
    return grids[value]


def rounds_anew(before: Grid | None, after: Grid | None) -> bool:
    """Whether a program that has the steps of both grids, powers of two, rounds twice."""
    if before is None or after is None or before.scale == after.scale:
        return False
    return not (is_free(before) or is_free(after))


def is_free(grid: Grid | None) -> bool:
    """Whether there is a grid whose step is no power of two."""
    return grid is not None and bool(np.frexp(grid.scale)[0] != 0.5)


def contains(grid: Grid | None, *bounds: float) -> bool:
    """Whether all bounds that are finite are multiples of the grid's step."""
    if grid is None:
        return False
    steps = np.array([bound for bound in bounds if np.isfinite(bound)]) / grid.scale
    return bool((steps == np.rint(steps)).all())
