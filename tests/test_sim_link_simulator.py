"""The simulated board with weights in a flash: loading, refusals, and the fate of its process."""

import os
import time

import numpy as np
import pytest
import serial

from shiftwork.boards.accelerator import Accelerator
from shiftwork.boards.link_protocol import AnswerReader, Kind, Status, request
from shiftwork.errors import LinkError, OutputError
from shiftwork.link import connect
from shiftwork.sim import golden
from shiftwork.sim.link_simulator import SimulatedBoard, simulation_seconds
from shiftwork.sim.program_builder import ProgramBuilder


@pytest.fixture(scope="module")
def accelerator():
    """For an iCEBreaker; its weights are more than the block RAM."""
    builder = ProgramBuilder("deep", (1, 1, 64), np.random.default_rng(0))
    for _ in range(5):
        builder.dense(64, unsigned=True)
    made = Accelerator(builder.build(), board="icebreaker", rows=1, columns=4)
    assert made.flash_image
    return made


def test_weights_from_the_flash(accelerator):
    program = accelerator.program
    x = np.random.default_rng(1).integers(-128, 128, (2, 1, 1, 64)).astype(np.float32)
    with SimulatedBoard(accelerator) as board:
        patience = simulation_seconds(board.shell)
        with connect(board.port, program, timeout_s=patience) as link:
            result = link.run(x)
            assert link.identify().state == Status.OK
    np.testing.assert_array_equal(result, golden.predict(program, x))
    assert set(result.cycles) == {accelerator.schedule.cycles}


def test_a_damaged_flash_image(accelerator, monkeypatch):
    """Frames are refused with the flash's error; the identity is still told."""
    image = bytearray(accelerator.flash_image)
    image[1000] ^= 1
    monkeypatch.setattr(Accelerator, "flash_image", bytes(image))
    text = "cannot compute: the image in the flash is damaged; write the flash image of this bitst"
    with SimulatedBoard(accelerator) as board:
        patience = simulation_seconds(board.shell)
        with pytest.raises(LinkError, match=text):
            # It depends on how far the loading is whether the identity tells already.
            connect(board.port, accelerator.program, timeout_s=patience).run(np.zeros((1, 64)))
        with serial.Serial(board.port, timeout=60.0) as port:
            port.write(request(Kind.INFER, 3, bytes(64)))
            (answer,) = AnswerReader(longest=0).feed(port.read(12))
    assert (answer.sequence, answer.status, answer.payload) == (3, Status.FLASH_DAMAGED, b"")


def test_the_simulation_ends(accelerator):
    board = SimulatedBoard(accelerator)
    process = board._process.pid
    os.kill(process, 0)
    board.close()
    for _ in range(100):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            break
        time.sleep(0.05)
    else:
        pytest.fail("the simulator still runs")
    with pytest.raises(serial.SerialException):
        serial.Serial(board.port)


def test_a_folder_that_cannot_be_written(accelerator, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="simulators cannot be kept in"):
        SimulatedBoard(accelerator, build_dir=tmp_path / "file")
