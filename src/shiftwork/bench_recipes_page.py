"""The comparison of recipes as Markdown, and its files."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from shiftwork.bench_compression_page import NONE, markdown_table
from shiftwork.bench_recipes import RECIPES, TFLITE, Result
from shiftwork.workspace import write_text

MARKDOWN, JSON = "recipes.md", "recipes.json"
INTRODUCTION = """\
# What the recipe is worth

Medians over {draws} draws of calibration samples. SQNR is that of the outputs in front of a Softmax
against the float network, in dB; "as float" the share of samples whose greatest output is float's;
"score" the worst file's deviation of the anomaly score from float's. `{tflite}` is the published
file with its free scales and 32-bit multipliers, run by LiteRT; all other rows are shift-only. Each
row changes the default options in the one point that it names; `plain max-abs` has power-of-two
scales by the maximum, one a tensor, signed, and nothing else. Anomaly detection is quantized with a
headroom of 2 and without equalization from the start.
"""


def write(results: Sequence[Result], folder: Path, *, command: str) -> dict[str, Any]:
    """Writes the table to ``folder`` as Markdown and JSON; returns the JSON values.

    Args:
        command: the command line that repeats the measurement.

    Raises:
        OutputError: if a file cannot be written.
    """
    record = {"command": command, "results": [asdict(result) for result in results]}
    write_text(folder / MARKDOWN, markdown(results, command=command))
    write_text(folder / JSON, json.dumps(record, indent=2) + "\n")
    return record


def columns(results: Sequence[Result]) -> list[str]:
    """The table's columns: two figures a network."""
    names = ["recipe"]
    for network in _networks(results):
        second = (
            "score" if _of(results, network, TFLITE).median("agreement") is None else "as float"
        )
        names += [f"{network}: SQNR", second]
    return names


def cells(results: Sequence[Result]) -> list[list[str]]:
    """The table's rows, one a recipe."""
    rows = []
    for recipe in (TFLITE, *RECIPES):
        row = [recipe]
        for network in _networks(results):
            found = _of(results, network, recipe)
            second = found.median("agreement")
            if second is None:
                second = found.median("score_error")
            row += [f"{found.median('sqnr_db'):.1f}", NONE if second is None else f"{second:.2f} %"]
        rows.append(row)
    return rows


def markdown(results: Sequence[Result], *, command: str) -> str:
    """The table, how many samples it was measured on, and how to repeat it."""
    counts = [
        f"{network}: {_of(results, network, TFLITE).draws[0].samples}"
        for network in _networks(results)
    ]
    draws = len(results[0].draws)
    parts = [
        INTRODUCTION.format(draws=draws, tflite=TFLITE).rstrip(),
        markdown_table(columns(results), cells(results)),
        f"Samples measured on: {', '.join(counts)}; none of them calibrated.",
        "## How this was made",
        f"```sh\n{command}\n```",
    ]
    return "\n\n".join(parts) + "\n"


def _networks(results: Sequence[Result]) -> list[str]:
    return list(dict.fromkeys(result.network for result in results))


def _of(results: Sequence[Result], network: str, recipe: str) -> Result:
    return next(r for r in results if (r.network, r.recipe) == (network, recipe))
