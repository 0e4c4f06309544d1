"""The table of weights of fewer bits as Markdown, and its files."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from shiftwork.bench_compression import FLOAT_BYTES, Result
from shiftwork.workspace import write_text

MARKDOWN, JSON = "compression.md", "compression.json"
NONE = "-"
US_PER_MS = 1000.0
QUALITY = ("network", "weights", "accuracy", "float", "as float", "SQNR", "score error")
SIZES = ("network", "weights", "number", "float32", "stored", "Huffman", "zeros", "values")
HARDWARE = (
    *("network", "weights", "board", "array", "cycles", "ROM", "from"),
    *("block RAMs", "LUTs", "clock", "latency"),
)
ROUTED = ("network", "weights", "board", "array", "LUTs", "clock", "against int8", "latency")


def write(
    results: Sequence[Result], folder: Path, *, command: str, also: Path | None = None
) -> dict[str, Any]:
    """Writes the tables to ``folder`` as Markdown and JSON; returns the JSON values.

    Args:
        command: the command line that repeats the measurement.
        also: a second file for the Markdown.

    Raises:
        OutputError: if a file cannot be written.
    """
    text = markdown(results, command=command)
    record = {"command": command, "results": [asdict(result) for result in results]}
    write_text(folder / MARKDOWN, text)
    write_text(folder / JSON, json.dumps(record, indent=2) + "\n")
    if also is not None:
        write_text(also, text)
    return record


def quality_cells(results: Iterable[Result]) -> list[list[str]]:
    """What is left of each network, in the columns ``QUALITY``."""
    return [
        [
            result.network,
            result.weights,
            _number(result.quality.accuracy, "%"),
            _number(result.quality.accuracy_float, "%"),
            _number(result.quality.agreement, "%"),
            _number(result.quality.sqnr_db, "dB"),
            _number(result.quality.score_error, "%"),
        ]
        for result in results
    ]


def size_cells(results: Iterable[Result]) -> list[list[str]]:
    """What the weights of each network take, in the columns ``SIZES``."""
    return [
        [
            result.network,
            result.weights,
            f"{result.size.weights:,}",
            f"{FLOAT_BYTES * result.quality.float_weights:,}",
            f"{result.size.stored_bytes:,}",
            f"{result.size.huffman_bytes:,}",
            f"{result.size.zeros:.1f} %",
            f"{result.size.values}",
        ]
        for result in results
    ]


def hardware_cells(results: Iterable[Result]) -> list[list[str]]:
    """The accelerator of each network, in the columns ``HARDWARE``."""
    rows = []
    for result in results:
        cells, found = [result.network, result.weights, result.board], result.hardware
        if found is None:
            rows.append([*cells, f"{NONE} ({result.problem})", *[NONE] * 7])
            continue
        rows.append(
            [
                *cells,
                f"{found.rows} x {found.columns}",
                f"{found.cycles:,}",
                f"{found.rom_bytes:,}",
                "flash" if found.loaded else "bitstream",
                f"{found.block_rams}",
                f"{found.lut:,}",
                f"{found.fmax_mhz:.1f} MHz",
                f"{found.cycles / found.fmax_mhz / US_PER_MS:.3g} ms",
            ]
        )
    return rows


def routed_cells(results: Sequence[Result]) -> list[list[str]]:
    """What place and route made of the accelerators, in the columns ``ROUTED``; none without."""
    rows = []
    clocks = {
        (result.network, result.weights): result.hardware.routed_fmax_mhz
        for result in results
        if result.hardware is not None
    }
    for result in results:
        found = result.hardware
        if found is None or found.routed_fmax_mhz is None:
            continue
        int8 = clocks.get((result.network, "int8"))
        rows.append(
            [
                *(result.network, result.weights, result.board),
                f"{found.rows} x {found.columns}",
                f"{found.routed_lut:,}",
                f"{found.routed_fmax_mhz:.1f} MHz",
                NONE if int8 is None else f"{100 * (found.routed_fmax_mhz / int8 - 1):+.1f} %",
                f"{found.cycles / found.routed_fmax_mhz / US_PER_MS:.3g} ms",
            ]
        )
    return rows


def markdown(results: Sequence[Result], *, command: str) -> str:
    """The tables, what they were measured on, and how to repeat them."""
    samples = {result.network: (result.title, result.measured_on) for result in results}
    notes = [f"- {key}, {title}: {measured}." for key, (title, measured) in samples.items()]
    parts = [
        "# Weights of fewer bits",
        "## What is left of the network",
        markdown_table(QUALITY, quality_cells(results)),
        "\n".join(notes),
        "## What the weights take, in bytes",
        markdown_table(SIZES, size_cells(results)),
        "## What the hardware takes",
        markdown_table(HARDWARE, hardware_cells(results)),
        *_routed_part(results),
        "## How this was made",
        f"```sh\n{command}\n```",
    ]
    return "\n\n".join(parts) + "\n"


def _routed_part(results: Sequence[Result]) -> list[str]:
    rows = routed_cells(results)
    return ["## Placed and routed", markdown_table(ROUTED, rows)] if rows else []


def _number(value: float | None, unit: str) -> str:
    return NONE if value is None else f"{value:.2f} {unit}"


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
