"""The tables of ``shiftwork compare``."""

from collections.abc import Callable, Iterator, Sequence

from rich.console import RenderableType

from shiftwork.cli_views import new_table, percent
from shiftwork.sim.comparison import ComparedLayer, Comparison, Result

LARGEST_CONFUSION = 20
"""Classes up to which the confusion matrix is printed; the JSON object always has it."""
COLUMNS: tuple[tuple[str, Callable[[ComparedLayer], str]], ...] = (
    ("alone", lambda layer: decibels(layer.alone_db)),
    ("up to it", lambda layer: decibels(layer.total_db)),
    ("effect", lambda layer: decibels(layer.effect_db)),
    ("saturated", lambda layer: f"{100 * layer.saturated / layer.values:.2g} %"),
    ("worst channel", lambda layer: _channel(layer)),
)


def comparison_views(found: Comparison) -> tuple[RenderableType, ...]:
    """What a comparison found: whole networks, layers, who is to blame, confusion matrices."""
    return (
        *_networks(found),
        *_layers(found),
        *(f"{result.name}: {result.blame}" for result in found.results if result.blame),
        *(view for result in found.results for view in _confusion(result)),
    )


def decibels(value: float | None) -> str:
    """An SQNR."""
    return "exact" if value is None else f"{value:.1f} dB"


def _networks(found: Comparison) -> Iterator[RenderableType]:
    own = any(result.metric is not None for result in found.results)
    columns = ("network", "accuracy", "as float", "SQNR", *(("metric",) if own else ()))
    table = new_table("", *columns)
    for result in found.results:
        agreement = "" if result.agreement is None else f"{result.agreement:.2f} %"
        sqnr = "" if result.agreement is None else decibels(result.sqnr_db)
        metric = (f"{result.metric:.6g}",) if own else ()
        table.add_row(result.name, percent(result.accuracy), agreement, sqnr, *metric)
    yield (
        f"{found.samples:,} samples; {found.results[-1].name} against {found.results[0].name}: "
        f"same answer {found.agreement:.2f} %, SQNR {decibels(found.sqnr_db)}"
    )
    yield table


def _layers(found: Comparison) -> Iterator[RenderableType]:
    compared = [result for result in found.results if result.layers]
    if not compared:
        return
    title = "layers: SQNR alone, up to it, and of the network's output with its error alone"
    if len(compared) > 1:
        title += ", each for " + ", then ".join(result.name for result in compared)
    table = new_table("", "layer", *(name for name, _ in COLUMNS))
    sides = [{layer.name: layer for layer in result.layers or ()} for result in compared]
    for name in dict.fromkeys(name for side in sides for name in side):
        layers = [side.get(name) for side in sides]
        table.add_row(name, *(_cells(layers, cell) for _, cell in COLUMNS))
    yield title
    yield table


def _cells(layers: Sequence[ComparedLayer | None], cell: Callable[[ComparedLayer], str]) -> str:
    return "\n".join("" if layer is None else cell(layer) for layer in layers)


def _channel(layer: ComparedLayer) -> str:
    if layer.worst_channel is None:
        return ""
    return f"{layer.worst_channel}: {decibels(layer.worst_channel_db)}"


def _confusion(result: Result) -> Iterator[RenderableType]:
    if result.confusion is None or len(result.confusion) > LARGEST_CONFUSION:
        return
    answers = [str(answer) for answer in range(len(result.confusion))]
    table = new_table("", "", *answers)
    for label, row in enumerate(result.confusion):
        table.add_row(str(label), *(str(count) if count else "" for count in row))
    yield f"{result.name}: labels (rows), answers (columns)"
    yield table
