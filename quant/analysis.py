"""What power-of-two quantization does to every tensor of a network, before anything is quantized.

Weights are read once or twice from where they lie, activations computed batch by batch: memory
does not grow with the network or the number of samples.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shiftwork.errors import ModelError
from shiftwork.quant import float_executor
from shiftwork.quant.calibration import check_samples
from shiftwork.quant.canonical import canonical
from shiftwork.quant.fusion import layers
from shiftwork.quant.graph import Conv, Graph, Reshape
from shiftwork.quant.importer import load
from shiftwork.quant.stored_tensors import StoredTensor, stored_tensors
from shiftwork.quant.tensor_analysis import (
    AnalysisOptions,
    TensorAnalysis,
    TensorAnalyzer,
    analyze_tensor,
)
from shiftwork.quant.value_statistics import chunks

__all__ = ["AnalysisOptions", "NetworkAnalysis", "analyze"]

BATCH_ELEMENTS = 1 << 24
"""Elements of all values of the float network together that are held at once."""

Advance = Callable[[str, int, int], None]
"""Is told what is read now, how much has been done, and how much there is to do."""


@dataclass(frozen=True, kw_only=True)
class NetworkAnalysis:
    """Every tensor of a network.

    Attributes:
        name: of the network.
        bits: width of the integers that it is analyzed for.
        percentile: of the method of that name.
        samples: inputs that the activations were computed for.
        as_stored: why the weights are those of the file, batch normalization not folded; None if
            they are those that the quantizer sees.
        tensors: weights in the order of the network, then input and activations.
    """

    name: str
    bits: int
    percentile: float
    samples: int
    as_stored: str | None
    tensors: tuple[TensorAnalysis, ...]


def analyze(
    model: str | Path,
    calibration: NDArray | None = None,
    options: AnalysisOptions | None = None,
    *,
    advance: Advance | None = None,
) -> NetworkAnalysis:
    """Analyzes the weights of a network and, with samples, its activations.

    Weights are those that the quantizer sees: dequantized, with batch normalization folded, and
    without dead channels. Those of an ONNX network that Shiftwork does not import, because it is
    too large or has other ops, are analyzed as the file stores them. Biases are left out: they
    are kept at the accumulator's exponent, which leaves no choice.

    Args:
        model: ONNX or TFLite file.
        calibration: samples ``[N, ...]`` in the model's layout and units.
        options: see :class:`AnalysisOptions`.
        advance: is told what happens.

    Raises:
        ModelError: if the file cannot be read; or, with samples, is not supported.
        DataError: if the samples do not fit the network, or a tensor is not finite.
    """
    path, options = Path(model), options or AnalysisOptions()
    graph, reason = _imported(path, needed=calibration is not None)
    x = None if graph is None or calibration is None else _samples(graph, calibration)
    weights = stored_tensors(path) if graph is None else _weights(graph)
    work = 2 * sum(tensor.size for tensor in weights)
    progress = _Progress(advance, work + (0 if x is None or graph is None else 2 * _work(graph, x)))
    tensors = [_analyzed(tensor, options, progress) for tensor in weights]
    if graph is not None and x is not None:
        tensors += _activations(graph, x, options, progress)
    return NetworkAnalysis(
        name=path.stem if graph is None else graph.name,
        bits=options.bits,
        percentile=options.percentile,
        samples=0 if x is None else len(x),
        as_stored=reason,
        tensors=tuple(tensors),
    )


def _imported(path: Path, *, needed: bool) -> tuple[Graph | None, str | None]:
    """The canonical network; None, and the reason, if there is none and it is not ``needed``."""
    try:
        return canonical(load(path)), None
    except ModelError as error:
        if needed or not path.is_file() or path.suffix.lower() == ".tflite":
            raise
        return None, str(error)


@dataclass(frozen=True, eq=False, kw_only=True)
class _GraphTensor:
    """The weights of a node of the graph."""

    name: str
    values: NDArray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    @property
    def size(self) -> int:
        return self.values.size

    def read(self) -> NDArray:
        return self.values


class _Progress:
    """Counts elements, and tells."""

    def __init__(self, advance: Advance | None, total: int) -> None:
        self._advance, self._total, self._done = advance, total, 0

    def add(self, what: str, count: int) -> None:
        self._done += count
        if self._advance is not None:
            self._advance(what, self._done, self._total)


@dataclass(frozen=True, eq=False)
class _Pieces:
    """The pieces of an array, as often as they are iterated over."""

    name: str
    values: NDArray
    progress: _Progress

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        for piece in chunks(self.values):
            yield piece
            self.progress.add(self.name, piece.size)


def _weights(graph: Graph) -> tuple[_GraphTensor, ...]:
    return tuple(
        _GraphTensor(name=node.name, values=node.weights)
        for node in graph.nodes
        if isinstance(node, Conv)
    )


def _analyzed(
    tensor: StoredTensor | _GraphTensor, options: AnalysisOptions, progress: _Progress
) -> TensorAnalysis:
    analyzer = TensorAnalyzer(name=tensor.name, kind="weights", shape=tensor.shape, options=options)
    return analyze_tensor(analyzer, _Pieces(tensor.name, tensor.read(), progress))


def _samples(graph: Graph, calibration: NDArray) -> NDArray:
    x = check_samples(calibration, name="calibration data")
    return graph.input_layout.to_nhwc(x, graph.shapes[graph.input], "calibration data")


def _values(graph: Graph) -> dict[str, str]:
    """The values that a program has tensors for, and the names of the nodes that make them."""
    made = {
        layer.output: layer.node.name
        for layer in layers(graph)
        if not isinstance(layer.node, Reshape)
    }
    return {graph.input: graph.input} | made


def _work(graph: Graph, x: NDArray) -> int:
    return len(x) * sum(int(np.prod(graph.shapes[value])) for value in _values(graph))


def _activations(
    graph: Graph, x: NDArray, options: AnalysisOptions, progress: _Progress
) -> list[TensorAnalysis]:
    names = _values(graph)
    analyzers = {
        value: TensorAnalyzer(
            name=name,
            kind="input" if value == graph.input else "activation",
            shape=graph.shapes[value],
            options=options,
        )
        for value, name in names.items()
    }
    for value, pieces in _traced(graph, x, names, progress):
        analyzers[value].see(pieces)
    for analyzer in analyzers.values():
        analyzer.choose()
    for value, pieces in _traced(graph, x, names, progress):
        analyzers[value].measure(pieces)
    return [analyzer.result() for analyzer in analyzers.values()]


def _traced(
    graph: Graph, x: NDArray, names: dict[str, str], progress: _Progress
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Every value of the network for every sample, in pieces."""
    elements = sum(int(np.prod(shape)) for shape in graph.shapes.values())
    step = max(1, BATCH_ELEMENTS // elements)
    for start in range(0, len(x), step):
        values = float_executor.trace(graph, x[start : start + step])
        for value, name in names.items():
            for piece in chunks(values[value]):
                yield value, piece
                progress.add(name, piece.size)
