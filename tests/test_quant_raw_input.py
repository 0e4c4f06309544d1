import numpy as np
import pytest

from shiftwork.errors import DataError
from shiftwork.quant.raw_input import RawInput


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"dtype": "uint16"}, "raw input must be uint8 or int8, not 'uint16'"),
        ({"scale": (0.0,)}, "the scale of the raw input must be positive and finite, not 0"),
        ({"scale": (1.0, -2.0)}, "must be positive and finite, not 1, -2"),
        ({"scale": ()}, "the scale of the raw input must be positive"),
        ({"scale": (float("nan"),)}, "the scale of the raw input must be positive"),
        ({"offset": (np.inf,)}, "the offset of the raw input must be finite, not inf"),
    ],
)
def test_impossible_values(fields, text):
    with pytest.raises(DataError, match=text):
        RawInput(**{"dtype": "uint8"} | fields)


def test_one_number_or_one_a_channel():
    raw = RawInput(dtype="uint8", scale=(1.0, 2.0), offset=(0.5,))
    raw.check_channels(2)
    text = "the scale of the raw input must be one number, or one for each of the 3 channels, not 2"
    with pytest.raises(DataError, match=text):
        raw.check_channels(3)


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_every_byte_comes_back(dtype):
    raw = RawInput(dtype=dtype, scale=(0.00392157, 0.5), offset=(-0.3, 7.0))
    lo, hi = raw.range
    q = np.stack([np.arange(lo, hi + 1)] * 2, axis=1)
    real = raw.to_real(q)
    np.testing.assert_allclose(real[:, 1], q[:, 1] * 0.5 + 7.0)
    np.testing.assert_array_equal(raw.to_raw(real), q)
    np.testing.assert_array_equal(raw.to_raw(real.astype(np.float32)), q)
    np.testing.assert_array_equal(raw.to_raw(q.astype(dtype)), q)


def test_real_numbers_are_rounded_and_clipped():
    raw = RawInput(dtype="uint8", scale=(2.0,), offset=(10.0,))
    found = raw.to_raw(np.array([[-5.0], [10.9], [11.0], [1e9]]))
    assert found.ravel().tolist() == [0, 0, 1, 255]


def test_integers_are_bytes():
    raw = RawInput(dtype="uint8", scale=(2.0,))
    text = r"samples of the type int64 are raw bytes, 0\.\.255 for uint8, not -1\.\.7"
    with pytest.raises(DataError, match=text):
        raw.to_raw(np.array([[-1], [7]]))
