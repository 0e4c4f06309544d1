"""What the importers share: reading a file, limits on what it may ask for, ranges of values."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftwork.errors import ModelError
from shiftwork.quant.graph import AveragePool, Clip, FloatArray, MaxPool, Node, Reshape

MAX_FILE_BYTES = (1 << 31) - 1
MAX_ELEMENTS = 1 << 22


def read_bytes(path: Path, kind: str) -> bytes:
    """The content of ``path``; ``kind`` is what the file should be, such as "an ONNX file".

    Raises:
        ModelError: if it cannot be read, or is larger than any file of that kind.
    """
    try:
        if path.is_dir():
            raise ModelError(f"{path} is a directory; {kind} is needed")
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise ModelError(f"{path} has {size} bytes; {kind} has at most {MAX_FILE_BYTES}")
        return path.read_bytes()
    except FileNotFoundError:
        raise ModelError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot read {path}: {one_line(error)}") from error


def one_line(error: BaseException) -> str:
    """The text of a foreign exception, in one line of bounded length."""
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, KeyError):
        text = f"unknown entry {text}"
    return text if len(text) <= 300 else text[:297] + "..."


def check_size(shape: Sequence[int], what: str) -> int:
    """The number of elements of ``shape``; an error if that is too many for any device."""
    size = int(np.prod([int(dim) for dim in shape], dtype=object))
    if size > MAX_ELEMENTS:
        raise ModelError(
            f"{what} has the shape {[int(dim) for dim in shape]}; a feature map may have "
            f"{MAX_ELEMENTS} elements at most"
        )
    return size


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
