"""The commands that show what quantization does: ``analyze`` and ``compare``."""

import json
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shiftwork.cli_options import AsJson, Folder, Model
from shiftwork.cli_views import finite, new_table, progress_bar, progress_printer, show_result

if TYPE_CHECKING:
    from rich.table import Table

    from shiftwork.quant.analysis import NetworkAnalysis

PAGE, RECORD = "report.html", "analysis.json"


def analyze(
    model: Model,
    output: Folder,
    calibration: Annotated[
        Path | None,
        typer.Option(
            help="Inputs for which the activations are analyzed too: .npz with 'x', or .npy.",
            show_default=False,
        ),
    ] = None,
    bits: Annotated[int, typer.Option(min=2, max=16, help="Width of the integers.")] = 8,
    percentile: Annotated[
        float,
        typer.Option(min=50.0, max=100.0, help="Of the magnitudes that 'percentile' holds."),
    ] = 99.99,
    as_json: AsJson = False,
) -> None:
    """Show what power-of-two scales do to every tensor of a network, before it is quantized.

    The dynamic range, the scales that four methods recommend, and what each candidate loses go to
    report.html (pictures) and analysis.json in the output folder.
    """
    from shiftwork.analysis_page import render
    from shiftwork.quant.analysis import AnalysisOptions
    from shiftwork.quant.analysis import analyze as analyze_network
    from shiftwork.quant.calibration import read_samples
    from shiftwork.workspace import Workspace, write_text

    progress = progress_printer()
    options = AnalysisOptions(bits=bits, percentile=percentile)
    samples = None if calibration is None else read_samples(calibration).x
    with progress_bar("analyzing") as advance:
        found = analyze_network(model, samples, options, advance=advance)
    progress(f"analyzed {len(found.tensors)} tensors; drawing the page")
    command = ["shiftwork", "analyze", str(model), "-o", str(output), "--bits", str(bits)]
    command += ["--percentile", f"{percentile:g}"]
    command += [] if calibration is None else ["--calibration", str(calibration)]
    page, record = render(found, shlex.join(command)), finite(asdict(found))

    def write(folder: Path) -> None:
        write_text(folder / PAGE, page)
        write_text(folder / RECORD, json.dumps(record, indent=1) + "\n")

    with Workspace(output, progress=progress) as workspace:
        workspace.publish(write)
    record |= {"page": str(output / PAGE)}
    show_result(
        record, as_json, _analysis_table(found), f"report page: {(output / PAGE).resolve()}"
    )


def _analysis_table(found: "NetworkAnalysis") -> "Table":
    from shiftwork.analysis_page import METHOD_NAMES, choice, label
    from shiftwork.quant.thresholds import METHODS

    title = f"step and SQNR in {found.bits} bits, by method"
    table = new_table(title, "tensor", "range", *METHOD_NAMES.values())
    for tensor in found.tensors:
        spread = f"{tensor.least:.3g} to {tensor.greatest:.3g}"
        table.add_row(label(tensor), spread, *(choice(tensor, method) for method in METHODS))
    return table
