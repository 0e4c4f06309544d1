"""The command line. Results go to stdout, progress and errors to stderr."""

import importlib.metadata
import importlib.resources
import json
import math
import shlex
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console, RenderableType
from rich.table import Table

if TYPE_CHECKING:
    from shiftwork.bench import Outcome
    from shiftwork.boards.accelerator import Accelerator
    from shiftwork.build import Built, Job
    from shiftwork.workspace import Progress

app = typer.Typer(
    help="Turns a trained neural network into a shift-only int8 accelerator for small FPGAs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

bench_app = typer.Typer(help="Reproduce published benchmarks.", no_args_is_help=True)
app.add_typer(bench_app, name="bench")

Model = Annotated[Path, typer.Argument(help="Trained network, ONNX or TFLite.", show_default=False)]
Net = Annotated[
    Path, typer.Argument(help="Quantized network, from 'shiftwork quantize'.", show_default=False)
]
Inputs = Annotated[
    Path, typer.Argument(help="Inputs: .npz with the array 'x', or .npy.", show_default=False)
]
Calibration = Annotated[
    Path,
    typer.Option(help="Inputs that set the scales: .npz with 'x', or .npy.", show_default=False),
]
Test = Annotated[
    Path | None,
    typer.Option(help="Inputs 'x' with labels 'y' (.npz): the accuracy is measured on them."),
]
BOARD_HELP = "Board; 'shiftwork boards' lists them."
BoardName = Annotated[str | None, typer.Option("--board", help=BOARD_HELP)]
TargetBoard = Annotated[str, typer.Option("--board", help=BOARD_HELP)]
Rows = Annotated[int | None, typer.Option(min=1, help="Output pixels computed at once.")]
Columns = Annotated[int | None, typer.Option(min=1, help="Output channels computed at once.")]
Elements = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Choose an array of at most so many processing elements; default: what the board "
        "is known to hold.",
    ),
]
LatencyUs = Annotated[
    float | None,
    typer.Option(
        "--latency-us",
        help="Choose the smallest array that takes no longer at the clock, in microseconds.",
    ),
]
DEMO_CLOCK_MHZ = 30.0
"""Below the boards' own clocks, so that the first start of the placer nearly always meets it."""

Seeds = Annotated[
    int | None,
    typer.Option(
        min=1, help="Starts of the placer, the best kept; default: up to 4, until the clock is met."
    ),
]
Clock = Annotated[float | None, typer.Option(help="Clock to reach in MHz; default: the board's.")]
Folder = Annotated[Path, typer.Option("-o", "--output", help="Folder for the results.")]
Scales = Annotated[
    Literal["mse", "max"], typer.Option(help="Scales by least squared error, or by maximum.")
]
PerTensor = Annotated[
    bool, typer.Option("--per-tensor", help="One weight scale a layer, not one a channel.")
]
Activations = Annotated[
    Literal["unsigned", "signed"],
    typer.Option(help="What is never negative is stored as 0..255, or as 0..127 (signed)."),
]
Headroom = Annotated[
    float,
    typer.Option(
        min=1.0,
        help="How much larger than in the calibration data activations may become; 2 for samples "
        "that are few or much alike.",
    ),
]
Equalize = Annotated[
    bool,
    typer.Option(
        "--equalize/--no-equalize", help="Scale the channels of a tensor toward a common range."
    ),
]
Rounding = Annotated[
    Literal["compensated", "nearest"],
    typer.Option(help="Round the weights of a row together, or each on its own (fast)."),
]
Engine = Annotated[
    Literal["verilator", "icarus", "amaranth", "netlist", "golden"],
    typer.Option(help="Simulator; netlist: what Yosys makes for the board, outputs only."),
]
BuildEngine = Annotated[
    Literal["verilator", "icarus", "amaranth", "golden"], typer.Option(help="Simulator.")
]
Verify = Annotated[
    Literal["netlist"] | None,
    typer.Option(help="Simulate the netlist of the routed design too; a difference fails."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


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
    as_json: AsJson = False,
) -> None:
    """Quantize a trained network to int8 and measure what that costs."""
    from shiftwork.quant.calibration import read_samples
    from shiftwork.quant.importer import load
    from shiftwork.quant.quantizer import QuantizerOptions
    from shiftwork.quant.quantizer import quantize as quantize_graph
    from shiftwork.steps import evaluate_on

    progress = _progress()
    graph = load(model)
    progress(f"read {model}: {len(graph.nodes)} nodes, {graph.macs:,} multiply-accumulates")
    samples = read_samples(calibration)
    options = QuantizerOptions(
        **_quantizer_options(scales, per_tensor, activations, headroom, equalize, rounding)
    )
    program = quantize_graph(graph, samples.x, options, progress=progress)
    progress(f"quantized with {len(samples.x)} samples")
    record = evaluate_on(graph, program, test or calibration)
    program.save(output)
    _show(record | {"program": str(output)}, as_json, _quality_table(record), f"wrote {output}")


@app.command()
def generate(
    net: Net,
    output: Folder,
    board: BoardName = None,
    rows: Rows = None,
    columns: Columns = None,
    elements: Elements = None,
    latency_us: LatencyUs = None,
    as_json: AsJson = False,
) -> None:
    """Generate the accelerator: Verilog, ROM images and manifest.json.

    Weights that exceed the block RAM of a UP5K are in flash.bin, for the board's SPI flash at
    1 MiB: write it with "iceprog -o 1M flash.bin".
    """
    size = _size(rows, columns, elements, latency_us)
    from shiftwork.steps import describe, summary
    from shiftwork.steps import generate as write_files
    from shiftwork.workspace import Workspace

    progress = _progress()
    with Workspace(output, progress=progress) as workspace:
        accelerator = _accelerator(net, board, size)
        progress(f"generating the Verilog: {describe(accelerator)}")
        workspace.publish(lambda folder: write_files(accelerator, folder, progress=progress))
    record = summary(accelerator, output / "core.v")
    _show(record, as_json, _facts("accelerator", record))


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
    size = _size(rows, columns, elements, latency_us)
    from shiftwork.quant.calibration import read_samples
    from shiftwork.sim.executor import simulate as simulate_accelerator
    from shiftwork.steps import check, describe, simulation_record

    progress = _progress()
    samples = read_samples(inputs)
    accelerator = _accelerator(net, board, size)
    how = "the netlist, which is made first" if engine == "netlist" else engine
    progress(f"simulating with {how}: {describe(accelerator)}")
    result = simulate_accelerator(
        accelerator, samples.x, engine=engine, limit=limit, seed=seed, waves=waves
    )
    record = simulation_record(result)
    _show(record, as_json, _facts("simulation", record))
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
    size = _size(rows, columns, elements, latency_us)
    from shiftwork.boards.synthesis import synthesize

    report = synthesize(
        _accelerator(net, board, size, clock_mhz=clock),
        board=board,
        seeds=seeds,
        folder=output,
        clock_mhz=clock,
        progress=_progress(),
    )
    _show(report.as_dict(), as_json, *_report_tables(report), f"wrote {output / 'report.json'}")


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
    engine: BuildEngine = "verilator",
    limit: Annotated[int, typer.Option(min=1, help="Inputs to simulate.")] = 20,
    seeds: Seeds = None,
    clock: Clock = None,
    verify: Verify = None,
    as_json: AsJson = False,
) -> None:
    """All steps in order, with a report page; what has not changed is reused."""
    size = _size(rows, columns, elements, latency_us)
    from shiftwork.build import Job
    from shiftwork.build import build as build_all

    job = Job(
        model=model,
        calibration=calibration,
        test=test,
        board=board,
        **size,
        options=_quantizer_options(scales, per_tensor, activations, headroom, equalize, rounding),
        images=limit,
        engine=engine,
        seeds=seeds,
        clock_mhz=clock,
        verify=verify,
    )
    built = build_all(job, output, progress=_progress())
    _show(built.as_dict(), as_json, *_report_tables(built.report), _closing(built))


@app.command()
def boards(as_json: AsJson = False) -> None:
    """List the supported boards."""
    from shiftwork.boards.registry import BOARDS

    table = _table("boards", "name", "board", "LUT", "block RAM", "products", "PEs", "clock")
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
    _show({"boards": [asdict(board) for board in BOARDS]}, as_json, table)


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
        built = build_all(job, output, progress=_progress())
    _show(built.as_dict(), as_json, _demo_table(built, job), _closing(built))


@bench_app.command()
def mlperf_tiny(
    files: Annotated[
        Path,
        typer.Option(
            help="Folder that holds models/mlperf_tiny, data/kws, data/cifar10 and "
            "data/mlperf_tiny_golden.",
            show_default=False,
        ),
    ],
    output: Folder = Path("shiftwork-bench"),
    networks: Annotated[
        str | None, typer.Option(help="Of kws,ic,vww,ad; default: all of them.")
    ] = None,
    board: BoardName = None,
    route: Annotated[bool, typer.Option(help="Place and route, or stop at the cycles.")] = True,
    seeds: Seeds = None,
    markdown: Annotated[
        Path | None, typer.Option(help="Write the tables to this file too.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure the four MLPerf Tiny networks: accuracy, cycles, clock and latency.

    The tables go to mlperf_tiny.md and mlperf_tiny.json in the output folder, where quantized
    networks and routed designs are kept for the next run.
    """
    from shiftwork import bench
    from shiftwork.bench_page import MARKDOWN, write

    outcome = bench.run(
        files,
        output,
        networks=bench.select(networks),
        board=board,
        route=route,
        seeds=seeds,
        progress=_progress(),
    )
    options = {"--files": files, "-o": output, "--networks": networks, "--board": board}
    record = write(outcome, output, options | {"--seeds": seeds}, route=route, also=markdown)
    _show(record, as_json, *_benchmark_tables(outcome), f"wrote {output / MARKDOWN}")
    outcome.check()


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
    found = run(output, networks=networks, seed=seed, progress=_progress())
    failures = sum(len(batch.failures) for batch in found.batches)
    record = {"networks": found.networks, "differences": failures, "folder": str(output)}
    _show(record, as_json, _facts("random networks", record))
    if failures:
        raise MismatchError(
            f"{failures} of {found.networks} random networks differ; they are in {output}"
        )


@bench_app.command()
def estimates(
    output: Folder = Path("shiftwork-bench-estimates"),
    files: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the MLPerf Tiny files; without it their designs are left out.",
            show_default=False,
        ),
    ] = None,
    board: BoardName = None,
    route: Annotated[bool, typer.Option(help="Place and route, or count the netlist.")] = True,
    seeds: Annotated[int, typer.Option(min=1, help="Starts of the placer.")] = 1,
    publish: Annotated[
        Path | None,
        typer.Option(
            help="Root of the project: fit anew, and write its docs and tests' data.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare the estimates of area and clock with synthesis, place and route."""
    if publish is not None and board is not None:
        raise typer.BadParameter("--publish needs the designs of all boards: leave out --board")
    from shiftwork import bench_estimates as bench
    from shiftwork import bench_estimates_page as page

    outcome = bench.run(
        output,
        files=files,
        board=board,
        route=route,
        seeds=seeds,
        clocks=page.known_clocks(publish / page.STORE_FILE) if publish and not route else {},
        progress=_progress(),
    )
    options = {"--files": files, "-o": output, "--board": board, "--seeds": seeds}
    given = [
        str(part)
        for option, value in (options | {"--publish": publish}).items()
        if value is not None
        for part in (option, value)
    ]
    command = ["shiftwork", "bench", "estimates", *given, *([] if route else ["--no-route"])]
    record = page.write(outcome, output, command=shlex.join(command), publish=publish)
    table = _table("errors", *page.SUMMARY)
    for row in record["errors"]:
        table.add_row(*row.values())
    _show(record, as_json, table, f"wrote {output / page.MARKDOWN}")


def _accelerator(
    net: Path, board: str | None, size: dict[str, Any], *, clock_mhz: float | None = None
) -> "Accelerator":
    from shiftwork.quant.program import Program
    from shiftwork.steps import accelerate

    return accelerate(Program.load(net), board, clock_mhz=clock_mhz, **size)


def _size(
    rows: int | None, columns: int | None, elements: int | None, latency_us: float | None
) -> dict[str, Any]:
    """What decides the array's size, as keyword arguments."""
    if (rows is None) != (columns is None):
        raise typer.BadParameter("--rows and --columns must be given together")
    if rows is not None and not (elements is None and latency_us is None):
        raise typer.BadParameter(
            "--elements and --latency-us choose the array: leave out --rows and --columns"
        )
    return {"rows": rows, "columns": columns, "elements": elements, "latency_us": latency_us}


def _quantizer_options(
    scales: str,
    per_tensor: bool,
    activations: str,
    headroom: float,
    equalize: bool,
    rounding: str,
) -> dict[str, Any]:
    return {
        "scales": scales,
        "per_channel": not per_tensor,
        "activations": activations,
        "headroom": headroom,
        "equalization": equalize,
        "rounding": rounding,
    }


def _progress() -> "Progress":
    console, start = Console(stderr=True, highlight=False, markup=False), time.monotonic()

    def show(message: str) -> None:
        console.print(f"{time.monotonic() - start:6.1f} s  {message}", style="dim", soft_wrap=True)

    return show


def _show(record: dict[str, Any], as_json: bool, *views: RenderableType) -> None:
    if as_json:
        typer.echo(json.dumps(_finite(record), indent=2))
        return
    console = Console()
    for view in views:
        console.print(view, soft_wrap=isinstance(view, str))


def _finite(value: Any) -> Any:
    """JSON has no infinity and no NaN: they become null."""
    match value:
        case dict():
            return {key: _finite(item) for key, item in value.items()}
        case list() | tuple():
            return [_finite(item) for item in value]
        case float() if not math.isfinite(value):
            return None
        case _:
            return value


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right")
    return table


def _facts(title: str, record: dict[str, Any]) -> Table:
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column("what")
    table.add_column("value", justify="right", overflow="fold")
    for key, value in record.items():
        table.add_row(key.replace("_", " "), _fact(value))
    return table


def _fact(value: Any) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return str(value)
        case int():
            return f"{value:,}"
        case float():
            return f"{value:,.3f}"
        case _:
            return str(value)


def _percent(value: float | None) -> str:
    return "no labels" if value is None else f"{value:.2f} %"


def _quality_table(record: dict[str, Any]) -> Table:
    title = (
        f"accuracy: float {_percent(record['accuracy_float'])}, "
        f"int8 {_percent(record['accuracy_int8'])}, same answer {_percent(record['agreement'])} "
        f"({record['samples']:,} samples of {Path(record['evaluated_on']).name})"
    )
    table = _table(title, "layer", "op", "SQNR", "shifts", "accumulator")
    for layer in record["layers"]:
        sqnr, least = layer["sqnr_db"], layer["shift_min"]
        table.add_row(
            layer["name"],
            layer["op"],
            "exact" if sqnr is None else f"{sqnr:.1f} dB",
            "" if least is None else f"{least} to {layer['shift_max']}",
            "" if layer["accumulator_bits"] is None else f"{layer['accumulator_bits']} bit",
        )
    return table


def _report_tables(report: Any) -> tuple[Table, ...]:
    from shiftwork.boards.report import block_table, resource_table, timing_table

    return resource_table(report), block_table(report), timing_table(report)


def _benchmark_tables(outcome: "Outcome") -> tuple[Table, ...]:
    from shiftwork.bench_page import hardware_cells, quality_cells

    quality = _table("int8 against float", "network", "measure", "")
    for cells in quality_cells(outcome):
        quality.add_row(*cells)
    hardware = _table("hardware", "network", "board", "array", "cycles", "Fmax", "latency")
    for cells in hardware_cells(outcome):
        hardware.add_row(*cells)
    return quality, hardware


def _closing(built: "Built") -> str:
    return f"report page: {built.page.resolve()}"


def _demo_table(built: "Built", job: "Job") -> Table:
    from shiftwork.boards.report import LABELS

    report, quality, simulation = built.report, built.evaluation, built.simulation
    table = Table(title=f"a digit reader on {report.title}", title_justify="left")
    table.add_column("question")
    table.add_column("answer")
    shares = ", ".join(f"{LABELS[n]} {r.percent:.0f} %" for n, r in report.resources.items())
    rows = {
        "How often is the trained network right?": _percent(quality["accuracy_float"])
        + f" of {quality['samples']} images",
        "And as 8-bit hardware?": _percent(quality["accuracy_int8"]),
        "Does the hardware compute what it should?": f"yes: {simulation['inputs']} images "
        f"simulated in {job.engine}, every value of every layer equal",
        "Does it fit the FPGA?": f"yes: {shares}",
        "How fast can its clock be?": f"{report.fmax_mhz:.1f} MHz "
        f"({report.target_mhz:g} MHz are needed)",
        "How long does one image take?": f"{report.latency_us / 1000:.2f} ms "
        f"({report.cycles:,} clock cycles)",
        "How many images a second?": f"{report.inferences_per_second:,.0f}",
    }
    for question, answer in rows.items():
        table.add_row(question, answer)
    return table
