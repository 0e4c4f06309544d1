"""What quantization costs, on a page: the answers before and after, and each layer's error."""

import html
from collections.abc import Sequence
from typing import Any

from shiftwork.page_parts import reproduce, table
from shiftwork.strips import Piece, Strip, strips

FLOAT, INTEGER, BLAMED = "#8b949e", "#1f5fa8", "#b3372f"


def percent(value: float | None) -> str:
    """A share in percent."""
    return "not measured" if value is None else f"{value:.2f} %"


def decibels(value: float | None) -> str:
    """An SQNR."""
    return "exact" if value is None else f"{value:.1f} dB"


def accuracy_section(evaluation: dict[str, Any], *, command: str) -> str:
    """Accuracy before and after, as HTML; ``evaluation`` as ``--json`` prints it."""
    shares = [
        ("float network", evaluation["accuracy_float"], FLOAT),
        ("in integers", evaluation["accuracy_int8"], INTEGER),
        ("same answer", evaluation["agreement"], INTEGER),
    ]
    note = (
        ""
        if evaluation["accuracy_float"] is not None
        else " The samples have no labels, so the accuracy is not measured; give labelled ones "
        "with --test."
    )
    return "\n".join(
        [
            "<h2>Accuracy before and after</h2>",
            f"<p>On {evaluation['samples']:,} samples of "
            f"{html.escape(str(evaluation.get('evaluated_on', 'the test file')))}. The integers "
            f"are those of the hardware, bit for bit. The output's signal-to-noise ratio is "
            f"{decibels(evaluation.get('sqnr_db'))}.{note}</p>",
            strips(
                "Share of the samples",
                [
                    Strip(
                        label=label,
                        text=percent(value),
                        pieces=[Piece(start=0, length=value or 0.0, fill=fill)],
                    )
                    for label, value, fill in shares
                ],
                total=100,
                axis=("0", "100 %"),
            ),
            reproduce(command),
        ]
    )


def error_section(
    layers: Sequence[dict[str, Any]],
    errors: Sequence[dict[str, Any]],
    *,
    blame: str,
    quantize: str,
    compare: str,
) -> str:
    """Each layer's error, as HTML.

    Args:
        layers: of the evaluation, as ``quantize --json`` prints them.
        errors: of the layers on their own, as ``compare --json`` prints them.
        blame: which layer costs most, in words.
        quantize, compare: commands that give the same numbers.
    """
    guilty = blamed(errors)
    loudest = max([60.0, *(_bar(layer["sqnr_db"]) for layer in layers)])
    loudest = max([loudest, *(_bar(error["effect_db"]) for error in errors)])
    header = ["layer", "op", "SQNR", "alone", "effect", "saturated", "worst channel"]
    by_name = {error["name"]: error for error in errors}
    return "\n".join(
        [
            "<h2>Error of each layer</h2>",
            "<p>The signal-to-quantization-noise ratio (SQNR) says how close the integers are to "
            "the float network's values: 6 dB more is one more exact bit. The first figure has the "
            "errors of all layers so far in it; the second one the output's SQNR if a layer's own "
            f"error were the only one. {html.escape(blame)}.</p>",
            strips(
                "SQNR of each layer's output",
                [_strip(layer["name"], layer["sqnr_db"], guilty) for layer in layers],
                total=loudest,
            ),
            reproduce(quantize),
            strips(
                "SQNR of the network's output with this layer's error alone",
                [_strip(error["name"], error["effect_db"], guilty) for error in errors],
                total=loudest,
            ),
            table(header, [_row(layer, by_name.get(layer["name"])) for layer in layers]),
            reproduce(compare),
        ]
    )


def blamed(errors: Sequence[dict[str, Any]]) -> str | None:
    """Name of the layer whose own error costs the output most; None if none does."""
    guilty = [error for error in errors if error["effect_db"] is not None]
    return min(guilty, key=lambda error: error["effect_db"])["name"] if guilty else None


def _strip(name: str, level: float | None, guilty: str | None) -> Strip:
    fill = BLAMED if name == guilty else INTEGER
    piece = Piece(start=0, length=_bar(level), fill=fill, title=decibels(level))
    return Strip(label=name, text=decibels(level), pieces=[piece], strong=name == guilty)


def _bar(level: float | None) -> float:
    return max(0.0, level or 0.0)


def _row(layer: dict[str, Any], error: dict[str, Any] | None) -> list[str]:
    first = [layer["name"], layer["op"], decibels(layer["sqnr_db"])]
    if error is None:
        return [*first, "-", "-", "-", "-"]
    worst = error["worst_channel"]
    return [
        *first,
        decibels(error["alone_db"]),
        decibels(error["effect_db"]),
        f"{100 * error['saturated'] / error['values']:.2g} %",
        "-" if worst is None else f"{worst}: {decibels(error['worst_channel_db'])}",
    ]
