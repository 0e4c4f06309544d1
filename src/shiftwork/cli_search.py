"""What ``shiftwork quantize --search`` adds to ``quantize``: its bounds, its trials, its tables."""

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from shiftwork.cli_views import new_table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from shiftwork.quant.calibration import Samples
    from shiftwork.quant.graph import Graph
    from shiftwork.quant.options import QuantizerOptions
    from shiftwork.quant.program import Program
    from shiftwork.quant.raw_input import RawInput
    from shiftwork.quant.search import Found
    from shiftwork.workspace import Progress

FLAGS = {"min_sqnr_db": "--min-sqnr"}


def check_search_options(search: bool, *, wide: bool, **given: Any) -> None:
    """Refuses options of a search where there is none, and what a search finds out by itself."""
    if search and wide:
        raise typer.BadParameter(
            "--search finds out by itself which layers need 16 bits: leave out --wide and "
            "--wide-activations, or --search"
        )
    for name, value in given.items():
        if value is not None and not search:
            flag = FLAGS.get(name, f"--{name.replace('_', '-')}")
            raise typer.BadParameter(f"{flag} is for a search: add --search")


def names_of(text: str | None) -> tuple[str, ...]:
    """The names in a list that is divided by commas."""
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


def search_program(
    graph: "Graph",
    samples: "Samples",
    bounds: dict[str, Any],
    base: "QuantizerOptions",
    *,
    raw_input: "RawInput | None",
    validate: Path | None,
    trials: Path | None,
    progress: "Progress",
) -> "tuple[Program, dict[str, Any], list[RenderableType]]":
    """The program that a search chose, the search as JSON values, and its tables."""
    from shiftwork.quant.calibration import read_samples
    from shiftwork.quant.quantizer import quantize
    from shiftwork.quant.search_bounds import Bounds
    from shiftwork.search import of_bytes, search, split

    parts = split(samples, None if validate is None else read_samples(validate))
    progress(
        f"searching: {len(parts.calibration)} samples calibrate, {len(parts.validation.x)} others "
        "are measured on"
    )
    kept = Bounds(**bounds)
    tried = (graph, parts) if raw_input is None else of_bytes(graph, parts, raw_input)
    with ExitStack() as stack:
        folder = trials or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        found, program = search(*tried, kept, folder, base=base, progress=progress)
    if raw_input is not None:
        options = found.choice.options
        program = quantize(graph, parts.calibration, options, raw_input=raw_input)
    return program, {"search": _record(found, kept)}, [*_views(found, base)]


def _record(found: "Found", bounds: Any) -> dict[str, Any]:
    from dataclasses import asdict

    from shiftwork.quant.search import as_record

    return {
        "bounds": asdict(bounds),
        "reason": found.reason,
        "choice": as_record(found.choice),
        "gains": [asdict(gain) for gain in found.gains],
        "trials": [as_record(trial) for trial in found.trials],
    }


def _views(found: "Found", base: "QuantizerOptions") -> "list[RenderableType]":
    from shiftwork.quant.search import described, difference

    title = f"recipes tried, measured on {found.choice.quality.samples:,} samples"
    tried = new_table(title, "recipe", "bytes", "SQNR", "loss", "as float", "time")
    for trial in found.trials:
        quality = trial.quality
        tried.add_row(
            difference(trial.options, base) + (" <-" if trial is found.choice else ""),
            f"{trial.weight_bytes:,}",
            f"{quality.sqnr_db:.1f} dB",
            f"{quality.loss:.2f}",
            f"{quality.agreement:.2f} %",
            f"{trial.seconds:.1f} s",
        )
    gained = new_table("what each pass is worth in the recipe chosen", "pass", "instead of", "gain")
    for gain in found.gains:
        words = (described(gain.name, value) for value in (gain.value, gain.other))
        gained.add_row(*words, f"{gain.gain_db:+.1f} dB")
    chosen = f"chosen: {difference(found.choice.options, base)}; {found.reason}"
    options = found.choice.options
    named = {
        "sums": options.sums,
        "weights of 16 bits": options.wide,
        "outputs of 16 bits": options.wide_activations,
    }
    lines = [f"{what} in: {', '.join(names)}" for what, names in named.items() if names]
    return [tried, gained, chosen, *lines]
