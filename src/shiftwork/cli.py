"""The command line. Results go to stdout, progress and errors to stderr."""

import importlib.metadata
import importlib.resources
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType

from shiftwork import cli_engine, cli_run
from shiftwork.cli_bench import bench_app
from shiftwork.cli_bitstream import bitstream
from shiftwork.cli_explore import explore
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
    InputBytes,
    InputOffset,
    Inputs,
    InputScale,
    LatencyUs,
    MaxLoss,
    MinSqnr,
    Model,
    NeededBoard,
    Net,
    PerTensor,
    PortStyle,
    ProductsChoice,
    Rounding,
    Rows,
    Scales,
    Search,
    Seeds,
    Softmax,
    Sums,
    TargetBoard,
    Test,
    Threshold,
    TopScore,
    Trials,
    Validate,
    Verify,
    WeightBytes,
    Weights,
    Wide,
    WideActivations,
    array_size,
    network_ends,
    quantizer_options,
)
from shiftwork.cli_search import check_search_options, names_of, search_program
from shiftwork.cli_soak import soak
from shiftwork.cli_utilization import utilization
from shiftwork.cli_views import (
    closing,
    demo_table,
    ends_lines,
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
    from shiftwork.build import Built, Job

app = typer.Typer(
    help="Turns a trained neural network into a shift-only int8 accelerator for small FPGAs. Begin "
    "with 'shiftwork demo', or with 'shiftwork build NET.onnx', which says what it needs; each "
    "command ends with the next one to run.",
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
    calibration: Calibration = None,
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
    wide: Wide = None,
    wide_activations: WideActivations = None,
    search: Search = False,
    weight_bytes: WeightBytes = None,
    max_loss: MaxLoss = None,
    min_sqnr: MinSqnr = None,
    validate: Validate = None,
    trials: Trials = None,
    softmax: Softmax = False,
    top_score: TopScore = False,
    threshold: Threshold = None,
    input_bytes: InputBytes = None,
    input_scale: InputScale = None,
    input_offset: InputOffset = None,
    as_json: AsJson = False,
) -> None:
    """Quantize a trained network to int8 or less and measure what that costs.

    With --search the other options are where the search begins.
    """
    ends = network_ends(top_score, threshold, input_bytes, input_scale, input_offset)
    bounds = {"weight_bytes": weight_bytes, "max_loss": max_loss, "min_sqnr_db": min_sqnr}
    by_hand = wide is not None or wide_activations is not None
    check_search_options(search, wide=by_hand, validate=validate, trials=trials, **bounds)
    from shiftwork.next_steps import after_quantize, missing, samples_guide
    from shiftwork.quant.calibration import read_samples
    from shiftwork.quant.importer import load
    from shiftwork.quant.quantizer import QuantizerOptions
    from shiftwork.steps import evaluate_on

    progress = progress_printer()
    graph = load(model)
    if calibration is None:
        typer.echo(samples_guide(model, graph), err=True)
        raise missing("quantize", calibration=None)
    progress(f"read {model}: {len(graph.nodes)} nodes, {graph.macs:,} multiply-accumulates")
    samples = read_samples(calibration)
    options = QuantizerOptions(
        **quantizer_options(
            scales, per_tensor, activations, headroom, equalize, rounding, weights, softmax
        ),
        sums=names_of(sums),
        wide=names_of(wide),
        wide_activations=names_of(wide_activations),
    )
    searched: dict[str, Any] = {}
    views: list[RenderableType] = []
    if search:
        found, searched, views = search_program(
            graph,
            samples,
            bounds,
            options,
            raw_input=ends.raw_input,
            validate=validate,
            trials=trials,
            progress=progress,
        )
        program = ends.answering(found)
    else:
        program = ends.quantize(graph, samples.x, options, progress=progress)
        progress(f"quantized with {len(samples.x)} samples")
    record = evaluate_on(graph, program, test or calibration) | searched
    program.save(output)
    show_result(
        record | {"program": str(output)},
        as_json,
        *views,
        quality_table(record, program.info.get("weights", "int8")),
        *ends_lines(record),
        f"wrote {output}",
        following=after_quantize(output),
    )


app.command()(analyze)
app.command()(compare)
app.command()(explore)


@app.command()
def generate(
    net: Net,
    output: Folder,
    board: BoardName = None,
    rows: Rows = None,
    columns: Columns = None,
    elements: Elements = None,
    latency_us: LatencyUs = None,
    products: ProductsChoice = "auto",
    interface: PortStyle = "stream",
    checksum: Annotated[
        bool,
        typer.Option(
            "--checksum", help="Check the weight ROMs after every reset; a port says the result."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Generate the accelerator: Verilog, ROM images and manifest.json.

    Weights that exceed the block RAM of a UP5K are in flash.bin, for the board's SPI flash at
    1 MiB: write it with "iceprog -o 1M flash.bin".
    """
    size = array_size(rows, columns, elements, latency_us, products)
    from shiftwork.boards.accelerator import verilog_file
    from shiftwork.next_steps import after_hardware
    from shiftwork.steps import describe, details, summary
    from shiftwork.steps import generate as write_files
    from shiftwork.workspace import Workspace

    progress = progress_printer()
    with Workspace(output, progress=progress) as workspace:
        accelerator = _accelerator(net, board, size)
        progress(f"generating the Verilog: {describe(accelerator)}")
        workspace.publish(
            lambda folder: write_files(
                accelerator, folder, progress=progress, interface=interface, checksum=checksum
            )
        )
    record = summary(accelerator, output / verilog_file(interface))
    show_result(
        record | details(accelerator),
        as_json,
        facts_table("accelerator", record),
        following=after_hardware(net, board, **size),
    )


@app.command()
def simulate(
    net: Net,
    inputs: Inputs,
    board: BoardName = None,
    rows: Rows = None,
    columns: Columns = None,
    elements: Elements = None,
    latency_us: LatencyUs = None,
    products: ProductsChoice = "auto",
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
    size = array_size(rows, columns, elements, latency_us, products)
    from shiftwork.next_steps import after_hardware
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
    following = after_hardware(net, board, **size) if result.passed else None
    show_result(record, as_json, facts_table("simulation", record), following=following)
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
    products: ProductsChoice = "auto",
    seeds: Seeds = None,
    clock: Clock = None,
    as_json: AsJson = False,
) -> None:
    """Synthesize, place and route: resources, greatest clock, latency."""
    size = array_size(rows, columns, elements, latency_us, products)
    from shiftwork.boards.synthesis import synthesize
    from shiftwork.next_steps import after_hardware

    report = synthesize(
        _accelerator(net, board, size, clock_mhz=clock),
        board=board,
        seeds=seeds,
        folder=output,
        clock_mhz=clock,
        progress=progress_printer(),
    )
    show_result(
        report.as_dict(),
        as_json,
        *report_tables(report),
        f"wrote {output / 'report.json'}",
        following=after_hardware(net, board, clock=clock, **size),
    )


app.command()(utilization)
app.command()(bitstream)
cli_engine.register(app)
cli_run.register(app)


@app.command()
def build(
    model: Model,
    calibration: Calibration = None,
    board: NeededBoard = None,
    output: Folder = Path("out"),
    test: Test = None,
    rows: Rows = None,
    columns: Columns = None,
    elements: Elements = None,
    latency_us: LatencyUs = None,
    products: ProductsChoice = "auto",
    scales: Scales = "mse",
    per_tensor: PerTensor = False,
    activations: Activations = "unsigned",
    headroom: Headroom = 1.25,
    equalize: Equalize = True,
    rounding: Rounding = "compensated",
    weights: Weights = "int8",
    softmax: Softmax = False,
    top_score: TopScore = False,
    threshold: Threshold = None,
    input_bytes: InputBytes = None,
    input_scale: InputScale = None,
    input_offset: InputOffset = None,
    engine: BuildEngine = "verilator",
    limit: Annotated[int, typer.Option(min=1, help="Inputs to simulate.")] = 20,
    seeds: Seeds = None,
    clock: Clock = None,
    verify: Verify = None,
    as_json: AsJson = False,
) -> None:
    """All steps in order, with a report page; what has not changed is reused."""
    size = array_size(rows, columns, elements, latency_us, products)
    ends = network_ends(top_score, threshold, input_bytes, input_scale, input_offset)
    from shiftwork.build import Job
    from shiftwork.build import build as build_all
    from shiftwork.next_steps import missing, samples_guide
    from shiftwork.quant.importer import load

    if calibration is None:
        typer.echo(samples_guide(model, load(model)), err=True)
    if calibration is None or board is None:
        raise missing("build", calibration=calibration, board=board)

    job = Job(
        model=model,
        calibration=calibration,
        test=test,
        board=board,
        **size,
        options=quantizer_options(
            scales, per_tensor, activations, headroom, equalize, rounding, weights, softmax
        ),
        ends=ends,
        images=limit,
        engine=engine,
        seeds=seeds,
        clock_mhz=clock,
        verify=verify,
    )
    built = build_all(job, output, progress=progress_printer())
    _show_built(built, as_json, *report_tables(built.report), closing(built), job=job)


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
    own = f"your own network: shiftwork build NET.onnx --board {board} says what it needs"
    _show_built(built, as_json, demo_table(built, job), closing(built), own, job=job)


app.command()(soak)
app.add_typer(bench_app, name="bench")


def _show_built(built: "Built", as_json: bool, *views: RenderableType, job: "Job") -> None:
    from shiftwork.next_steps import after_build

    following = after_build(job, built.folder, built.program)
    show_result(built.as_dict(), as_json, *views, following=following)


def _accelerator(
    net: Path, board: str | None, size: dict[str, Any], *, clock_mhz: float | None = None
) -> "Accelerator":
    from shiftwork.quant.program import Program
    from shiftwork.steps import accelerate

    return accelerate(Program.load(net), board, clock_mhz=clock_mhz, **size)
