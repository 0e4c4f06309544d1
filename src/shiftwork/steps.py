"""Single steps, and what they report as JSON values: the keys are those that ``--json`` prints."""

import shlex
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from numpy.typing import NDArray

from shiftwork.boards import yowasp
from shiftwork.errors import MismatchError
from shiftwork.quant.calibration import read_samples
from shiftwork.quant.graph import Graph
from shiftwork.quant.program import Program
from shiftwork.quant.quantizer import QuantizerOptions
from shiftwork.quant.quantizer import quantize as quantize_graph
from shiftwork.quant.raw_input import RawInput
from shiftwork.quant.top_score import with_top_score
from shiftwork.sim.evaluation import evaluate
from shiftwork.workspace import Progress, silent

if TYPE_CHECKING:
    from shiftwork.boards.accelerator import Accelerator, Interface
    from shiftwork.sim.executor import SimulationResult

SIMULATION_KEYS = (
    "engine",
    "inputs",
    "layers_compared",
    "mismatches",
    "first_mismatch",
    "cycles_predicted",
    "cycles_measured",
    "cycles_per_second",
)


@dataclass(frozen=True, kw_only=True)
class Ends:
    """What is done on the chip before and after the network.

    Attributes:
        top_score, threshold: as of ``with_top_score``.
        input_bytes, input_scale, input_offset: as of ``RawInput``; None for an input of real
            numbers.
    """

    top_score: bool = False
    threshold: float | None = None
    input_bytes: Literal["uint8", "int8"] | None = None
    input_scale: tuple[float, ...] = (1.0,)
    input_offset: tuple[float, ...] = (0.0,)

    def quantize(
        self,
        graph: Graph,
        calibration: NDArray,
        options: QuantizerOptions,
        *,
        progress: Progress = silent,
    ) -> Program:
        """The integer program of ``graph`` with these ends."""
        program = quantize_graph(
            graph, calibration, options, raw_input=self.raw_input, progress=progress
        )
        return self.answering(program)

    @property
    def raw_input(self) -> RawInput | None:
        """The bytes that the chip takes, if it does."""
        if self.input_bytes is None:
            return None
        return RawInput(dtype=self.input_bytes, scale=self.input_scale, offset=self.input_offset)

    def answering(self, program: Program) -> Program:
        """``program`` with the answer that is asked for."""
        return with_top_score(program, self.threshold) if self.top_score else program


def evaluate_on(graph: Graph, program: Program, samples: Path) -> dict[str, Any]:
    """Accuracy of float and int8 network on the samples of a file, and each layer's quality.

    What is done on the chip before and after the network is told too, if anything is.
    """
    data = read_samples(samples)
    record = asdict(evaluate(graph, program, data.x, data.y)) | {"evaluated_on": str(samples)}
    return record | _ends_record(program)


def _ends_record(program: Program) -> dict[str, Any]:
    record: dict[str, Any] = {}
    if program.raw_input is not None:
        record["raw_input"] = asdict(program.raw_input)
        record["input_border"] = program.info.get("input_border")
    if program.softmax is not None:
        record["softmax"] = asdict(program.softmax)
    top, scores = program.top_score, program.scores
    if top is not None:
        record["answer_bytes"] = program.tensor(program.output).bytes
        record["all_scores_bytes"] = scores.bytes
    if top is not None and top.threshold is not None:
        real = top.threshold * float(scores.scales[0])
        record["threshold"] = {"integer": top.threshold, "real": real}
    return record


def generate(
    accelerator: "Accelerator",
    folder: Path,
    *,
    progress: Progress,
    interface: "Interface" = "stream",
    checksum: bool = False,
) -> None:
    """Writes Verilog, ROM images, flash image and manifest to ``folder``."""
    yowasp.prepare("yosys", progress=progress)
    accelerator.write_verilog(folder, interface, checksum=checksum)


def accelerate(
    program: Program,
    board: str | None,
    *,
    clock_mhz: float | None = None,
    beside_link: bool = False,
    **size: Any,
) -> "Accelerator":
    """The accelerator for a board; a latency target counts at ``clock_mhz``, if given.

    Args:
        beside_link: whether an array that is chosen leaves room for the link to the host.
        size: ``rows`` and ``columns``, or ``elements`` and ``latency_us``, and ``products``: as of
            ``Accelerator``.
    """
    from shiftwork.boards.accelerator import Accelerator
    from shiftwork.boards.fit import LINK_LUT
    from shiftwork.boards.registry import find

    if board is None:
        return Accelerator(program, **size)
    if beside_link:
        size |= {"beside": LINK_LUT}
    target = find(board)
    if clock_mhz is not None:
        target = replace(target, target_mhz=clock_mhz)
    return Accelerator(program, board=target, **size)


def summary(accelerator: "Accelerator", verilog: Path) -> dict[str, Any]:
    """Size and speed of an accelerator, known before anything is simulated."""
    from shiftwork.boards.accelerator import FLASH_FILE, memory_binding

    schedule, shape = accelerator.schedule, accelerator.config.shape
    memory = memory_binding(schedule)
    record = {
        "rows": shape.rows,
        "columns": shape.columns,
        "word_bytes": shape.word_bytes,
        "cycles": schedule.cycles,
        "macs": schedule.macs,
        "utilization": schedule.utilization,
        "verilog": str(verilog),
        "rom_bytes": schedule.rom_bytes,
        "activation_bytes": schedule.activation_bytes,
        "activations_in": memory["activations"],
        "weights_in": memory["weights"],
        **({"products": shape.products} if accelerator.config.exponents else {}),
    } | estimated(accelerator)
    if accelerator.flash_image is None:
        return record
    path = verilog.with_name(FLASH_FILE)
    return record | {"flash_image": str(path), "write_flash_with": _flash_command(path)}


def details(accelerator: "Accelerator") -> dict[str, Any]:
    """The cycles of a frame by layer and phase, and what memory holds while each layer runs."""
    from shiftwork.hw.memory_use import memory_use
    from shiftwork.hw.timeline import timeline

    schedule = accelerator.schedule
    return {
        "timeline": [asdict(layer) for layer in timeline(schedule)],
        "memory": [asdict(region) for region in memory_use(schedule)],
    }


def _flash_command(path: Path) -> str:
    """Writes a flash image to where the flash loader reads it."""
    from shiftwork.hw.flash_loader import FLASH_ADDRESS

    return shlex.join(["iceprog", "-o", f"{FLASH_ADDRESS >> 20}M", str(path)])


def estimated(accelerator: "Accelerator") -> dict[str, Any]:
    """Area and clock on the accelerator's board before synthesis; nothing without a board."""
    from shiftwork.boards.estimate import estimate
    from shiftwork.boards.resources import Contents

    board = accelerator.board
    if board is None:
        return {}
    contents = Contents.of(accelerator.schedule.images, accelerator.config)
    found = estimate(accelerator.config, board, contents=contents)
    return {
        "estimated_lut": found.lut,
        "lut_available": board.lut,
        "block_rams": found.bram,
        "multipliers": found.dsp,
        "estimated_fmax_mhz": round(found.fmax_mhz, 1),
        "estimated_latency_us": round(found.latency_us(accelerator.schedule.cycles), 1),
    }


def describe(accelerator: "Accelerator") -> str:
    """The array and its cycles in a few words."""
    shape = accelerator.config.shape
    return (
        f"{shape.rows} x {shape.columns} processing elements, "
        f"{accelerator.schedule.cycles:,} cycles an inference"
    )


def simulation_record(result: "SimulationResult") -> dict[str, Any]:
    """A simulation's result as JSON values, without its outputs."""
    return {name: getattr(result, name) for name in SIMULATION_KEYS}


def check(result: "SimulationResult") -> None:
    """Raises MismatchError if the simulation found a difference."""
    if not result.passed:
        raise MismatchError(f"the hardware differs from the golden model: {result.text}")
