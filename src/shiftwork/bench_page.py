"""The benchmark's tables as Markdown, and its files."""

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from shiftwork.bench import Outcome, Result
from shiftwork.bench_networks import Published
from shiftwork.workspace import write_text

MARKDOWN = "mlperf_tiny.md"
JSON = "mlperf_tiny.json"
COLUMNS = (
    "network",
    "int8 against float",
    "board",
    "array",
    "cycles",
    "at most",
    "Fmax",
    "at least",
    "latency",
    "published by others",
)
NONE = "-"


def write(
    outcome: Outcome,
    folder: Path,
    options: Mapping[str, object],
    *,
    route: bool = True,
    also: Path | None = None,
) -> dict[str, Any]:
    """Writes the tables to ``folder`` as Markdown and JSON; returns the JSON values.

    Args:
        options: of the command line, by name; those that are None are left out of it.
        route: whether the designs were routed.
        also: a second file for the Markdown.

    Raises:
        OutputError: if a file cannot be written.
    """
    command = command_line(options, route=route)
    text, record = markdown(outcome, command=command), outcome.as_dict() | {"command": command}
    write_text(folder / MARKDOWN, text)
    write_text(folder / JSON, json.dumps(record, indent=2) + "\n")
    if also is not None:
        write_text(also, text)
    return record


def command_line(options: Mapping[str, object], *, route: bool) -> str:
    """The command that repeats the benchmark."""
    given = [part for name, value in options.items() if value is not None for part in (name, value)]
    flags = [] if route else ["--no-route"]
    return shlex.join(str(part) for part in ("shiftwork", "bench", "mlperf-tiny", *given, *flags))


def quality_cells(outcome: Outcome) -> list[list[str]]:
    """Network, measure, and whether it keeps its bounds: one row a measure."""
    return [
        [key.upper(), measure.text, "" if measure.met else "missed"]
        for key, quality in outcome.qualities.items()
        for measure in quality.measures
    ]


def hardware_cells(outcome: Outcome) -> list[list[str]]:
    """Network, board, array, cycles, clock and latency: one row an accelerator."""
    return [
        [
            result.row.network.upper(),
            result.row.board,
            _array(result),
            _bounded(_cycles(result), f"at most {result.row.cycles:,}", met=result.cycles_met),
            _bounded(_clock(result), f"at least {result.row.fmax_mhz:g}", met=result.clock_met),
            _latency(result),
        ]
        for result in outcome.results
    ]


def markdown(outcome: Outcome, *, command: str) -> str:
    """The table, the results of others with their sources, and how to repeat it.

    Args:
        command: the command line that repeats the benchmark.
    """
    parts = [
        "# MLPerf Tiny on open FPGA tools",
        _table(COLUMNS, (_cells(outcome, result) for result in outcome.results)),
        _notes(outcome),
        "## Published by others",
        _table(
            ("network", "tool", "device", "latency", "clock", "DSP blocks", "source"),
            (_published_cells(item) for item in outcome.published),
        ),
        "## How this was made",
        f"```sh\n{command}\n```",
        ", ".join(f"{name} {version}" for name, version in outcome.versions.items()) + ".",
    ]
    return "\n\n".join(parts) + "\n"


def _cells(outcome: Outcome, result: Result) -> list[str]:
    row = result.row
    measures = outcome.qualities[row.network].measures
    others = [item for item in outcome.published if item.network == row.network]
    return [
        row.network.upper(),
        "; ".join(_marked(measure.text, met=measure.met) for measure in measures),
        row.board,
        _array(result),
        _marked(_cycles(result), met=result.cycles_met),
        f"{row.cycles:,}",
        _marked(_clock(result), met=result.clock_met),
        f"{row.fmax_mhz:g} MHz",
        _latency(result),
        "; ".join(f"{item.time} ({item.device})" for item in others),
    ]


def _array(result: Result) -> str:
    return NONE if result.rows is None else f"{result.rows} x {result.columns}"


def _cycles(result: Result) -> str:
    return NONE if result.cycles is None else f"{result.cycles:,}"


def _clock(result: Result) -> str:
    if result.fmax_mhz is None:
        return NONE
    return f"{result.fmax_mhz:.1f} MHz, seed {result.seed}"


def _latency(result: Result) -> str:
    if result.problem:
        return f"not possible: {result.problem}"
    return NONE if result.latency_ms is None else f"{result.latency_ms:.3g} ms"


def _marked(text: str, *, met: bool) -> str:
    """``text``, in bold if it is a figure that misses its bound."""
    return text if met or text == NONE else f"**{text}: missed**"


def _bounded(text: str, bound: str, *, met: bool) -> str:
    """``text``, with the bound if it is a figure that misses it."""
    return text if met or text == NONE else f"{text} ({bound})"


def _notes(outcome: Outcome) -> str:
    notes = [
        f"- {key.upper()}, {quality.title}: {quality.macs:,} multiply-accumulates and "
        f"{quality.weights:,} weights as quantized. Calibrated on {quality.calibrated_on}; "
        f"measured on {quality.measured_on}."
        for key, quality in outcome.qualities.items()
    ]
    return "\n".join(
        [
            *notes,
            "- Cycles are those of the schedule, from the first cycle of computation to the last. "
            "Fmax is nextpnr's, after routing; the latency is the cycles at that clock.",
        ]
    )


def _published_cells(item: Published) -> list[str]:
    return [
        item.network.upper(),
        item.tool,
        item.device,
        item.time,
        f"{item.clock_mhz:g} MHz",
        NONE if item.multipliers is None else str(item.multipliers),
        item.source,
    ]


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(_escaped(cell) for cell in line)} |" for line in lines)


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", " ")
