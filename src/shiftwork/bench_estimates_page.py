"""What the measured estimates come to: tables as Markdown, and the files of the project."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from shiftwork.bench_estimates import Outcome
from shiftwork.bench_routing import ROUTED_AT_MHZ
from shiftwork.boards.estimate import Coefficients, estimate
from shiftwork.boards.estimate_coefficients import COEFFICIENTS
from shiftwork.boards.estimate_fit import (
    Measurement,
    calibrate,
    fmax_error,
    lut_error,
    source,
)
from shiftwork.boards.registry import find
from shiftwork.errors import DataError
from shiftwork.hw.config import Family
from shiftwork.workspace import write_text

MARKDOWN = "estimates.md"
JSON = "estimates.json"
COEFFICIENTS_FILE = Path("boards/estimate_coefficients.py")
STORE_FILE = Path("tests/vectors/estimates.json")
DOCS_FILE = Path("docs/estimates.md")
FAMILIES: dict[Family, str] = {"ice40up": "iCE40", "ecp5": "ECP5"}
NONE = "-"

INTRODUCTION = """\
# Area and clock before synthesis

Shiftwork estimates what a design takes and how fast it is, in less than a millisecond. It uses the
estimate to choose the array and to refuse what cannot fit. `shiftwork generate` shows it.

- **Block RAMs, multipliers and single-port RAMs** are exact. The rules are in
  `boards/resources.py`.
- **Lookup tables and flip-flops** are a sum over the blocks of the design. Each block has a few
  terms, such as "accumulator bits of all processing elements", that follow from the configuration
  (`boards/estimate_terms.py`). A term counts with a coefficient (`boards/estimate_coefficients.py`)
  that is fitted to synthesized designs, one set a family. On iCE40 the figure is that of logic
  cells: a lookup table and a flip-flop that share a cell count once.
- **The clock's period** is a sum too: a fixed part, the widest adder, the multiplexer behind RAMs
  of several blocks, and the way across the design, which grows with the square root of its lookup
  tables.

A design is refused before synthesis if its lookup tables exceed the board's even when the estimate
errs by as much as the worst design below.
"""
METHOD = """\
## How it is measured

The coefficients come from the designs marked "fit" alone. Those marked "check" had no part in them;
the terms were worked out with a few designs of both kinds in view. How strongly coefficients are
pulled to their priors was chosen by leaving out one "fit" design at a time.
LUT is what nextpnr reports after packing. Where a design was not routed, the same is counted from
yosys' netlist (`boards/packing.py`), within 0.5 % of nextpnr on iCE40 and exactly on ECP5. Fmax is
nextpnr's after routing; a routed design was asked for {clocks}. The error of a fit to a handful of
clocks says little: look at the clocks of "check" designs. Another start of the placer moves
Fmax by a few percent, which no estimate can know.

This page, the coefficients and the measured values that the tests use are made by

```sh
{command}
```
"""


def known_clocks(path: Path) -> dict[str, float]:
    """The clocks of a stored measurement, by design; none if the file is not there.

    Raises:
        DataError: if it cannot be read.
    """
    if not path.is_file():
        return {}
    try:
        designs = json.loads(path.read_text(encoding="utf-8"))["designs"]
        return {d["name"]: d["fmax_mhz"] for d in designs if d["fmax_mhz"] is not None}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} holds no measured estimates: {error!r}; remove it") from error


def write(
    outcome: Outcome, folder: Path, *, command: str, publish: Path | None = None
) -> dict[str, Any]:
    """Writes Markdown and JSON to ``folder``; returns the JSON values.

    Args:
        outcome: of the measurement.
        folder: for the files.
        command: the command line that repeats it.
        publish: root of the project: fits the coefficients anew and writes them, the measured
            values for the tests, and the docs' page.

    Raises:
        OutputError: if a file cannot be written.
    """
    measurements = outcome.measurements
    families = {m.family for m in measurements}
    coefficients = {f: Coefficients(**c) for f, c in _published().items() if f in families}
    if publish is not None:
        coefficients = calibrate(measurements)
    text = markdown(measurements, coefficients, command=command)
    record = as_dict(outcome, coefficients, command=command)
    write_text(folder / MARKDOWN, text)
    write_text(folder / JSON, json.dumps(record, indent=2) + "\n")
    if publish is not None:
        store = {"designs": [m.as_dict() for m in measurements]}
        write_text(publish / COEFFICIENTS_FILE, source(coefficients, measurements))
        write_text(publish / STORE_FILE, json.dumps(store) + "\n")
        write_text(publish / DOCS_FILE, text)
    return record


def _published() -> dict[Family, dict[str, Any]]:
    return {family: COEFFICIENTS[family] for family in FAMILIES if family in COEFFICIENTS}


def as_dict(
    outcome: Outcome, coefficients: Mapping[Family, Coefficients], *, command: str
) -> dict[str, Any]:
    """Every design's estimate and measurement, and the errors, as JSON values."""
    designs = []
    for m in outcome.measurements:
        found = estimate(
            m.config, find(m.board), contents=m.contents, coefficients=coefficients[m.family]
        )
        designs.append(
            {
                "name": m.name,
                "check": m.check,
                "measured": m.cells | {"fmax_mhz": m.fmax_mhz},
                "estimated": {
                    **{name: getattr(found, name) for name in m.cells},
                    "fmax_mhz": found.fmax_mhz,
                },
                "lut_error": lut_error(m, coefficients),
                "fmax_error": fmax_error(m, coefficients),
            }
        )
    return {
        "designs": designs,
        "left_out": outcome.left_out,
        "errors": [
            dict(zip(SUMMARY, row, strict=True))
            for row in summary_cells(outcome.measurements, coefficients)
        ],
        "versions": outcome.versions,
        "command": command,
    }


SUMMARY = (
    "family",
    "designs",
    "used to",
    "LUT median",
    "LUT worst",
    "routed",
    "Fmax median",
    "Fmax worst",
)
DESIGN_COLUMNS = (
    "design",
    "used to",
    "LUT estimated",
    "LUT measured",
    "error",
    "Fmax estimated",
    "Fmax measured",
    "error",
)


def summary_cells(
    measurements: Sequence[Measurement], coefficients: Mapping[Family, Coefficients]
) -> list[list[str]]:
    """Median and worst errors of each family's designs, apart for fit and check, and of all."""
    rows = []
    groups: list[tuple[str, list[Measurement]]] = [
        (title, [m for m in measurements if m.family == family])
        for family, title in FAMILIES.items()
    ]
    groups.append(("both", list(measurements)))
    for title, group in groups:
        for role, check in (("fit", (False,)), ("check", (True,)), ("all", (False, True))):
            chosen = [m for m in group if m.check in check]
            if not chosen:
                continue
            areas = [abs(lut_error(m, coefficients)) for m in chosen]
            clocks = [
                abs(error) for m in chosen if (error := fmax_error(m, coefficients)) is not None
            ]
            rows.append([title, str(len(chosen)), role, *_errors(areas)])
            rows[-1] += [str(len(clocks)), *_errors(clocks)]
    return rows


def _errors(errors: Sequence[float]) -> tuple[str, str]:
    """Median and worst."""
    if not errors:
        return NONE, NONE
    return f"{100 * float(np.median(errors)):.1f} %", f"{100 * max(errors):.1f} %"


def design_cells(
    measurements: Sequence[Measurement], coefficients: Mapping[Family, Coefficients]
) -> list[list[str]]:
    """A row for each design."""
    rows = []
    for m in measurements:
        found = estimate(m.config, find(m.board), coefficients=coefficients[m.family])
        clock = fmax_error(m, coefficients)
        rows.append(
            [
                m.name,
                "check" if m.check else "fit",
                f"{found.lut:,}",
                f"{m.cells['lut']:,}",
                _signed(lut_error(m, coefficients)),
                f"{found.fmax_mhz:.1f} MHz",
                NONE if m.fmax_mhz is None else f"{m.fmax_mhz:.1f} MHz",
                NONE if clock is None else _signed(clock),
            ]
        )
    return rows


def _signed(error: float) -> str:
    return f"{100 * error:+.1f} %"


def markdown(
    measurements: Sequence[Measurement],
    coefficients: Mapping[Family, Coefficients],
    *,
    command: str,
) -> str:
    """The page of the docs."""
    clocks = " and ".join(f"{mhz:g} MHz on {FAMILIES[f]}" for f, mhz in ROUTED_AT_MHZ.items())
    return (
        "\n".join(
            [
                INTRODUCTION,
                "## Errors\n",
                _table(SUMMARY, summary_cells(measurements, coefficients)),
                _table(DESIGN_COLUMNS, design_cells(measurements, coefficients)),
                METHOD.format(clocks=clocks, command=command),
            ]
        ).rstrip("\n")
        + "\n"
    )


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
