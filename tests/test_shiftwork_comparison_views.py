import io

import pytest
from rich.console import Console

from shiftwork.comparison_views import comparison_views
from shiftwork.sim.comparison import ComparedLayer, Comparison, Result


def printed(found):
    console = Console(file=io.StringIO(), width=160)
    for view in comparison_views(found):
        console.print(view)
    return console.file.getvalue()


@pytest.fixture
def layer():
    return ComparedLayer(
        name="conv",
        op="Conv",
        alone_db=41.25,
        effect_db=38.5,
        total_db=39.75,
        saturated=5,
        values=1000,
        worst_channel=3,
        worst_channel_db=20.5,
    )


def result(name, **fields):
    given = {"accuracy": 50.0, "confusion": ((3, 1), (2, 0)), "metric": None}
    return Result(name=name, **(given | fields))


def test_layers_of_two_programs_are_side_by_side(layer):
    pool = ComparedLayer(
        **(vars(layer) | {"name": "copy", "alone_db": None, "worst_channel": None})
    )
    first = result("a.npz", agreement=99.0, layers=(layer,), blame="conv costs most")
    second = result("b.npz", agreement=98.0, sqnr_db=30.0, layers=(layer, pool), blame="copy")
    results = (result("float"), first, second)
    found = Comparison(samples=6, results=results, agreement=97.0, sqnr_db=33.3)
    text = printed(found)
    for part in ("6 samples", "97.00 %", "33.3 dB", "41.2 dB", "38.5 dB", "39.8 dB", "0.5 %"):
        assert part in text
    assert "3: 20.5 dB" in text
    assert "a.npz: conv costs most" in text
    assert "each for a.npz, then b.npz" in text
    rows = [line.split("│") for line in text.splitlines() if "│" in line]
    (copy,) = [index for index, row in enumerate(rows) if row[1].strip() == "copy"]
    alone = [row[2].strip() for row in rows[copy : copy + 2]]
    assert alone == ["", "exact"]
    assert text.count("labels (rows), answers (columns)") == 3


def test_without_labels_and_layers():
    found = Comparison(
        samples=2,
        results=(result("a", accuracy=None, confusion=None, metric=0.125), result("b", metric=2.0)),
        agreement=100.0,
        sqnr_db=None,
    )
    text = printed(found)
    for part in ("no labels", "0.125", "metric", "exact"):
        assert part in text
    assert "worst channel" not in text


def test_a_large_confusion_matrix_is_not_printed():
    row = (0,) * 21
    found = Comparison(
        samples=2, results=(result("a", confusion=(row,) * 21),), agreement=100.0, sqnr_db=None
    )
    assert "answers" not in printed(found)
