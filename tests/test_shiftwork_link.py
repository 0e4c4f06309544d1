"""The driver: retries, late answers and every error in words, against a board in Python; and the
public way to a simulated board."""

import numpy as np
import pytest

import shiftwork as sw
from shiftwork.boards.accelerator import Accelerator
from shiftwork.boards.link_protocol import (
    PROTOCOL_VERSION,
    Answer,
    Identity,
    Kind,
    Status,
    short_digest,
)
from shiftwork.errors import DataError, LinkError
from shiftwork.link import Link, LinkResult, compare
from shiftwork.sim import golden
from shiftwork.sim.example_programs import dense_net, random_inputs
from shiftwork.sim.layer_image import stream_bytes, stream_values
from shiftwork.sim.link_simulator import SimulatedBoard, simulation_seconds

CYCLES = 194
CLOCK_HZ = 2_000_000
TIMEOUT_S = 0.01


class BoardInPython:
    """Answers as the host shell does, but for what ``script`` says of each request in turn.

    An entry is None for a right answer, "silent", "late" (the last answer once more, then the right
    one), a status, or bytes that come instead.
    """

    def __init__(self, program, script=(), **identity):
        self.program = program
        self.script = list(script)
        self.timeout = None
        self.requests = []
        self.closed = False
        self.identity = {
            "version": PROTOCOL_VERSION,
            "state": Status.OK,
            "clock_hz": CLOCK_HZ,
            "cycles": CYCLES,
            "input_bytes": program.tensor(program.input).bytes,
            "output_bytes": program.tensor(program.output).bytes,
            "digest": short_digest(program),
        } | identity
        self._waiting = b""
        self._last = b""

    @property
    def in_waiting(self):
        return len(self._waiting)

    def read(self, size=1):
        data, self._waiting = self._waiting[:size], self._waiting[size:]
        return data

    def reset_input_buffer(self):
        self._waiting = b""

    def close(self):
        self.closed = True

    def write(self, data):
        kind, sequence, content = data[2], data[3], data[7:-4]
        self.requests.append((kind, sequence))
        action = self.script.pop(0) if self.script else None
        right = self._right(kind, sequence, content).pack()
        match action:
            case None:
                self._waiting = right
            case "silent":
                self._waiting = b""
            case "late":
                self._waiting = self._last + right
            case bytes():
                self._waiting = action
            case status:
                answer = Answer(kind=kind, sequence=sequence, status=status, payload=b"")
                self._waiting = answer.pack()
        self._last = right

    def _right(self, kind, sequence, content):
        if kind == Kind.IDENTIFY:
            payload = Identity(**self.identity).pack()
        else:
            program = self.program
            frame = np.frombuffer(content, np.uint8)[None]
            q = stream_values(program.tensor(program.input), frame)
            output = stream_bytes(program.tensor(program.output), golden.run(program, q))
            payload = CYCLES.to_bytes(4, "little") + output.tobytes()
        return Answer(kind=kind, sequence=sequence, status=Status.OK, payload=payload)


@pytest.fixture(scope="module")
def program():
    return dense_net()


@pytest.fixture
def samples(program):
    q = random_inputs(program, np.random.default_rng(3), 4)
    return program.input_layout.from_nhwc(program.tensor(program.input).dequantize(q))


@pytest.fixture
def connect_to(program):
    """A function that connects to a board in Python; returns the link and the board."""

    def connect(script=(), **identity):
        board = BoardInPython(program, script, **identity)
        link = Link(board, program, name="/dev/x", timeout_s=TIMEOUT_S, retries=2)
        return link, board

    return connect


def test_run(connect_to, program, samples):
    link, _ = connect_to()
    result = link.run(samples)
    np.testing.assert_array_equal(result, sw.golden(program, samples))
    assert result.cycles.tolist() == [CYCLES] * 4
    assert result.latency_us.tolist() == [CYCLES / 2] * 4
    real = program.dequantize_output(golden.run(program, program.quantize_input(samples)))
    assert result.classes.tolist() == real.reshape(4, -1).argmax(axis=1).tolist()
    assert len(link.run(samples, limit=2).outputs) == 2


def test_every_request_has_its_own_number(connect_to, samples):
    link, board = connect_to()
    for _ in range(70):
        link.run(samples)
    assert [sequence for _, sequence in board.requests] == [n % 256 for n in range(1, 282)]


@pytest.mark.parametrize(
    "trouble",
    ["silent", "late", Status.DAMAGED, Status.INCOMPLETE, Status.BUSY, 77, b"\xa5\x5anoise"],
)
def test_trouble_that_passes(connect_to, program, samples, trouble):
    link, board = connect_to([None, trouble, trouble])
    np.testing.assert_array_equal(link.run(samples), sw.golden(program, samples))
    assert len(board.requests) == 1 + 4 + (0 if trouble == "late" else 2)


@pytest.mark.parametrize(
    ("trouble", "text"),
    [
        (
            "silent",
            "does not answer: 3 requests, 0.1 s each; check the port, the baud rate (11",
        ),
        (
            Status.DAMAGED,
            "gave no good answer in 3 tries; the last one: the request arrived",
        ),
        (Status.INCOMPLETE, "the last one: the request did not arrive in full; check the cable"),
        (Status.WRONG_LENGTH, "the last one: the length of the request was wrong"),
        (Status.UNKNOWN_KIND, "the last one: the board did not know this kind of request"),
        (Status.BUSY, "the last one: the board was still loading the weights from its flash"),
        (77, "the last one: status 77"),
    ],
)
def test_trouble_that_lasts(connect_to, samples, trouble, text):
    link, board = connect_to([None, *[trouble] * 4])
    with pytest.raises(LinkError) as error:
        link.run(samples)
    assert str(error.value).startswith("the board at /dev/x ")
    assert text in str(error.value)
    assert len(board.requests) == 1 + 3 + (trouble == Status.BUSY)


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (Status.FLASH_NO_IMAGE, "the flash holds no image at its address"),
        (Status.FLASH_OTHER_BUILD, "the image in the flash is of another build"),
        (Status.FLASH_DAMAGED, "the image in the flash is damaged"),
    ],
)
def test_flash_errors_are_not_retried(connect_to, samples, status, text):
    text = f"cannot compute: {text}; write the flash image of this bitstream"
    link, board = connect_to([None, status])
    with pytest.raises(LinkError, match=text):
        link.run(samples)
    assert len(board.requests) == 2
    with pytest.raises(LinkError, match=text):
        connect_to(state=status)


def test_another_network(connect_to, program):
    text = (
        f"holds another network than 'dense_net': digest 0011223344556677, not "
        f"{program.digest[:16]}; load the bitstream of this network"
    )
    with pytest.raises(LinkError, match=text):
        connect_to(digest="0011223344556677")


def test_another_version(connect_to):
    text = "speaks version 9 of the protocol, this Shiftwork version 1; make its bitstream anew"
    with pytest.raises(LinkError, match=text):
        connect_to(version=9)


def test_wrong_frames(connect_to, samples):
    link, _ = connect_to()
    with pytest.raises(DataError, match="a frame of 'dense_net' has 35 bytes, not 34"):
        link.infer(bytes(34))
    with pytest.raises(DataError, match="nothing to compute: the data hold no samples"):
        link.run(samples[:0])


def test_a_port_that_is_not_there(program):
    with pytest.raises(LinkError, match=r"the port /dev/none cannot be opened: .*dialout"):
        sw.connect("/dev/none", program)


def test_a_port_that_goes_away(connect_to, samples):
    link, board = connect_to()

    def gone(_):
        raise OSError(5, "Input/output error")

    board.write = gone
    with pytest.raises(LinkError, match="at /dev/x broke: Input/output error; is the board still"):
        link.run(samples)


def test_the_port_is_closed(connect_to):
    link, board = connect_to()
    with link:
        assert not board.closed
    assert board.closed


def test_compare(program, samples):
    outputs = sw.golden(program, samples)
    fields = {"classes": np.zeros(4, int), "cycles": np.ones(4, int), "clock_hz": 1, "seconds": 1.0}
    good = LinkResult(outputs=outputs, **fields)
    assert compare(program, samples, good) == {
        "compared": 4,
        "mismatches": 0,
        "first_mismatch": None,
    }
    wrong = outputs.copy()
    place = (2, *np.unravel_index(3, outputs.shape[1:]))
    wrong[place] += 1
    found = compare(program, samples, LinkResult(outputs=wrong, **fields))
    expected = int(outputs[place])
    index = [int(n) for n in place[1:]]
    assert found["mismatches"] == 1
    assert found["first_mismatch"] == {
        "input": 2,
        "index": index,
        "expected": expected,
        "got": expected + 1,
        "text": f"input 2, index {tuple(index)} of the output: expected {expected}, "
        f"got {expected + 1}",
    }


def test_a_simulated_board(program, samples):
    accelerator = Accelerator(program, rows=1, columns=4)
    with SimulatedBoard(accelerator) as board:
        patience = simulation_seconds(board.shell)
        with sw.connect(board.port, program, timeout_s=patience) as link:
            assert link.identity == board.shell.identity
            result = link.run(samples)
        np.testing.assert_array_equal(result, sw.golden(program, samples))
        assert set(result.cycles) == {accelerator.schedule.cycles}
        with pytest.raises(LinkError, match="holds another network than 'dense_net'"):
            sw.connect(board.port, dense_net(seed=1), timeout_s=patience)
