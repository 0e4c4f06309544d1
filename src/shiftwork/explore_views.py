"""An exploration in words: the cells of its tables, on the terminal and in the page."""

from collections import Counter
from collections.abc import Sequence

from shiftwork.explore import Exploration
from shiftwork.explore_points import Point
from shiftwork.explore_synthesis import Synthesized

NONE = "-"
FRONT = (
    "board",
    "array",
    "quantization",
    "clock",
    "latency",
    "cycles",
    "LUT",
    "block RAM",
    "DSP",
    "energy",
)
SHORT = ("array, board", "MHz", "latency", "LUT", "energy")
"""Of a table that is narrow enough for a terminal."""
MEASURES = {"accuracy": "accuracy", "sqnr": "SQNR", None: ""}
BOARDS = ("board", "designs", "fit", "fastest", "latency", "LUT", "front")
SYNTHESIS = ("point", "board", "LUT", "estimated", "block RAM", "DSP", "Fmax", "estimated")
QUANTIZATIONS = ("quantization", "accuracy", "float", "same answer", "SQNR", "samples")


def columns(found: Exploration) -> list[str]:
    """The columns of :func:`cells`."""
    return [*FRONT, *([MEASURES[found.measure]] if found.measure else [])]


def cells(found: Exploration, index: int) -> list[str]:
    """A point that fits."""
    point = found.points[index]
    design = point.design
    row = [
        point.board,
        f"{point.rows} x {point.columns}",
        point.quantization,
        clock(point),
        microseconds(point.latency_us),
        f"{design.cycles:,}",
        f"{design.lut:,} ({design.lut_percent:.0f} %)",
        f"{design.bram}",
        f"{design.dsp}",
        f"{design.energy:,.1f}",
    ]
    return row + ([quality(found, point)] if found.measure else [])


def short_columns(found: Exploration) -> list[str]:
    """The columns of :func:`short_cells`."""
    return [
        SHORT[0],
        *(["weights"] if len(found.quantized) > 1 else []),
        *SHORT[1:],
        *([MEASURES[found.measure]] if found.measure else []),
    ]


def short_cells(found: Exploration) -> list[list[str]]:
    """The front; a row for all boards on which a design takes and does the same."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for index in found.front:
        point = found.points[index]
        cells = (
            *([point.quantization] if len(found.quantized) > 1 else []),
            f"{point.runs_at_mhz:.1f}",
            microseconds(point.latency_us),
            f"{point.design.lut:,}",
            f"{point.design.energy:,.1f}",
            *([quality(found, point)] if found.measure else []),
        )
        rows.setdefault((f"{point.rows} x {point.columns}", *cells), []).append(point.board)
    return [
        [f"{array}, {boards[0]}" + (f" +{len(boards) - 1}" if boards[1:] else ""), *cells]
        for (array, *cells), boards in rows.items()
    ]


def clock(point: Point) -> str:
    """The clock that it runs at, with a mark where that is less than was asked for."""
    mhz = f"{point.runs_at_mhz:.1f} MHz"
    return mhz if point.meets_clock else f"{mhz}, not {point.clock_mhz:g}"


def microseconds(value: float) -> str:
    """A time, to three digits or more."""
    return f"{value:,.0f} µs" if value >= 100 else f"{value:.3g} µs"


def quality(found: Exploration, point: Point) -> str:
    """How good the point's quantization is."""
    entry = found.by_name[point.quantization]
    if found.measure == "accuracy":
        return percent(entry.accuracy)
    return decibels(entry.sqnr_db)


def percent(value: float | None) -> str:
    """A share; nothing if it was not measured."""
    return NONE if value is None else f"{value:.2f} %"


def decibels(value: float | None) -> str:
    """A signal-to-noise ratio; None stands for no noise."""
    return "exact" if value is None else f"{value:.1f} dB"


def board_cells(found: Exploration) -> list[list[str]]:
    """For each board how many designs fit, and the fastest."""
    rows = []
    fronts = Counter(found.points[index].board for index in found.front)
    for board in found.boards:
        own = [point for point in found.points if point.board == board.name]
        designs = {(p.quantization, p.rows, p.columns): p.fits for p in own}
        fits = sum(designs.values())
        row = [board.name, f"{len(designs)}", f"{fits}"]
        best = min((p for p in own if p.fits), key=lambda p: p.latency_us, default=None)
        if best is None:
            rows.append([*row, NONE, NONE, NONE, NONE])
            continue
        rows.append(
            [
                *row,
                f"{best.quantization} {best.rows} x {best.columns}",
                microseconds(best.latency_us),
                f"{best.design.lut_percent:.0f} %",
                f"{fronts[board.name]}",
            ]
        )
    return rows


def quantization_cells(found: Exploration) -> list[list[str]]:
    """For each quantization what is left of the network."""
    return [
        [
            entry.name,
            percent(entry.accuracy),
            percent(entry.accuracy_float),
            percent(entry.agreement),
            NONE if entry.agreement is None else decibels(entry.sqnr_db),
            f"{entry.samples:,}",
        ]
        for entry in found.quantized
    ]


def synthesis_cells(found: Exploration, results: Sequence[Synthesized]) -> list[list[str]]:
    """For each synthesized point the result beside the estimate."""
    rows = []
    for result in results:
        point = found.points[result.index]
        design = point.design
        name = f"{point.quantization} {point.rows} x {point.columns}"
        if result.problem:
            rows.append([name, point.board, NONE, f"{design.lut:,}", NONE, NONE, NONE, NONE])
            continue
        rows.append(
            [
                name,
                point.board,
                f"{result.lut:,}",
                f"{design.lut:,} ({_error(design.lut, result.lut)})",
                f"{result.bram} ({design.bram})",
                f"{result.dsp} ({design.dsp})",
                NONE if result.fmax_mhz is None else f"{result.fmax_mhz:.1f} MHz",
                f"{design.fmax_mhz:.1f} MHz"
                + (
                    ""
                    if result.fmax_mhz is None
                    else f" ({_error(design.fmax_mhz, result.fmax_mhz)})"
                ),
            ]
        )
    return rows


def _error(estimated: float, measured: float) -> str:
    return f"{100.0 * (estimated / measured - 1):+.1f} %" if measured else NONE


def misfits(found: Exploration) -> list[tuple[Point, str]]:
    """The designs that do not fit, each once, with the reason."""
    seen: dict[tuple[str, str, int, int], tuple[Point, str]] = {}
    for point in found.points:
        if not point.fits:
            key = (point.quantization, point.board, point.rows, point.columns)
            seen.setdefault(key, (point, point.design.problem))
    return list(seen.values())
