import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from shiftwork import explore as module
from shiftwork.boards.registry import find
from shiftwork.errors import DataError, OutputError, ToolError
from shiftwork.explore import Sweep, axes, explore
from shiftwork.explore_points import Design
from shiftwork.explore_runners import run_locally
from shiftwork.quant.options import QuantizerOptions
from shiftwork.sim.example_programs import small_cnn

BOARDS = (find("icebreaker"), find("ulx3s-25f"))


@pytest.fixture
def network(tmp_path):
    path = tmp_path / "net.npz"
    small_cnn().save(path)
    return path


@pytest.fixture
def sweep(network):
    return Sweep(
        network=network,
        options={},
        boards=BOARDS,
        rows=(1, 2),
        columns=(4, 64),
        clocks=(20.0, "max"),
    )


def run(sweep, folder, **options):
    return explore(sweep, folder, processes=1, **options)


def test_points_come_in_order(sweep, tmp_path):
    found = run(sweep, tmp_path / "out")
    assert [(p.board, p.rows, p.columns, p.clock_mhz) for p in found.points] == [
        (board.name, rows, columns, clock)
        for board in BOARDS
        for rows in (1, 2)
        for columns in (4, 64)
        for clock in (20.0, None)
    ]
    assert found.network == "small_cnn"
    assert (found.measure, found.reused) == (None, 0)
    fits = {(p.board, p.rows, p.columns): p.fits for p in found.points}
    assert fits["ulx3s-25f", 2, 4]
    assert not fits["icebreaker", 2, 64]
    assert found.front
    assert set(found.front) <= found.board_fronts


def test_the_record(sweep, tmp_path):
    found = run(sweep, tmp_path / "out")
    record = json.loads(json.dumps(found.as_dict()))
    assert record["axes"] == {"latency_us": "least", "lut": "least", "energy": "least"}
    assert record["front"] == list(found.front)
    assert [entry["front"] for entry in record["points"] if entry["fits"]].count(True) == len(
        found.front
    )
    entry = record["points"][found.front[0]]
    design = found.points[found.front[0]].design
    assert (entry["cycles"], entry["lut"], entry["accuracy"]) == (design.cycles, design.lut, None)
    assert entry["latency_us"] == round(design.cycles / entry["runs_at_mhz"], 3)
    assert "problem" not in entry
    misfit = next(entry for entry in record["points"] if not entry["fits"])
    assert set(misfit) == {
        *("quantization", "board", "rows", "columns", "clock_mhz", "fits", "problem"),
    }
    assert [entry["name"] for entry in record["quantizations"]] == ["as stored"]


def test_a_slower_clock_takes_longer_and_is_not_on_the_front(sweep, tmp_path):
    found = run(sweep, tmp_path / "out")
    slow, fast = found.points[:2]
    assert slow.design == fast.design
    assert slow.latency_us == pytest.approx(slow.design.cycles / 20.0)
    assert fast.latency_us < slow.latency_us
    assert all(found.points[index].clock_mhz is None for index in found.front)


def test_the_share_of_the_board_as_area(sweep, tmp_path):
    assert axes("share", "sqnr") == {
        "latency_us": "least",
        "lut_percent": "least",
        "energy": "least",
        "sqnr_db": "greatest",
    }
    boards = (find("ulx3s-25f"), find("ulx3s-85f"))
    both = replace(sweep, boards=boards, columns=(4,))
    by_lut = run(both, tmp_path / "out")
    by_share = run(replace(both, area="share"), tmp_path / "out")
    assert {by_lut.points[i].board for i in by_lut.front} == {"ulx3s-25f", "ulx3s-85f"}
    assert {by_share.points[i].board for i in by_share.front} == {"ulx3s-85f"}


def test_a_rerun_takes_what_it_has(sweep, tmp_path, monkeypatch):
    first = run(sweep, tmp_path / "out")

    def refuse(jobs, **options):
        raise AssertionError(f"{len(jobs)} jobs {options}")

    monkeypatch.setattr(module, "run_locally", refuse)
    again = run(sweep, tmp_path / "out")
    assert again.as_dict() == first.as_dict()
    assert again.reused == 8
    # Other clocks need no other designs.
    more = run(replace(sweep, clocks=("board", "max", 10.0)), tmp_path / "out")
    assert more.reused == 8
    assert len(more.points) == 3 * 8


def test_a_larger_sweep_does_only_what_is_new(sweep, tmp_path, monkeypatch):
    run(sweep, tmp_path / "out")
    asked = []

    def local(jobs, **options):
        asked.extend(task for _, task in jobs)
        return run_locally(jobs, **options)

    monkeypatch.setattr(module, "run_locally", local)
    larger = replace(sweep, boards=(*BOARDS, find("tang-nano-20k")), rows=(1, 2, 3))
    found = run(larger, tmp_path / "out")
    assert found.reused == 8
    assert {(task.rows, task.columns): [b.name for b in task.boards] for task in asked} == {
        (1, 4): ["tang-nano-20k"],
        (1, 64): ["tang-nano-20k"],
        (2, 4): ["tang-nano-20k"],
        (2, 64): ["tang-nano-20k"],
        (3, 4): ["icebreaker", "ulx3s-25f", "tang-nano-20k"],
        (3, 64): ["icebreaker", "ulx3s-25f", "tang-nano-20k"],
    }
    fresh = run(larger, tmp_path / "fresh")
    assert fresh.as_dict() == found.as_dict()


def test_goes_on_after_an_interrupt(sweep, tmp_path, monkeypatch):
    def interrupted(jobs, **options):
        results = run_locally(jobs, **options)
        yield next(results)
        yield next(results)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "run_locally", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(sweep, tmp_path / "out")
    monkeypatch.setattr(module, "run_locally", run_locally)
    found = run(sweep, tmp_path / "out")
    assert found.reused == 4
    assert found.as_dict() == run(sweep, tmp_path / "fresh").as_dict()


def test_damaged_files_are_made_anew(sweep, tmp_path):
    first = run(sweep, tmp_path / "out")
    files = sorted((tmp_path / "out" / "designs").iterdir())
    files[0].write_text("{")
    files[1].write_text('{"lut": "many"}')
    files[2].write_text("[]")
    files[3].unlink()
    again = run(sweep, tmp_path / "out")
    assert again.reused == 4
    assert again.as_dict() == first.as_dict()


def test_results_may_come_in_any_order(sweep, tmp_path, monkeypatch):
    def backwards(jobs, **options):
        yield from reversed(list(run_locally(jobs, **options)))

    first = run(sweep, tmp_path / "out")
    monkeypatch.setattr(module, "run_locally", backwards)
    assert run(sweep, tmp_path / "other").as_dict() == first.as_dict()


def test_tells_its_progress(sweep, tmp_path):
    told, counts = [], []
    run(sweep, tmp_path / "out", progress=told.append, advance=lambda *seen: counts.append(seen))
    assert "8 designs, 0 of them kept from earlier runs" in told
    assert counts == [
        (f"{r} x {c}, ulx3s-25f", n, 8)
        for n, (r, c) in zip((2, 4, 6, 8), ((1, 4), (1, 64), (2, 4), (2, 64)), strict=True)
    ]


@pytest.fixture
def trained(model, samples):
    options = {name: QuantizerOptions(weights=name) for name in ("int8", "pow2")}
    return Sweep(
        network=model, calibration=samples, options=options, boards=BOARDS, rows=(1,), columns=(3,)
    )


def test_each_quantization_is_made_once(trained, tmp_path):
    told = []
    found = run(trained, tmp_path / "out", progress=told.append)
    assert [entry.name for entry in found.quantized] == ["int8", "pow2"]
    assert found.measure == "accuracy"
    assert [line for line in told if "quantizing" in line] == [
        "quantizing model.onnx (int8)",
        "quantizing model.onnx (pow2)",
    ]
    assert [p.quantization for p in found.points] == ["int8", "int8", "pow2", "pow2"]
    quality = found.by_name["int8"]
    assert found.record(0)["accuracy"] == quality.accuracy
    assert found.as_dict()["axes"]["accuracy"] == "greatest"
    told.clear()
    again = run(trained, tmp_path / "out", progress=told.append)
    assert again.as_dict() == found.as_dict()
    assert sum("unchanged, kept from the last run" in line for line in told) == 2


def test_noise_counts_where_there_are_no_labels(trained, tmp_path):
    np.save(tmp_path / "plain.npy", np.load(trained.calibration)["x"])
    found = run(replace(trained, calibration=tmp_path / "plain.npy"), tmp_path / "out")
    assert found.measure == "sqnr"
    fine, rough = found.quantized
    assert fine.sqnr_db > rough.sqnr_db
    assert found.as_dict()["axes"]["sqnr_db"] == "greatest"
    assert {found.points[i].quantization for i in found.front} >= {"int8"}


def test_the_quality_that_counts(trained, sweep, tmp_path):
    found = run(replace(trained, quality="sqnr"), tmp_path / "out")
    assert found.measure == "sqnr"
    assert "accuracy" not in found.as_dict()["axes"]
    assert found.record(0)["accuracy"] is not None
    text = "the quality 'sqnr' cannot be measured: it needs a trained network"
    with pytest.raises(DataError, match=text):
        run(replace(sweep, quality="sqnr"), tmp_path / "other")
    text = "the quality 'accuracy' cannot be measured: it needs labels 'y' of the samples"
    with pytest.raises(DataError, match=text):
        run(replace(sweep, quality="accuracy"), tmp_path / "other")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"boards": ()}, "there are no boards to explore; give one at least"),
        ({"clocks": ()}, "there are no clocks to explore; give one at least"),
        ({"rows": (1, 0)}, "rows must be numbers from 1, not 1, 0"),
        ({"columns": ()}, "columns must be numbers from 1, not "),
        ({"clocks": (0.0,)}, "a clock must be more than 0 MHz, not 0"),
        ({"clocks": (float("nan"),)}, "a clock must be more than 0 MHz, not nan"),
        ({"options": {"int8": QuantizerOptions()}}, "is quantized already: its weights stay as"),
        ({"network": Path("net.onnx")}, "net.onnx is to be quantized, which needs sample inputs"),
        (
            {"network": Path("net.onnx"), "calibration": Path("x.npz")},
            "there are no quantizations to explore",
        ),
    ],
)
def test_wrong_sweeps(sweep, tmp_path, changes, text):
    with pytest.raises(DataError, match=text):
        run(replace(sweep, **changes), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_missing_file(trained, tmp_path):
    with pytest.raises(DataError, match=r"cannot read .*gone\.npz: No such file"):
        run(replace(trained, calibration=tmp_path / "gone.npz"), tmp_path / "out")


def test_a_folder_that_cannot_be_written(sweep, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot write .* choose another place with -o"):
        run(sweep, tmp_path / "file")


def test_what_is_done_is_kept_when_a_runner_fails(sweep, tmp_path, monkeypatch):
    def failing(jobs, *, scheduler):
        yield next(run_locally(jobs, processes=1))
        raise ToolError(f"{scheduler} is gone")

    monkeypatch.setattr(module, "run_on_dask", failing)
    with pytest.raises(ToolError, match="tcp://x is gone"):
        explore(sweep, tmp_path / "out", scheduler="tcp://x")
    assert run(sweep, tmp_path / "out").reused == 2


def test_designs_are_plain_records(sweep, tmp_path):
    run(sweep, tmp_path / "out")
    file = next((tmp_path / "out" / "designs").iterdir())
    assert set(json.loads(file.read_text())) == set(Design.__dataclass_fields__)
