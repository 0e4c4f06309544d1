"""The table of boards, with a stand-in for the bitstreams."""

import json

import pytest

from shiftwork import __main__, bench_boards
from shiftwork.bench_boards import COLUMNS, ELEMENTS, NETWORK, cells, markdown, run, select, write
from shiftwork.boards.bitstream import Bitstream
from shiftwork.boards.registry import BOARDS, BoardError, find
from shiftwork.boards.report import Resource
from shiftwork.errors import TimingError
from shiftwork.sim.example_programs import dense_net

NONE_AVAILABLE = Resource(used=0, available=0)


def record(board):
    return Bitstream(
        board=board.name,
        title=board.title,
        network=NETWORK,
        digest="00",
        rows=1,
        columns=8,
        cycles=30_000,
        clock_mhz=30.0,
        asked_mhz=30.0,
        seeds={1: 34.56},
        seed=1,
        baud=115_200,
        resources={
            "lut": Resource(used=4286, available=board.lut),
            "bram": Resource(used=28, available=board.bram),
            "dsp": Resource(used=4, available=board.dsp) if board.dsp else NONE_AVAILABLE,
        },
        file="bitstream.bin",
        sha256="11",
        flash=None,
        commands=(),
        note="",
        tools={},
    )


@pytest.fixture
def made(monkeypatch):
    """What was asked for; the Tang Nano 9K misses its clock."""
    asked = []

    def make(accelerator, *, board, folder, seeds, progress):
        del progress
        asked.append((board.name, accelerator.config.shape.elements, folder, seeds))
        if board.name == "tang-nano-9k":
            raise TimingError("too slow")
        return record(board)

    monkeypatch.setattr(bench_boards, "make_bitstream", make)
    monkeypatch.setattr(bench_boards, "_program", dense_net)
    return asked


def test_every_board_is_measured(made, tmp_path):
    results = run(tmp_path)
    assert [result.board for result in results] == [board.name for board in BOARDS]
    assert [name for name, *_ in made] == [board.name for board in BOARDS]
    assert {folder for _, _, folder, _ in made} == {tmp_path / board.name for board in BOARDS}
    assert all(elements <= ELEMENTS for _, elements, _, _ in made)
    problems = {result.board: result.problem for result in results if result.problem}
    assert problems == {"tang-nano-9k": "too slow"}


def test_the_rows(made, tmp_path):
    boards = select("icebreaker, ice40-hx8k,tang-nano-9k")
    icebreaker, hx8k, tang = cells(run(tmp_path, boards=boards, seeds=2))
    assert icebreaker == [
        find("icebreaker").title,
        "1 x 8",
        "4,286 of 5,280",
        "28 of 30",
        "4 of 8",
        "30 MHz",
        "34.6 MHz",
        "1.00 ms",
    ]
    assert hx8k[4] == "-"
    assert tang == [find("tang-nano-9k").title] + ["-"] * (len(COLUMNS) - 1)
    assert {seeds for *_, seeds in made} == {2}


@pytest.mark.usefixtures("made")
def test_the_page_and_the_record(tmp_path):
    results = run(tmp_path, boards=select("ulx3s-25f,tang-nano-9k"))
    found = write(results, tmp_path, command="shiftwork bench boards")
    text = (tmp_path / "boards.md").read_text()
    assert text == markdown(results, command="shiftwork bench boards")
    assert text.startswith("Made by `shiftwork bench boards`.\n\n| board | array | LUT |")
    assert text.endswith("No bitstream:\n\n- Tang Nano 9K (Gowin GW1NR-9C): too slow\n")
    assert json.loads((tmp_path / "boards.json").read_text()) == json.loads(json.dumps(found))
    assert found["boards"][0]["bitstream"]["fmax_mhz"] == 34.56
    assert found["boards"][1]["bitstream"] is None


def test_an_unknown_board():
    with pytest.raises(BoardError, match="unknown board 'arty'"):
        select("icebreaker,arty")


def test_the_command(made, tmp_path, capsys):
    arguments = ["bench", "boards", "-o", str(tmp_path), "--boards", "upduino3", "--json"]
    assert __main__.run(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["command"] == f"shiftwork bench boards -o {tmp_path} --boards upduino3"
    assert [board["board"] for board in found["boards"]] == ["upduino3"]
    assert [name for name, *_ in made] == ["upduino3"]
