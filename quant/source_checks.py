"""What the importers share: reading a file, limits on what it may ask for, ranges of values."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftwork.errors import ModelError
from shiftwork.quant.graph import AveragePool, Clip, FloatArray, MaxPool, Node, Reshape

MAX_FILE_BYTES = 1 << 28
MAX_ELEMENTS = 1 << 22
MAX_FEATURES = 1 << 25
MAX_CONSTANTS = 1 << 25
MAX_NODES = 1 << 14
MAX_TEXT = 2000


def read_bytes(path: Path, kind: str) -> bytes:
    """The content of ``path``; ``kind`` is what the file should be, such as "an ONNX file".

    Raises:
        ModelError: if it cannot be read, or is larger than any file of that kind.
    """
    try:
        if path.is_dir():
            raise ModelError(f"{path} is a directory; {kind} is needed")
        if not path.is_file() and path.exists():
            raise ModelError(f"{path} is a device or a pipe; {kind} is needed")
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise ModelError(
                f"{path} has {size} bytes; {kind} may have {MAX_FILE_BYTES} at most, more than "
                "fits any supported board"
            )
        return path.read_bytes()
    except FileNotFoundError:
        raise ModelError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot read {path}: {one_line(error)}") from error


def one_line(error: BaseException) -> str:
    """The text of a foreign exception, in one line of bounded length."""
    text = flat(error) or type(error).__name__
    if isinstance(error, KeyError):
        text = f"unknown entry {text}"
    return text if len(text) <= 300 else text[:297] + "..."


def located(path: Path, error: ModelError) -> ModelError:
    """The same error in one line that names the file."""
    text = flat(error)
    return ModelError(text if str(path) in text else f"{path}: {text}")


def flat(error: BaseException) -> str:
    """The text of an error in one line, whatever the names are that a file gives its parts."""
    text = "".join(c if c.isprintable() else " " for c in str(error))
    text = " ".join(text.split())
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 3] + "..."


def check_size(shape: Sequence[int], what: str) -> int:
    """The number of elements of ``shape``; an error if that is too many for any device."""
    dims = [int(dim) for dim in shape]
    size = int(np.prod(dims, dtype=object))
    if min(dims, default=1) < 0:
        raise ModelError(f"{what} has the shape {dims}; no dimension may be negative")
    if size > MAX_ELEMENTS:
        raise ModelError(
            f"{what} has the shape {dims}; a feature map may have {MAX_ELEMENTS} elements at most"
        )
    return size


class Budget:
    """What an importer may make of a file, however small that is: numbers of elements in all.

    ``features`` are those of the feature maps, ``constants`` those of weights and the like.
    """

    def __init__(self) -> None:
        self._features = 0
        self._constants = 0

    def take_features(self, count: int) -> None:
        """Counts a feature map.

        Raises:
            ModelError: if all of them together are too large for any device.
        """
        self._features += count
        if self._features > MAX_FEATURES:
            raise ModelError(
                f"the feature maps of the model have more than {MAX_FEATURES} elements together, "
                "more than any supported board computes"
            )

    def take_constants(self, count: int) -> None:
        """Counts a constant.

        Raises:
            ModelError: if all of them together are too large for any device.
        """
        self._constants += count
        if self._constants > MAX_CONSTANTS:
            raise ModelError(
                f"the constants of the model have more than {MAX_CONSTANTS} elements together, "
                "more than any supported board holds"
            )

    def take_layer(self, layer: Node, shape: Sequence[int]) -> None:
        """Counts the output of a layer, and its constants."""
        self.take_features(int(np.prod(shape, dtype=object)))
        for name in ("weights", "bias", "scale", "offset"):
            self.take_constants(np.size(getattr(layer, name, ())))


def check_constant(size: int, what: str) -> None:
    """An error if a single constant has too many elements to be converted."""
    if size > MAX_CONSTANTS:
        raise ModelError(f"{what} has {size} elements; a constant may have {MAX_CONSTANTS} at most")


def as_float32(array: NDArray[Any]) -> FloatArray:
    """Values beyond float32 become infinite, which the graph's own check reports by name."""
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array, dtype=np.float32)


def known_bounds(nodes: Iterable[Node], value: str) -> tuple[float, float]:
    """A range that ``value``, the output of one of the ``nodes`` or the input, is known to keep."""
    producers = {node.output: node for node in nodes}
    counted = False
    while True:
        match producers.get(value):
            case Clip(lo=lo, hi=hi):
                return (min(lo, 0), max(hi, 0)) if counted else (lo, hi)
            case MaxPool() | Reshape() as node:
                value = node.input
            case AveragePool() as node:
                counted = counted or node.count_include_pad
                value = node.input
            case _:
                return -np.inf, np.inf
