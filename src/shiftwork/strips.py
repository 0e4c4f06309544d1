"""Horizontal strips as SVG with their words in HTML: legible at any width, and in print.

The shapes stretch with the page, the text beside them does not. A strip's coordinates are its own
numbers: cycles, bytes, percent.
"""

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

HEIGHT = 100
"""Of a strip, in its own units."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A rectangle of a strip.

    Attributes:
        start, length: along the strip.
        fill: CSS colour.
        title: what it is; shown where the pointer rests on it.
        low, high: which part of the height it takes, from 0 below to 1 above.
    """

    start: float
    length: float
    fill: str
    title: str = ""
    low: float = 0.0
    high: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Strip:
    """A line: its label, its rectangles, and the figure behind it.

    Attributes:
        label, text: in plain text.
        pieces: in drawing order.
        strong: the one to look at.
        total: end of this strip's axis; None takes that of all.
    """

    label: str
    text: str
    pieces: Sequence[Piece]
    strong: bool = False
    total: float | None = None


def strips(
    title: str,
    lines: Iterable[Strip],
    *,
    total: float,
    legend: Mapping[str, str] | None = None,
    axis: tuple[str, str] | None = None,
) -> str:
    """A figure of strips below each other, all from 0 to ``total``.

    Args:
        title: in plain text.
        lines: from above.
        total: end of the axis.
        legend: colours by what they mean.
        axis: what stands at the two ends of the axis.
    """
    body = "".join(_line(line, line.total or total) for line in lines)
    ends = ""
    if axis is not None:
        words = "".join(f"<span>{html.escape(end)}</span>" for end in axis)
        ends = f'<div class="axis">{words}</div>'
    return (
        f'<figure class="strips"><figcaption>{html.escape(title)}</figcaption>'
        f"{_legend(legend or {})}{body}{ends}</figure>"
    )


def _line(line: Strip, total: float) -> str:
    """The whole is outlined, so that what is not taken is seen too."""
    name = html.escape(line.label, quote=True)
    shapes = "".join(map(_rectangle, line.pieces))
    kind = "strip strong" if line.strong else "strip"
    return (
        f'<div class="{kind}"><span class="name">{_breakable(line.label)}</span>'
        f'<svg viewBox="0 0 {_number(total)} {HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{name}: {html.escape(line.text, quote=True)}">{shapes}</svg>'
        f'<span class="value">{html.escape(line.text)}</span></div>\n'
    )


def _breakable(label: str) -> str:
    """A path breaks behind a slash, before it breaks anywhere."""
    return html.escape(label).replace("/", "/<wbr/>")


def _rectangle(piece: Piece) -> str:
    title = f"<title>{html.escape(piece.title)}</title>" if piece.title else ""
    return (
        f'<rect x="{_number(piece.start)}" y="{_number(HEIGHT * (1.0 - piece.high))}" '
        f'width="{_number(piece.length)}" height="{_number(HEIGHT * (piece.high - piece.low))}" '
        f'fill="{piece.fill}">{title}</rect>'
    )


def _legend(meanings: Mapping[str, str]) -> str:
    if not meanings:
        return ""
    entries = "".join(
        f'<li><svg viewBox="0 0 1 1"><rect width="1" height="1" fill="{fill}"/></svg> '
        f"{html.escape(text)}</li>"
        for text, fill in meanings.items()
    )
    return f'<ul class="legend">{entries}</ul>'


def _number(value: float) -> str:
    """Whole numbers as they are, others with as many digits as can be seen."""
    return f"{value:.10g}" if float(value).is_integer() else f"{value:.6g}"
