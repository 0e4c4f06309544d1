"""A thousand frames over a bad line to the simulated board: an answer is right, or an error."""

from collections import Counter

import numpy as np
import pytest
import serial
from link_faults import FAULTS, FaultyLine

from shiftwork.boards.accelerator import Accelerator
from shiftwork.errors import LinkError
from shiftwork.link import Link, connect
from shiftwork.sim import golden
from shiftwork.sim.example_programs import dense_net, random_inputs
from shiftwork.sim.layer_image import stream_bytes
from shiftwork.sim.link_simulator import SimulatedBoard

SEED = 20
FAULTY_REQUESTS = 0.4
FAULTY_ANSWERS = 0.15
TIMEOUT_S = 0.2
ALIVE_TIMEOUT_S = 30.0


def send_all(link, line, frames, expected):
    """Sends all frames without a second try; counts outcomes by the fault that was injected."""
    outcomes = Counter()
    for number, frame in enumerate(frames):
        try:
            answer = link.infer(frame.tobytes())
        except LinkError:
            outcomes["error", line.fault] += 1
            continue
        assert answer.output == expected[number].tobytes(), (number, line.fault)
        assert answer.cycles == link.identity.cycles, (number, line.fault)
        outcomes["right", line.fault] += 1
    return outcomes


@pytest.mark.parametrize("frames", [150, pytest.param(1000, marks=pytest.mark.slow)])
def test_no_wrong_answer(frames):
    program = dense_net()
    rng = np.random.default_rng(SEED)
    q = random_inputs(program, rng, frames)
    inputs = stream_bytes(program.tensor(program.input), q)
    expected = stream_bytes(program.tensor(program.output), golden.run(program, q))
    with SimulatedBoard(Accelerator(program, rows=1, columns=4)) as board:
        with serial.Serial(board.port) as port:
            line = FaultyLine(port, rng, request_faults=0.0, answer_faults=0.0)
            link = Link(line, program, timeout_s=ALIVE_TIMEOUT_S)
            link = Link(line, program, timeout_s=TIMEOUT_S, retries=0)
            line.request_faults, line.answer_faults = FAULTY_REQUESTS, FAULTY_ANSWERS
            outcomes = send_all(link, line, inputs, expected)
        assert sum(outcomes.values()) == frames
        # The faults have an effect, and what none has befallen is answered (a busy machine may be
        # late now and then).
        clean = sum(count for (_, fault), count in outcomes.items() if not fault)
        assert outcomes["right", ""] > 0.8 * clean
        assert sum(count for (kind, _), count in outcomes.items() if kind == "error") > frames / 5
        seen = {name for _, fault in outcomes for name in fault.split()}
        assert seen == {fault.name for fault in FAULTS} | {"answer"}
        with connect(board.port, program, timeout_s=ALIVE_TIMEOUT_S) as alive:
            for frame, output in zip(inputs[:5], expected, strict=False):
                assert alive.infer(frame.tobytes()).output == output.tobytes()
