import numpy as np
import pytest

from shiftwork.errors import DataError
from shiftwork.quant.calibration import check_samples, read_samples

IMAGES = np.arange(24, dtype=np.uint8).reshape(3, 2, 4)


def test_npz_with_labels(tmp_path):
    path = tmp_path / "samples.npz"
    np.savez_compressed(path, x=IMAGES, y=np.array([0, 9, 3], np.uint8))
    samples = read_samples(path)
    np.testing.assert_array_equal(samples.x, IMAGES)
    assert samples.x.dtype == np.uint8
    assert samples.y is not None
    assert samples.y.dtype == np.int64
    assert samples.y.tolist() == [0, 9, 3]


def test_npz_without_labels(tmp_path):
    path = tmp_path / "samples.npz"
    np.savez(path, x=IMAGES, other=np.zeros(2))
    assert read_samples(str(path)).y is None


def test_npy_holds_x(tmp_path):
    path = tmp_path / "samples.npy"
    np.save(path, IMAGES.astype(np.float32))
    samples = read_samples(path)
    np.testing.assert_array_equal(samples.x, IMAGES)
    assert samples.y is None


def test_labels_as_whole_floats_in_a_column(tmp_path):
    path = tmp_path / "samples.npz"
    np.savez(path, x=IMAGES, y=np.array([[1.0], [2.0], [0.0]]))
    assert read_samples(path).y.tolist() == [1, 2, 0]


def test_missing_file(tmp_path):
    with pytest.raises(DataError, match=r"nothing\.npz: no such file"):
        read_samples(tmp_path / "nothing.npz")


def test_folder(tmp_path):
    with pytest.raises(DataError, match=r"is a folder, not an \.npz or \.npy file"):
        read_samples(tmp_path)


@pytest.mark.parametrize("content", [b"", b"x,y\n1,2\n", b"PK\x03\x04 cut off", b"\x93NUMPY"])
def test_other_files(tmp_path, content):
    path = tmp_path / "samples.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"is not an \.npz or \.npy file, or is damaged"):
        read_samples(path)


def test_a_cut_or_altered_archive_is_refused_or_read_alike(tmp_path):
    whole, path = tmp_path / "whole.npz", tmp_path / "samples.npz"
    np.savez_compressed(whole, x=IMAGES)
    content = whole.read_bytes()
    for position in range(len(content)):
        altered = bytearray(content)
        altered[position] ^= 0xFF
        for damaged in (content[:position], bytes(altered)):
            path.write_bytes(damaged)
            try:
                samples = read_samples(path)
            except DataError:
                continue
            np.testing.assert_array_equal(samples.x, IMAGES)


def test_missing_key(tmp_path):
    path = tmp_path / "samples.npz"
    np.savez(path, images=IMAGES, labels=np.zeros(3))
    with pytest.raises(DataError, match=r"no array 'x' \(it has \['images', 'labels'\]\); save"):
        read_samples(path)


def test_pickled_objects_are_not_loaded(tmp_path):
    path = tmp_path / "samples.npz"
    np.savez(path, x=np.array([[1], [2, 3]], dtype=object))
    with pytest.raises(DataError, match="holds Python objects; make them one numeric array"):
        read_samples(path)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.ones((2, 3), np.complex64), "must hold real numbers, not complex64"),
        (np.array([["a", "b"]]), "must hold real numbers, not <U1"),
        (np.zeros((0, 28, 28)), r"is empty \(its shape is \[0, 28, 28\]\); give at least one"),
        (np.zeros((3, 0)), "is empty"),
        (np.zeros(784), r"\[samples, \.\.\.\], not \[784\]; a single sample needs a leading axis"),
        (np.array([[0.0, np.nan, np.inf]]), "must be finite, but 2 of 3 values are NaN"),
    ],
)
def test_samples_that_are_none(x, message):
    with pytest.raises(DataError, match=message):
        check_samples(x)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.zeros(2), "one label for each of the 3 samples, not 2"),
        (np.array([0.5, 1, 2]), "must hold class numbers, whole numbers from 0, not float64"),
        (np.array([0, np.nan, 2]), "must hold class numbers"),
        (np.array(["a", "b", "c"]), "must hold class numbers, whole numbers from 0, not <U1"),
        (np.array([0, -1, 2]), "must hold class numbers from 0 to 2147483647, not -1"),
        (np.array([0, np.inf, 2]), "must hold class numbers from 0 to 2147483647, not inf"),
        (
            np.array([0, np.inf, 2], np.float16),
            "must hold class numbers from 0 to 2147483647, not i",
        ),
        (np.array([0, 1 << 63, 2], np.uint64), "must hold class numbers from 0 to 2147483647, not"),
    ],
)
def test_labels_that_are_none(tmp_path, y, message):
    path = tmp_path / "samples.npz"
    np.savez(path, x=IMAGES, y=y)
    with pytest.raises(DataError, match=message):
        read_samples(path)
