"""The command line. Results go to stdout, progress and errors to stderr."""

import importlib.metadata
import importlib.resources
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shiftwork import cli_run
from shiftwork.cli_bench import bench_app
from shiftwork.cli_bitstream import bitstream
from shiftwork.cli_options import (
    Activations,
    AsJson,
    BoardName,
    BuildEngine,
    Calibration,
    Clock,
    Columns,
    Elements,
    Engine,
    Equalize,
    Folder,
    Headroom,
    Inputs,
    LatencyUs,
    MaxLoss,
    MinSqnr,
    Model,
    Net,
    PerTensor,
    PortStyle,
    Rounding,
    Rows,
    Scales,
    Search,
    Seeds,
    Sums,
    TargetBoard,
    Test,
    Trials,
    Validate,
    Verify,
    WeightBytes,
    Weights,
    array_size,
    quantizer_options,
)
from shiftwork.cli_search import check_search_options, names_of, search_program
from shiftwork.cli_views import (
    closing,
    demo_table,
    facts_table,
    new_table,
    progress_printer,
    quality_table,
    report_tables,
    show_result,
)
from shiftwork.cli_workbench import analyze, compare

if TYPE_CHECKING:
    from rich.console import RenderableType

    from shiftwork.boards.accelerator import Accelerator

app = typer.Typer(
    help="Turns a trained neural network into a shift-only int8 accelerator for small FPGAs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

DEMO_CLOCK_MHZ = 30.0
"""Below the boards' own clocks, so that the first start of the placer nearly always meets it."""


def _version(show: bool) -> None:
    if show:
        typer.echo(f"shiftwork {importlib.metadata.version('shiftwork')}")
        raise typer.Exit


@app.callback()
def shiftwork(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error comes from.")] = False,
) -> None:
    """Options before the command; ``--debug`` is read by ``__main__``."""
    del version, debug


@app.command()
def quantize(
    model: Model,
    calibration: Calibration,
    test: Test = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Program file.")] = Path("net.npz"),
    scales: Scales = "mse",
    per_tensor: PerTensor = False,
    activations: Activations = "unsigned",
    headroom: Headroom = 1.25,
    equalize: Equalize = True,
    rounding: Rounding = "compensated",
    weights: Weights = "int8",
    sums: Sums = None,
    search: Search = False,
    weight_bytes: WeightBytes = None,
    max_loss: MaxLoss = None,
    min_sqnr: MinSqnr = None,
    validate: Validate = None,
    trials: Trials = None,
    as_json: AsJson = False,
) -> None:
    """Quantize a trained network to int8 or less and measure what that costs.

    With --search the other options are where the search begins.
    """
    bounds = {"weight_bytes": weight_bytes, "max_loss": max_loss, "min_sqnr_db": min_sqnr}
    check_search_options(search, validate=validate, trials=trials, **bounds)
    from shiftwork.quant.calibration import read_samples
    from shiftwork.quant.importer import load
    from shiftwork.quant.quantizer import QuantizerOptions
    from shiftwork.quant.quantizer import quantize as quantize_graph
    from shiftwork.steps import evaluate_on

    progress = progress_printer()
    graph = load(model)
    progress(f"read {model}: {len(graph.nodes)} nodes, {graph.macs:,} multiply-accumulates")
    samples = read_samples(calibration)
    options = QuantizerOptions(
        **quantizer_options(scales, per_tensor, activations, headroom, equalize, rounding, weights),
        sums=names_of(sums),
    )
    searched: dict[str, Any] = {}
    views: list[RenderableType] = []
    if search:
        program, searched, views = search_program(
            graph, samples, bounds, options, validate=validate, trials=trials, progress=progress
        )
    else:
        program = quantize_graph(graph, samples.x, options, progress=progress)
        progress(f"quantized with {len(samples.x)} samples")
    record = evaluate_on(graph, program, test or calibration) | searched
    program.save(output)
    show_result(
        record | {"program": str(output)}, as_json, *views, quality_table(record), f"wrote {output}"
    )


app.command()(analyze)
app.command()(compare)


@app.command()
def generate(
    net: Net,
    output: Folder,
    board: BoardName = None,
    rows: Rows = None,
    columns: Columns = None,
    elements: Elements = None,
    latency_us: LatencyUs = None,
    interface: PortStyle = "stream",
    as_json: AsJson = False,
) -> None:
    """Generate the accelerator: Verilog, ROM images and manifest.json.

    Weights that exceed the block RAM of a UP5K are in flash.bin, for the board's SPI flash at
    1 MiB: write it with "iceprog -o 1M flash.bin".
    """
    size = array_size(rows, columns, elements, latency_us)
    from shiftwork.boards.accelerator import verilog_file
    from shiftwork.steps import describe, summary
    from shiftwork.steps import generate as write_files
    from shiftwork.workspace import Workspace

    progress = progress_printer()
    with Workspace(output, progress=progress) as workspace:
        accelerator = _accelerator(net, board, size)
        progress(f"generating the Verilog: {describe(accelerator)}")
        workspace.publish(
            lambda folder: write_files(accelerator, folder, progress=progress, interface=interface)
        )
    record = summary(accelerator, output / verilog_file(interface))
    show_result(record, as_json, facts_table("accelerator", record))


@app.command()
def simulate(
    net: Net,
    inputs: Inputs,
    board: BoardName = None,
    rows: Rows = None,
    columns: Columns = None,
    elements: Elements = None,
    latency_us: LatencyUs = None,
    engine: Engine = "verilator",
    limit: Annotated[int | None, typer.Option(min=1, help="Use the first N inputs.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the random stalls on the streams.")] = 0,
    waves: Annotated[
        Path | None, typer.Option(help="Write all signals to this file (.vcd or .fst).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Simulate the Verilog and compare every value of every layer with the golden model.

    Weights in flash are loaded from a model of it first, from power-up on (not with amaranth).
    Of a netlist (needs --board) only the output and the cycles can be compared.
    """
    size = array_size(rows, columns, elements, latency_us)
    from shiftwork.quant.calibration import read_samples
    from shiftwork.sim.executor import simulate as simulate_accelerator
    from shiftwork.steps import check, describe, simulation_record

    progress = progress_printer()
    samples = read_samples(inputs)
    accelerator = _accelerator(net, board, size)
    how = "the netlist, which is made first" if engine == "netlist" else engine
    progress(f"simulating with {how}: {describe(accelerator)}")
    result = simulate_accelerator(
        accelerator, samples.x, engine=engine, limit=limit, seed=seed, waves=waves
    )
    record = simulation_record(result)
    show_result(record, as_json, facts_table("simulation", record))
    check(result)


@app.command()
def synth(
    net: Net,
    board: TargetBoard,
    output: Folder,
    rows: Rows = None,
    columns: Columns = None,
    elements: Elements = None,
    latency_us: LatencyUs = None,
    seeds: Seeds = None,
    clock: Clock = None,
    as_json: AsJson = False,
) -> None:
    """Synthesize, place and route: resources, greatest clock, latency."""
    size = array_size(rows, columns, elements, latency_us)
    from shiftwork.boards.synthesis import synthesize

    report = synthesize(
        _accelerator(net, board, size, clock_mhz=clock),
        board=board,
        seeds=seeds,
        folder=output,
        clock_mhz=clock,
        progress=progress_printer(),
    )
    show_result(
        report.as_dict(), as_json, *report_tables(report), f"wrote {output / 'report.json'}"
    )


app.command()(bitstream)
cli_run.register(app)


@app.command()
def build(
    model: Model,
    calibration: Calibration,
    board: TargetBoard,
    output: Folder,
    test: Test = None,
    rows: Rows = None,
    columns: Columns = None,
    elements: Elements = None,
    latency_us: LatencyUs = None,
    scales: Scales = "mse",
    per_tensor: PerTensor = False,
    activations: Activations = "unsigned",
    headroom: Headroom = 1.25,
    equalize: Equalize = True,
    rounding: Rounding = "compensated",
    weights: Weights = "int8",
    engine: BuildEngine = "verilator",
    limit: Annotated[int, typer.Option(min=1, help="Inputs to simulate.")] = 20,
    seeds: Seeds = None,
    clock: Clock = None,
    verify: Verify = None,
    as_json: AsJson = False,
) -> None:
    """All steps in order, with a report page; what has not changed is reused."""
    size = array_size(rows, columns, elements, latency_us)
    from shiftwork.build import Job
    from shiftwork.build import build as build_all

    job = Job(
        model=model,
        calibration=calibration,
        test=test,
        board=board,
        **size,
        options=quantizer_options(
            scales, per_tensor, activations, headroom, equalize, rounding, weights
        ),
        images=limit,
        engine=engine,
        seeds=seeds,
        clock_mhz=clock,
        verify=verify,
    )
    built = build_all(job, output, progress=progress_printer())
    show_result(built.as_dict(), as_json, *report_tables(built.report), closing(built))


@app.command()
def boards(as_json: AsJson = False) -> None:
    """List the supported boards."""
    from shiftwork.boards.registry import BOARDS

    table = new_table("boards", "name", "board", "LUT", "block RAM", "products", "PEs", "clock")
    for board in BOARDS:
        table.add_row(
            board.name,
            board.title,
            f"{board.lut:,}",
            f"{board.bram_bytes // 1024} KiB",
            str(board.products),
            str(board.max_elements),
            f"{board.target_mhz:g} MHz",
        )
    show_result({"boards": [asdict(board) for board in BOARDS]}, as_json, table)


@app.command()
def demo(
    output: Folder = Path("shiftwork-demo"),
    board: TargetBoard = "icebreaker",
    limit: Annotated[int, typer.Option(min=1, help="Images to simulate.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Take the bundled network that reads handwritten digits all the way to an FPGA."""
    from shiftwork.build import Job
    from shiftwork.build import build as build_all

    with importlib.resources.as_file(importlib.resources.files("shiftwork.examples")) as examples:
        job = Job(
            model=examples / "mnist_cnn.onnx",
            calibration=examples / "mnist_calibration.npz",
            test=examples / "mnist_samples.npz",
            board=board,
            options={},
            clock_mhz=DEMO_CLOCK_MHZ,
            images=limit,
        )
        built = build_all(job, output, progress=progress_printer())
    show_result(built.as_dict(), as_json, demo_table(built, job), closing(built))


@app.command()
def soak(
    output: Folder = Path("shiftwork-soak"),
    networks: Annotated[int, typer.Option(min=1, help="How many in the end.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Which networks.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Run random networks in all engines: every value and every cycle must agree.

    The log, a summary, and the networks that differ go to the output folder; a rerun goes on.
    """
    from shiftwork.errors import MismatchError, ToolError

    try:
        from shiftwork.soak import soak as run
    except ModuleNotFoundError as error:
        raise ToolError(
            f"the Python package {error.name} is missing, which draws random networks; "
            "install it: pip install 'shiftwork[test]'"
        ) from error
    found = run(output, networks=networks, seed=seed, progress=progress_printer())
    failures = sum(len(batch.failures) for batch in found.batches)
    record = {"networks": found.networks, "differences": failures, "folder": str(output)}
    show_result(record, as_json, facts_table("random networks", record))
    if failures:
        raise MismatchError(
            f"{failures} of {found.networks} random networks differ; they are in {output}"
        )


app.add_typer(bench_app, name="bench")


def _accelerator(
    net: Path, board: str | None, size: dict[str, Any], *, clock_mhz: float | None = None
) -> "Accelerator":
    from shiftwork.quant.program import Program
    from shiftwork.steps import accelerate

    return accelerate(Program.load(net), board, clock_mhz=clock_mhz, **size)
