"""A confusion matrix as an SVG picture: right answers blue, wrong ones red, the more the darker."""

import html
from collections.abc import Sequence

CELL, MARGIN = 24, 30
"""Sizes in the picture's own units, of a cell and of what stands beside the cells."""
MOST_NUMBERED = 20
"""Classes up to which the cells hold numbers."""
RIGHT, WRONG = (31, 95, 168), (179, 55, 47)
DARK_FROM = 0.55
"""Share of a label's samples from which on a cell is dark."""


def heat_map(title: str, matrix: Sequence[Sequence[int]]) -> str:
    """The picture, with its title in plain text.

    Args:
        title: what it shows.
        matrix: ``[label][answer]``, numbers of samples.
    """
    count = len(matrix)
    size = MARGIN + CELL * count
    numbered = count <= MOST_NUMBERED
    cells = "".join(
        _cell(label, answer, number, sum(row), numbered=numbered)
        for label, row in enumerate(matrix)
        for answer, number in enumerate(row)
        if number
    )
    least_width = size if numbered else 0
    return (
        f'<figure class="heat"><figcaption>{html.escape(title)}</figcaption>'
        f'<div class="scroll"><svg viewBox="0 0 {size} {size}" style="min-width:{least_width}px" '
        f'role="img" aria-label="{html.escape(title, quote=True)}">'
        f'<rect x="{MARGIN}" y="{MARGIN}" width="{CELL * count}" height="{CELL * count}" '
        f'fill="#f4f5f7"/>{cells}{_axes(count, numbered=numbered)}</svg></div></figure>'
    )


def _cell(label: int, answer: int, number: int, of: int, *, numbered: bool) -> str:
    share = number / of
    color = RIGHT if label == answer else WRONG
    # The lightest shade is still seen: a single wrong answer matters.
    strength = 0.18 + 0.82 * share
    fill = ",".join(str(round(255 + (part - 255) * strength)) for part in color)
    x, y = MARGIN + CELL * answer, MARGIN + CELL * label
    words = f"label {label}, answer {answer}: {number:,} of {of:,}"
    text = ""
    if numbered:
        ink = "#fff" if share > DARK_FROM else "#1b1f24"
        text = _text(x + CELL / 2, y + CELL / 2, str(number), ink)
    return (
        f'<rect x="{x}" y="{y}" width="{CELL}" height="{CELL}" fill="rgb({fill})">'
        f"<title>{words}</title></rect>{text}"
    )


def _axes(count: int, *, numbered: bool) -> str:
    """The class numbers; of many only the first and the last."""
    shown = range(count) if numbered else (0, count - 1)
    middle = MARGIN + CELL / 2
    return "".join(
        _text(MARGIN - 10, middle + CELL * index, str(index))
        + _text(middle + CELL * index, MARGIN - 10, str(index))
        for index in shown
    )


def _text(x: float, y: float, words: str, ink: str = "#1b1f24") -> str:
    return (
        f'<text x="{x:g}" y="{y:g}" fill="{ink}" font-size="{11 if len(words) < 4 else 9}" '
        f'text-anchor="middle" dominant-baseline="central">{words}</text>'
    )
