"""The comparison of recipes on a stand-in: a network of a few weights with inputs of its own."""

import json
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from shiftwork import bench_recipes, bench_recipes_page, litert
from shiftwork.bench_data import Data
from shiftwork.bench_networks import NETWORKS, Network
from shiftwork.bench_recipes import PLAIN, RECIPES, TFLITE, TFLITE_FILES, Quality, Result, draw, run
from shiftwork.errors import DataError
from shiftwork.quant.options import QuantizerOptions


def samples(calibration: int = 30, measured: int = 20) -> Data:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(calibration + measured, 2, 4, 4)).astype(np.float32)
    return Data(
        calibration=x[:calibration],
        x=x[calibration:],
        calibrated_on="some",
        measured_on="others",
        parts=(measured,),
    )


@pytest.fixture
def network(write_onnx, tmp_path, monkeypatch):
    """A network whose file is in ``tmp_path``; instead of LiteRT it is answered by zeros."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv"),
        helper.make_node("Relu", ["c"], ["r"], name="relu"),
        helper.make_node("Flatten", ["r"], ["f"], name="flatten"),
        helper.make_node("Gemm", ["f", "v"], ["y"], name="dense"),
    ]
    write_onnx(nodes, [1, 2, 4, 4], {"w": (3, 2, 3, 3), "v": (12, 5)}).rename(tmp_path / "m.onnx")
    monkeypatch.setattr(bench_recipes, "TFLITE_FILES", {"tiny": "m.onnx"})
    monkeypatch.setattr(litert, "outputs", lambda _, x: np.zeros((len(x), 5)))
    return Network(
        key="tiny",
        title="a tiny network",
        model="m.onnx",
        inputs=(),
        data=lambda _: samples(),
        measures=lambda *_: (),
    )


def test_every_recipe_and_draw_is_measured(network, tmp_path, monkeypatch):
    monkeypatch.setattr(bench_recipes, "RECIPES", {"default": {}, "plain max-abs": PLAIN})
    said: list[str] = []
    results = run(tmp_path, tmp_path / "out", networks=[network], draws=2, progress=said.append)
    assert [result.recipe for result in results] == [TFLITE, "default", "plain max-abs"]
    published, default, plain = results
    assert published.draws[0].sqnr_db == pytest.approx(0.0)
    assert default.median("sqnr_db") > plain.median("sqnr_db") > 10.0
    assert default.draws[0] != default.draws[1]
    assert {quality.samples for result in results for quality in result.draws} == {20}
    assert not [text for text in said if "unchanged" in text]
    again: list[str] = []
    repeated = run(tmp_path, tmp_path / "out", networks=[network], draws=2, progress=again.append)
    assert repeated == results
    assert len([text for text in again if "unchanged" in text]) == 6


def test_a_missing_file(network, tmp_path):
    (tmp_path / "m.onnx").unlink()
    with pytest.raises(DataError, match=r"lacks m\.onnx"):
        run(tmp_path, tmp_path / "out", networks=[network])
    assert not (tmp_path / "out").exists()


def test_nothing_calibrates_and_is_measured_on():
    data = samples(100, 400)
    for key in ("kws", "ic"):
        draws = [draw(key, data, number) for number in range(3)]
        for found in draws:
            assert not set(found.calibration) & set(found.measured)
            assert len(found.measured) == 400
        assert len({found.calibration.tobytes() for found in draws}) == 3
        assert np.array_equal(draw(key, data, 1).calibration, draws[1].calibration)
    assert len(draw("kws", data, 0).calibration) == 100
    assert len(draw("ic", data, 0).calibration) == 67
    assert draw("ic", data, 0).measured.min() == 100


def test_every_network_has_a_published_file_and_every_recipe_is_valid():
    assert TFLITE_FILES.keys() == {network.key for network in NETWORKS}
    for changes in RECIPES.values():
        QuantizerOptions(**changes)


def test_the_table():
    def result(network: str, recipe: str, *, score: float | None) -> Result:
        agreement = None if score is not None else 99.0
        return Result(
            network=network,
            recipe=recipe,
            draws=tuple(
                Quality(sqnr_db=db, agreement=agreement, score_error=score, samples=7)
                for db in (30.0, 10.0, 20.0)
            ),
        )

    results = [
        result(network, recipe, score=score)
        for network, score in (("kws", None), ("ad", 1.5))
        for recipe in (TFLITE, *RECIPES)
    ]
    assert bench_recipes_page.columns(results) == [
        "recipe",
        "kws: SQNR",
        "as float",
        "ad: SQNR",
        "score",
    ]
    rows = bench_recipes_page.cells(results)
    assert [row[0] for row in rows] == [TFLITE, *RECIPES]
    assert rows[0][1:] == ["20.0", "99.00 %", "20.0", "1.50 %"]
    text = bench_recipes_page.markdown(results, command="shiftwork bench recipes")
    assert "Medians over 3 draws" in text
    assert "kws: 7, ad: 7" in text


def test_the_files(tmp_path: Path) -> None:
    quality = Quality(sqnr_db=1.0, agreement=2.0, score_error=None, samples=3)
    results = [Result(network="ic", recipe=r, draws=(quality,)) for r in (TFLITE, *RECIPES)]
    record = bench_recipes_page.write(results, tmp_path, command="C")
    assert json.loads((tmp_path / "recipes.json").read_text()) == json.loads(json.dumps(record))
    assert "```sh\nC\n```" in (tmp_path / "recipes.md").read_text()
