"""Sample files: calibration inputs and labelled test inputs (``.npz`` or ``.npy``)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shiftwork.errors import DataError
from shiftwork.quant.array_file import ArrayFileError, PickleError, TooLargeError, read_arrays
from shiftwork.quant.source_checks import one_line

MAX_BYTES = 1 << 30
MAX_LABEL = (1 << 31) - 1


@dataclass(frozen=True, eq=False)
class Samples:
    """Inputs of a network, and their labels if there are any.

    Attributes:
        x: ``[N, ...]``, real numbers in the source model's layout and units.
        y: ``[N]`` class numbers, int64; None if the file holds none.
    """

    x: NDArray
    y: NDArray[np.int64] | None = None


def read_samples(path: str | Path) -> Samples:
    """Reads ``x`` and, if it is there, ``y`` from an ``.npz``; or ``x`` alone from an ``.npy``.

    Never unpickles, and reads 1 GiB at most.

    Raises:
        DataError: if the file is missing, damaged or too large, or its arrays are no samples.
    """
    arrays = _read_arrays(Path(path))
    if "x" not in arrays:
        raise DataError(
            f"{path} has no array 'x' (it has {sorted(arrays)}); "
            "save the inputs with numpy.savez(path, x=inputs)"
        )
    x = check_samples(arrays["x"], name=f"{path}: x")
    y = arrays.get("y")
    return Samples(x, None if y is None else _check_labels(y, len(x), name=f"{path}: y"))


def check_samples(x: NDArray, *, name: str = "x") -> NDArray:
    """``x`` as an array of samples.

    Raises:
        DataError: if it is not numeric and real, is empty, or holds NaN or infinite values.
    """
    x = np.asarray(x)
    if x.dtype.kind not in "buif":
        raise DataError(f"{name} must hold real numbers, not {x.dtype}")
    if x.ndim < 2:
        raise DataError(
            f"{name} must have the shape [samples, ...], not {list(x.shape)}; "
            "a single sample needs a leading axis of size 1"
        )
    if x.size == 0:
        raise DataError(f"{name} is empty (its shape is {list(x.shape)}); give at least one sample")
    bad = int(x.size - np.isfinite(x).sum()) if x.dtype.kind == "f" else 0
    if bad:
        raise DataError(f"{name} must be finite, but {bad} of {x.size} values are NaN or infinite")
    return x


def _read_arrays(path: Path) -> dict[str, NDArray]:
    try:
        return read_arrays(path, limit=MAX_BYTES, single="x")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a folder, not an .npz or .npy file") from None
    except PickleError as error:
        raise DataError(
            f"{path} holds Python objects; make them one numeric array before saving"
        ) from error
    except TooLargeError as error:
        raise DataError(
            f"{path}: {error}; give fewer samples, or store them as uint8 or float16"
        ) from error
    except ArrayFileError as error:
        raise DataError(
            f"{path} is not an .npz or .npy file, or is damaged ({error}); "
            "numpy.savez(path, x=inputs) makes one"
        ) from error
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path}: {one_line(error)}") from error


def _check_labels(y: NDArray, count: int, *, name: str) -> NDArray[np.int64]:
    labels = y.reshape(-1)
    if len(labels) != count:
        raise DataError(f"{name} must hold one label for each of the {count} samples, not {y.size}")
    if y.dtype.kind not in "biuf" or not np.array_equal(labels, np.floor(labels)):
        raise DataError(f"{name} must hold class numbers, whole numbers from 0, not {y.dtype}")
    # As Python's numbers: a half-precision infinity is not larger than a limit that it rounds.
    for odd in (float(labels.min()), float(labels.max())):
        if not 0 <= odd <= MAX_LABEL:
            raise DataError(f"{name} must hold class numbers from 0 to {MAX_LABEL}, not {odd:g}")
    return labels.astype(np.int64)
