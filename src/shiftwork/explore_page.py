"""The page of an exploration: the picture of its points, then tables. It needs nothing else."""

import html
import importlib.resources
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shiftwork.explore import Exploration, axes
from shiftwork.explore_plot import Mark, Scale, colour, data, picture, scale
from shiftwork.explore_points import Point
from shiftwork.explore_synthesis import Synthesized
from shiftwork.explore_views import (
    BOARDS,
    QUANTIZATIONS,
    SYNTHESIS,
    board_cells,
    cells,
    clock,
    columns,
    microseconds,
    misfits,
    quality,
    quantization_cells,
    synthesis_cells,
)
from shiftwork.page_parts import cards, document, table
from shiftwork.workspace import Workspace, write_text

PAGE, RECORD = "explore.html", "explore.json"
SCRIPT = "explore_page.js"
MOST_MARKS, MOST_ROWS = 3000, 1000
"""Points of the picture and rows of a table: a browser has to show them."""
STYLE = """
.explore { display: grid; grid-template-columns: minmax(0, 34rem) minmax(0, 1fr); gap: .6rem;
  align-items: start; margin-top: .6rem; }
.explore figure { padding: .2rem; max-width: 34rem; }
.explore .side { font-size: .88rem; }
.explore .side > * { margin: 0 0 .5rem; }
#controls { display: grid; gap: .35rem; grid-template-columns: minmax(0, 1fr); }
#controls[hidden] { display: none; }
#controls label { display: flex; gap: .4rem; align-items: baseline; }
#controls select { font: inherit; flex: 1; min-width: 0; width: 100%; background: white;
  color: #1b1f24; border: 1px solid #8a929c; border-radius: 4px; padding: .15rem; }
.legend { list-style: none; padding: 0; display: grid; gap: .1rem .6rem;
  grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); }
.legend label { display: flex; gap: .4rem; align-items: baseline; padding: .12rem 0; }
.legend i { width: .7rem; height: .7rem; border-radius: 50%; flex: none;
  print-color-adjust: exact; -webkit-print-color-adjust: exact; }
#panel { background: white; border: 1px solid #d9dce1; border-radius: 6px; padding: .5rem .7rem;
  min-height: 4rem; }
#panel p { margin: 0 0 .5rem; white-space: pre-line; }
#plot { touch-action: manipulation; cursor: crosshair; }
#plot text { font: 12px system-ui, sans-serif; fill: #1b1f24; text-anchor: middle; }
#plot text.tick { font-size: 11px; fill: #4c545e; }
#plot text.up { text-anchor: end; }
#plot .axis { fill: none; stroke: #4c545e; }
#plot .grid { fill: none; stroke: #e6e8eb; }
#plot .point { fill-opacity: .3; }
#plot .front { fill-opacity: 1; stroke: white; stroke-width: 1; }
#plot .chosen { stroke: #1b1f24; stroke-width: 2; }
#plot .hidden { display: none; }
#plot circle:focus { outline: none; stroke: #1b1f24; stroke-width: 2.5; }
details { margin: 1rem 0; }
summary { cursor: pointer; font-weight: 600; }
td.reason { text-align: left; white-space: normal; min-width: 18rem; }
@media (max-width: 52rem) { .explore { grid-template-columns: minmax(0, 1fr); } }
@media print { #controls, #panel, #count, .legend input { display: none; }
  .explore { break-inside: avoid; }
  .explore figure { max-width: 13cm; } }
"""
HINT = "Point at a point, or tap it, to see what it is."
GUIDE = (
    "Each point is an accelerator: a quantization on an array of a board at a clock. Filled points "
    "are on the Pareto front: no other point is as good in everything and better in something, of "
    "{axes}. What a design takes and its clock are estimates; the cycles are exact."
)
GOALS = {
    "latency_us": "latency",
    "lut": "lookup tables",
    "lut_percent": "share of the board's lookup tables",
    "energy": "energy proxy",
    "accuracy": "accuracy",
    "sqnr_db": "signal-to-noise ratio",
}
ENERGY_NOTE = (
    "Energy is a proxy, not joules: cycles, times the lookup tables, multipliers and RAMs that are "
    "active, each with its share of a lookup table's energy, in millions of lookup tables active "
    "for a cycle. Leakage, pins and the rest of the board are left out."
)


def write(
    found: Exploration, results: Sequence[Synthesized], folder: Path, *, command: str
) -> dict[str, Any]:
    """Writes the page and the record of an exploration to ``folder``.

    Args:
        results: of the points that were synthesized.
        command: the command line that repeats it.

    Returns:
        The record.

    Raises:
        OutputError: if they cannot be written.
    """
    record = (
        {"command": command}
        | found.as_dict()
        | {"synthesized": [result.as_dict() for result in results]}
    )
    with Workspace(folder) as workspace:
        write_text(workspace.folder / RECORD, json.dumps(record, indent=1) + "\n")
        write_text(workspace.folder / PAGE, render(found, results, command))
    return record


def render(found: Exploration, results: Sequence[Synthesized], command: str) -> str:
    """The page as HTML text."""
    fitting = [index for index, point in enumerate(found.points) if point.fits]
    return document(
        f"{found.network}: boards, arrays, clocks and quantizations",
        _summary(found, len(fitting)),
        _plot(found, fitting) if fitting else "<p>No design fits its board.</p>",
        _front(found),
        _synthesis(found, results),
        "<h2>Board by board</h2>\n" + table(BOARDS, board_cells(found)),
        _quantizations(found),
        _rest(found, fitting),
        _misfits(found),
        _reproduce(found, command),
        style=STYLE,
    )


def _summary(found: Exploration, fitting: int) -> str:
    goals = [GOALS[key] for key in axes(found.area, found.measure)]
    text = GUIDE.format(axes=", ".join(goals[:-1]) + " and " + goals[-1])
    facts = [
        (f"{len(found.points):,}", "points were estimated"),
        (f"{fitting:,}", "of them fit their board"),
        (f"{len(found.front):,}", "are on the Pareto front"),
    ]
    best = [found.points[index] for index in found.front]
    if best:
        fastest = min(best, key=lambda p: p.latency_us)
        smallest = min(best, key=lambda p: p.design.lut)
        frugal = min(best, key=lambda p: p.design.energy)
        facts += [
            (microseconds(fastest.latency_us), f"the fastest: {_name(fastest)}"),
            (f"{smallest.design.lut:,} LUT", f"the smallest: {_name(smallest)}"),
            (f"{frugal.design.energy:,.1f}", f"the least energy proxy: {_name(frugal)}"),
        ]
    return f"<p>{html.escape(text)} {html.escape(ENERGY_NOTE)}</p>\n{cards(facts)}"


def _name(point: Point) -> str:
    return f"{point.quantization} {point.rows} x {point.columns}, {point.board}"


def _scales(found: Exploration, points: Sequence[Point]) -> list[Scale]:
    """The axes that can be chosen; the first two are shown at the beginning."""
    chosen = [
        scale("latency, µs (less is better)", [p.latency_us for p in points], logarithmic=True),
        scale("lookup tables (less is better)", [p.design.lut for p in points], logarithmic=True),
        scale(
            "share of the lookup tables, % (less is better)",
            [max(p.design.lut_percent, 0.01) for p in points],
            logarithmic=True,
        ),
        scale(
            "energy proxy (less is better)",
            [max(p.design.energy, 0.001) for p in points],
            logarithmic=True,
        ),
        scale("estimated Fmax, MHz", [p.design.fmax_mhz for p in points], logarithmic=False),
        scale("processing elements", [p.rows * p.columns for p in points], logarithmic=True),
        scale("block RAMs", [p.design.bram for p in points], logarithmic=False),
    ]
    by_name = found.by_name
    if found.measure == "accuracy":
        values = [by_name[p.quantization].accuracy or 0.0 for p in points]
        chosen.insert(4, scale("accuracy, % (more is better)", values, logarithmic=False))
    elif found.measure == "sqnr":
        known = [entry.sqnr_db for entry in found.quantized if entry.sqnr_db is not None]
        exact = max(known, default=0.0) + 6.0
        levels = [by_name[p.quantization].sqnr_db for p in points]
        values = [exact if level is None else level for level in levels]
        chosen.insert(4, scale("SQNR, dB (more is better)", values, logarithmic=False))
    return chosen


def _thinned(found: Exploration, fitting: Sequence[int]) -> list[int]:
    """What of the points the picture shows: all on a front, and some of the others."""
    if len(fitting) <= MOST_MARKS:
        return list(fitting)
    kept = found.on_front | found.board_fronts
    rest = [index for index in fitting if index not in kept]
    room = max(MOST_MARKS - len(kept), 1)
    return sorted(kept | set(rest[:: -(-len(rest) // room)]))


def _plot(found: Exploration, all_fitting: Sequence[int]) -> str:
    fitting = _thinned(found, all_fitting)
    points = [found.points[index] for index in fitting]
    scales = _scales(found, points)
    groups = [board.name for board in found.boards]
    series = [entry.name for entry in found.quantized]
    marks = [
        Mark(
            text=_text(found, found.points[index]),
            group=groups.index(found.points[index].board),
            series=series.index(found.points[index].quantization),
            front=index in found.on_front,
            own_front=index in found.board_fronts,
        )
        for index in fitting
    ]
    used = {mark.group for mark in marks}
    legend = "".join(
        _choice("board", number, name, colour(number))
        for number, name in enumerate(groups)
        if number in used
    )
    kinds = "".join(_choice("series", number, name, "") for number, name in enumerate(series))
    more = f'<ul class="legend kinds">{kinds}</ul>' if len(series) > 1 else ""
    script = importlib.resources.files("shiftwork").joinpath(SCRIPT).read_text(encoding="utf-8")
    left_out = len(all_fitting) - len(fitting)
    note = f"<p>{left_out:,} points that are on no front are not in the picture.</p>\n"
    return (
        "<h2>The points</h2>\n"
        + (note if left_out else "")
        + f'<div class="explore"><figure>{picture(scales, marks, x=0, y=1)}</figure>\n'
        f'<div class="side">{_controls(scales)}<ul class="legend">{legend}</ul>{more}'
        f'<p id="count"></p><div id="panel" aria-live="polite">{HINT}</div></div></div>\n'
        f'<script type="application/json" id="points">{data(scales, marks, x=0, y=1)}</script>\n'
        f"<script>\n{script}</script>"
    )


def _controls(scales: Sequence[Scale]) -> str:
    def select(name: str, label: str, chosen: int) -> str:
        options = "".join(
            f'<option value="{number}"{" selected" if number == chosen else ""}>'
            f"{html.escape(entry.label)}</option>"
            for number, entry in enumerate(scales)
        )
        return f'<label>{label} <select id="{name}">{options}</select></label>'

    return (
        '<div id="controls" hidden>'
        + select("axis-x", "across", 0)
        + select("axis-y", "up", 1)
        + '<label><input type="checkbox" id="front-only"> only the front</label></div>'
    )


def _choice(name: str, number: int, label: str, dot: str) -> str:
    mark = f'<i style="background:{dot}"></i>' if dot else ""
    return (
        f'<li><label><input type="checkbox" name="{name}" value="{number}" checked hidden>{mark}'
        f"{html.escape(label)}</label></li>"
    )


def _text(found: Exploration, point: Point) -> str:
    design = point.design
    lines = [
        f"{point.board}, {point.rows} x {point.columns}, {point.quantization}",
        f"{microseconds(point.latency_us)}: {design.cycles:,} cycles at {clock(point)}",
        f"{design.lut:,} LUT ({design.lut_percent:.0f} %), {design.bram} block RAMs, "
        f"{design.dsp} DSP",
        f"energy proxy {design.energy:,.1f}, busy {100 * design.utilization:.0f} %",
    ]
    if found.measure:
        lines.append(f"{found.measure.replace('sqnr', 'SQNR')} {quality(found, point)}")
    return "\n".join(lines)


def _front(found: Exploration) -> str:
    rows = [cells(found, index) for index in found.front]
    return "<h2>On the Pareto front</h2>\n" + table(columns(found), rows) if rows else ""


def _synthesis(found: Exploration, results: Sequence[Synthesized]) -> str:
    if not results:
        return ""
    problems = "".join(
        f"<li>{html.escape(_name(found.points[result.index]))}: {html.escape(result.problem)}</li>"
        for result in results
        if result.problem
    )
    return (
        "<h2>Synthesized</h2>\n"
        "<p>The result beside the estimate; of block RAMs and DSPs the estimate is in brackets.</p>"
        f"\n{table(SYNTHESIS, synthesis_cells(found, results))}"
        + (f"\n<ul>{problems}</ul>" if problems else "")
    )


def _quantizations(found: Exploration) -> str:
    if found.measure is None:
        return ""
    return "<h2>Quantizations</h2>\n" + table(QUANTIZATIONS, quantization_cells(found))


def _rest(found: Exploration, fitting: Sequence[int]) -> str:
    rest = [index for index in fitting if index not in found.on_front]
    if not rest:
        return ""
    rows = table(columns(found), [cells(found, index) for index in rest[:MOST_ROWS]])
    return (
        f"<details><summary>The other {len(rest):,} points that fit</summary>{rows}"
        f"{_more(len(rest))}</details>"
    )


def _more(count: int) -> str:
    """Says that a table ends early."""
    if count <= MOST_ROWS:
        return ""
    return f"<p>and {count - MOST_ROWS:,} more, in {RECORD}</p>"


def _misfits(found: Exploration) -> str:
    designs = misfits(found)
    if not designs:
        return ""
    rows = "".join(
        f'<tr><td>{html.escape(_name(point))}</td><td class="reason">{html.escape(reason)}</td>'
        "</tr>\n"
        for point, reason in designs[:MOST_ROWS]
    )
    return (
        f"<details><summary>{len(designs):,} designs that do not fit, and why</summary>"
        f'<div class="scroll"><table><tr><th>design</th><th>reason</th></tr>\n{rows}</table></div>'
        f"{_more(len(designs))}</details>"
    )


def _reproduce(found: Exploration, command: str) -> str:
    versions = "\n".join(f"{name} {version}" for name, version in found.versions.items())
    return (
        f"<h2>How to reproduce this</h2>\n<pre>{html.escape(command)}</pre>\n<p>With:</p>\n"
        f"<pre>{html.escape(versions)}</pre>"
    )
