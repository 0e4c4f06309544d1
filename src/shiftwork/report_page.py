"""The report page: one HTML file that needs nothing else, readable on a phone."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shiftwork.boards.report import LABELS, Report
from shiftwork.figures import Bar, bars, histogram
from shiftwork.page_parts import cards, document, figures, table
from shiftwork.quant.program import Conv, Program

if TYPE_CHECKING:
    from shiftwork.hw.schedule import OpPlan


@dataclass(frozen=True, kw_only=True)
class Page:
    """What the page shows; dictionaries as ``--json`` prints them."""

    program: Program
    layers: Sequence["OpPlan"]
    utilization: float
    evaluation: dict[str, Any]
    simulation: dict[str, Any]
    verification: dict[str, Any] | None
    report: Report
    command: str


def render(page: Page) -> str:
    """The page as HTML text, figures inlined."""
    return document(
        f"{page.program.name} on {page.report.title}",
        _summary(page),
        _resources(page),
        _layers(page),
        _weights(page),
        _reproduce(page),
    )


def percent(value: float | None) -> str:
    """A share in percent."""
    return "not measured" if value is None else f"{value:.2f} %"


def _summary(page: Page) -> str:
    report, evaluation = page.report, page.evaluation
    facts = [
        (percent(evaluation["accuracy_float"]), "accuracy of the float network"),
        (percent(evaluation["accuracy_int8"]), "accuracy in int8, as the hardware computes"),
        (percent(evaluation["agreement"]), "same answer as the float network"),
        (f"{report.latency_us:,.0f} µs", "to compute one inference"),
        (f"{report.inferences_per_second:,.0f}", "inferences a second"),
        (f"{report.fmax_mhz:.1f} MHz", f"greatest clock; {report.target_mhz:g} MHz asked for"),
        (f"{report.rows} x {report.columns}", "processing elements (pixels x channels)"),
        (f"{100 * page.utilization:.0f} %", "of their cycles do useful work"),
    ]
    return f"<p>{_proof(page)}</p>\n{cards(facts)}"


def _proof(page: Page) -> str:
    program, simulation = page.program, page.simulation
    source, target = program.tensor(program.input), program.scores
    dropped = (
        f" {' and '.join(map(html.escape, program.dropped))} at the end is left to the host."
        if program.dropped
        else ""
    )
    return (
        f"A network of {len(page.layers)} layers and {page.report.macs:,} multiply-accumulates, "
        f"from {_shape(source.shape)} inputs to {_shape(target.shape)} outputs{_top(program)}."
        f"{dropped} "
        f"Accuracy was measured on {page.evaluation['samples']:,} samples. "
        f"{simulation['inputs']:,} samples were simulated with {html.escape(simulation['engine'])}"
        f": {_outcome(simulation)}.{_verification(page)}"
    )


def _top(program: Program) -> str:
    return ", of which the chip sends the greatest and its index" if program.top_score else ""


def _outcome(simulation: dict[str, Any]) -> str:
    if simulation["mismatches"]:
        return f"{simulation['mismatches']} values differed from the reference"
    if simulation["layers_compared"]:
        return "every value of every layer was equal to the reference"
    return "every value of the output was equal to the reference"


def _verification(page: Page) -> str:
    if page.verification is None:
        return ""
    return (
        f" {page.verification['inputs']:,} samples were simulated with the netlist that was placed "
        f"and routed: {_outcome(page.verification)}."
    )


def _shape(shape: tuple[int, int, int]) -> str:
    kept = [str(size) for size in shape if size != 1]
    return " x ".join(kept or ["1"])


def _resources(page: Page) -> str:
    report = page.report
    chart = bars(
        f"used of {report.board}",
        [
            Bar(
                LABELS[name],
                resource.percent,
                f"{resource.used:,} of {resource.available:,} ({resource.percent:.0f} %)",
                alarm=resource.percent > 100,
            )
            for name, resource in report.resources.items()
        ],
        limit=100,
    )
    names = list(report.resources)
    rows = [[block, *(f"{c.get(n, 0):,}" for n in names)] for block, c in report.blocks.items()]
    return (
        f"<h2>What it takes of the FPGA</h2>\n{figures([chart])}\n"
        "<p>By block, as cells of the netlist before packing:</p>\n"
        f"{table(['block', *(LABELS[n] for n in names)], rows)}\n"
        f"<p>The network takes {report.rom_bytes:,} bytes of ROM, its feature maps "
        f"{report.activation_bytes:,} bytes of RAM. Slowest path: "
        f"{html.escape(report.critical_path)}.</p>"
    )


def _layers(page: Page) -> str:
    quality = {layer["name"]: layer for layer in page.evaluation["layers"]}
    sqnr = [Bar(name, _level(layer), _decibels(layer)) for name, layer in quality.items()]
    cycles = [Bar(plan.name, plan.cycles, f"{plan.cycles:,}") for plan in page.layers]
    elements = page.report.rows * page.report.columns
    rows = [_layer_row(plan, quality.get(plan.name, {}), elements) for plan in page.layers]
    header = ["layer", "op", "MACs", "cycles", "busy", "SQNR", "shifts", "accumulator"]
    return (
        "<h2>Layer by layer</h2>\n"
        "<p>The signal-to-quantization-noise ratio (SQNR) says how close a layer's int8 output is "
        "to the float network's: 6 dB more is one more exact bit. Busy is the share of the "
        "processing elements' cycles that do useful work.</p>\n"
        f"{figures([bars('SQNR', sqnr), bars('cycles an inference', cycles)])}\n"
        f"{table(header, rows)}"
    )


def _layer_row(plan: "OpPlan", quality: dict[str, Any], elements: int) -> list[str]:
    busy = plan.macs / (plan.cycles * elements) if plan.cycles else 0.0
    shifts = (quality.get("shift_min"), quality.get("shift_max"))
    bits = quality.get("accumulator_bits")
    return [
        plan.name,
        plan.kind,
        f"{plan.macs:,}",
        f"{plan.cycles:,}",
        f"{100 * busy:.0f} %" if plan.macs else "-",
        _decibels(quality),
        "-" if shifts[0] is None else f"{shifts[0]} to {shifts[1]}",
        f"{bits} bit" if bits else "-",
    ]


def _level(layer: dict[str, Any]) -> float:
    return max(0.0, layer.get("sqnr_db") or 0.0)


def _decibels(layer: dict[str, Any]) -> str:
    if "sqnr_db" not in layer:
        return "-"
    return "exact" if layer["sqnr_db"] is None else f"{layer['sqnr_db']:.1f} dB"


def _weights(page: Page) -> str:
    charts = [
        histogram(f"{op.name}: {op.weights.size:,} weights", op.weights)
        for op in page.program.ops
        if isinstance(op, Conv)
    ]
    return (
        "<h2>The int8 weights</h2>\n<p>How often each value from -128 to 127 occurs. "
        "A layer that fills the range well loses little.</p>\n" + figures(charts)
    )


def _reproduce(page: Page) -> str:
    versions = "\n".join(f"{name} {version}" for name, version in page.report.versions.items())
    return (
        "<h2>How to reproduce this</h2>\n"
        f"<pre>{html.escape(page.command)}</pre>\n"
        f"<p>Network {page.program.digest[:16]}, seed {page.report.seed} of nextpnr. With:</p>\n"
        f"<pre>{html.escape(versions)}</pre>"
    )
