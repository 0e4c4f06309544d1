import json
import re
from xml.etree import ElementTree

import pytest

from shiftwork.explore_plot import (
    BOTTOM,
    HEIGHT,
    LEFT,
    MARGIN,
    RIGHT,
    TOP,
    WIDTH,
    Mark,
    data,
    picture,
    scale,
)


def mark(text="a", **changes):
    return Mark(
        **({"text": text, "group": 0, "series": 0, "front": False, "own_front": False} | changes)
    )


def texts(found):
    return [text for _, text in found.ticks]


def test_a_logarithmic_scale():
    found = scale("t", [1.0, 10.0, 1000.0], logarithmic=True)
    third = MARGIN + (1 - 2 * MARGIN) / 3
    assert found.places == pytest.approx((MARGIN, third, 1 - MARGIN), abs=1e-4)
    assert texts(found) == ["1", "10", "100", "1,000"]
    assert [place for place, _ in found.ticks] == pytest.approx(
        [MARGIN, third, MARGIN + 2 * (1 - 2 * MARGIN) / 3, 1 - MARGIN], abs=1e-4
    )


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([15.0, 900.0], ["30", "100", "300"]),
        ([15.0, 120.0], ["20", "50", "100"]),
        ([2000.0, 4000.0], ["2,000", "3,000", "4,000"]),
        ([101.0, 104.0], ["101", "102", "103", "104"]),
        ([1.0, 1e10], ["1", "100", "10,000", "1e+06", "1e+08", "1e+10"]),
        ([50.0, 50.0], ["40", "50", "60"]),
    ],
)
def test_ticks_of_a_logarithmic_scale(values, expected):
    assert texts(scale("t", values, logarithmic=True)) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 10.0], ["0", "2", "4", "6", "8", "10"]),
        ([97.5, 99.0], ["97.5", "98", "98.5", "99"]),
        ([88.75, 88.75], ["88.4", "88.6", "88.8", "89", "89.2"]),
        ([-1.0, 1.0], ["-1", "-0.5", "0", "0.5", "1"]),
    ],
)
def test_ticks_of_an_even_scale(values, expected):
    found = scale("t", values, logarithmic=False)
    assert texts(found) == expected
    assert all(0 <= place <= 1 for place, _ in found.ticks)


def circles(svg):
    return [e for e in ElementTree.fromstring(svg).iter() if e.tag == "circle"]


def test_the_picture_puts_points_where_they_belong():
    scales = [
        scale("across <x>", [1.0, 100.0, 10.0], logarithmic=True),
        scale("up", [0.0, 5.0, 10.0], logarithmic=False),
    ]
    marks = [mark("one & two", front=True), mark("b", group=1), mark("c", group=9, front=True)]
    svg = picture(scales, marks, x=0, y=1)
    found = circles(svg)
    # The front is drawn last.
    assert [entry.get("data-index") for entry in found] == ["1", "0", "2"]
    places = {entry.get("data-index"): (entry.get("cx"), entry.get("cy")) for entry in found}
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    middle = f"{LEFT + width / 2:.1f}"
    assert places["0"] == (
        f"{LEFT + MARGIN * width:.1f}",
        f"{HEIGHT - BOTTOM - MARGIN * height:.1f}",
    )
    assert places["2"] == (middle, f"{TOP + MARGIN * height:.1f}")
    assert [entry.find("title").text for entry in found] == ["b", "one & two", "c"]
    assert found[1].get("class") == "point front"
    assert found[1].get("fill") == found[2].get("fill") != found[0].get("fill")
    assert "across &lt;x&gt;" in svg
    assert picture(scales, marks, x=0, y=1) == svg


def test_the_data_can_stand_in_a_page():
    scales = [scale("</script>", [1.0, 2.0], logarithmic=False)]
    marks = [mark(front=True), mark(group=3, series=1, own_front=True)]
    text = data(scales, marks, x=0, y=0)
    assert "<" not in text
    record = json.loads(text)
    assert record["points"] == [[0, 0, 1, 0], [3, 1, 0, 1]]
    assert record["axes"][0]["label"] == "</script>"
    assert record["axes"][0]["places"] == list(scales[0].places)
    assert not re.search(r"\s", text.replace("</script>", ""))
