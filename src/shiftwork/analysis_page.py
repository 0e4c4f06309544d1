"""The page of ``shiftwork analyze``: pictures of every tensor first, tables after."""

import html
from collections.abc import Iterator

from shiftwork import analysis_figures as draw
from shiftwork.figures import Bar, bars
from shiftwork.page_parts import cards, document, figures, table
from shiftwork.quant.analysis import NetworkAnalysis
from shiftwork.quant.scales import Method
from shiftwork.quant.tensor_analysis import METHODS, ScaleAnalysis, TensorAnalysis

METHOD_NAMES: dict[Method, str] = {
    "max": "max-abs",
    "mse": "MSE",
    "percentile": "percentile",
    "kl": "KL divergence",
}
SUMMARY = ("tensor", "kind", "values", "range", "zeros", "different", "symmetric")
KIND_NAMES = {"weights": "weights of", "input": "input", "activation": "output of"}
LARGE_EXPONENT = 4
GUIDE = (
    "A power-of-two scale 2^-f turns a number into the nearest whole number of steps. A step that "
    "is too large loses the small values (below precision: less than half a step, they become 0); "
    "one that is too small cuts off the large ones (out of range). Max-abs takes the smallest step "
    "that cuts off nothing; MSE the one with the least mean squared error; percentile and KL "
    "divergence (as TensorRT's entropy calibration chooses a threshold) the smallest step that "
    "reaches their threshold. In the pictures, amber is below precision, red out of range. The "
    "signal-to-quantization-noise ratio (SQNR) says how much is lost: "
    "6 dB more is one more exact bit."
)


def render(analysis: NetworkAnalysis, command: str) -> str:
    """The page as HTML text; ``command`` is the one that makes it."""
    return document(
        f"{analysis.name} in {analysis.bits} bits: the tensors",
        _summary(analysis),
        _overview(analysis),
        *(_pictures(tensor) for tensor in analysis.tensors),
        "<h2>All tensors</h2>",
        table(SUMMARY, map(_summary_row, analysis.tensors)),
        "<h2>The recommended scales</h2>\n<p>The step, and the SQNR at it.</p>",
        table(("tensor", *METHOD_NAMES.values()), map(_choices, analysis.tensors)),
        "<h2>All scales</h2>\n<p>Shares are of all values, zeros included; zeros are never below "
        "precision.</p>",
        table(
            (
                "tensor",
                "step",
                "below precision",
                "out of range",
                "largest error",
                "SQNR",
                "chosen by",
            ),
            (row for tensor in analysis.tensors for row in _scale_rows(tensor)),
        ),
        f"<h2>How to reproduce this</h2>\n<pre>{html.escape(command)}</pre>",
    )


def label(tensor: TensorAnalysis) -> str:
    """What the tensor is, in words."""
    return tensor.name if tensor.kind == "input" else f"{KIND_NAMES[tensor.kind]} {tensor.name}"


def _summary_row(tensor: TensorAnalysis) -> list[str]:
    return [
        tensor.name,
        tensor.kind,
        f"{tensor.count:,}",
        f"{tensor.least:.4g} to {tensor.greatest:.4g}",
        f"{100 * tensor.zeros:.1f} %",
        "over 65,536" if tensor.unique is None else f"{tensor.unique:,}",
        "yes" if tensor.symmetric else "no" if tensor.lo < 0 else "never negative",
    ]


def _choices(tensor: TensorAnalysis) -> list[str]:
    return [label(tensor), *(choice(tensor, method) for method in METHODS)]


def choice(tensor: TensorAnalysis, method: Method) -> str:
    """The step that a method chooses, and its SQNR."""
    scale = tensor.scale(tensor.recommended[method].exponent)
    return f"2^{-scale.exponent}, {decibels(scale)}"


def decibels(scale: ScaleAnalysis) -> str:
    """The SQNR of a scale."""
    return "exact" if scale.sqnr_db is None else f"{scale.sqnr_db:.1f} dB"


def _summary(analysis: NetworkAnalysis) -> str:
    weights = [tensor for tensor in analysis.tensors if tensor.kind == "weights"]
    agreed = sum(
        tensor.recommended["max"].exponent == tensor.recommended["mse"].exponent
        for tensor in analysis.tensors
    )
    facts = [
        (f"{sum(tensor.count for tensor in weights):,}", f"weights in {len(weights)} tensors"),
        *_activations(len(analysis.tensors) - len(weights), analysis.samples),
        (f"{analysis.bits} bits", "an integer, at power-of-two scales"),
        (f"{agreed} of {len(analysis.tensors)}", "tensors for which max-abs is the best scale"),
        (f"{analysis.percentile:g} %", "of the values are what percentile holds"),
    ]
    note = ""
    if analysis.as_stored is not None:
        note = (
            "<p>Shiftwork does not import this network, so its weights are those of the file, "
            f"batch normalization not folded. The reason: {html.escape(analysis.as_stored)}.</p>\n"
        )
    return f"<p>{html.escape(GUIDE)}</p>\n{note}{cards(facts)}"


def _activations(count: int, samples: int) -> list[tuple[str, str]]:
    """The input counts as one of them."""
    return [(f"{count}", f"activations, over {samples:,} samples")] if count else []


def _overview(analysis: NetworkAnalysis) -> str:
    weights, others = list[Bar](), list[Bar]()
    for tensor in analysis.tensors:
        (weights if tensor.kind == "weights" else others).append(_bar(tensor))
    charts = [
        bars(f"SQNR at the MSE scale: {title}", entries)
        for title, entries in (("weights", weights), ("activations", others))
        if entries
    ]
    return f"<h2>Which tensors lose most</h2>\n{figures(charts)}"


def _bar(tensor: TensorAnalysis) -> Bar:
    scale = tensor.scale(tensor.recommended["mse"].exponent)
    return Bar(tensor.name, max(0.0, scale.sqnr_db or 0.0), decibels(scale))


def _pictures(tensor: TensorAnalysis) -> str:
    scale = tensor.scale(tensor.recommended["mse"].exponent)
    size = " x ".join(map(str, tensor.shape))
    charts = [
        draw.magnitudes(tensor, scale),
        draw.error_curves(tensor),
        draw.errors(tensor, scale),
    ]
    return f"<h2>{html.escape(label(tensor))}, {size}</h2>\n{figures(charts)}"


def _scale_rows(tensor: TensorAnalysis) -> Iterator[list[str]]:
    for scale in tensor.scales:
        chosen = [
            METHOD_NAMES[method]
            for method in METHODS
            if tensor.recommended[method].exponent == scale.exponent
        ]
        yield [
            label(tensor),
            f"2^{-scale.exponent}",
            f"{100 * scale.below_precision:.3f} %",
            f"{100 * scale.out_of_range:.3f} %",
            f"{scale.largest_error:.3g}",
            decibels(scale),
            ", ".join(chosen),
        ]
