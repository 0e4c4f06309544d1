import math
import pickle
from dataclasses import replace

import pytest

from shiftwork.boards.accelerator import Accelerator
from shiftwork.boards.estimate import estimate
from shiftwork.boards.registry import BOARDS, find
from shiftwork.boards.resources import Contents
from shiftwork.errors import CapacityError, ToolError
from shiftwork.explore_points import (
    Design,
    Point,
    Task,
    clocks_of,
    energy_proxy,
    evaluate,
    ram_weight,
    sizes,
)
from shiftwork.sim.example_programs import depthwise_net, small_cnn
from shiftwork.workspace import code_digest


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    path = tmp_path_factory.mktemp("program") / "net.npz"
    small_cnn().save(path)
    return path.read_bytes()


def task(*names, rows=2, columns=4):
    boards = tuple(find(name) for name in names)
    return Task(boards=boards, rows=rows, columns=columns, code=code_digest())


def point(**changes):
    design = Design(cycles=1000, fmax_mhz=40.0, lut=10)
    values = {"quantization": "int8", "board": "a", "rows": 1, "columns": 2, "clock_mhz": None}
    return Point(**(values | {"design": design} | changes))


def test_a_design_is_what_the_accelerator_will_be(program):
    names = ("icebreaker", "ulx3s-85f", "tang-nano-20k")
    for name, design in zip(names, evaluate(program, task(*names)), strict=True):
        board = find(name)
        accelerator = Accelerator(small_cnn(), board=board, rows=2, columns=4)
        contents = Contents.of(accelerator.schedule.images, accelerator.config)
        found = estimate(accelerator.config, board, contents=contents)
        assert not design.problem
        assert design.cycles == accelerator.schedule.cycles
        assert (design.lut, design.ff, design.bram, design.dsp, design.spram) == (
            found.lut,
            found.ff,
            found.bram,
            found.dsp,
            found.spram,
        )
        assert design.fmax_mhz == round(found.fmax_mhz, 3)
        assert design.lut_percent == round(100 * found.lut / board.lut, 2)
        assert design.energy == energy_proxy(accelerator.schedule, found, board)
        assert design.weights_in == "block RAM"


def test_what_does_not_fit_says_what_the_accelerator_would(program):
    (design,) = evaluate(program, task("icebreaker", rows=8, columns=16))
    with pytest.raises(CapacityError) as raised:
        Accelerator(small_cnn(), board="icebreaker", rows=8, columns=16)
    assert design == Design(problem=str(raised.value))
    assert "the logic does not fit iCEBreaker" in design.problem


def test_tasks_and_results_travel(program):
    work = task("icebreaker", "upduino3")
    sent = pickle.loads(pickle.dumps((evaluate, program, work)))
    assert pickle.loads(pickle.dumps(sent[0](*sent[1:]))) == evaluate(program, work)


def test_another_version_of_the_code_is_refused(program):
    with pytest.raises(ToolError, match="a worker runs another version of Shiftwork"):
        evaluate(program, replace(task("icebreaker"), code="other"))


def test_clock_and_latency():
    assert (point().runs_at_mhz, point().latency_us, point().meets_clock) == (40.0, 25.0, True)
    slow = point(clock_mhz=20.0)
    assert (slow.runs_at_mhz, slow.latency_us, slow.meets_clock) == (20.0, 50.0, True)
    fast = point(clock_mhz=50.0)
    assert (fast.runs_at_mhz, fast.latency_us, fast.meets_clock) == (40.0, 25.0, False)
    none = point(design=Design(problem="too large"))
    assert (none.fits, none.latency_us) == (False, math.inf)


def test_the_energy_of_a_ram_grows_with_the_root_of_its_size():
    assert ram_weight(8192, bits=64) * 0.2 * 14 / 80 == pytest.approx(10.0)
    assert ram_weight(32768, bits=8) == pytest.approx(2 * ram_weight(8192, bits=8))
    assert ram_weight(512, bits=16) == pytest.approx(2 * ram_weight(512, bits=8))


def test_the_energy_of_a_design():
    board = find("icebreaker")
    schedule = Accelerator(small_cnn(), board=board, rows=2, columns=4).schedule
    found = estimate(schedule.config, board)
    active = found.lut + 8 * 80 / 14 + found.bram * ram_weight(512, bits=8)
    active += found.spram * ram_weight(32768, bits=16)
    assert energy_proxy(schedule, found, board) == round(schedule.cycles * active / 1e6, 3)
    assert energy_proxy(schedule, replace(found, bram=30), board) > energy_proxy(
        schedule, replace(found, bram=20), board
    )


def test_products_of_lookup_tables_count_as_these():
    board = find("ice40-hx8k")
    schedule = Accelerator(depthwise_net(), board=board, rows=1, columns=4).schedule
    found = estimate(schedule.config, board)
    active = found.lut + found.bram * ram_weight(512, bits=8)
    assert energy_proxy(schedule, found, board) == round(schedule.cycles * active / 1e6, 3)


def test_sizes_suit_the_boards_by_default():
    found = sizes(BOARDS, None, None)
    assert list(found) == sorted(found)
    names = {size: [board.name for board in boards] for size, boards in found.items()}
    assert names[8, 16] == ["ulx3s-85f"]
    assert "ice40-hx8k" in names[2, 4]
    assert "ice40-hx8k" not in names[2, 8]
    assert (8, 64) not in names


def test_sizes_as_given_are_tried_on_every_board():
    boards = (find("icebreaker"), find("ice40-hx8k"))
    assert sizes(boards, (9, 1), (100,)) == {(1, 100): boards, (9, 100): boards}
    assert list(sizes(boards, None, (3,))) == [(1, 3), (2, 3), (4, 3), (8, 3)]


def test_clocks_in_order_each_once():
    board = find("ulx3s-85f")
    assert clocks_of(board, ("max", 100.0, "board", 50.0, 24.0)) == [24.0, 50.0, 100.0, None]
