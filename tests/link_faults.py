"""A serial port that damages what passes through it, as a bad cable does; the same for a seed."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from shiftwork.boards.link_protocol import SYNC

GARBAGE_BYTES = 40


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What happens to the bytes of one direction."""

    name: str
    apply: Callable[[bytes, np.random.Generator], bytes]


def flip_bits(data, rng):
    damaged = bytearray(data)
    for place in rng.integers(len(damaged), size=rng.integers(1, 4)):
        damaged[place] ^= 1 << int(rng.integers(8))
    return bytes(damaged)


def change_burst(data, rng):
    start = int(rng.integers(len(data)))
    length = int(rng.integers(1, 9))
    burst = rng.integers(256, size=length).astype(np.uint8).tobytes()
    return (data[:start] + burst + data[start + length :])[: len(data)]


def drop_bytes(data, rng):
    start = int(rng.integers(len(data)))
    return data[:start] + data[start + int(rng.integers(1, 4)) :]


def cut_short(data, rng):
    return data[: int(rng.integers(len(data)))]


def repeat_byte(data, rng):
    place = int(rng.integers(len(data)))
    return data[: place + 1] + data[place:]


def _noise(rng):
    return rng.integers(256, size=rng.integers(1, GARBAGE_BYTES)).astype(np.uint8).tobytes()


def garbage_before(data, rng):
    return _noise(rng) + data


def garbage_within(data, rng):
    place = int(rng.integers(len(data)))
    return data[:place] + _noise(rng) + data[place:]


def sync_before(data, rng):
    return SYNC + _noise(rng) + data


def half_before(data, rng):
    return cut_short(data, rng) + data


FAULTS = tuple(
    Fault(name=function.__name__, apply=function)
    for function in (
        flip_bits,
        change_burst,
        drop_bytes,
        cut_short,
        repeat_byte,
        garbage_before,
        garbage_within,
        sync_before,
        half_before,
    )
)


class FaultyLine:
    """Stands between a driver and its port.

    Parameters:
        line: the port.
        rng: chooses the faults.
        request_faults, answer_faults: probability of a fault in a request, and in its answer.

    Attributes:
        fault: what has happened since the last request was written; "" for nothing.
    """

    def __init__(self, line, rng, *, request_faults, answer_faults):
        self.line = line
        self.rng = rng
        self.request_faults = request_faults
        self.answer_faults = answer_faults
        self.fault = ""
        self._changes = {}
        self._received = 0

    timeout = property(
        lambda self: self.line.timeout, lambda self, value: setattr(self.line, "timeout", value)
    )
    in_waiting = property(lambda self: self.line.in_waiting)

    def write(self, data):
        names = []
        if self.rng.random() < self.request_faults:
            fault = FAULTS[self.rng.integers(len(FAULTS))]
            damaged = fault.apply(data, self.rng)
            names += [fault.name] if damaged != data else []
            data = damaged
        self._changes, self._received = {}, 0
        if self.rng.random() < self.answer_faults:
            place = int(self.rng.integers(20))
            self._changes[place] = int(self.rng.integers(-1, 256))
            names.append("answer")
        self.fault = " ".join(names)
        return self.line.write(data)

    def read(self, size=1):
        """Bytes as they came, but those that are to change: -1 drops one, 0 to 255 replace it."""
        received = bytearray()
        for byte in self.line.read(size):
            value = self._changes.get(self._received, byte)
            self._received += 1
            if value >= 0:
                received.append(value)
        return bytes(received)

    def reset_input_buffer(self):
        self.line.reset_input_buffer()

    def close(self):
        self.line.close()
