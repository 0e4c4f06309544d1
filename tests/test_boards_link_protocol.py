"""The packets of the host link, and how answers are found among other bytes."""

import zlib

import numpy as np
import pytest

from shiftwork.boards.link_protocol import (
    IDENTITY_BYTES,
    SYNC,
    Answer,
    AnswerReader,
    Identity,
    Kind,
    Status,
    request,
)
from shiftwork.hw.flash_loader import FlashError

LONGEST = 40


def answer(payload=b"payload", **fields):
    values = {"kind": Kind.INFER, "sequence": 7, "status": Status.OK} | fields
    return Answer(payload=payload, **values)


def test_request():
    content = b"\x02\x2a\x05\x00\x00frame"
    crc = zlib.crc32(content).to_bytes(4, "little")
    assert request(Kind.INFER, 42, b"frame") == b"\xa5\x5a" + content + crc


def test_answer():
    content = b"\x82\x07\x00\x07\x00\x00payload"
    assert answer().pack() == SYNC + content + zlib.crc32(content).to_bytes(4, "little")


def test_identity():
    identity = Identity(
        version=1,
        state=Status.BUSY,
        clock_hz=24_000_000,
        cycles=194_762,
        input_bytes=27_648,
        output_bytes=2,
        digest="00112233445566ff",
    )
    data = identity.pack()
    assert len(data) == IDENTITY_BYTES == 24
    assert data.hex() == "010500366e01caf80200006c0002000000112233445566ff"
    assert Identity.unpack(data) == identity


def test_every_flash_error_has_a_status():
    for error in FlashError:
        if error:
            assert Status(Status.FLASH | error).name == f"FLASH_{error.name.removeprefix('FLASH_')}"


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_answers_are_found(size):
    """Whatever is before, between and after them, and in whatever pieces it comes."""
    wanted = [answer(b""), answer(SYNC * 5, sequence=8), answer(bytes(LONGEST), status=1)]
    noise = [b"\xa5", SYNC, b"x" * 30, SYNC + b"\x82", b"\xa5" * 5]
    data = b""
    for before, packet in zip(noise, wanted, strict=False):
        data += before + packet.pack()
    # What begins like a packet holds back what follows until its length has come.
    data += b"".join(noise) + bytes(LONGEST + 20)
    reader = AnswerReader(longest=LONGEST)
    found = []
    for start in range(0, len(data), size):
        found += reader.feed(data[start : start + size])
    assert found == wanted


def test_an_answer_is_complete_with_its_last_byte():
    reader = AnswerReader(longest=LONGEST)
    *first, last = answer().pack()
    assert reader.feed(bytes(first)) == []
    assert reader.feed(bytes([last])) == [answer()]


def test_every_flipped_bit_is_noticed():
    data = answer().pack()
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        assert AnswerReader(longest=LONGEST).feed(bytes(damaged) + bytes(100)) == []


def test_noise_is_no_answer():
    rng = np.random.default_rng(0)
    reader = AnswerReader(longest=LONGEST)
    for _ in range(200):
        assert reader.feed(rng.integers(256, size=100).astype(np.uint8).tobytes() + SYNC) == []


def test_what_is_too_long_is_no_answer():
    reader = AnswerReader(longest=3)
    assert reader.feed(answer(b"four").pack() + answer(b"six").pack()) == [answer(b"six")]
