"""The report page: one HTML file that needs nothing else, readable on a phone and in print."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shiftwork.boards.report import Report
from shiftwork.commands import PageCommands
from shiftwork.figures import histogram
from shiftwork.hw.memory_use import memory_use
from shiftwork.hw.timeline import timeline
from shiftwork.memory_view import memory_section
from shiftwork.page_parts import cards, document, figures, reproduce, table
from shiftwork.quality_view import accuracy_section, error_section, percent
from shiftwork.quant.program import Program
from shiftwork.quant.program_ops import Conv
from shiftwork.resource_view import clock_section, resource_section
from shiftwork.timeline_view import timeline_section

if TYPE_CHECKING:
    from shiftwork.hw.schedule import OpPlan, Schedule


@dataclass(frozen=True, kw_only=True)
class Page:
    """What the page shows; dictionaries as ``--json`` prints them.

    Attributes:
        schedule: of the accelerator.
        places: what lies in which memory of the FPGA, and why.
        evaluation: accuracy and SQNR of each layer.
        errors: of each layer on its own, as of ``compare``.
        blame: the layer whose error costs most, in words.
        simulation: of the Verilog.
        verification: of the netlist that was routed; None if it was not asked for.
        report: resources and clock.
        commands: what gives the same numbers again.
    """

    schedule: "Schedule"
    places: dict[str, str]
    evaluation: dict[str, Any]
    errors: Sequence[dict[str, Any]]
    blame: str
    simulation: dict[str, Any]
    verification: dict[str, Any] | None
    report: Report
    commands: PageCommands

    @property
    def program(self) -> Program:
        """The network."""
        return self.schedule.program


def render(page: Page) -> str:
    """The page as HTML text, figures inlined."""
    report, commands, ops = page.report, page.commands, page.schedule.ops
    return document(
        f"{page.program.name} on {report.title}",
        _summary(page),
        accuracy_section(page.evaluation, command=commands.quantize),
        error_section(
            page.evaluation["layers"],
            page.errors,
            blame=page.blame,
            quantize=commands.quantize,
            compare=commands.compare,
        ),
        timeline_section(
            timeline(page.schedule), fmax_mhz=report.fmax_mhz, command=commands.generate
        ),
        memory_section(
            memory_use(page.schedule),
            [op.name for op in ops],
            size=page.schedule.activation_bytes,
            places=page.places,
            command=commands.generate,
        ),
        resource_section(report, command=commands.synth),
        clock_section(report, command=commands.synth),
        _network(page),
        _weights(page),
        _reproduce(page),
    )


def _summary(page: Page) -> str:
    report, evaluation = page.report, page.evaluation
    facts = [
        (percent(evaluation["accuracy_float"]), "accuracy of the float network"),
        (percent(evaluation["accuracy_int8"]), "accuracy in integers, as the hardware computes"),
        (percent(evaluation["agreement"]), "same answer as the float network"),
        *_probability_facts(evaluation),
        (f"{report.latency_us:,.0f} µs", "to compute one inference"),
        (f"{report.inferences_per_second:,.0f}", "inferences a second"),
        (f"{report.fmax_mhz:.1f} MHz", f"greatest clock; {report.target_mhz:g} MHz asked for"),
        (f"{report.rows} x {report.columns}", "processing elements (pixels x channels)"),
        (f"{100 * page.schedule.utilization:.0f} %", "of their cycles do useful work"),
    ]
    checks = [page.commands.simulate, *([page.commands.verify] if page.commands.verify else [])]
    return f"<p>{_proof(page)}</p>\n{cards(facts)}\n{reproduce(*checks)}"


def _proof(page: Page) -> str:
    program, simulation = page.program, page.simulation
    source, target = program.tensor(program.input), program.scores
    return (
        f"A network of {len(page.schedule.ops)} layers and {page.report.macs:,} "
        f"multiply-accumulates, from {_shape(source.shape)} inputs to {_shape(target.shape)} "
        f"outputs{_top(program)}.{_left_to_host(program)} "
        f"Accuracy was measured on {page.evaluation['samples']:,} samples. "
        f"{simulation['inputs']:,} samples were simulated with "
        f"{html.escape(simulation['engine'])}: {_outcome(simulation)}.{_verification(page)}"
    )


def _probability_facts(evaluation: dict[str, Any]) -> list[tuple[str, str]]:
    off = evaluation.get("probabilities")
    return [] if off is None else [(f"{off['mean']:.2g} %", "mean error of the probabilities")]


def _left_to_host(program: Program) -> str:
    if program.softmax is not None:
        return (
            f" The host raises each output to the power of {program.softmax.power} and divides it "
            "by their sum: these are the probabilities."
        )
    if not program.dropped:
        return ""
    return f" {' and '.join(map(html.escape, program.dropped))} at the end is left to the host."


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


def _network(page: Page) -> str:
    quality = {layer["name"]: layer for layer in page.evaluation["layers"]}
    rows = [_layer_row(page, plan, quality.get(plan.name, {})) for plan in page.schedule.ops]
    header = ["layer", "op", "output", "MACs", "weights a column", "shifts", "accumulator"]
    return (
        "<h2>The network</h2>\n<p>Layer by layer, as the hardware runs it.</p>\n"
        f"{table(header, rows)}\n{reproduce(page.commands.quantize, page.commands.generate)}"
    )


def _layer_row(page: Page, plan: "OpPlan", quality: dict[str, Any]) -> list[str]:
    shifts = (quality.get("shift_min"), quality.get("shift_max"))
    bits = quality.get("accumulator_bits")
    return [
        plan.name,
        plan.kind,
        _shape(page.program.tensor(plan.output).shape),
        f"{plan.macs:,}",
        f"{plan.weight_bytes:,}",
        "-" if shifts[0] is None else f"{shifts[0]} to {shifts[1]}",
        f"{bits} bit" if bits else "-",
    ]


def _weights(page: Page) -> str:
    charts = [
        histogram(f"{op.name}: {op.weights.size:,} weights", op.weights)
        for op in page.program.ops
        if isinstance(op, Conv)
    ]
    return (
        "<h2>The weights</h2>\n<p>How often each value from -128 to 127 occurs. "
        "A layer that fills the range well loses little.</p>\n"
        f"{figures(charts)}\n{reproduce(page.commands.weights)}"
    )


def _reproduce(page: Page) -> str:
    versions = "\n".join(f"{name} {version}" for name, version in page.report.versions.items())
    return (
        "<h2>How to reproduce all of this</h2>\n"
        f"<pre>{html.escape(page.commands.build)}</pre>\n"
        "<p>The commands on this page run in the folder in which this one ran. "
        f"Network {page.program.digest[:16]}, seed {page.report.seed} of nextpnr. With:</p>\n"
        f"<pre>{html.escape(versions)}</pre>"
    )
