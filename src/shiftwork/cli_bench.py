"""The commands ``shiftwork bench ...``."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from shiftwork.cli_options import (
    AsJson,
    BoardName,
    Folder,
    Seeds,
)
from shiftwork.cli_views import (
    benchmark_tables,
    new_table,
    progress_printer,
    show_result,
)

bench_app = typer.Typer(help="Reproduce published benchmarks.", no_args_is_help=True)


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
        progress=progress_printer(),
    )
    options = {"--files": files, "-o": output, "--networks": networks, "--board": board}
    record = write(outcome, output, options | {"--seeds": seeds}, route=route, also=markdown)
    show_result(record, as_json, *benchmark_tables(outcome), f"wrote {output / MARKDOWN}")
    outcome.check()


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
        progress=progress_printer(),
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
    table = new_table("errors", *page.SUMMARY)
    for row in record["errors"]:
        table.add_row(*row.values())
    show_result(record, as_json, table, f"wrote {output / page.MARKDOWN}")


@bench_app.command()
def boards(
    output: Folder = Path("shiftwork-bench-boards"),
    only: Annotated[
        str | None,
        typer.Option("--boards", help="Names with commas between them; default: all boards."),
    ] = None,
    seeds: Seeds = None,
    as_json: AsJson = False,
) -> None:
    """Make the bitstream of the bundled convolutional network for every board.

    The table goes to boards.md and boards.json in the output folder, where routed designs are kept
    for the next run.
    """
    from shiftwork import bench_boards as bench

    results = bench.run(output, boards=bench.select(only), seeds=seeds, progress=progress_printer())
    options = {"-o": output, "--boards": only, "--seeds": seeds}
    given = [str(part) for pair in options.items() if pair[1] is not None for part in pair]
    command = shlex.join(["shiftwork", "bench", "boards", *given])
    record = dict(bench.write(results, output, command=command))
    table = new_table("bitstreams", *bench.COLUMNS)
    for row in bench.cells(results):
        table.add_row(*row)
    show_result(record, as_json, table, f"wrote {output / bench.MARKDOWN}")


@bench_app.command()
def compression(
    files: Annotated[
        Path,
        typer.Option(
            help="Folder of the MLPerf Tiny files, as for mlperf-tiny, and data/mnist.",
            show_default=False,
        ),
    ],
    output: Folder = Path("shiftwork-compression"),
    networks: Annotated[
        str | None,
        typer.Option(help="Of kws,ic,vww,ad,mnist-mlp,mnist-cnn; default: all of them."),
    ] = None,
    route: Annotated[
        bool, typer.Option("--route", help="Place and route each design too.")
    ] = False,
    seeds: Annotated[
        int, typer.Option(min=1, help="Starts of the placer, with --route; the best counts.")
    ] = 1,
    markdown: Annotated[
        Path | None, typer.Option(help="Write the tables to this file too.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare weights of 8 bits with those of 4: int4, 16 shared values, powers of two.

    Accuracy, sizes and what the accelerators take go to compression.md and compression.json in the
    output folder, where quantized networks are kept for the next run, and routed designs.
    """
    from shiftwork import bench_compression as bench
    from shiftwork import bench_compression_page as page

    chosen = bench.select(networks, bench.subjects())
    starts = seeds if route else 0
    results = bench.run(files, output, chosen=chosen, seeds=starts, progress=progress_printer())
    given = ["--files", str(files), "-o", str(output)]
    given += ["--networks", networks] if networks else []
    given += ["--route", "--seeds", str(seeds)] if route else []
    command = shlex.join(["shiftwork", "bench", "compression", *given])
    record = page.write(results, output, command=command, also=markdown)
    views = []
    for title, columns, cells in (
        ("what is left of the network", page.QUALITY, page.quality_cells(results)),
        ("what the weights take, in bytes", page.SIZES, page.size_cells(results)),
        ("what the hardware takes", page.HARDWARE, page.hardware_cells(results)),
        ("placed and routed", page.ROUTED, page.routed_cells(results)),
    ):
        if not cells:
            continue
        table = new_table(title, *columns)
        for row in cells:
            table.add_row(*row)
        views.append(table)
    show_result(record, as_json, *views, f"wrote {output / page.MARKDOWN}")


@bench_app.command()
def recipes(
    files: Annotated[
        Path,
        typer.Option(
            help="Folder of the MLPerf Tiny files, as for mlperf-tiny.", show_default=False
        ),
    ],
    output: Folder = Path("shiftwork-recipes"),
    networks: Annotated[
        str | None, typer.Option(help="Of kws,ic,vww,ad; default: all of them.")
    ] = None,
    draws: Annotated[int, typer.Option(min=1, help="Of calibration samples.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Measure what each part of the quantizer's recipe is worth, beside TFLite's int8 files.

    The table goes to recipes.md and recipes.json in the output folder, where results are kept for
    the next run. It needs the package ai-edge-litert.
    """
    from shiftwork import bench, bench_recipes
    from shiftwork import bench_recipes_page as page

    results = bench_recipes.run(
        files,
        output,
        networks=bench.select(networks),
        draws=draws,
        progress=progress_printer(),
    )
    given = ["--files", str(files), "-o", str(output), "--draws", str(draws)]
    given += ["--networks", networks] if networks else []
    command = shlex.join(["shiftwork", "bench", "recipes", *given])
    record = page.write(results, output, command=command)
    table = new_table("medians over the draws", *page.columns(results))
    for row in page.cells(results):
        table.add_row(*row)
    show_result(record, as_json, table, f"wrote {output / page.MARKDOWN}")
