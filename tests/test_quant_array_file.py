import io
import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from shiftwork.quant.array_file import (
    ArrayFileError,
    PickleError,
    TooLargeError,
    read_arrays,
    write_arrays,
)

LIMIT = 1 << 20
ARRAYS = {
    "a": np.arange(6, dtype=np.int16).reshape(2, 3),
    "b": np.asfortranarray(np.arange(6.0).reshape(3, 2)),
    "c": np.array(7, ">i4"),
    "d": np.zeros((0, 3)),
}


def read(path: Path, limit: int = LIMIT):
    return read_arrays(path, limit=limit, single="x")


def header(text: str, content: bytes = b"") -> bytes:
    """An ``.npy`` with a header of one's own."""
    raw = text.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(raw)) + raw + content


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_reads_what_numpy_writes(tmp_path, write):
    path = tmp_path / "a.npz"
    write(path, **ARRAYS)
    arrays = read(path)
    assert list(arrays) == list(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array, strict=True)


def test_reads_a_single_array(tmp_path):
    np.save(tmp_path / "a.npy", ARRAYS["b"])
    np.testing.assert_array_equal(read(tmp_path / "a.npy")["x"], ARRAYS["b"])


def test_writes_what_numpy_reads_and_the_same_bytes_each_time():
    streams = [io.BytesIO(), io.BytesIO()]
    for stream in streams:
        write_arrays(stream, ARRAYS)
    assert streams[0].getvalue() == streams[1].getvalue()
    streams[0].seek(0)
    with np.load(streams[0]) as archive:
        np.testing.assert_array_equal(archive["a"], ARRAYS["a"])


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none.npz")
    with pytest.raises(IsADirectoryError):
        read(tmp_path)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ArrayFileError, match="it is a device or a pipe, not a file"):
        read(tmp_path / "pipe")


def test_objects_are_not_unpickled(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.array([[1], [2, 3]], dtype=object))
    with pytest.raises(PickleError, match="it holds Python objects"):
        read(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776,)}", "not 4"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", r"and shape \(-1,\)"),
        ("{'descr': '<U0', 'fortran_order': False, 'shape': (1,)}", "of the type <U0"),
        ("{'descr': '<f4', 'fortran_order': False}", "Header does not contain the correct keys"),
        ("(" * 117, "EOF in multi-line statement|Cannot parse header"),
        ("", "Cannot parse header"),
    ],
)
def test_headers_that_do_not_tell_the_truth(tmp_path, text, message):
    (tmp_path / "a.npy").write_bytes(header(text, b"\0" * 4))
    with pytest.raises(ArrayFileError, match=message):
        read(tmp_path / "a.npy")


def test_a_format_of_the_future(tmp_path):
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x03\x00" + bytes(100))
    with pytest.raises(ArrayFileError, match=r"an array of the format \(3, 0\)"):
        read(tmp_path / "a.npy")


def test_a_file_larger_than_the_limit_is_not_read(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(1000, np.uint8))
    with pytest.raises(TooLargeError, match="the file has 1128 bytes; at most 1000 are read"):
        read(tmp_path / "a.npy", limit=1000)


def test_an_archive_that_unpacks_to_more_than_the_limit_is_not_unpacked(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, a=np.zeros(3 << 19, np.uint8))
    assert path.stat().st_size < 5000
    with pytest.raises(TooLargeError, match=f"its arrays have 1572992 bytes; at most {LIMIT}"):
        read(path)


def test_a_member_that_unpacks_to_more_than_it_says_is_not_unpacked(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, a=np.zeros(3 << 19, np.uint8))
    content, size = path.read_bytes(), struct.pack("<I", 1572992)
    assert content.count(size) >= 1
    path.write_bytes(content.replace(size, struct.pack("<I", 1000)))
    with pytest.raises(ArrayFileError):
        read(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_are_refused(tmp_path, method):
    with zipfile.ZipFile(tmp_path / "a.npz", "w", method) as archive:
        archive.writestr("a.npy", header("{}"))
    with pytest.raises(ArrayFileError, match=f"'a.npy' is compressed by method {method}"):
        read(tmp_path / "a.npz")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_arrays_of_one_name(tmp_path):
    stream = io.BytesIO()
    np.save(stream, np.zeros(1))
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", stream.getvalue())
        archive.writestr("a.npy", stream.getvalue())
    with pytest.raises(ArrayFileError, match="it holds two arrays 'a'"):
        read(tmp_path / "a.npz")


def test_other_members_are_left_alone(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert read(tmp_path / "a.npz") == {}
