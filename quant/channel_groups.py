"""Which channels of a graph's values belong together: union-find over (value, channel)."""

from collections.abc import Iterable
from typing import Self

import numpy as np
from numpy.typing import NDArray

from shiftwork.quant.graph import Graph, Reshape


class ChannelGroups:
    """Groups of channels, over all values of a graph; at first each channel is on its own."""

    def __init__(self, graph: Graph) -> None:
        self._first, count = dict[str, int](), 0
        for value, shape in graph.shapes.items():
            self._first[value], count = count, count + shape[2]
        self._shapes = graph.shapes
        self._parent = list(range(count))

    def join(self, a: str, b: str) -> Self:
        """Joins every channel of ``a`` with the same channel of ``b``."""
        for channel in range(self._shapes[a][2]):
            self._union(self._first[a] + channel, self._first[b] + channel)
        return self

    def join_all(self, value: str) -> Self:
        """Joins all channels of ``value``."""
        for channel in range(1, self._shapes[value][2]):
            self._union(self._first[value], self._first[value] + channel)
        return self

    def join_reshape(self, node: Reshape) -> Self:
        """Joins the channels that hold the same elements before and after a reshape."""
        size = int(np.prod(self._shapes[node.input]))
        before, after = (
            self._first[value] + np.arange(size) % self._shapes[value][2]
            for value in (node.input, node.output)
        )
        for a, b in set(zip(before.tolist(), after.tolist(), strict=True)):
            self._union(a, b)
        return self

    def labels(self, value: str) -> NDArray[np.int64]:
        """The group of each channel of ``value``, by number; below :attr:`count`."""
        first = self._first[value]
        return np.array([self._root(first + c) for c in range(self._shapes[value][2])])

    @property
    def count(self) -> int:
        """More than any group's number."""
        return len(self._parent)

    def of(self, values: Iterable[str]) -> set[int]:
        """The groups that have a channel in any of ``values``."""
        return {int(label) for value in values for label in self.labels(value)}

    def _root(self, index: int) -> int:
        while self._parent[index] != index:
            self._parent[index] = self._parent[self._parent[index]]
            index = self._parent[index]
        return index

    def _union(self, a: int, b: int) -> None:
        a, b = self._root(a), self._root(b)
        self._parent[max(a, b)] = min(a, b)
