"""Runs TFLite files with LiteRT, to compare with; it needs the package ``ai-edge-litert``."""

import importlib.metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftwork.errors import ToolError
from shiftwork.quant.importer import load

PACKAGE = "ai-edge-litert"


def find() -> ModuleType:
    """LiteRT's interpreter module.

    Raises:
        ToolError: if the package is missing.
    """
    try:
        from ai_edge_litert import interpreter
    except ModuleNotFoundError as error:
        raise ToolError(
            f"the Python package {PACKAGE} is missing, which runs TFLite files; install it: "
            f"pip install {PACKAGE}"
        ) from error
    return interpreter


def version() -> str:
    """Of the installed package.

    Raises:
        ToolError: if the package is missing.
    """
    find()
    return importlib.metadata.version(PACKAGE)


def outputs(path: Path, x: NDArray) -> NDArray[np.float64]:
    """What an int8 file answers, in real units: ``[N, ...]`` flattened to ``[N, outputs]``.

    It is the tensor that Shiftwork takes for the network's output: a Softmax at the end is left
    out. Inputs ``x[N, ...]`` in real units are rounded to the file's grid.

    Raises:
        ToolError: if the package is missing.
        ModelError: if the file cannot be read.
    """
    module = find()
    runtime = module.Interpreter(
        str(path),
        experimental_op_resolver_type=module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
    )
    runtime.allocate_tensors()
    source = runtime.get_input_details()[0]
    name = load(path).output
    target = [d for d in runtime.get_tensor_details() if d["name"].split(";")[0] == name][-1]
    rows = []
    for sample in x:
        runtime.set_tensor(source["index"], _stored(sample.reshape(source["shape"]), source))
        runtime.invoke()
        rows.append(_real(runtime.get_tensor(target["index"]), target).reshape(-1))
    return np.stack(rows)


def _stored(sample: NDArray, details: dict[str, Any]) -> NDArray:
    """The integers that stand for real numbers, or the numbers where the tensor is not quantized.

    Halves are rounded to even, as LiteRT's own examples do it.
    """
    scale, zero_point = details["quantization"]
    if not scale:
        return sample.astype(details["dtype"])
    bounds = np.iinfo(details["dtype"])
    integers = np.rint(sample / scale) + zero_point
    return np.clip(integers, bounds.min, bounds.max).astype(details["dtype"])


def _real(stored: NDArray, details: dict[str, Any]) -> NDArray[np.float64]:
    scale, zero_point = details["quantization"]
    return (stored.astype(np.float64) - zero_point) * scale if scale else stored.astype(np.float64)
