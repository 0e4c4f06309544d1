"""How commands print: results as tables or JSON on stdout, progress on stderr."""

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:
    from shiftwork.bench import Outcome
    from shiftwork.build import Built, Job
    from shiftwork.workspace import Progress as Tell


def progress_printer() -> "Tell":
    """A function that prints a message and the seconds since now to stderr."""
    console, start = Console(stderr=True, highlight=False, markup=False), time.monotonic()

    def show(message: str) -> None:
        console.print(f"{time.monotonic() - start:6.1f} s  {message}", style="dim", soft_wrap=True)

    return show


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[str, int, int], None]]:
    """A bar on stderr, gone at the end; it is told what is done, how much, and of how much.

    It is there from the first time that it is told something, and only on a terminal.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[what]}", markup=False),
    )
    console = Console(stderr=True)
    progress = Progress(*columns, console=console, transient=True)
    task = progress.add_task(title, what="")

    def advance(what: str, done: int, total: int) -> None:
        if console.is_terminal:
            progress.start()
            progress.update(task, completed=done, total=total, what=what)

    try:
        yield advance
    finally:
        if console.is_terminal:
            progress.stop()


def show_result(
    record: dict[str, Any],
    as_json: bool,
    *views: RenderableType,
    following: str | None = None,
) -> None:
    """Prints a command's result: the record as JSON, or the views of it.

    Args:
        record: JSON values.
        as_json: print the record and nothing else.
        views: for people.
        following: the command to run next, as the record's "next" or in the last line.
    """
    if as_json:
        next_key = {} if following is None else {"next": following}
        typer.echo(json.dumps(finite(record | next_key), indent=2))
        return
    console = Console()
    for view in views if following is None else (*views, f"next: {following}"):
        text = isinstance(view, str)
        console.print(view, soft_wrap=text, markup=not text, highlight=not text)


def finite(value: Any) -> Any:
    """JSON has no infinity and no NaN: they become null."""
    match value:
        case dict():
            return {key: finite(item) for key, item in value.items()}
        case list() | tuple():
            return [finite(item) for item in value]
        case float() if not math.isfinite(value):
            return None
        case _:
            return value


def new_table(title: str, *columns: str) -> Table:
    """A table, all columns but the first aligned to the right."""
    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right")
    return table


def facts_table(title: str, record: dict[str, Any]) -> Table:
    """A table of names and values."""
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


def percent(value: float | None) -> str:
    """An accuracy in words."""
    return "no labels" if value is None else f"{value:.2f} %"


def quality_table(record: dict[str, Any], weights: str = "int8") -> Table:
    """What quantization cost, layer by layer; ``weights`` as of the option of that name."""
    title = (
        f"accuracy: float {percent(record['accuracy_float'])}, "
        f"{weights} {percent(record['accuracy_int8'])}, same answer {percent(record['agreement'])} "
        f"({record['samples']:,} samples of {Path(record['evaluated_on']).name})"
    )
    if record.get("unclassified") is not None:
        title += f"; below the threshold, so without a class: {percent(record['unclassified'])}"
    table = new_table(title, "layer", "op", "SQNR", "shifts", "accumulator")
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


def ends_lines(record: dict[str, Any]) -> list[str]:
    """What is done on the chip before and after the network; nothing if that is nothing."""
    lines = []
    if "raw_input" in record:
        raw = record["raw_input"]
        scale, offset = (", ".join(f"{v:g}" for v in raw[key]) for key in ("scale", "offset"))
        lines.append(f"input: {raw['dtype']} bytes as they are, real = byte * {scale} + {offset}")
        if record["input_border"]:
            lines.append(f"border: {record['input_border']}")
    if "answer_bytes" in record:
        lines.append(
            f"output: class and score, {record['answer_bytes']} bytes instead of "
            f"{record['all_scores_bytes']}"
        )
    if "threshold" in record:
        least = record["threshold"]
        lines.append(f"threshold: a score of {least['integer']}, which is {least['real']:g}")
    if record.get("probabilities") is not None:
        off, power = record["probabilities"], record["softmax"]["power"]
        lines.append(
            f"output: a byte for each class; its power of {power} over the sum of all is the "
            f"probability, {off['mean']:.2g} % off in the mean and {off['greatest']:.2g} % at most"
        )
    return lines


def report_tables(report: Any) -> tuple[Table, ...]:
    """Resources, blocks and timing of a routed design."""
    from shiftwork.boards.report import block_table, resource_table, timing_table

    return resource_table(report), block_table(report), timing_table(report)


def benchmark_tables(outcome: "Outcome") -> tuple[Table, ...]:
    """Quality and hardware of a benchmark."""
    from shiftwork.bench_page import hardware_cells, quality_cells

    quality = new_table("int8 against float", "network", "measure", "")
    for cells in quality_cells(outcome):
        quality.add_row(*cells)
    hardware = new_table("hardware", "network", "board", "array", "cycles", "Fmax", "latency")
    for cells in hardware_cells(outcome):
        hardware.add_row(*cells)
    return quality, hardware


def closing(built: "Built") -> str:
    """Where the report page is."""
    return f"report page: {built.page.resolve()}"


def demo_table(built: "Built", job: "Job") -> Table:
    """The demonstration's result in questions and answers."""
    from shiftwork.boards.report import LABELS

    report, quality, simulation = built.report, built.evaluation, built.simulation
    table = Table(title=f"a digit reader on {report.title}", title_justify="left")
    table.add_column("question")
    table.add_column("answer")
    shares = ", ".join(f"{LABELS[n]} {r.percent:.0f} %" for n, r in report.resources.items())
    rows = {
        "How often is the trained network right?": percent(quality["accuracy_float"])
        + f" of {quality['samples']} images",
        "And as 8-bit hardware?": percent(quality["accuracy_int8"]),
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
