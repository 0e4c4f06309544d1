"""The flash image: its format, its errors, and the order of the weights."""

import re
import zlib

import pytest

from shiftwork.errors import DataError
from shiftwork.hw.flash_image import HEADER_BYTES, pack, unpack, weight_words

IDENTITY = "00112233445566778899aabbccddeeff" * 2


def test_layout():
    image = pack(b"abc", identity=IDENTITY)
    assert image[:4] == b"SWF1"
    assert image[4:8] == bytes([3, 0, 0, 0])
    assert image[8:16] == bytes.fromhex("0011223344556677")
    assert image[16:19] == b"abc"
    assert image[19:] == zlib.crc32(image[:19]).to_bytes(4, "little")
    assert HEADER_BYTES == 16


@pytest.mark.parametrize("payload", [b"", b"x", bytes(range(256)) * 3])
def test_unpack_gives_back_what_was_packed(payload):
    assert unpack(pack(payload, identity=IDENTITY)) == (payload, IDENTITY[:16])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda image: b"\xff" * len(image), "not a flash image: it must begin with a header"),
        (lambda image: image[:10], "not a flash image"),
        (lambda image: image[:-1], "the flash image must hold 5 bytes of payload, not 4"),
        (lambda image: image[:18] + b"?" + image[19:], "the flash image is damaged"),
    ],
)
def test_what_is_no_image_is_refused(damage, message):
    with pytest.raises(DataError, match=re.escape(message)):
        unpack(damage(pack(b"hello", identity=IDENTITY)))


def test_identity_that_is_too_short():
    message = "the identity of a flash image needs 16 hexadecimal digits, not 'abcd'"
    with pytest.raises(DataError, match=re.escape(message)):
        pack(b"", identity="abcd")


def test_weights_lie_by_address_and_then_by_block():
    columns = [[10 * column, 10 * column + 1] for column in range(6)]
    words = weight_words(columns, word_bytes=4)
    assert words == bytes([0, 10, 20, 30, 40, 50, 0, 0, 1, 11, 21, 31, 41, 51, 0, 0])


def test_whole_blocks_need_no_padding():
    assert weight_words([[1], [2]], word_bytes=2) == bytes([1, 2])
