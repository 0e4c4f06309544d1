"""What is drawn adds up to the schedule's cycles and multiply-accumulates."""

import re
from collections.abc import Callable
from xml.etree import ElementTree

import numpy as np
import pytest

from shiftwork.hw.config import ArrayShape
from shiftwork.hw.schedule import Schedule, make_schedule
from shiftwork.hw.timeline import timeline
from shiftwork.quant.program import Program
from shiftwork.sim.example_programs import ProgramBuilder, dense_net, residual_net, small_cnn
from shiftwork.timeline_view import FILLS, USEFUL, pieces, timeline_section

SHAPES = [
    ArrayShape(rows=2, columns=8),
    ArrayShape(rows=2, columns=4, single_port=True, column_bytes=512),
]


def split_net() -> Program:
    """A layer of two passes."""
    return ProgramBuilder("split", (1, 1, 24), np.random.default_rng(1)).dense(16).dense(3).build()


CASES = [(network, shape) for network in (small_cnn, dense_net, residual_net) for shape in SHAPES]
CASES.append((split_net, ArrayShape(rows=1, columns=4, column_bytes=48)))


def drawn(schedule: Schedule) -> list[ElementTree.Element]:
    """The three figures."""
    text = timeline_section(timeline(schedule), fmax_mhz=40.0, command="shiftwork generate")
    figures = re.findall(r"<figure.*?</figure>", text, re.DOTALL)
    assert len(figures) == 3
    return [ElementTree.fromstring(figure) for figure in figures]


def size(rectangle: ElementTree.Element, name: str) -> float:
    return float(rectangle.get(name, ""))


def area(rectangles: list[ElementTree.Element]) -> float:
    """Cycles times the share of the height."""
    return sum(size(r, "width") * size(r, "height") / 100 for r in rectangles)


@pytest.mark.parametrize(("network", "shape"), CASES)
def test_rectangles_add_up(network: Callable[[], Program], shape: ArrayShape) -> None:
    schedule = make_schedule(network(), shape)
    kinds, layers, alone = drawn(schedule)
    totals = sum(size(r, "width") for r in kinds.iter("rect"))
    assert totals == pytest.approx(schedule.cycles, rel=1e-5)
    for figure in (layers, alone):
        # Those of the legend have no place.
        rectangles = [r for r in figure.iter("rect") if r.get("x") is not None]
        assert area(rectangles) == pytest.approx(schedule.cycles, rel=1e-5)
        useful = [r for r in rectangles if r.get("fill") == FILLS[USEFUL]]
        assert area(useful) * shape.elements == pytest.approx(schedule.macs, rel=1e-4)


@pytest.mark.parametrize(("network", "shape"), CASES)
def test_the_phases_follow_each_other(network: Callable[[], Program], shape: ArrayShape) -> None:
    at = 0
    for layer in timeline(make_schedule(network(), shape)):
        spans = sorted({(piece.start, piece.length) for piece in pieces(layer)})
        for start, length in spans:
            assert start == at
            at += int(length)


def test_the_table_has_every_cycle() -> None:
    schedule = make_schedule(small_cnn(), SHAPES[0])
    text = timeline_section(timeline(schedule), fmax_mhz=40.0, command="shiftwork generate x")
    last = re.findall(r"<tr>(.*?)</tr>", text)[-1]
    cells = re.findall(r"<td>(.*?)</td>", last)
    assert cells[0] == "all"
    counts = [int(cell.replace(",", "")) for cell in cells[1:-1]]
    assert sum(counts[:-1]) == counts[-1] == schedule.cycles
    assert cells[-1] == f"{100 * schedule.utilization:.1f} %"
    assert "copying</th>" not in text
    assert f"{schedule.cycles:,} cycles, {schedule.cycles / 40:,.0f} µs at 40.0 MHz" in text
    assert "shiftwork" in text


def test_copies_and_passes_are_one_layer() -> None:
    schedule = make_schedule(split_net(), CASES[-1][1])
    _, layers, _ = drawn(schedule)
    lines = [div for div in layers.iter("div") if div.get("class") == "strip"]
    assert len(lines) == 2
    titles = [title.text or "" for title in lines[0].iter("title")]
    assert sum(title.startswith("copying: ") for title in titles) == 2
