"""The figures of the pages, as SVG text whose words can be selected. Same data, same bytes."""

import io
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from numpy.typing import NDArray

WIDTH_IN = 4.6
BAR_IN = 0.34
FRAME_IN = 0.75
LABEL_CHARACTERS = 18
BINS = [edge - 0.5 for edge in range(-128, 132, 4)]
BLUE, RED = "#2563a8", "#b3372f"


@dataclass(frozen=True)
class Bar:
    """One horizontal bar: its label, its length, and the text at its end."""

    label: str
    value: float
    text: str
    alarm: bool = False


def bars(title: str, entries: Sequence[Bar], *, limit: float | None = None) -> str:
    """A horizontal bar chart; ``limit`` is the axis' end."""
    figure, axes = new_figure(FRAME_IN + BAR_IN * max(len(entries), 1))
    values = [entry.value for entry in entries]
    end = limit or 1.3 * max([*values, 1e-9])
    axes.barh(
        range(len(entries)),
        [min(value, end) for value in values],
        color=[RED if entry.alarm else BLUE for entry in entries],
        height=0.62,
    )
    for row, entry in enumerate(entries):
        inside = entry.value > 0.72 * end
        axes.text(
            min(entry.value, end) + (-0.01 if inside else 0.01) * end,
            row,
            entry.text,
            va="center",
            ha="right" if inside else "left",
            color="white" if inside else "black",
        )
    axes.set_yticks(range(len(entries)), [shortened(entry.label) for entry in entries])
    axes.set_xlim(0, end)
    axes.invert_yaxis()
    axes.set_xticks([])
    axes.set_title(title, loc="left")
    return as_svg(figure)


def histogram(title: str, weights: NDArray[np.signedinteger[Any]]) -> str:
    """How often each int8 weight value occurs, in bins of four values; int16 ones by 256ths."""
    if weights.dtype == np.int16:
        title, weights = f"{title} of 16 bits, their upper 8", weights >> 8
    figure, axes = new_figure(1.9)
    axes.hist(weights.reshape(-1), bins=BINS, color=BLUE)
    axes.set_xlim(-130, 130)
    axes.set_xticks([-128, -64, 0, 64, 127])
    axes.set_yticks([])
    axes.set_title(title, loc="left")
    return as_svg(figure)


def _style() -> AbstractContextManager[None]:
    return matplotlib.rc_context(
        {
            "svg.hashsalt": "shiftwork",
            "svg.fonttype": "none",
            "font.family": "sans-serif",
            "font.size": 9.0,
            "axes.titlesize": 10.0,
        }
    )


def new_figure(height_in: float) -> tuple[Figure, Axes]:
    """An empty figure of the pages' width."""
    with _style():
        figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
        axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def as_svg(figure: Figure) -> str:
    """The figure as SVG text."""
    stream = io.StringIO()
    with _style():
        FigureCanvasSVG(figure).print_svg(stream, metadata={"Date": None})
    text = stream.getvalue()
    return text[text.index("<svg") :]


def shortened(label: str) -> str:
    """The end of a long label."""
    if len(label) <= LABEL_CHARACTERS:
        return label
    return "…" + label[1 - LABEL_CHARACTERS :]
