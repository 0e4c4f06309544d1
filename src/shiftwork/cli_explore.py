"""The command ``explore``."""

import itertools
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from shiftwork.cli_options import AsJson, Folder, Test
from shiftwork.cli_views import new_table, progress_bar, progress_printer, show_result

if TYPE_CHECKING:
    from rich.console import RenderableType

    from shiftwork.explore import Exploration
    from shiftwork.explore_points import Clock
    from shiftwork.explore_synthesis import Synthesized
    from shiftwork.quant.options import QuantizerOptions

ROWS_SHOWN = 30


def explore(
    network: Annotated[
        Path,
        typer.Argument(
            help="Trained network (ONNX, TFLite), or a quantized one (.npz).", show_default=False
        ),
    ],
    output: Folder,
    calibration: Annotated[
        Path | None,
        typer.Option(help="Inputs that set a trained network's scales.", show_default=False),
    ] = None,
    test: Test = None,
    boards: Annotated[
        str | None, typer.Option(help="Names with commas between them; default: all boards.")
    ] = None,
    rows: Annotated[str | None, typer.Option(help="Output pixels at once, such as 1,2,4.")] = None,
    columns: Annotated[
        str | None, typer.Option(help="Output channels at once, such as 8,16.")
    ] = None,
    clocks: Annotated[
        str,
        typer.Option(
            help="MHz, or 'board' (the board's own clock), or 'max' (what is estimated); such as "
            "24,board,max."
        ),
    ] = "max",
    weights: Annotated[
        str | None,
        typer.Option(help="Of int8,int4,shared16,pow2; default: int8.", show_default=False),
    ] = None,
    scales: Annotated[
        str | None,
        typer.Option(help="Of mse,max,percentile,kl; default: mse.", show_default=False),
    ] = None,
    activations: Annotated[
        str | None,
        typer.Option(help="Of unsigned,signed; default: unsigned.", show_default=False),
    ] = None,
    area: Annotated[
        Literal["lut", "share"],
        typer.Option(help="The front wants few lookup tables, or a small share of the board's."),
    ] = "lut",
    quality: Annotated[
        Literal["accuracy", "sqnr"] | None,
        typer.Option(
            help="What the front wants of a quantization: right answers, or outputs with little "
            "noise; default: accuracy if there are labels."
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Local processes; default: as many as save time."),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            help="Run on a Dask cluster: its scheduler's address, such as tcp://host:8786.",
            show_default=False,
        ),
    ] = None,
    synthesize: Annotated[
        str | None,
        typer.Option(
            help="Synthesize the first N points of the front, or 'front' (20 at most).",
            show_default=False,
        ),
    ] = None,
    route: Annotated[
        bool, typer.Option(help="Place and route what is synthesized, or count the netlist.")
    ] = True,
    seeds: Annotated[int, typer.Option(min=1, help="Starts of the placer.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Sweep boards, arrays, clocks and quantizations; synthesize the Pareto front.

    Everything is estimated in seconds. The picture and the tables go to explore.html, all points to
    explore.json. What is done is kept in the output folder: a rerun goes on where it stopped.
    """
    from shiftwork.boards.registry import BOARDS, find
    from shiftwork.explore import Sweep
    from shiftwork.explore import explore as run
    from shiftwork.explore_page import PAGE, write
    from shiftwork.explore_synthesis import synthesize_front

    most = _most(synthesize)
    sweep = Sweep(
        network=network,
        calibration=calibration,
        test=test,
        options=_quantizations(network, weights, scales, activations),
        boards=BOARDS if boards is None else tuple(find(name) for name in _names(boards)),
        rows=_numbers("--rows", rows),
        columns=_numbers("--columns", columns),
        clocks=tuple(_clock(text) for text in _names(clocks)),
        area=area,
        quality=quality,
    )
    progress = progress_printer()
    with progress_bar("estimating") as advance:
        found = run(
            sweep,
            output,
            processes=jobs,
            scheduler=scheduler,
            progress=progress,
            advance=advance,
        )
    results = synthesize_front(
        found, output, most=most, route=route, seeds=seeds, progress=progress
    )
    given = {
        "--calibration": calibration,
        "--test": test,
        "--boards": boards,
        "--rows": rows,
        "--columns": columns,
        "--clocks": clocks,
        "--weights": weights,
        "--scales": scales,
        "--activations": activations,
        "--area": area,
        "--quality": quality,
        "--synthesize": synthesize,
        "-o": output,
    }
    command = _command(network, given, route=route, seeds=seeds)
    record = write(found, results, output, command=command)
    page = output / PAGE
    show_result(
        record | {"page": str(page)},
        as_json,
        *_views(found, results),
        f"report page: {page.resolve()}",
    )


def _most(synthesize: str | None) -> int:
    """How many points are to be synthesized."""
    from shiftwork.explore_synthesis import MOST

    if synthesize is None:
        return 0
    if synthesize == "front":
        return MOST
    if not synthesize.isdecimal():
        raise typer.BadParameter(f"--synthesize must be a number or 'front', not '{synthesize}'")
    return int(synthesize)


def _names(text: str) -> list[str]:
    """The parts of a list with commas, each once."""
    return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _numbers(option: str, text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    names = _names(text)
    wrong = [name for name in names if not name.isdecimal() or int(name) < 1]
    if wrong or not names:
        raise typer.BadParameter(
            f"{option} must be numbers from 1 with commas between them, not '{text}'"
        )
    return tuple(map(int, names))


def _clock(text: str) -> "Clock":
    if text == "board":
        return "board"
    if text == "max":
        return "max"
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(
            f"--clocks must be numbers of MHz, 'board' or 'max', not '{text}'"
        ) from None


def _quantizations(
    network: Path, weights: str | None, scales: str | None, activations: str | None
) -> "dict[str, QuantizerOptions]":
    """How to quantize, by a name of what is not as by default; nothing for a quantized network."""
    from shiftwork.quant.options import QuantizerOptions

    given = {"weights": weights, "scales": scales, "activations": activations}
    if network.suffix == ".npz":
        named = [f"--{name}" for name, text in given.items() if text is not None]
        if named:
            raise typer.BadParameter(
                f"{network} is quantized already: leave out {' and '.join(named)}, or give the "
                "trained network"
            )
        return {}
    default = QuantizerOptions()
    choices = [_names(text) if text else [getattr(default, name)] for name, text in given.items()]
    found = {}
    for chosen in itertools.product(*choices):
        values: dict[str, Any] = dict(zip(given, chosen, strict=True))
        told = [v for name, v in values.items() if name == "weights" or given[name] is not None]
        found[" ".join(told)] = QuantizerOptions(**values)
    return found


def _command(network: Path, given: dict[str, Any], *, route: bool, seeds: int) -> str:
    """The command line that repeats it; where it ran makes no difference."""
    parts = [str(part) for pair in given.items() if pair[1] is not None for part in pair]
    if given["--synthesize"] is not None:
        parts += ["--seeds", str(seeds)] if route else ["--no-route"]
    return shlex.join(["shiftwork", "explore", str(network), *parts])


def _views(found: "Exploration", results: "Sequence[Synthesized]") -> "Iterator[RenderableType]":
    from shiftwork import explore_views as views

    rows = views.short_cells(found)
    title = f"the Pareto front, {len(found.front):,} of {len(found.points):,} points"
    table = new_table(f"{found.network}: {title}", *views.short_columns(found))
    for row in rows[:ROWS_SHOWN]:
        table.add_row(*row)
    yield table
    if len(rows) > ROWS_SHOWN:
        yield f"and {len(rows) - ROWS_SHOWN:,} more rows, on the page"
    boards = new_table("board by board", *views.BOARDS)
    for row in views.board_cells(found):
        boards.add_row(*row)
    yield boards
    if len(found.quantized) > 1:
        quality = new_table("quantizations", *views.QUANTIZATIONS)
        for row in views.quantization_cells(found):
            quality.add_row(*row)
        yield quality
    if results:
        synthesized = new_table("synthesized, beside the estimates", *views.SYNTHESIS)
        for row in views.synthesis_cells(found, results):
            synthesized.add_row(*row)
        yield synthesized
