"""Command lines that repeat a build, and what is on its page, part by part."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shiftwork.build import Job
    from shiftwork.steps import Ends

WEIGHT_COUNTS = (
    "import numpy as np, shiftwork as sw; "
    "[print(op.name, *np.unique(op.weights, return_counts=True)) "
    'for op in sw.Program.load({net}).ops if hasattr(op, "weights")]'
)
"""Python that prints how often each weight occurs."""


@dataclass(frozen=True, kw_only=True)
class PageCommands:
    """The commands behind the figures of a report page; they run where the build ran.

    Attributes:
        build: everything again.
        quantize: accuracy, and the SQNR of each layer.
        compare: what each layer's own error does.
        generate: the timeline and the memory map, in its JSON object.
        simulate: the comparison with the golden model.
        verify: the same with the netlist of the routed design; None if it was not done.
        synth: resources and clocks.
        weights: how often each weight occurs.
    """

    build: str
    quantize: str
    compare: str
    generate: str
    simulate: str
    verify: str | None
    synth: str
    weights: str


def command_line(*words: object, **options: object) -> str:
    """A command for a POSIX shell; ``latency_us=5`` is ``--latency-us 5``, None is left out."""
    given = [
        part
        for name, value in options.items()
        if value is not None
        for part in (f"--{name.replace('_', '-')}", value)
    ]
    return shlex.join(str(word) for word in ("shiftwork", *words, *given))


def build_command(job: "Job", folder: Path) -> str:
    """The command line that repeats a build."""
    return command_line(
        "build",
        job.model,
        *_flags(job.options),
        *_ends_flags(job.ends),
        calibration=job.calibration,
        test=job.test,
        board=job.board,
        rows=job.rows,
        columns=job.columns,
        elements=job.elements,
        latency_us=job.latency_us,
        **array_products(job),
        **_quantizer(job.options),
        engine=job.engine,
        limit=job.images,
        seeds=job.seeds,
        clock=job.clock_mhz,
        verify=job.verify,
        output=folder,
    )


def page_commands(
    job: "Job", folder: Path, net: Path, *, rows: int, columns: int, seeds: int
) -> PageCommands:
    """The commands for a build's page.

    Args:
        job: what was built.
        folder: where to.
        net: the quantized network.
        rows, columns: of the array that was chosen.
        seeds: how many starts of the placer it took.
    """
    array: dict[str, Any] = {"board": job.board, "rows": rows, "columns": columns}
    array |= array_products(job)
    return PageCommands(
        build=build_command(job, folder),
        quantize=command_line(
            "quantize",
            job.model,
            *_flags(job.options),
            *_ends_flags(job.ends),
            calibration=job.calibration,
            test=job.test,
            **_quantizer(job.options),
            output="net.npz",
        ),
        compare=command_line("compare", job.model, net, test=job.samples),
        generate=command_line("generate", net, "--json", **array, output="verilog"),
        simulate=command_line(
            "simulate", net, job.samples, **array, engine=job.engine, limit=job.images
        ),
        verify=command_line(
            "simulate", net, job.samples, **array, engine=job.verify, limit=job.verified_images
        )
        if job.verify
        else None,
        synth=command_line(
            "synth", net, "--json", **array, seeds=seeds, clock=job.clock_mhz, output="synth"
        ),
        weights=shlex.join(["python", "-c", WEIGHT_COUNTS.format(net=json.dumps(str(net)))]),
    )


def array_products(job: "Job") -> dict[str, Any]:
    """The option that says whether elements multiply or shift; nothing where the board decides."""
    return {} if job.products == "auto" else {"products": job.products}


def _quantizer(options: Mapping[str, Any]) -> dict[str, Any]:
    """The quantizer's options that take a value."""
    names = ("scales", "activations", "headroom", "rounding", "weights")
    return {name: options.get(name) for name in names}


def _flags(options: Mapping[str, Any]) -> list[str]:
    """The quantizer's options that take none."""
    flags = [] if options.get("per_channel", True) else ["--per-tensor"]
    flags += [] if options.get("equalization", True) else ["--no-equalize"]
    return flags + (["--softmax"] if options.get("softmax") else [])


def _ends_flags(ends: "Ends") -> list[str]:
    """The options of both ends of the network; with "=" where a number may have a minus sign."""
    flags = ["--top-score"] if ends.top_score else []
    flags += [] if ends.threshold is None else [f"--threshold={ends.threshold!r}"]
    if ends.input_bytes is not None:
        numbers = {"--input-scale": ends.input_scale, "--input-offset": ends.input_offset}
        flags += ["--input-bytes", ends.input_bytes]
        flags += [f"{name}={','.join(map(repr, given))}" for name, given in numbers.items()]
    return flags
