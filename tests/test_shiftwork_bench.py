"""The benchmark on a stand-in: a network of a few weights with inputs of its own."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from onnx import helper

from shiftwork import bench
from shiftwork.bench_data import Data
from shiftwork.bench_networks import NETWORKS, Network, Row
from shiftwork.bench_quality import Measure, sqnr_db
from shiftwork.boards.registry import BoardError
from shiftwork.boards.synthesis import REPORT
from shiftwork.errors import CapacityError, DataError, TimingError
from shiftwork.quant.program import Program

ROW = Row(network="tiny", board="ulx3s-85f", elements=8, cycles=100_000, fmax_mhz=50.0)
REPORT_RECORD = {
    "fmax_mhz": 80.0,
    "seed": 2,
    "latency_us": 12.5,
    "lut": {"used": 900},
    "dsp": {"used": 8},
}


def read_inputs(folder):
    with np.load(folder / "x.npz") as archive:
        x = archive["x"]
    return Data(
        calibration=x[:10],
        x=x[10:],
        calibrated_on="10 inputs",
        measured_on="20 others",
        parts=(20,),
    )


def noise(found, data):
    del data
    return (Measure(name="SQNR", value=sqnr_db(found), unit="dB", least=20.0),)


@pytest.fixture
def network(write_onnx, tmp_path):
    """A network whose files are in ``tmp_path``."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv"),
        helper.make_node("Relu", ["c"], ["r"], name="relu"),
        helper.make_node("Flatten", ["r"], ["f"], name="flatten"),
        helper.make_node("Gemm", ["f", "v"], ["y"], name="dense"),
    ]
    model = write_onnx(nodes, [1, 2, 4, 4], {"w": (3, 2, 3, 3), "v": (12, 5)})
    x = np.random.default_rng(0).normal(size=(30, 2, 4, 4)).astype(np.float32)
    np.savez(tmp_path / "x.npz", x=x)
    return Network(
        key="tiny",
        title="a tiny network",
        model=model.name,
        inputs=("x.npz",),
        data=read_inputs,
        measures=noise,
    )


@pytest.fixture
def run(network, tmp_path):
    """Runs the benchmark on the stand-in; returns the outcome and the messages."""

    def run(*rows, **options):
        messages = []
        outcome = bench.run(
            tmp_path,
            tmp_path / "out",
            networks=[network],
            rows=rows or (ROW,),
            progress=messages.append,
            **options,
        )
        return outcome, messages

    return run


def test_a_row_has_quality_array_and_cycles(run, tmp_path):
    outcome, _ = run(route=False)
    (result,) = outcome.results
    assert outcome.qualities["tiny"].measures[0].met
    assert outcome.qualities["tiny"].weights == 54 + 60
    assert 0 < result.rows * result.columns <= 8
    assert result.cycles_met and not result.clock_met
    assert result.fmax_mhz is result.latency_ms is result.problem is None
    assert Program.load(tmp_path / "out" / "quantize-tiny" / "net.npz").macs > 0


def test_what_has_not_changed_is_kept(run, tmp_path):
    first, messages = run(route=False)
    assert not any("kept from the last run" in message for message in messages)
    second, messages = run(route=False)
    assert any("kept from the last run" in message for message in messages)
    assert second.as_dict() == first.as_dict()
    with np.load(tmp_path / "x.npz") as archive:
        np.savez(tmp_path / "x.npz", x=archive["x"] * 2)
    _, messages = run(route=False)
    assert not any("kept from the last run" in message for message in messages)


def test_the_shape_of_a_row_is_kept(run):
    outcome, _ = run(replace(ROW, shape=(1, 4)), route=False)
    (result,) = outcome.results
    assert (result.rows, result.columns) == (1, 4)


def test_rows_of_other_boards_and_networks_are_left_out(run):
    rows = (ROW, replace(ROW, board="icebreaker"), replace(ROW, network="other"))
    outcome, _ = run(*rows, board="icebreaker", route=False)
    assert [result.row.board for result in outcome.results] == ["icebreaker"]
    with pytest.raises(BoardError, match="unknown board 'icebraker'"):
        run(*rows, board="icebraker", route=False)


def test_a_routed_row_has_clock_and_latency(run, monkeypatch):
    asked = {}

    def synthesize(*accelerators, **options):
        asked.update(options, accelerators=accelerators)
        return SimpleNamespace(as_dict=lambda: REPORT_RECORD)

    monkeypatch.setattr(bench, "synthesize", synthesize)
    outcome, _ = run(seeds=3)
    (result,) = outcome.results
    assert (result.fmax_mhz, result.seed, result.latency_ms, result.dsp) == (80.0, 2, 0.0125, 8)
    assert result.clock_met
    assert (asked["board"], asked["clock_mhz"], asked["seeds"]) == ("ulx3s-85f", 50.0, 3)
    assert asked["folder"].name == "synth-tiny-ulx3s-85f-8"


def test_a_missed_clock_is_a_result(run, monkeypatch):
    def synthesize(*_, folder, **__):
        folder.mkdir(parents=True)
        (folder / REPORT).write_text(json.dumps(REPORT_RECORD | {"fmax_mhz": 30.0}))
        raise TimingError("too slow")

    monkeypatch.setattr(bench, "synthesize", synthesize)
    outcome, _ = run()
    (result,) = outcome.results
    assert result.fmax_mhz == 30.0
    assert not result.clock_met
    assert result.problem is None


def test_what_is_impossible_does_not_stop_the_other_rows(run, monkeypatch):
    def refuse(row, program):
        if row.board == "icebreaker":
            raise CapacityError("the weights do not fit")
        return accelerator(row, program)

    accelerator = bench._accelerator
    monkeypatch.setattr(bench, "_accelerator", refuse)
    outcome, messages = run(replace(ROW, board="icebreaker"), ROW, route=False)
    assert [result.problem for result in outcome.results] == ["the weights do not fit", None]
    assert "tiny-icebreaker-8: the weights do not fit" in messages
    with pytest.raises(bench.BenchmarkError, match="1 of 2 rows failed; the first, tiny-icebreak"):
        outcome.check()


def test_a_design_that_cannot_be_routed_keeps_its_cycles(run, monkeypatch):
    def synthesize(*_, **__):
        raise CapacityError("no room")

    monkeypatch.setattr(bench, "synthesize", synthesize)
    outcome, _ = run()
    (result,) = outcome.results
    assert result.cycles and result.problem == "no room"


def test_networks_are_chosen_by_key():
    assert [network.key for network in bench.select("ad, kws,ad")] == ["ad", "kws"]
    assert bench.select(None) == NETWORKS
    with pytest.raises(DataError, match="unknown network 'resnet'; there are kws, ic, vww, ad"):
        bench.select("kws,resnet")


def test_missing_files_are_named_with_the_layout(tmp_path):
    with pytest.raises(DataError, match=r"lacks models/mlperf_tiny/ad01_fp32\.tflite, data/mlp"):
        bench.run(tmp_path, tmp_path / "out", networks=bench.select("ad"))
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("key", [network.key for network in NETWORKS])
def test_the_reference_networks_keep_their_quality(shared, tmp_path, key):
    outcome = bench.run(shared, tmp_path, networks=bench.select(key), rows=(), route=False)
    for measure in outcome.qualities[key].measures:
        assert measure.met, measure.text
