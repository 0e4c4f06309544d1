"""The file for the SPI flash: what the flash loader copies into activation memory."""

import zlib
from collections.abc import Sequence

import numpy as np

from shiftwork.errors import DataError

MAGIC = b"SWF1"
LENGTH_BYTES = 4
IDENTITY_BYTES = 8
CRC_BYTES = 4
HEADER_BYTES = len(MAGIC) + LENGTH_BYTES + IDENTITY_BYTES


def header(*, payload_bytes: int, identity: str) -> bytes:
    """What stands before the payload: magic, length (uint32, little endian) and identity.

    Parameters:
        payload_bytes: length of the payload.
        identity: of the build, in hexadecimal digits (a SHA-256); its first 8 bytes count.
    """
    name = bytes.fromhex(identity)[:IDENTITY_BYTES]
    if len(name) < IDENTITY_BYTES:
        raise DataError(
            f"the identity of a flash image needs {2 * IDENTITY_BYTES} hexadecimal digits, "
            f"not {identity!r}"
        )
    return MAGIC + payload_bytes.to_bytes(LENGTH_BYTES, "little") + name


def pack(payload: bytes, *, identity: str) -> bytes:
    """The file: header, payload, and the CRC-32 (as in zlib, little endian) of both.

    Raises:
        DataError: if ``identity`` is too short.
    """
    body = header(payload_bytes=len(payload), identity=identity) + payload
    return body + zlib.crc32(body).to_bytes(CRC_BYTES, "little")


def unpack(image: bytes) -> tuple[bytes, str]:
    """The payload of a file, and the identity: its first 8 bytes in hexadecimal digits.

    Raises:
        DataError: if it is no flash image, has another length than it says, or is damaged.
    """
    if image[: len(MAGIC)] != MAGIC or len(image) < HEADER_BYTES + CRC_BYTES:
        raise DataError("not a flash image: it must begin with a header of 'SWF1'")
    fields = image[len(MAGIC) : HEADER_BYTES]
    length = int.from_bytes(fields[:LENGTH_BYTES], "little")
    body, crc = image[:-CRC_BYTES], image[-CRC_BYTES:]
    payload = body[HEADER_BYTES:]
    if len(payload) != length:
        raise DataError(f"the flash image must hold {length} bytes of payload, not {len(payload)}")
    if zlib.crc32(body).to_bytes(CRC_BYTES, "little") != crc:
        raise DataError("the flash image is damaged: its CRC-32 differs; write it again")
    return payload, fields[LENGTH_BYTES:].hex()


def weight_words(columns: Sequence[Sequence[int]], *, word_bytes: int) -> bytes:
    """One layer's weights in the order in which the weight copier reads them.

    Parameters:
        columns: for each column its bytes, as unsigned integers; all of the same length.
        word_bytes: bytes of a word.

    Returns:
        For every address within the columns the words of all blocks of ``word_bytes`` columns, a
        byte for each column; columns that do not exist are zero.
    """
    weights = np.array(columns, dtype=np.uint8)
    padding = -len(weights) % word_bytes
    return np.pad(weights, ((0, padding), (0, 0))).T.tobytes()
