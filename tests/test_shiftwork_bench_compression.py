"""The comparison of weights on a stand-in: a network of a few weights with inputs of its own."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from shiftwork import __main__, bench_compression, bench_compression_page
from shiftwork.bench_compression import KINDS, Subject, huffman_bits, run, select, size_of, subjects
from shiftwork.bench_data import Data, handwritten_digits
from shiftwork.bench_networks import Network
from shiftwork.boards.accelerator import Accelerator
from shiftwork.boards.estimate import estimate
from shiftwork.boards.registry import find
from shiftwork.boards.resources import Contents
from shiftwork.errors import DataError
from shiftwork.quant.codebook import INT4
from shiftwork.quant.program import Program
from shiftwork.sim.coded_programs import coded
from shiftwork.sim.example_programs import residual_net


def read_inputs(folder: Path) -> Data:
    with np.load(folder / "x.npz") as archive:
        x, y = archive["x"], archive["y"]
    return Data(
        calibration=x[:10],
        x=x[10:],
        y=y[10:],
        calibrated_on="10 inputs",
        measured_on="20 others",
        parts=(10, 10),
    )


@pytest.fixture
def subject(write_onnx, tmp_path):
    """A network whose files are in ``tmp_path``."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv"),
        helper.make_node("Relu", ["c"], ["r"], name="relu"),
        helper.make_node("Flatten", ["r"], ["f"], name="flatten"),
        helper.make_node("Gemm", ["f", "v"], ["y"], name="dense"),
    ]
    model = write_onnx(nodes, [1, 2, 4, 4], {"w": (3, 2, 3, 3), "v": (12, 5)})
    (tmp_path / "models").mkdir()
    model.rename(tmp_path / "models" / "model.onnx")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 2, 4, 4)).astype(np.float32)
    np.savez(tmp_path / "x.npz", x=x, y=rng.integers(5, size=30))
    network = Network(
        key="tiny",
        title="a tiny network",
        model="models/model.onnx",
        inputs=("x.npz",),
        data=read_inputs,
        measures=bench_compression._no_measures,
    )
    return Subject(network=network, board="icebreaker", elements=4)


@pytest.fixture
def results(subject, tmp_path):
    return run(tmp_path, tmp_path / "out", chosen=[subject])


def test_every_kind_has_quality_size_and_hardware(results):
    assert [result.weights for result in results] == list(KINDS)
    int8, *few = results
    assert int8.quality.float_weights == int8.size.weights == int8.size.stored_bytes == 54 + 60
    for result in few:
        assert result.size.stored_bytes == 57
        assert result.size.values <= 16
        assert result.quality.sqnr_db < int8.quality.sqnr_db
        assert result.hardware.rom_bytes <= int8.hardware.rom_bytes // 2 + 1
        assert result.hardware.cycles == int8.hardware.cycles
        assert not result.hardware.loaded
        assert 0.9 < result.hardware.fmax_mhz / int8.hardware.fmax_mhz < 1.1
    assert int8.quality.score_error is None
    assert 0 <= int8.quality.accuracy <= 100


def test_clocks_are_those_of_the_estimate(results, subject, tmp_path):
    board = replace(find(subject.board), max_elements=subject.elements)
    for result, cells in zip(results, bench_compression_page.hardware_cells(results), strict=True):
        program = Program.load(tmp_path / "out" / f"quantize-tiny-{result.weights}" / "net.npz")
        accelerator = Accelerator(program, board=board)
        contents = Contents.of(accelerator.schedule.images, accelerator.config)
        found = estimate(accelerator.config, board, contents=contents)
        row = dict(zip(bench_compression_page.HARDWARE, cells, strict=True))
        assert row["clock"] == f"{found.fmax_mhz:.1f} MHz"
        latency_ms = found.latency_us(accelerator.schedule.cycles) / 1000
        assert float(row["latency"].removesuffix(" ms")) == pytest.approx(latency_ms, rel=0.01)


def test_what_has_not_changed_is_kept(results, subject, tmp_path):
    messages: list[str] = []
    again = run(tmp_path, tmp_path / "out", chosen=[subject], progress=messages.append)
    assert again == results
    assert sum("kept from the last run" in message for message in messages) == len(KINDS)


def test_a_network_that_does_not_fit_has_a_reason(subject, tmp_path):
    whole = replace(subject, shape=(8, 64))
    (result,) = run(tmp_path, tmp_path / "out", chosen=[whole], kinds=["int4"])
    assert result.hardware is None
    assert "do not fit" in result.problem
    text = bench_compression_page.markdown([result], command="command")
    assert f"- ({result.problem})" in text


def routed(monkeypatch):
    """A stand-in for place and route; returns what it was asked for."""
    asked = []

    def report(accelerator, folder, *, seeds, **_):
        asked.append((folder.name, seeds))
        coded = accelerator.program.codebook is not None
        return {"lut": {"used": 1000 + coded}, "fmax_mhz": 50.04 if coded else 40.0}

    monkeypatch.setattr(bench_compression, "routed_report", report)
    return asked


def test_routed_clocks_are_compared_with_int8(subject, monkeypatch, tmp_path):
    asked = routed(monkeypatch)
    results = run(tmp_path, tmp_path / "out", chosen=[subject], kinds=["int8", "int4"], seeds=2)
    assert asked == [("route-tiny-int8", 2), ("route-tiny-int4", 2)]
    int8, int4 = (
        dict(zip(bench_compression_page.ROUTED, cells, strict=True))
        for cells in bench_compression_page.routed_cells(results)
    )
    assert (int8["LUTs"], int8["clock"], int8["against int8"]) == ("1,000", "40.0 MHz", "+0.0 %")
    assert (int4["LUTs"], int4["clock"], int4["against int8"]) == ("1,001", "50.0 MHz", "+25.0 %")
    cycles = results[1].hardware.cycles
    assert int4["latency"] == f"{cycles / 50.0 / 1000:.3g} ms"
    text = bench_compression_page.markdown(results, command="command")
    assert "## Placed and routed" in text


def test_without_route_nothing_is_placed(subject, monkeypatch, tmp_path):
    asked = routed(monkeypatch)
    (result,) = run(tmp_path, tmp_path / "out", chosen=[subject], kinds=["int4"])
    assert asked == []
    assert bench_compression_page.routed_cells([result]) == []
    assert "Placed" not in bench_compression_page.markdown([result], command="command")


def test_scores_of_anomalies(subject, tmp_path):
    data = read_inputs(tmp_path)
    found = bench_compression.Outputs(np.ones((20, 32)), np.ones((20, 32)))
    quality = bench_compression._quality(replace(subject, anomalies=True), found, data, 3)
    assert (quality.agreement, quality.score_error) == (None, 0.0)


@pytest.mark.parametrize(
    ("counts", "bits"), [([7], 7), ([1, 1], 2), ([5, 2, 1, 1], 5 + 4 + 3 + 3), ([1] * 8, 24)]
)
def test_huffman_codes(counts, bits):
    assert huffman_bits(np.array(counts)) == bits


def test_no_prefix_code_beats_entropy_and_huffman_is_within_a_bit():
    counts = np.random.default_rng(0).integers(1, 500, 40)
    share = counts / counts.sum()
    entropy = -(counts * np.log2(share)).sum()
    assert entropy <= huffman_bits(counts) < entropy + counts.sum()


def test_the_weights_of_shortcuts_count():
    program = residual_net()
    size, few = size_of(program), size_of(coded(program, INT4))
    assert size.weights == few.weights == size.stored_bytes
    assert few.stored_bytes == -(-size.weights // 2)
    assert (few.values, size.values) == (16, 256)


def test_networks():
    known = subjects()
    keys = [subject.network.key for subject in known]
    assert keys == ["kws", "ic", "vww", "ad", "mnist-mlp", "mnist-cnn"]
    assert select("ad, kws,ad", known) == (known[3], known[0])
    assert select(None, known) == known
    with pytest.raises(DataError, match="unknown network 'vgg'; there are kws, ic"):
        select("vgg", known)


def test_the_bundled_network_is_measured_on_a_file(tmp_path):
    name = "mnist.npz"
    np.savez(tmp_path / name, x=np.zeros((3, 28, 28), np.uint8), y=np.arange(3))
    found = handwritten_digits(tmp_path, name)
    assert (found.x.shape, found.calibration.shape) == ((3, 1, 28, 28), (100, 1, 28, 28))
    assert found.measured_on == "3 test images of MNIST"


def command(tmp_path, *options):
    given = ["bench", "compression", "--files", tmp_path, "-o", tmp_path / "out", *options]
    return __main__.run([str(argument) for argument in given])


def test_command(capsys, monkeypatch, tmp_path, subject):
    monkeypatch.setattr(bench_compression, "subjects", lambda: (subject,))
    table = tmp_path / "table.md"
    assert command(tmp_path, "--json", "--markdown", table) == 0
    record = json.loads(capsys.readouterr().out)
    assert [result["weights"] for result in record["results"]] == list(KINDS)
    assert record["command"].startswith("shiftwork bench compression --files")
    assert json.loads((tmp_path / "out" / "compression.json").read_text()) == record
    assert "| tiny | shared16 |" in table.read_text()
    assert command(tmp_path, "--networks", "tiny") == 0
    assert "what the weights take, in bytes" in capsys.readouterr().out


def test_command_with_route(capsys, monkeypatch, tmp_path, subject):
    monkeypatch.setattr(bench_compression, "subjects", lambda: (subject,))
    asked = routed(monkeypatch)
    assert command(tmp_path, "--route", "--seeds", "3") == 0
    assert "placed and routed" in capsys.readouterr().out
    assert [seeds for _, seeds in asked] == [3] * len(KINDS)
    record = json.loads((tmp_path / "out" / "compression.json").read_text())
    assert record["command"].endswith("--route --seeds 3")


def test_missing_files(capsys, tmp_path):
    assert command(tmp_path, "--networks", "kws,mnist-cnn") == 1
    error = capsys.readouterr().err
    assert "lacks models/mlperf_tiny/kws_ref_model_float32.tflite, data/kws/kws_dev.npz" in error
    assert "data/mnist/mnist_dev.npz" in error
