"""The whole way from a trained network to a report, as steps that are kept and reused."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from shiftwork.boards.registry import find
from shiftwork.boards.report import Report
from shiftwork.boards.synthesis import synthesize
from shiftwork.commands import page_commands
from shiftwork.errors import DataError
from shiftwork.quant.calibration import read_samples
from shiftwork.quant.program import Program
from shiftwork.report_page import Page, render
from shiftwork.steps import (
    Ends,
    accelerate,
    check,
    describe,
    evaluate_on,
    generate,
    simulation_record,
    summary,
)
from shiftwork.workspace import (
    Progress,
    Workspace,
    code_digest,
    file_digest,
    silent,
    versions,
    write_text,
)

if TYPE_CHECKING:
    from shiftwork.boards.accelerator import Accelerator
    from shiftwork.boards.products import ProductChoice
    from shiftwork.sim.executor import Engine

PROGRAM = "net.npz"
EVALUATION = "evaluation.json"
ERRORS = "layer_errors.json"
SIMULATION = "simulation.json"
SYNTHESIS = "synth"
VERIFIED_IMAGES = 10
"""A netlist is simulated more slowly than what it was made of."""
PAGE = "report.html"


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to build.

    Attributes:
        model: ONNX or TFLite file.
        calibration: samples that set the scales.
        test: samples with labels, to measure the accuracy and to simulate; None uses
            ``calibration`` for both.
        board: name of the board.
        rows, columns: of the array; None lets the board decide.
        elements, latency_us: targets for that choice, as of ``Accelerator``.
        products: whether elements multiply or shift, as of ``Accelerator``.
        options: keyword options of the quantizer.
        ends: what is done on the chip before and after the network.
        images: number of samples to simulate.
        engine: simulator.
        seeds: starts of the placer; None: until the clock is reached.
        clock_mhz: to reach; None takes the board's.
        verify: "netlist" simulates the netlist of the routed design too, with the first
            ``VERIFIED_IMAGES`` of the samples at most.
    """

    model: Path
    calibration: Path
    test: Path | None = None
    board: str
    rows: int | None = None
    columns: int | None = None
    elements: int | None = None
    latency_us: float | None = None
    products: "ProductChoice" = "auto"
    options: dict[str, Any]
    ends: Ends = field(default_factory=Ends)
    images: int = 20
    engine: "Engine" = "verilator"
    seeds: int | None = None
    clock_mhz: float | None = None
    verify: Literal["netlist"] | None = None

    @property
    def verified_images(self) -> int:
        """Number of samples that the netlist is simulated with."""
        return min(self.images, VERIFIED_IMAGES)

    @property
    def samples(self) -> Path:
        """The samples that measure and simulate."""
        return self.test or self.calibration


@dataclass(frozen=True, kw_only=True)
class Built:
    """The results of :func:`build`, each as JSON values; the report page's path and the network's.

    ``verification`` is None if it was not asked for.
    """

    folder: Path
    page: Path
    program: Path
    evaluation: dict[str, Any]
    generated: dict[str, Any]
    simulation: dict[str, Any]
    report: Report
    verification: dict[str, Any] | None

    def as_dict(self) -> dict[str, Any]:
        """One JSON object with all results."""
        return {
            "folder": str(self.folder),
            "report_page": str(self.page),
            "quantize": self.evaluation,
            "generate": self.generated,
            "simulate": self.simulation,
            "synth": self.report.as_dict(),
            "verify": self.verification,
        }


def build(job: Job, folder: str | Path, *, progress: Progress = silent) -> Built:
    """Quantizes, generates, simulates, synthesizes and reports; unchanged steps are reused.

    Raises:
        ShiftworkError: from the step that fails; the steps before it are kept.
        MismatchError: if the simulated hardware, or its netlist, differs from the golden model.
    """
    from shiftwork.boards.accelerator import memory_binding

    find(job.board)
    with Workspace(folder, progress=progress) as workspace:
        environment = {"code": code_digest(), "versions": versions()}
        quantized = workspace.step(
            "quantize",
            lambda path: _quantize(job, path),
            inputs=environment
            | {"options": job.options, "ends": asdict(job.ends), "model": _read(job.model)}
            | {"calibration": _read(job.calibration), "samples": _read(job.samples)},
            title="quantizing the network and measuring its accuracy",
        )
        program = Program.load(quantized / PROGRAM)
        accelerator = accelerate(
            program,
            job.board,
            clock_mhz=job.clock_mhz,
            rows=job.rows,
            columns=job.columns,
            elements=job.elements,
            latency_us=job.latency_us,
            products=job.products,
        )
        identity = environment | {"net": program.digest, "config": repr(accelerator.config)}
        generated = workspace.step(
            "generate",
            lambda path: generate(accelerator, path, progress=progress),
            inputs=identity,
            title=f"generating the Verilog: {describe(accelerator)}",
        )
        simulated = workspace.step(
            "simulate",
            lambda path: _simulate(job, accelerator, path, engine=job.engine, images=job.images),
            inputs=identity
            | {"samples": _read(job.samples), "images": job.images, "engine": job.engine},
            title=f"simulating {job.images} samples with {job.engine}, every layer compared",
        )
        report = synthesize(
            accelerator,
            board=job.board,
            seeds=job.seeds,
            clock_mhz=job.clock_mhz,
            folder=workspace.folder / SYNTHESIS,
            progress=progress,
        )
        verification = _verified(job, accelerator, workspace, identity)
        errors = _load(quantized / ERRORS)
        page = Page(
            schedule=accelerator.schedule,
            places=memory_binding(accelerator.schedule),
            evaluation=_load(quantized / EVALUATION),
            errors=errors["layers"],
            blame=errors["blame"],
            simulation=_load(simulated / SIMULATION),
            verification=verification,
            report=report,
            commands=page_commands(
                job,
                workspace.folder,
                quantized / PROGRAM,
                rows=report.rows,
                columns=report.columns,
                seeds=len(report.seeds),
            ),
        )
        write_text(workspace.folder / PAGE, render(page))
        return Built(
            folder=workspace.folder,
            page=workspace.folder / PAGE,
            program=quantized / PROGRAM,
            evaluation=page.evaluation,
            generated=summary(accelerator, generated / "core.v"),
            simulation=page.simulation,
            report=report,
            verification=verification,
        )


def _quantize(job: Job, folder: Path) -> None:
    from shiftwork.quant.importer import load
    from shiftwork.quant.quantizer import QuantizerOptions
    from shiftwork.sim.layer_errors import blame, layer_errors

    graph = load(job.model)
    samples = read_samples(job.calibration)
    program = job.ends.quantize(graph, samples.x, QuantizerOptions(**job.options))
    program.save(folder / PROGRAM)
    _save(folder / EVALUATION, evaluate_on(graph, program, job.samples))
    errors = layer_errors(graph, program, read_samples(job.samples).x)
    record = {"blame": blame(errors), "layers": [asdict(error) for error in errors]}
    _save(folder / ERRORS, record)


def _verified(
    job: Job, accelerator: "Accelerator", workspace: Workspace, identity: dict[str, Any]
) -> dict[str, Any] | None:
    """What the simulation of the routed design's netlist found; None if it is not wanted."""
    engine, images = job.verify, job.verified_images
    if engine is None:
        return None
    verified = workspace.step(
        "verify",
        lambda path: _simulate(
            job,
            accelerator,
            path,
            engine=engine,
            images=images,
            synthesis_dir=workspace.folder / SYNTHESIS,
        ),
        inputs=identity | {"samples": _read(job.samples), "images": images, "engine": engine},
        title=f"simulating {images} samples with the netlist of the routed design",
    )
    return _load(verified / SIMULATION)


def _simulate(
    job: Job,
    accelerator: "Accelerator",
    folder: Path,
    *,
    engine: "Engine",
    images: int,
    synthesis_dir: Path | None = None,
) -> None:
    from shiftwork.sim.executor import simulate

    samples = read_samples(job.samples)
    result = simulate(
        accelerator, samples.x, engine=engine, limit=images, synthesis_dir=synthesis_dir
    )
    check(result)
    _save(folder / SIMULATION, simulation_record(result))


def _save(path: Path, record: dict[str, Any]) -> None:
    write_text(path, json.dumps(record, indent=2) + "\n")


def _load(path: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return record


def _read(path: Path) -> str:
    try:
        return file_digest(path)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
