"""The figures of the analysis page: where a tensor's values lie, and what scales make of them."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from shiftwork.figures import BLUE, RED, as_svg, new_figure
from shiftwork.quant.tensor_analysis import METHODS, Histogram, ScaleAnalysis, TensorAnalysis

AMBER, WINDOW = "#c98a1b", "#dfeaf6"
HEIGHT_IN, LINE_IN = 2.3, 0.12
LEAST_SHARE = 1e-6
METHOD_LABELS = {"max": "max", "mse": "MSE", "percentile": "percentile", "kl": "KL"}


def magnitudes(tensor: TensorAnalysis, scale: ScaleAnalysis) -> str:
    """How the magnitudes spread over the powers of two, and which of them ``scale`` holds."""
    figure, axes = new_figure(HEIGHT_IN)
    first, last = -scale.exponent - 1, float(np.log2(tensor.hi + 1)) - scale.exponent
    axes.axvspan(first, last, color=WINDOW, lw=0)
    colors = [
        AMBER if binade < first else RED if binade >= last else BLUE for binade, _ in tensor.binades
    ]
    _bars(axes, tensor.binades, tensor.count, colors)
    exponents = [binade for binade, _ in tensor.binades] or [0]
    axes.set_xlim(min(first, *exponents, last) - 0.5, max(last, *exponents) + 1.5)
    axes.set_xlabel("magnitude, power of two")
    axes.set_title(f"values; shaded: held at 2^{-scale.exponent}", loc="left")
    return as_svg(figure)


def error_curves(tensor: TensorAnalysis) -> str:
    """Root mean square and largest error of each candidate, and which methods choose it."""
    labels = [f"2^{-scale.exponent}{_chosen_by(tensor, scale)}" for scale in tensor.scales]
    lines = max(label.count("\n") for label in labels)
    figure, axes = new_figure(HEIGHT_IN + LINE_IN * lines)
    exponents = [scale.exponent for scale in tensor.scales]
    largest = np.array([scale.largest_error for scale in tensor.scales])
    rms = np.array([_rms_error(tensor, scale) for scale in tensor.scales])
    for values, style, color in ((largest, "s--", AMBER), (rms, "o-", BLUE)):
        axes.plot(exponents, np.where(values > 0.0, values, np.nan), style, color=color, ms=4)
    if largest.any():
        axes.set_yscale("log")
        axes.set_ylim(rms[rms > 0.0].min() / 2.0, largest.max() * 2.0)
    for scale in tensor.scales:
        if scale.largest_error == 0.0:
            axes.axvline(scale.exponent, color=BLUE, lw=0.8, ls=":")
            axes.annotate("exact", (scale.exponent, 0.5), xycoords=("data", "axes fraction"))
    axes.set_xticks(exponents, labels)
    axes.margins(x=0.12)
    axes.set_xlabel("step")
    axes.set_title("error: largest (squares), rms (dots)", loc="left")
    return as_svg(figure)


def errors(tensor: TensorAnalysis, scale: ScaleAnalysis) -> str:
    """How large the errors are that ``scale`` makes."""
    figure, axes = new_figure(HEIGHT_IN)
    half = -scale.exponent - 1
    colors = [RED if binade > half else BLUE for binade, _ in scale.errors]
    _bars(axes, scale.errors, tensor.count, colors)
    axes.axvline(half, color="black", lw=0.8, ls=":")
    if not scale.errors:
        axes.annotate("no errors", (0.4, 0.5), xycoords="axes fraction")
    axes.set_xlabel("error, power of two; dotted: half a step")
    axes.set_title(f"errors at 2^{-scale.exponent}", loc="left")
    return as_svg(figure)


def _bars(axes: Axes, histogram: Histogram, count: int, colors: list[str]) -> None:
    """Shares in percent on a logarithmic axis, so that rare values are seen too."""
    shares = [100.0 * n / count for _, n in histogram]
    axes.bar([b + 0.5 for b, _ in histogram], shares, width=0.9, color=colors)
    if shares:
        axes.set_yscale("log")
        axes.set_ylim(max(min(shares) / 3.0, 100.0 * LEAST_SHARE), 200.0)
    ticks = [tick for tick in (100.0, 1.0, 0.01, 0.0001) if shares and tick > axes.get_ylim()[0]]
    axes.set_yticks(ticks, [f"{tick:g} %" for tick in ticks])
    axes.minorticks_off()
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _chosen_by(tensor: TensorAnalysis, scale: ScaleAnalysis) -> str:
    """The methods that choose ``scale``, each in a line of its own."""
    methods = [m for m in METHODS if tensor.recommended[m].exponent == scale.exponent]
    if len(methods) == len(METHODS):
        return "\nall"
    return "".join(f"\n{METHOD_LABELS[method]}" for method in methods)


def _rms_error(tensor: TensorAnalysis, scale: ScaleAnalysis) -> float:
    if scale.sqnr_db is None:
        return 0.0
    return float(tensor.rms * 10.0 ** (-scale.sqnr_db / 20.0))
