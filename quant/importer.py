"""Imports a trained network from whatever format it is in."""

from pathlib import Path

from shiftwork.quant import onnx_import, tflite_import
from shiftwork.quant.graph import Graph
from shiftwork.quant.tflite_file import IDENTIFIER


def load(path: str | Path) -> Graph:
    """Imports the model at ``path``: TFLite if it says so inside or is named so, or else ONNX.

    Raises:
        ModelError: if the file cannot be read, or holds something that is not supported.
    """
    path = Path(path)
    if path.suffix.lower() == ".tflite" or _starts_like_tflite(path):
        return tflite_import.load(path)
    return onnx_import.load(path)


def _starts_like_tflite(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(8)[4:] == IDENTIFIER
    except (OSError, ValueError):
        return False
