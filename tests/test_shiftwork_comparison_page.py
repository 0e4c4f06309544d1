import browser
import pytest

from shiftwork.comparison_page import LARGEST_MAP, render
from shiftwork.sim.comparison import ComparedLayer, Comparison, Result


def layer(name, effect_db, alone_db=40.0):
    return ComparedLayer(
        name=name,
        op="Conv",
        alone_db=alone_db,
        effect_db=effect_db,
        saturated=1,
        values=50,
        worst_channel=2,
        worst_channel_db=30.5,
        total_db=41.5,
    )


def confusion(count):
    return tuple(
        tuple(90 if i == j else 10 * (j == (i + 1) % count) for j in range(count))
        for i in range(count)
    )


def result(name, layers, **fields):
    return Result(
        name=name,
        accuracy=98.5,
        confusion=fields.pop("confusion", confusion(10)),
        metric=fields.pop("metric", None),
        agreement=99.25,
        sqnr_db=38.5,
        layers=layers,
        blame=f"{layers[0].name} costs most",
    )


@pytest.fixture
def found():
    long = "out/quantizations/a_long_name_for_a_file_of_four_bits.npz"
    return Comparison(
        samples=1000,
        results=(
            Result(name="float", accuracy=99.0, confusion=confusion(10), metric=None),
            result("a <b>.npz", (layer("conv", 44.0), layer("dense", 50.0))),
            result(long, (layer("conv", 46.0), layer("dense", 33.0), layer("copy", None, None))),
        ),
        agreement=98.75,
        sqnr_db=37.5,
    )


def test_networks_layers_and_confusions(found):
    page = render(found, "shiftwork compare 'a <b>.npz'")
    for part in (
        "1,000 samples",
        "98.75 %",
        "99.25 %",
        "a &lt;b&gt;.npz",
        "A: a &lt;b&gt;.npz",
        "conv A",
        "copy B",
        "44.0 dB, to blame",
        "33.0 dB, to blame",
        "2: 30.5 dB",
    ):
        assert part in page
    assert "<b>.npz" not in page
    assert page.count('class="heat"') == 3
    assert page.count("strip strong") == 2 * 3
    assert "metric" not in page
    assert page == render(found, "shiftwork compare 'a <b>.npz'")


def test_outputs_only():
    plain = Result(name="a.npz", accuracy=None, confusion=None, metric=0.125)
    other = Result(name="b.npz", accuracy=None, confusion=None, metric=0.25)
    found = Comparison(samples=3, results=(plain, other), agreement=100.0, sqnr_db=None)
    page = render(found, "shiftwork compare a.npz b.npz")
    for part in ("no labels", "0.125", "exact", "<td>-</td>"):
        assert part in page
    assert "Error of each layer" not in page
    assert "Confusion" not in page


def test_very_many_classes():
    one = result("a.npz", (layer("conv", 44.0),), confusion=confusion(LARGEST_MAP + 1))
    found = Comparison(samples=3, results=(one, one), agreement=100.0, sqnr_db=None)
    page = render(found, "shiftwork compare a.npz b.npz")
    assert "The confusion matrices of 101 classes are in comparison.json" in page
    assert "heat" not in page.split("</style>")[1]


@pytest.mark.parametrize("width", [390, 1100])
def test_in_a_browser(found, width):
    seen = browser.show(render(found, "shiftwork compare a b"), width=width)
    assert seen.console == ()
    assert seen.scroll_width == seen.width <= width
    assert seen.too_wide == ()
    assert seen.least_svg_text >= 9.0
    assert "to blame" in seen.text
    assert "Confusion matrices" in seen.text
