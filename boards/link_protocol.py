"""The host link's packets, as ``docs/host_link.md`` defines them: for the hardware and the driver.

A packet is ``SYNC``, a header, a payload and a CRC-32 of header and payload; numbers are little
endian. Requests and answers differ in the header: an answer has a status before its length.
"""

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum

from shiftwork.hw.flash_loader import FlashError
from shiftwork.quant.program import Program

SYNC = b"\xa5\x5a"
PROTOCOL_VERSION = 1
ANSWER = 0x80
"""Set in the kind of an answer."""
CRC_BYTES = 4
CYCLES_BYTES = 4
DIGEST_BYTES = 8
SEQUENCES = 256

LENGTH_BYTES = 3
LONGEST_PAYLOAD = (1 << 8 * LENGTH_BYTES) - 1
REQUEST_HEADER_BYTES = 2 + LENGTH_BYTES
"""Kind, sequence number, length."""
ANSWER_HEADER_BYTES = 3 + LENGTH_BYTES
"""Kind, sequence number, status, length."""
OVERHEAD_BYTES = len(SYNC) + ANSWER_HEADER_BYTES + CRC_BYTES
"""Of an answer, which has one byte more of it than a request."""

_IDENTITY = struct.Struct(f"<BBII3s3s{DIGEST_BYTES}s")
IDENTITY_BYTES = _IDENTITY.size


class Kind(IntEnum):
    """What a request asks for."""

    IDENTIFY = 1
    INFER = 2


class Status(IntEnum):
    """How a request ended; of a flash that cannot be used, ``FLASH`` plus its error."""

    OK = 0
    DAMAGED = 1
    WRONG_LENGTH = 2
    UNKNOWN_KIND = 3
    INCOMPLETE = 4
    BUSY = 5
    FLASH = 8
    FLASH_NO_IMAGE = FLASH + FlashError.NO_IMAGE
    FLASH_OTHER_BUILD = FLASH + FlashError.OTHER_BUILD
    FLASH_DAMAGED = FLASH + FlashError.DAMAGED


STATUS_BITS = 4


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What the board says of itself.

    Attributes:
        version: of the protocol.
        state: of the core: ``OK`` if it can take a frame, else what a request for an inference
            would be answered with.
        clock_hz: of the core.
        cycles: that the schedule predicts for a frame.
        input_bytes, output_bytes: of a frame, as it is streamed.
        digest: the first ``DIGEST_BYTES`` bytes of the network's digest, as hexadecimal digits.
    """

    version: int
    state: int
    clock_hz: int
    cycles: int
    input_bytes: int
    output_bytes: int
    digest: str

    def pack(self) -> bytes:
        """The payload of the answer."""
        return _IDENTITY.pack(
            self.version,
            self.state,
            self.clock_hz,
            self.cycles,
            _length(self.input_bytes),
            _length(self.output_bytes),
            bytes.fromhex(self.digest),
        )

    @classmethod
    def unpack(cls, payload: bytes) -> "Identity":
        """The inverse of :meth:`pack`."""
        version, state, clock_hz, cycles, input_bytes, output_bytes, digest = _IDENTITY.unpack(
            payload
        )
        return cls(
            version=version,
            state=state,
            clock_hz=clock_hz,
            cycles=cycles,
            input_bytes=_number(input_bytes),
            output_bytes=_number(output_bytes),
            digest=digest.hex(),
        )


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A packet from the board whose CRC was right.

    Attributes:
        kind: of the request, without ``ANSWER``.
        sequence: of the request.
        status: a :class:`Status`, or a number that this version does not know.
        payload: an identity, or the cycles measured and the output; empty with an error.
    """

    kind: int
    sequence: int
    status: int
    payload: bytes

    def pack(self) -> bytes:
        """The bytes on the line."""
        header = bytes([self.kind | ANSWER, self.sequence, self.status])
        return _sealed(header + _length(len(self.payload)) + self.payload)


def short_digest(program: Program) -> str:
    """As much of a network's digest as an identity holds."""
    return program.digest[: 2 * DIGEST_BYTES]


def request(kind: Kind, sequence: int, payload: bytes = b"") -> bytes:
    """The bytes of a request on the line."""
    return _sealed(bytes([kind, sequence]) + _length(len(payload)) + payload)


def _sealed(content: bytes) -> bytes:
    return SYNC + content + _crc(content)


def _crc(content: bytes) -> bytes:
    return zlib.crc32(content).to_bytes(CRC_BYTES, "little")


def _length(number: int) -> bytes:
    return number.to_bytes(LENGTH_BYTES, "little")


def _number(data: bytes | bytearray) -> int:
    return int.from_bytes(data, "little")


class AnswerReader:
    """Finds answers in what comes from the line, whatever is between them.

    What begins like an answer but has a wrong CRC, or more than ``longest`` bytes of payload, is
    skipped by one byte only: a whole answer within it is found.
    """

    def __init__(self, *, longest: int):
        self._longest = longest
        self._bytes = bytearray()

    def feed(self, data: bytes) -> list[Answer]:
        """Takes bytes; returns the answers that they complete."""
        self._bytes += data
        answers: list[Answer] = []
        while (start := self._bytes.find(SYNC)) >= 0:
            del self._bytes[:start]
            size = self._size()
            if size is None:
                return answers
            answer = self._answer(size)
            if answer is not None:
                answers.append(answer)
            del self._bytes[: size if answer else 1]
        del self._bytes[: -len(SYNC) + 1]
        return answers

    def _size(self) -> int | None:
        """Bytes of the packet at the front, 0 if it is none; None if more must come first."""
        header = self._bytes[len(SYNC) : len(SYNC) + ANSWER_HEADER_BYTES]
        if len(header) < ANSWER_HEADER_BYTES:
            return None
        length = _number(header[-LENGTH_BYTES:])
        if length > self._longest:
            return 0
        size = OVERHEAD_BYTES + length
        return size if len(self._bytes) >= size else None

    def _answer(self, size: int) -> Answer | None:
        content = bytes(self._bytes[len(SYNC) : max(size - CRC_BYTES, 0)])
        if not size or _crc(content) != self._bytes[size - CRC_BYTES : size]:
            return None
        kind, sequence, status = content[:3]
        return Answer(
            kind=kind & ~ANSWER,
            sequence=sequence,
            status=status,
            payload=content[ANSWER_HEADER_BYTES:],
        )
