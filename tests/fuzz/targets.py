"""What is fuzzed: how its input files are made, and what has to hold for each of them."""

import io
import json
import math
import struct
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from random import Random

import numpy as np
import seeds
from mutations import mutated_arrays, mutated_bytes, mutated_json, mutated_onnx, mutated_tflite

from shiftwork.errors import ModelError, ShiftworkError
from shiftwork.quant import float_executor
from shiftwork.quant.calibration import read_samples
from shiftwork.quant.graph import Graph
from shiftwork.quant.importer import load
from shiftwork.quant.passes import simplify
from shiftwork.quant.program import Program
from shiftwork.sim import golden

MAX_TEXT = 2500
MAX_WORK = 200_000


class Finding(Exception):
    """What must not happen, apart from exceptions that are no ShiftworkError."""


@dataclass(frozen=True)
class Target:
    """Something that reads files.

    Attributes:
        suffix: of its files.
        make: a file from random numbers.
        use: reads a file, and uses what it holds.
    """

    suffix: str
    make: Callable[[Random], bytes]
    use: Callable[[Path], None]


def is_accepted(target: Target, path: Path) -> bool:
    """Whether the file is read without an error.

    Raises:
        Finding: if the error says too little, or hides that memory or the stack ran out.
        Exception: any that is no ShiftworkError, as it is.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            target.use(path)
    except ShiftworkError as error:
        _check(error, path)
        return False
    return True


def _check(error: ShiftworkError, path: Path) -> None:
    text = str(error)
    if not text.isprintable() or len(text) > MAX_TEXT or path.name not in text:
        raise Finding(f"not one line that names the file: {text!r}") from error
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError | RecursionError):
            raise Finding(f"{type(cause).__name__} behind: {text}") from error
        hidden = None if cause.__suppress_context__ else cause.__context__
        cause = cause.__cause__ or hidden


def _use_model(path: Path) -> None:
    graph = load(path)
    graph.verify()
    if not all(dim >= 1 for shape in graph.shapes.values() for dim in shape):
        raise Finding(f"shapes {graph.shapes}")
    if _work(graph) < MAX_WORK:
        x = np.zeros((1, *graph.shapes[graph.input]), np.float32)
        try:
            float_executor.run(simplify(graph), x)
        except ModelError as error:  # the quantizer's passes know the network, not its file
            raise ModelError(f"{path.name}: {error}") from error


def _work(graph: Graph) -> int:
    sizes = sum(math.prod(shape) for shape in graph.shapes.values())
    windows = [getattr(node, "kernel", (1, 1)) for node in graph.nodes]
    return graph.macs + sizes * max((math.prod(window) for window in windows), default=1)


def _use_program(path: Path) -> None:
    program = Program.load(path)
    sizes = sum(tensor.size for tensor in program.tensors)
    windows = [math.prod(getattr(op, "kernel", (1, 1))) for op in program.ops]
    if program.macs + sizes * max(windows, default=1) < MAX_WORK:
        x = np.zeros((1, *program.input_layout.shape), np.float32)
        outputs = golden.run(program, program.quantize_input(x))
        program.classes(outputs)
        if program.softmax is not None:
            program.probabilities(outputs)


def _use_samples(path: Path) -> None:
    samples = read_samples(path)
    if samples.x.ndim < 2 or not np.isfinite(samples.x).all():
        raise Finding(f"samples of shape {samples.x.shape}")
    if samples.y is not None and (samples.y.min() < 0 or len(samples.y) != len(samples.x)):
        raise Finding(f"labels {samples.y}")


@cache
def _onnx_seeds() -> list[bytes]:
    return seeds.onnx_models()


def _make_onnx(rng: Random) -> bytes:
    data = rng.choice(_onnx_seeds())
    if rng.random() < 0.6:
        data = mutated_onnx(rng, data, _onnx_seeds())
    return mutated_bytes(rng, data, _onnx_seeds()) if rng.random() < 0.5 else data


@cache
def _tflite_seeds() -> list[bytes]:
    return [seeds.tflite_bytes(*network) for network in seeds.tflite_networks()]


def _make_tflite(rng: Random) -> bytes:
    data = rng.choice(_tflite_seeds())
    if rng.random() < 0.4:
        network = mutated_tflite(rng, *rng.choice(seeds.tflite_networks()))
        try:
            data = seeds.tflite_bytes(*network)
        except Exception:  # the writer refuses some values that the format cannot hold
            return mutated_bytes(rng, data, _tflite_seeds())
        if rng.random() < 0.8:
            return data
    return mutated_bytes(rng, data, _tflite_seeds())


@cache
def _program_arrays() -> list[dict[str, np.ndarray]]:
    result = []
    for program in seeds.programs():
        path = Path(f"{program.name}.npz")
        try:
            program.save(path)
            with np.load(path) as archive:
                result.append({key: archive[key] for key in archive.files})
        finally:
            path.unlink(missing_ok=True)
    return result


def _make_program(rng: Random) -> bytes:
    arrays = dict(rng.choice(_program_arrays()))
    if rng.random() < 0.6:
        value = mutated_json(rng, json.loads(arrays["program"].tobytes()))
        text = json.dumps(value)
        if rng.random() < 0.02:
            text = "[" * 100_000
        arrays["program"] = np.frombuffer(text.encode(), np.uint8)
    if rng.random() < 0.3:
        arrays = mutated_arrays(rng, arrays)
    return _archive(rng, arrays)


def _make_samples(rng: Random) -> bytes:
    arrays = rng.choice(seeds.samples())
    if rng.random() < 0.5:
        arrays = mutated_arrays(rng, arrays)
    if rng.random() < 0.3 and arrays:
        data = seeds.saved(partial(np.save, arr=next(iter(arrays.values()))))
        return _damaged(rng, data)
    return _archive(rng, arrays)


def _archive(rng: Random, arrays: dict[str, np.ndarray]) -> bytes:
    """A zip archive of arrays, whole or damaged: inside of an array or outside."""
    packed = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    victim = rng.choice([*arrays, ""])
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", packed) as archive:
        for name, array in arrays.items():
            data = seeds.saved(partial(np.save, arr=array))
            if name == victim and rng.random() < 0.3:
                data = _damaged(rng, data)
            archive.writestr(f"{name}.npy", data)
    data = stream.getvalue()
    return mutated_bytes(rng, data, [data]) if rng.random() < 0.3 else data


def _damaged(rng: Random, data: bytes) -> bytes:
    """An array whose header claims something else, or with any bytes changed."""
    if rng.random() < 0.5:
        return mutated_bytes(rng, data, [data])
    shape = rng.choice(
        ("()", "(0,)", "(1<<40,)", "(10**12, 3)", "(-1, 4)", "(99999999999,)", "[1]")
    )
    kind = rng.choice(("<f4", "|O", "<f8", "|u1", ">i8", "<U0", "|V0", "f4,i8"))
    order = rng.choice(("True", "False"))
    header = f"{{'descr': '{kind}', 'fortran_order': {order}, 'shape': {shape}}}"
    if rng.random() < 0.1:
        header = "(" * 9000
    text = header.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text) & 0xFFFF) + text + data[128:]


TARGETS = {
    "onnx": Target(".onnx", _make_onnx, _use_model),
    "tflite": Target(".tflite", _make_tflite, _use_model),
    "program": Target(".npz", _make_program, _use_program),
    "samples": Target(".npz", _make_samples, _use_samples),
}
