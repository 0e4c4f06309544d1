"""Folds what raw bytes stand for into the first layers: it costs nothing on the chip."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shiftwork.errors import ModelError
from shiftwork.quant.graph import (
    Affine,
    AveragePool,
    Clip,
    Conv,
    Graph,
    Grid,
    MaxPool,
    Node,
    Reshape,
)
from shiftwork.quant.passes import reading, with_affine_input
from shiftwork.quant.raw_input import RawInput

MAX_BORDER_STEPS = 16.0
"""How far the byte of the border may be from what stands for 0.0."""
FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class Folded:
    """A network that takes raw bytes.

    Attributes:
        graph: its input is the raw byte less ``zero_point``.
        zero_point: the byte that the border of a padded convolution is made of; 0 without one.
        border: what the border's byte is, and how far it is from 0.0; None if nothing is padded.
    """

    graph: Graph
    zero_point: int
    border: str | None


def fold(graph: Graph, raw: RawInput) -> Folded:
    """``graph`` for raw bytes as its input, ``raw.scale`` and ``raw.offset`` in its weights.

    Both pass through pools, reshapes and constants of the model's own, until convolutions or
    dense layers take them up.

    Raises:
        ModelError: naming the node that they cannot be folded into, and the way out.
        DataError: if the channels are not those of ``raw``.
    """
    raw.check_channels(graph.shapes[graph.input][2])
    return _Folding(graph, raw).result()


class _Folding:
    """The way of scale and offset from the input to the first convolutions.

    The value ``at`` holds raw bytes; the real numbers are ``at * scale + offset``.
    """

    def __init__(self, graph: Graph, raw: RawInput) -> None:
        self.graph = graph
        self.raw = raw
        self.at = graph.input
        self.nodes = list(graph.nodes)
        self.scale: FloatArray = np.array(raw.scale)
        self.offset: FloatArray = np.array(raw.offset)
        self.averaged = False
        self.constant: Affine | None = None

    def result(self) -> Folded:
        while not self._readers_are_convolutions():
            self._pass(self._sole_reader())
        convs = [node for node in self._readers() if isinstance(node, Conv)]
        zero_point, border = self._border([conv for conv in convs if any(conv.padding)])
        affine = Affine(
            name="raw",
            input=self.at,
            output=self.at,
            scale=self.scale.astype(np.float32),
            offset=(self.offset + self.scale * zero_point).astype(np.float32),
        )
        for conv in convs:
            self._check_constants(conv)
            self._replace(conv, [with_affine_input(conv, affine)])
        lo, hi = self.raw.range
        grid = Grid(scale=1.0, zero_point=zero_point, lo=lo, hi=hi)
        names = {self.graph.input, *(node.output for node in self.nodes)}
        graph = self.graph.with_nodes(
            self.nodes,
            shapes={key: shape for key, shape in self.graph.shapes.items() if key in names},
            grids={key: other for key, other in self.graph.grids.items() if key in names}
            | {self.graph.input: grid},
        )
        return Folded(graph=graph, zero_point=zero_point, border=border)

    def _readers(self) -> list[Node]:
        return [node for node in self.nodes if self.at in node.inputs]

    def _readers_are_convolutions(self) -> bool:
        readers = self._readers()
        return bool(readers) and all(isinstance(node, Conv) for node in readers)

    def _sole_reader(self) -> Node:
        readers = self._readers()
        if not readers or self.at == self.graph.output:
            raise ModelError(
                f"the network '{self.graph.name}' has no layer that could take up scale and offset "
                "of raw bytes"
            )
        if len(readers) > 1:
            guilty = next(node for node in readers if not isinstance(node, Conv))
            raise self._refusal(guilty, "reads the input beside other nodes")
        return readers[0]

    def _pass(self, node: Node) -> None:
        """Takes scale and offset past a node that is no convolution."""
        match node:
            case Affine():
                own = node.scale.astype(np.float64)
                self.scale, self.offset = own * self.scale, own * self.offset + node.offset
                self.constant = node
                self._replace(node, [])
                self.nodes = [reading(other, node.output, self.at) for other in self.nodes]
                return
            case Clip():
                ends = np.stack([self.scale * end + self.offset for end in self.raw.range])
                if ends.min() < node.lo or ends.max() > node.hi:
                    raise self._refusal(node, f"limits the input to {node.lo:g}..{node.hi:g}")
                self._replace(node, [])
                self.nodes = [reading(other, node.output, self.at) for other in self.nodes]
                return
            case MaxPool() | AveragePool():
                self._check_pool(node)
                self.averaged |= isinstance(node, AveragePool)
            case Reshape():
                self._reshape(node)
            case _:
                raise self._refusal(node, f"is of the kind {type(node).__name__}")
        self.at = node.output

    def _check_pool(self, node: MaxPool | AveragePool) -> None:
        if self.constant is not None:
            raise self._refusal(node, f"reads what '{self.constant.name}' scales")
        border = any(node.padding) and isinstance(node, AveragePool) and node.count_include_pad
        if border and self.offset.any():
            raise self._refusal(node, "averages over a border of zeros, which no raw byte is")

    def _reshape(self, node: Reshape) -> None:
        if self.scale.size == self.offset.size == 1:
            return
        before, after = self.graph.shapes[node.input], self.graph.shapes[node.output]
        if after[:2] != (1, 1):
            raise self._refusal(node, "mixes channels of different scales or offsets")
        self.scale, self.offset = (
            np.broadcast_to(array, before).reshape(after) for array in (self.scale, self.offset)
        )

    def _border(self, padded: list[Conv]) -> tuple[int, str | None]:
        """The byte that stands for the zeros around the map, and how well it does."""
        if not padded:
            return 0, None
        name = padded[0].name
        lo, hi = self.raw.range
        zeros = 0.0 - self.offset / self.scale
        zero_point = 0
        if not self.averaged:
            zero_point = int(np.clip(np.floor((zeros.min() + zeros.max()) / 2 + 0.5), lo, hi))
        steps = float(np.abs(zeros - zero_point).max())
        error = float(np.abs(self.offset + self.scale * zero_point).max())
        if steps > MAX_BORDER_STEPS:
            raise ModelError(
                f"node '{name}' pads the input with zeros, but 0.0 is the raw value "
                f"{_numbers(zeros)}: the nearest byte for all channels, {zero_point}, is "
                f"{steps:.1f} steps off, at most {MAX_BORDER_STEPS:g} are allowed; use scales and "
                "offsets whose zero is a byte, or leave out --input-bytes"
            )
        text = f"node '{name}' pads with the byte {zero_point}, which stands for 0.0"
        exact = steps < 1e-6
        return zero_point, text if exact else f"{text} up to {error:.3g} ({steps:.2g} steps)"

    def _check_constants(self, conv: Conv) -> None:
        """Refuses constants that differ from pixel to pixel, but for a dense layer."""
        per_channel = all(array.size == array.shape[-1] for array in (self.scale, self.offset))
        shape = self.graph.shapes[self.at]
        whole = conv.kernel == shape[:2] and conv.dilation == (1, 1) and not any(conv.padding)
        if not per_channel and not whole:
            raise self._refusal(conv, "gets constants that differ from pixel to pixel")

    def _replace(self, node: Node, new: Iterable[Node]) -> None:
        place = next(index for index, other in enumerate(self.nodes) if other is node)
        self.nodes[place : place + 1] = new

    def _refusal(self, node: Node, why: str) -> ModelError:
        return ModelError(
            f"scale and offset of raw bytes cannot be folded: node '{node.name}' {why}; they need "
            "a convolution or dense layer first (pools and reshapes may come before); leave out "
            "--input-bytes and scale the input outside of the network, or change the model"
        )


def _numbers(values: FloatArray) -> str:
    distinct = np.unique(np.round(values, 1))
    return ", ".join(f"{value:g}" for value in distinct[:4]) + (" ..." if distinct.size > 4 else "")
