"""The commands that show what quantization does: ``analyze`` and ``compare``."""

import json
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shiftwork.cli_options import AsJson, Folder, Model
from shiftwork.cli_views import finite, new_table, progress_bar, progress_printer, show_result
from shiftwork.commands import command_line

if TYPE_CHECKING:
    from rich.table import Table

    from shiftwork.quant.analysis import NetworkAnalysis
    from shiftwork.sim.comparison import Comparison

PAGE, RECORD, COMPARISON = "report.html", "analysis.json", "comparison.json"


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
    from shiftwork.quant.tensor_analysis import METHODS

    title = f"step and SQNR in {found.bits} bits, by method"
    table = new_table(title, "tensor", "range", *METHOD_NAMES.values())
    for tensor in found.tensors:
        spread = f"{tensor.least:.3g} to {tensor.greatest:.3g}"
        table.add_row(label(tensor), spread, *(choice(tensor, method) for method in METHODS))
    return table


def compare(
    networks: Annotated[
        list[Path],
        typer.Argument(
            help="Program files (.npz), two or more, or one and the float model.",
            show_default=False,
        ),
    ],
    test: Annotated[
        Path,
        typer.Option(help="Inputs 'x', with labels 'y' if there are any.", show_default=False),
    ],
    model: Annotated[
        Path | None,
        typer.Option(
            help="Float model of the programs: each layer is compared with it.", show_default=False
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            help="Own measure, module:function; it is given x, outputs and y (or None).",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="Folder for a page (report.html) and all numbers (comparison.json).",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Set quantizations of a network side by side, or one against its float model.

    Says how often they are right and agree, which layer makes which error, and which one is to
    blame for the error of the output.
    """
    from shiftwork.comparison_views import comparison_views
    from shiftwork.metric import load_metric
    from shiftwork.quant.calibration import read_samples
    from shiftwork.quant.importer import load
    from shiftwork.quant.program import Program
    from shiftwork.sim.comparison import compare as compare_programs

    programs = {str(path): path for path in networks if path.suffix == ".npz"}
    models = [path for path in (*networks, model) if path and path.suffix != ".npz"]
    if not programs or len(models) > 1 or len(programs) + len(models) < 2:
        raise typer.BadParameter(
            "compare two or more different programs (.npz), or a program and its float model"
        )
    progress = progress_printer()
    measure = None if metric is None else load_metric(metric)
    samples = read_samples(test)
    progress(f"comparing on {len(samples.x):,} samples")
    found = compare_programs(
        {name: Program.load(path) for name, path in programs.items()},
        samples.x,
        samples.y,
        graph=load(models[0]) if models else None,
        metric=measure,
    )
    record, views = asdict(found), list(comparison_views(found))
    if output is not None:
        command = command_line(
            "compare", *networks, test=test, model=model, metric=metric, output=output
        )
        page = _write_comparison(output, found, command)
        record |= {"page": str(page)}
        views.append(f"report page: {page.resolve()}")
    show_result(record, as_json, *views)


def _write_comparison(output: Path, found: "Comparison", command: str) -> Path:
    """The page and the numbers, both or neither."""
    from shiftwork.comparison_page import render
    from shiftwork.workspace import Workspace, write_text

    page, record = render(found, command), finite(asdict(found))

    def write(folder: Path) -> None:
        write_text(folder / PAGE, page)
        write_text(folder / COMPARISON, json.dumps(record, indent=1) + "\n")

    with Workspace(output, progress=progress_printer()) as workspace:
        workspace.publish(write)
    return output / PAGE
