from pathlib import Path

import pytest

from shiftwork.boards.registry import BoardError
from shiftwork.build import Job, build, command
from shiftwork.errors import DataError


def job(**options):
    defaults = {"model": Path("a b.onnx"), "calibration": Path("c.npz"), "board": "icebreaker"}
    return Job(**(defaults | {"options": {}} | options))


def test_command():
    assert command(job(), Path("out")) == (
        "shiftwork build 'a b.onnx' --calibration c.npz --board icebreaker --engine verilator "
        "--limit 20 --output out"
    )


def test_command_with_every_option():
    options = {"scales": "max", "activations": "signed", "per_channel": False}
    options |= {"headroom": 2.0, "equalization": False, "rounding": "nearest"}
    shape = {"rows": 2, "columns": 8, "clock_mhz": 24.0, "seeds": 3, "test": Path("t.npz")}
    text = command(job(options=options, **shape), Path("out"))
    for part in (
        "--scales max",
        "--headroom 2.0",
        "--rounding nearest",
        "--per-tensor",
        "--no-equalize",
        "--rows 2 --columns 8",
        "--clock 24.0",
        "--seeds 3",
    ):
        assert part in text


def test_command_with_targets():
    text = command(job(elements=12, latency_us=250.0), Path("out"))
    assert "--elements 12 --latency-us 250.0" in text
    assert "--rows" not in text


def test_samples_are_those_of_the_test_file():
    assert job().samples == Path("c.npz")
    assert job(test=Path("t.npz")).samples == Path("t.npz")


def test_an_unknown_board(tmp_path):
    with pytest.raises(BoardError, match="unknown board 'arty'"):
        build(job(board="arty"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_missing_files(tmp_path):
    with pytest.raises(DataError, match=r"cannot read a b.onnx: No such file"):
        build(job(), tmp_path / "out")
