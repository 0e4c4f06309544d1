"""Numpy's array files, ``.npy`` and ``.npz``: writing them the same each time, reading anyone's.

Nothing is unpickled, no array is larger than what the file holds for it, and an archive that would
unpack to more than a limit is refused before it is unpacked.
"""

import io
import math
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from shiftwork.quant.source_checks import one_line

SUFFIX = ".npy"
# The other methods unpack without a limit of their own.
COMPRESSIONS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


class ArrayFileError(ValueError):
    """The file is no array file, is damaged or cannot be used for another reason."""


class TooLargeError(ArrayFileError):
    """The file, or what it unpacks to, is larger than the limit."""


class PickleError(ArrayFileError):
    """The file holds Python objects, which would have to be unpickled."""


def read_arrays(path: Path, *, limit: int, single: str) -> dict[str, NDArray]:
    """The arrays of an ``.npz`` by name, or that of an ``.npy`` by the name ``single``; read-only.

    Args:
        limit: bytes that the file, and all of its arrays together, may have.

    Raises:
        FileNotFoundError, IsADirectoryError: as of opening the file.
        ArrayFileError: with the reason, in one line.
    """
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(path)
    if not stat.S_ISREG(mode):
        raise ArrayFileError("it is a device or a pipe, not a file")
    _check_size(path.stat().st_size, "the file has", limit)
    try:
        with path.open("rb") as stream:
            if stream.read(len(npy.MAGIC_PREFIX)) == npy.MAGIC_PREFIX:
                stream.seek(0)
                return {single: _array(stream.read())}
            with zipfile.ZipFile(stream) as archive:
                return _members(archive, limit)
    except ArrayFileError:
        raise
    except Exception as error:  # a damaged file can make any part of zipfile and numpy fail
        raise ArrayFileError(one_line(error)) from error


def _check_size(size: int, what: str, limit: int) -> None:
    if size > limit:
        raise TooLargeError(f"{what} {size} bytes; at most {limit} are read")


def _members(archive: zipfile.ZipFile, limit: int) -> dict[str, NDArray]:
    entries = [entry for entry in archive.infolist() if entry.filename.endswith(SUFFIX)]
    _check_size(sum(entry.file_size for entry in entries), "its arrays have", limit)
    arrays: dict[str, NDArray] = {}
    for entry in entries:
        name = entry.filename.removesuffix(SUFFIX)
        if name in arrays:
            raise ArrayFileError(f"it holds two arrays '{name}'")
        arrays[name] = _array(_unpack(archive, entry))
    return arrays


def _unpack(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    if entry.compress_type not in COMPRESSIONS:
        raise ArrayFileError(f"'{entry.filename}' is compressed by method {entry.compress_type}")
    with archive.open(entry) as member:
        # A read of the size that it claims never unpacks more, and checks the sum at its end.
        data = member.read(entry.file_size)
    if len(data) != entry.file_size:
        raise ArrayFileError(f"'{entry.filename}' is cut off")
    return data


def _array(data: bytes) -> NDArray:
    stream = io.BytesIO(data)
    version = npy.read_magic(stream)
    if version not in HEADERS:
        raise ArrayFileError(f"it holds an array of the format {version}")
    shape, fortran_order, dtype = HEADERS[version](stream)
    if dtype.hasobject:
        raise PickleError("it holds Python objects")
    start, count = stream.tell(), math.prod(shape)
    if not dtype.itemsize or min(shape, default=0) < 0:
        raise ArrayFileError(f"it holds an array of the type {dtype} and shape {shape}")
    if count * dtype.itemsize != len(data) - start:
        raise ArrayFileError(
            f"an array of the type {dtype} and shape {shape} needs {count * dtype.itemsize} bytes, "
            f"not {len(data) - start}"
        )
    flat = np.frombuffer(data, dtype, count, start)
    return flat.reshape(shape[::-1]).T if fortran_order else flat.reshape(shape)


def write_arrays(stream: IO[bytes], arrays: Mapping[str, NDArray]) -> None:
    """As ``numpy.savez_compressed``, but with a fixed time stamp: reproducible bytes."""
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for key, array in arrays.items():
            entry = zipfile.ZipInfo(f"{key}{SUFFIX}", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w") as member:
                npy.write_array(member, np.asanyarray(array), allow_pickle=False)
