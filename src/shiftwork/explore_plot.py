"""The picture of an exploration: its points over two axes, as SVG that a script can rearrange.

All positions are computed here, for every axis that can be chosen; the script only moves points.
"""

import html
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

WIDTH, HEIGHT = 430, 370
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 12, 46
MARGIN = 0.04
"""Of an axis' length, free at both ends."""
FEW_TICKS, MANY_TICKS = 3, 7
COLOURS = (
    "#2563a8",
    "#b3372f",
    "#2e7d32",
    "#7b3fa0",
    "#a05a00",
    "#00777a",
    "#c2185b",
    "#4c545e",
    "#6b7300",
)


@dataclass(frozen=True, kw_only=True)
class Scale:
    """An axis with the points' places on it.

    Attributes:
        label: its title.
        places: of the points, from 0 to 1.
        ticks: place and text of each.
    """

    label: str
    places: tuple[float, ...]
    ticks: tuple[tuple[float, str], ...]


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A point of the picture.

    Attributes:
        text: what is known of it, a line each.
        group: the number of its board.
        series: the number of its quantization.
        front, own_front: whether it is on the front of all points, and on that of its board.
    """

    text: str
    group: int
    series: int
    front: bool
    own_front: bool


def scale(label: str, values: Sequence[float], *, logarithmic: bool) -> Scale:
    """The scale of an axis on which all of ``values`` lie; positive ones if logarithmic."""
    lo, hi = min(values), max(values)
    if logarithmic:
        lo, hi = (lo * 0.8, hi * 1.25) if lo == hi else (lo, hi)
        marks = _decade_ticks(lo, hi)
        place = _place(math.log10(lo), math.log10(hi))
        return Scale(
            label=label,
            places=tuple(place(math.log10(value)) for value in values),
            ticks=tuple((place(math.log10(mark)), _number(mark)) for mark in marks),
        )
    lo, hi = (lo - 0.5, hi + 0.5) if lo == hi else (lo, hi)
    place = _place(lo, hi)
    return Scale(
        label=label,
        places=tuple(place(value) for value in values),
        ticks=tuple((place(mark), _number(mark)) for mark in _even_ticks(lo, hi)),
    )


def _place(lo: float, hi: float) -> Callable[[float], float]:
    """Where a value lies between two others, with a margin at both ends."""

    def place(value: float) -> float:
        share = (value - lo) / (hi - lo)
        return round(MARGIN + share * (1 - 2 * MARGIN), 4)

    return place


def _decade_ticks(lo: float, hi: float) -> list[float]:
    """Powers of ten, with their doubles and fivefolds where they are few."""
    for steps in ((1,), (1, 3), (1, 2, 5), tuple(range(1, 10))):
        first, last = math.floor(math.log10(lo)), math.ceil(math.log10(hi))
        marks = [step * 10.0**power for power in range(first, last + 1) for step in steps]
        marks = [mark for mark in marks if lo <= mark <= hi]
        if len(marks) >= FEW_TICKS:
            return marks[:: -(-len(marks) // MANY_TICKS)]
    return _even_ticks(lo, hi)


def _even_ticks(lo: float, hi: float) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten."""
    rough = (hi - lo) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(step * power for step in (1, 2, 5, 10) if step * power >= rough)
    first, last = math.ceil(lo / step), math.floor(hi / step)
    return [step * count for count in range(first, last + 1)]


def _number(value: float) -> str:
    text = f"{value:,.6g}" if abs(value) < 1e6 else f"{value:.3g}"
    return "0" if text == "-0" else text


def picture(scales: Sequence[Scale], marks: Sequence[Mark], *, x: int, y: int) -> str:
    """The picture as SVG text, with the scales number ``x`` and ``y`` as its axes."""
    across, up = scales[x], scales[y]
    # What is on the front comes last, to lie above the rest.
    order = sorted(range(len(marks)), key=lambda index: (marks[index].front, index))
    points = "\n".join(
        _point(index, marks[index], across.places[index], up.places[index]) for index in order
    )
    return (
        f'<svg id="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{html.escape(up.label)} over {html.escape(across.label)}">\n'
        f'<g id="ticks">{_ticks(across, up)}</g>\n'
        f'<path class="axis" d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}"/>\n'
        f'<text id="label-x" x="{(LEFT + WIDTH - RIGHT) / 2:g}" y="{HEIGHT - 8}">'
        f"{html.escape(across.label)}</text>\n"
        f'<text id="label-y" transform="translate(13 {(TOP + HEIGHT - BOTTOM) / 2:g}) '
        f'rotate(-90)">{html.escape(up.label)}</text>\n{points}\n</svg>'
    )


def _point(index: int, mark: Mark, x: float, y: float) -> str:
    kind = "point front" if mark.front else "point"
    return (
        f'<circle class="{kind}" data-index="{index}" cx="{_across(x):.1f}" cy="{_up(y):.1f}" '
        f'r="{5 if mark.front else 3.5}" fill="{colour(mark.group)}">'
        f"<title>{html.escape(mark.text)}</title></circle>"
    )


def colour(group: int) -> str:
    """The colour of a board."""
    return COLOURS[group % len(COLOURS)]


def _across(place: float) -> float:
    return LEFT + place * (WIDTH - LEFT - RIGHT)


def _up(place: float) -> float:
    return HEIGHT - BOTTOM - place * (HEIGHT - TOP - BOTTOM)


def _ticks(across: Scale, up: Scale) -> str:
    parts = []
    for place, text in across.ticks:
        x = f"{_across(place):.1f}"
        parts.append(f'<path class="grid" d="M{x} {TOP}V{HEIGHT - BOTTOM}"/>')
        parts.append(f'<text class="tick" x="{x}" y="{HEIGHT - BOTTOM + 15}">{text}</text>')
    for place, text in up.ticks:
        y = _up(place)
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text class="tick up" x="{LEFT - 6}" y="{y + 4:.1f}">{text}</text>')
    return "".join(parts)


def data(scales: Sequence[Scale], marks: Sequence[Mark], *, x: int, y: int) -> str:
    """All that the script needs, as JSON that can stand in an HTML page."""
    record: dict[str, Any] = {
        "box": {
            "left": LEFT,
            "right": WIDTH - RIGHT,
            "top": TOP,
            "bottom": HEIGHT - BOTTOM,
        },
        "x": x,
        "y": y,
        "axes": [
            {"label": entry.label, "places": entry.places, "ticks": entry.ticks} for entry in scales
        ],
        "points": [
            [mark.group, mark.series, int(mark.front), int(mark.own_front)] for mark in marks
        ],
    }
    return json.dumps(record, separators=(",", ":")).replace("<", "\\u003c")
