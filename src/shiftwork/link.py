"""The driver of a board with the host shell: the host's side of ``docs/host_link.md``."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
import serial
from numpy.typing import NDArray

from shiftwork.boards.host_shell import IDLE_S
from shiftwork.boards.link_protocol import (
    CYCLES_BYTES,
    IDENTITY_BYTES,
    OVERHEAD_BYTES,
    PROTOCOL_VERSION,
    SEQUENCES,
    Answer,
    AnswerReader,
    Identity,
    Kind,
    Status,
    request,
    short_digest,
)
from shiftwork.errors import DataError, LinkError
from shiftwork.quant.program import Program
from shiftwork.sim import golden
from shiftwork.sim.executor import FLASH_ERRORS
from shiftwork.sim.layer_image import stream_bytes, stream_values
from shiftwork.workspace import Progress, silent

BAUD = 115_200
TIMEOUT_S = 1.0
RETRIES = 3
BUSY_PAUSE_S = 0.05
BITS_PER_BYTE = 10

STATUS_TEXT = {
    Status.DAMAGED: "the request arrived damaged",
    Status.WRONG_LENGTH: "the length of the request was wrong",
    Status.UNKNOWN_KIND: "the board did not know this kind of request",
    Status.INCOMPLETE: "the request did not arrive in full",
    Status.BUSY: "the board was still loading the weights from its flash",
    **{Status(Status.FLASH | code): text for code, text in FLASH_ERRORS.items() if code},
}
"""What an error's status means."""
LASTING = frozenset(status for status in Status if status > Status.FLASH)
"""Errors that do not go away when the request is sent again."""


class Line(Protocol):
    """What is needed of a serial port: that of pyserial."""

    timeout: float | None

    @property
    def in_waiting(self) -> int: ...

    def read(self, size: int = 1, /) -> bytes: ...

    def write(self, data: bytes, /) -> int | None: ...

    def reset_input_buffer(self) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Inference:
    """The answer to one frame.

    Attributes:
        output: bytes of the result, as the core streams them.
        cycles: that the core took, counted on the chip.
    """

    output: bytes
    cycles: int


@dataclass(frozen=True, eq=False, kw_only=True)
class LinkResult:
    """What a board has computed. ``numpy.asarray(result)`` is ``result.outputs``.

    Attributes:
        outputs: integers of the output, in the source model's layout, as ``shiftwork.golden``
            returns them.
        classes: of each sample, as ``Program.classes`` gives them: -1 for no class.
        cycles: of each inference, counted on the chip: int64 ``[N]``.
        clock_hz: of the chip.
        seconds: that all of it took, the line included.
    """

    outputs: NDArray[np.int32]
    classes: NDArray[np.int64]
    cycles: NDArray[np.int64]
    clock_hz: int
    seconds: float

    @property
    def latency_us(self) -> NDArray[np.float64]:
        """Microseconds of computation of each inference."""
        return self.cycles / self.clock_hz * 1e6

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.outputs, dtype=dtype, copy=copy)


class Link:
    """A connection to a board that holds a network; a context manager, which closes it.

    Every request waits for its answer. One without, or with an error that another try may cure, is
    sent again with a new number, so that a late answer is not taken for that of another request.
    A board that loads its weights is given time beside the tries.

    Parameters:
        line: the open port.
        program: the network that the board must hold.
        name: of the port, for messages.
        baud: of the line.
        timeout_s: that an answer may take, beyond the time on the line and in the core, and that
            a board may load its weights.
        retries: after the first try.

    Attributes:
        identity: what the board says of itself.

    Raises:
        LinkError: if the board does not answer, or holds another network.
    """

    def __init__(
        self,
        line: Line,
        program: Program,
        *,
        name: str = "the port",
        baud: int = BAUD,
        timeout_s: float = TIMEOUT_S,
        retries: int = RETRIES,
    ) -> None:
        self._line = line
        self._name = name
        self._baud = baud
        self._timeout_s = timeout_s
        self._tries = retries + 1
        self._sequence = 0
        self.program = program
        self.identity = self.identify()
        self._check_identity()

    def identify(self) -> Identity:
        """What the board says of itself now.

        Raises:
            LinkError: if it does not answer.
        """
        answer = self._ask(Kind.IDENTIFY, b"", payload_bytes=IDENTITY_BYTES, core_s=0.0)
        return Identity.unpack(answer.payload)

    def infer(self, frame: bytes) -> Inference:
        """Lets the board compute one frame, in the bytes of the core's input stream.

        Raises:
            DataError: if the frame has another length.
            LinkError: if no good answer comes.
        """
        identity = self.identity
        if len(frame) != identity.input_bytes:
            raise DataError(
                f"a frame of '{self.program.name}' has {identity.input_bytes} bytes, "
                f"not {len(frame)}"
            )
        answer = self._ask(
            Kind.INFER,
            frame,
            payload_bytes=CYCLES_BYTES + identity.output_bytes,
            core_s=identity.cycles / identity.clock_hz,
        )
        return Inference(
            output=answer.payload[CYCLES_BYTES:],
            cycles=int.from_bytes(answer.payload[:CYCLES_BYTES], "little"),
        )

    def run(
        self, x: NDArray, *, limit: int | None = None, progress: Progress = silent
    ) -> LinkResult:
        """Lets the board compute real samples ``x[N, ...]`` in the source model's layout.

        Args:
            limit: only that many of them.
            progress: is told what happens.

        Raises:
            DataError: if there are no samples, or they do not fit the network.
            LinkError: if one is not answered.
        """
        program = self.program
        x = np.asarray(x)[:limit]
        if not x.size:
            raise DataError("there is nothing to compute: the data hold no samples")
        frames = stream_bytes(program.tensor(program.input), program.quantize_input(x))
        began = time.monotonic()
        results = []
        for number, frame in enumerate(frames, start=1):
            results.append(self.infer(frame.tobytes()))
            if number % max(1, len(frames) // 10) == 0:
                progress(f"{number} of {len(frames)} inputs computed")
        data = np.frombuffer(b"".join(result.output for result in results), np.uint8)
        q = stream_values(program.tensor(program.output), data.reshape(len(results), -1))
        return LinkResult(
            outputs=program.output_layout.from_nhwc(q),
            classes=program.classes(q),
            cycles=np.array([result.cycles for result in results], np.int64),
            clock_hz=self.identity.clock_hz,
            seconds=time.monotonic() - began,
        )

    def close(self) -> None:
        """Closes the port."""
        self._line.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _check_identity(self) -> None:
        found, program = self.identity, self.program
        if found.version != PROTOCOL_VERSION:
            raise LinkError(
                f"the board at {self._name} speaks version {found.version} of the protocol, this "
                f"Shiftwork version {PROTOCOL_VERSION}; make its bitstream anew"
            )
        if found.digest != short_digest(program):
            raise LinkError(
                f"the board at {self._name} holds another network than '{program.name}': digest "
                f"{found.digest}, not {short_digest(program)}; load the bitstream of this network"
            )
        if found.state in LASTING:
            raise LinkError(
                f"the board at {self._name} cannot compute: {STATUS_TEXT[Status(found.state)]}; "
                "write the flash image of this bitstream"
            )

    def _ask(self, kind: Kind, payload: bytes, *, payload_bytes: int, core_s: float) -> Answer:
        """The good answer to a request, which has ``payload_bytes``."""
        sent = len(payload) + payload_bytes + 2 * OVERHEAD_BYTES
        patience = sent * BITS_PER_BYTE / self._baud + 2 * IDLE_S + core_s + self._timeout_s
        busy_until = time.monotonic() + self._timeout_s
        answer = None
        tries = 0
        while tries < self._tries:
            latest = self._exchange(kind, payload, payload_bytes, patience)
            answer = latest or answer
            if latest is not None:
                if latest.status == Status.OK and len(latest.payload) == payload_bytes:
                    return latest
                if latest.status in LASTING:
                    break
                if latest.status == Status.BUSY and time.monotonic() < busy_until:
                    time.sleep(BUSY_PAUSE_S)
                    continue
            tries += 1
        raise LinkError(self._failure(answer, patience))

    def _exchange(self, kind: Kind, payload: bytes, longest: int, patience: float) -> Answer | None:
        """One try: the answer to it, or None if there is none in time."""
        self._sequence = (self._sequence + 1) % SEQUENCES
        reader = AnswerReader(longest=longest)
        deadline = time.monotonic() + patience
        with _translated(self._name):
            self._line.reset_input_buffer()
            self._line.write(request(kind, self._sequence, payload))
            while (left := deadline - time.monotonic()) > 0:
                self._line.timeout = left
                for answer in reader.feed(self._line.read(max(1, self._line.in_waiting))):
                    if (answer.kind, answer.sequence) == (kind, self._sequence):
                        return answer
        return None

    def _failure(self, answer: Answer | None, patience: float) -> str:
        if answer is None:
            return (
                f"the board at {self._name} does not answer: {self._tries} requests, "
                f"{patience:.1f} s each; check the port, the baud rate ({self._baud}) and that a "
                "bitstream of Shiftwork is loaded"
            )
        if answer.status in LASTING:
            return (
                f"the board at {self._name} cannot compute: {STATUS_TEXT[Status(answer.status)]}; "
                "write the flash image of this bitstream"
            )
        known = answer.status in STATUS_TEXT
        text = STATUS_TEXT[Status(answer.status)] if known else f"status {answer.status}"
        return (
            f"the board at {self._name} gave no good answer in {self._tries} tries; the last "
            f"one: {text}; check the cable and the baud rate ({self._baud})"
        )


def connect(
    port: str,
    program: Program,
    *,
    baud: int = BAUD,
    timeout_s: float = TIMEOUT_S,
    retries: int = RETRIES,
) -> Link:
    """Opens a serial port and the connection to the board behind it, which must hold ``program``.

    Args:
        port: its name, such as ``/dev/ttyUSB1`` or ``COM3``.
        program: the network of the board's bitstream.
        baud: of the bitstream.
        timeout_s, retries: as of :class:`Link`.

    Raises:
        LinkError: if the port cannot be opened, the board does not answer, or it holds another
            network.
    """
    with _translated(port, while_opening=True):
        line = serial.Serial(port, baud)
    try:
        return Link(line, program, name=port, baud=baud, timeout_s=timeout_s, retries=retries)
    except BaseException:
        line.close()
        raise


def compare(program: Program, x: NDArray, result: LinkResult) -> dict[str, Any]:
    """What a board has computed against the golden model, value by value.

    Returns:
        ``compared``: number of inputs; ``mismatches``: of values; ``first_mismatch``: None, or
        ``input`` (number, from 0), ``index`` in its output, ``expected``, ``got``, and ``text``,
        which says all of it.
    """
    got = result.outputs
    expected = golden.predict(program, np.asarray(x)[: len(got)])
    places = np.argwhere(got != expected)
    record: dict[str, Any] = {
        "compared": len(got),
        "mismatches": len(places),
        "first_mismatch": None,
    }
    if len(places):
        place = tuple(int(n) for n in places[0])
        number, *index = place
        wanted, found = int(expected[place]), int(got[place])
        record["first_mismatch"] = {
            "input": number,
            "index": index,
            "expected": wanted,
            "got": found,
            "text": f"input {number}, index {tuple(index)} of the output: expected {wanted}, "
            f"got {found}",
        }
    return record


@contextmanager
def _translated(name: str, *, while_opening: bool = False) -> Iterator[None]:
    """Turns the errors of a port into ours."""
    try:
        yield
    except (OSError, ValueError) as error:  # pyserial's own are among them
        reason = getattr(error, "strerror", None) or error
        if while_opening:
            raise LinkError(
                f"the port {name} cannot be opened: {reason}; is the board connected, and may you "
                "use its port (on Linux: a member of the group dialout)?"
            ) from error
        raise LinkError(
            f"the connection at {name} broke: {reason}; is the board still connected?"
        ) from error
