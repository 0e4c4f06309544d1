"""The page of ``shiftwork compare``: networks side by side, layer by layer, and confusions."""

import html
import string
from collections.abc import Callable, Iterator, Sequence

from shiftwork.cli_views import percent
from shiftwork.comparison_views import COLUMNS, decibels
from shiftwork.heat_map import heat_map
from shiftwork.page_parts import document, figures, reproduce, table
from shiftwork.sim.comparison import ComparedLayer, Comparison, Result
from shiftwork.sim.layer_errors import costliest
from shiftwork.strips import Piece, Strip, strips

FILLS = ("#1f5fa8", "#d98a1f", "#3f8f7f", "#7552a8", "#8b949e", "#b77bb3")
LARGEST_MAP = 100
"""Classes up to which the confusion matrix is drawn; the JSON object always has it."""
QUANTITIES: tuple[tuple[str, Callable[[ComparedLayer], float | None]], ...] = (
    ("SQNR of the network's output with this layer's error alone", lambda layer: layer.effect_db),
    ("SQNR of the layer's own error", lambda layer: layer.alone_db),
    ("SQNR of the layer's output, all errors before it included", lambda layer: layer.total_db),
)


def render(found: Comparison, command: str) -> str:
    """The page as HTML text; ``command`` is the one that makes it."""
    names = " and ".join(result.name for result in found.results)
    return document(
        f"{names} compared",
        _networks(found),
        *_layers([result for result in found.results if result.layers]),
        _confusions(found.results),
        reproduce(command),
    )


def _networks(found: Comparison) -> str:
    own = any(result.metric is not None for result in found.results)
    header = ["network", "accuracy", "as float", "SQNR", *(["metric"] if own else [])]
    first, last = found.results[0].name, found.results[-1].name
    return (
        f"<p>{found.samples:,} samples. {html.escape(last)} against {html.escape(first)}: same "
        f"answer {found.agreement:.2f} %, SQNR {decibels(found.sqnr_db)}.</p>\n"
        + table(header, [_network_row(result, own=own) for result in found.results])
    )


def _network_row(result: Result, *, own: bool) -> list[str]:
    compared = result.agreement is not None
    return [
        result.name,
        percent(result.accuracy),
        f"{result.agreement:.2f} %" if compared else "-",
        decibels(result.sqnr_db) if compared else "-",
        *([f"{result.metric:.6g}"] if own else []),
    ]


def _layers(compared: Sequence[Result]) -> Iterator[str]:
    """A figure for each quantity, with a line for each layer and network."""
    if not compared:
        return
    letters = dict(zip((result.name for result in compared), string.ascii_uppercase, strict=False))
    fills = dict(zip(letters, FILLS * len(letters), strict=False))
    legend = {f"{letters[name]}: {name}": fills[name] for name in letters}
    yield (
        "<h2>Error of each layer</h2>\n<p>The signal-to-quantization-noise ratio (SQNR) says how "
        "close the integers are to the float network's values: 6 dB more is one more exact bit. "
        "The layer whose error alone costs the output most is marked: it is the one to blame.</p>"
        + "".join(f"<p>{html.escape(f'{r.name}: {r.blame}')}.</p>" for r in compared)
    )
    layers = dict.fromkeys(layer.name for result in compared for layer in result.layers or ())
    levels = [
        value
        for result in compared
        for layer in result.layers or ()
        for _, quantity in QUANTITIES
        if (value := quantity(layer)) is not None
    ]
    for title, quantity in QUANTITIES:
        lines = [
            _line(result, layer, quantity, letters[result.name], fills[result.name])
            for name in layers
            for result in compared
            for layer in result.layers or ()
            if layer.name == name
        ]
        yield strips(title, lines, total=max([60.0, *levels]), legend=legend)
    header = ["layer", *(name for name, _ in COLUMNS)]
    yield table(
        header,
        [
            [f"{layer.name} {letters[result.name]}", *(cell(layer) for _, cell in COLUMNS)]
            for name in layers
            for result in compared
            for layer in result.layers or ()
            if layer.name == name
        ],
    )


def _line(
    result: Result,
    layer: ComparedLayer,
    quantity: Callable[[ComparedLayer], float | None],
    letter: str,
    fill: str,
) -> Strip:
    level = quantity(layer)
    guilty = costliest(result.layers or ()) is layer
    words = f"{decibels(level)}, to blame" if guilty else decibels(level)
    return Strip(
        label=f"{layer.name} {letter}",
        text=words,
        pieces=[Piece(start=0, length=max(0.0, level or 0.0), fill=fill, title=words)],
        strong=guilty,
    )


def _confusions(results: Sequence[Result]) -> str:
    drawn = [result for result in results if result.confusion is not None]
    if not drawn:
        return ""
    largest = max(len(result.confusion or ()) for result in drawn)
    if largest > LARGEST_MAP:
        return f"<p>The confusion matrices of {largest} classes are in comparison.json.</p>"
    maps = [heat_map(result.name, result.confusion or ()) for result in drawn]
    return (
        "<h2>Confusion matrices</h2>\n<p>Labels in lines, answers in columns, numbers of samples; "
        "the darker, the larger the share of the label's samples. Blue is right, red is wrong.</p>"
        f"\n{figures(maps, framed=False)}"
    )
