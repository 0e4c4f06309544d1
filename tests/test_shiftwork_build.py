from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from onnx import helper

from shiftwork.boards.registry import BoardError
from shiftwork.build import Job, build
from shiftwork.commands import build_command as command
from shiftwork.errors import DataError, MismatchError
from shiftwork.sim import executor
from shiftwork.steps import Ends


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
    options |= {"headroom": 2.0, "equalization": False, "rounding": "nearest", "weights": "int4"}
    shape = {"rows": 2, "columns": 8, "clock_mhz": 24.0, "seeds": 3, "test": Path("t.npz")}
    text = command(job(options=options, **shape), Path("out"))
    for part in (
        "--scales max",
        "--headroom 2.0",
        "--rounding nearest",
        "--weights int4",
        "--per-tensor",
        "--no-equalize",
        "--rows 2 --columns 8",
        "--clock 24.0",
        "--seeds 3",
    ):
        assert part in text


def test_command_with_ends():
    ends = Ends(
        top_score=True,
        threshold=-2.5,
        input_bytes="int8",
        input_scale=(0.5, 0.25),
        input_offset=(-1.0,),
    )
    assert (
        "--top-score --threshold=-2.5 --input-bytes int8 --input-scale=0.5,0.25 --input-offset=-1.0"
    ) in command(job(ends=ends), Path("out"))


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


class Netlist:
    """Stands in for the steps that need tools, and remembers how the netlist was simulated."""

    def __init__(self, monkeypatch, mismatches=0):
        self.mismatches = mismatches
        self.calls = []
        self.golden = executor.simulate
        report = SimpleNamespace(
            as_dict=lambda: {"board": "icebreaker"}, rows=1, columns=2, seeds={1: 40.0}
        )
        monkeypatch.setattr("shiftwork.build.generate", lambda *_, **__: None)
        monkeypatch.setattr("shiftwork.build.synthesize", lambda *_, **__: report)
        monkeypatch.setattr("shiftwork.build.render", lambda page: str(page.verification))
        monkeypatch.setattr(executor, "simulate", self.simulate)

    def simulate(self, accelerator, x, *, engine, limit, synthesis_dir):
        result = self.golden(accelerator, x, engine="golden", limit=limit)
        if engine == "golden":
            return result
        self.calls.append((engine, limit, synthesis_dir))
        first = {"text": "a byte"} if self.mismatches else None
        return replace(result, engine=engine, mismatches=self.mismatches, first_mismatch=first)


@pytest.fixture
def small_job(write_onnx, tmp_path):
    model = write_onnx(
        [helper.make_node("Conv", ["x", "w"], ["y"])], [1, 2, 4, 4], {"w": (3, 2, 3, 3)}
    )
    samples = tmp_path / "samples.npy"
    np.save(samples, np.random.default_rng(0).normal(size=(12, 2, 4, 4)).astype(np.float32))
    return job(model=model, calibration=samples, engine="golden", rows=1, columns=2)


def test_the_netlist_of_the_routed_design_is_verified(small_job, tmp_path, monkeypatch):
    netlist = Netlist(monkeypatch)
    folder = tmp_path / "out"
    built = build(replace(small_job, verify="netlist"), folder)
    assert netlist.calls == [("netlist", 10, folder / "synth")]
    record = built.as_dict()["verify"]
    assert (record["engine"], record["inputs"]) == ("netlist", 10)
    assert (record["mismatches"], record["layers_compared"]) == (0, 0)
    assert built.page.read_text() == str(record)
    assert build(replace(small_job, verify="netlist"), folder).as_dict() == built.as_dict()
    assert len(netlist.calls) == 1
    build(replace(small_job, verify="netlist", images=3), folder)
    assert netlist.calls[1:] == [("netlist", 3, folder / "synth")]


def test_a_netlist_that_differs_fails_the_build(small_job, tmp_path, monkeypatch):
    Netlist(monkeypatch, mismatches=2)
    with pytest.raises(MismatchError, match="differs from the golden model: 2 bytes differ; the"):
        build(replace(small_job, verify="netlist"), tmp_path / "out")
    assert not (tmp_path / "out" / "verify").exists()
    assert not (tmp_path / "out" / "report.html").exists()


def test_no_netlist_is_simulated_unless_asked_for(small_job, tmp_path, monkeypatch):
    netlist = Netlist(monkeypatch)
    built = build(small_job, tmp_path / "out")
    assert netlist.calls == []
    assert built.verification is None
    assert built.as_dict()["verify"] is None
    assert "--verify" not in command(small_job, tmp_path)
    assert "--verify netlist" in command(replace(small_job, verify="netlist"), tmp_path)
