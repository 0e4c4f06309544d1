"""Many cores in one Verilator model: as exact as one at a time, at a fraction of the build time.

What a build costs beside the design itself (yosys' and Verilator's start, the headers of its C++)
is paid once. Each core keeps a ``bench.v`` of its own, with the files of its job in a folder of its
own; they differ from those of a single build in nothing but names. There is no cocotb: a top module
sets what its testbench sets, waits and writes down the results.
"""

import hashlib
import json
import os
import re
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

from shiftwork.boards import yowasp
from shiftwork.errors import ToolError
from shiftwork.hw import verilog
from shiftwork.hw.core import Core
from shiftwork.sim import cocotb_runner, simulator_cache, verilator
from shiftwork.sim.observation import Job, Observation
from shiftwork.sim.processes import run_logged
from shiftwork.sim.testbench import RESULTS
from shiftwork.sim.verilated_model import compile_model

TOP = "shiftwork_batch"
CLOCK = "always #(CLOCK_NS / 2) clk"
OPTIMIZATION = "-O0"
"""A frame is over before an optimized one is compiled."""
UNIT_BYTES = 4 << 20
TOOL_LIMIT_S = 3600.0


@dataclass(frozen=True, eq=False, kw_only=True)
class Design:
    """A core and what it has to run.

    Attributes:
        core: the hardware.
        job: its frames and settings.
    """

    core: Core
    job: Job


def run(
    designs: Sequence[Design],
    *,
    seed: int = 0,
    time_limit: float = TOOL_LIMIT_S,
    meanwhile: Callable[[], None] = lambda: None,
) -> list[Observation]:
    """Builds one simulator of all designs and runs their jobs.

    Parameters:
        designs: the cores with their jobs.
        seed: of what registers hold before reset.
        time_limit: seconds that a tool may take.
        meanwhile: called while Verilator and the compiler work.

    Returns:
        What each bench saw, in the order of ``designs``.

    Raises:
        ToolError: if a tool is missing, fails or takes too long.
        OutputError: if the folder of simulators cannot be written.
    """
    folder = simulator_cache.default_folder()
    simulator_cache.prepare(folder)
    toolchain = verilator.find()
    identity = hashlib.sha256(toolchain.identity.encode()).hexdigest()[:20]
    runtime = folder / f"runtime-batch-{identity}"
    simulator_cache.use(runtime)
    with (
        simulator_cache.kept_log(folder, "batch") as log,
        tempfile.TemporaryDirectory(prefix="shiftwork-") as work,
    ):
        place = Path(work)
        sources = _write_sources(place, designs)
        environment = os.environ | {"VERILATOR_ROOT": str(toolchain.root), "TMPDIR": work}

        def execute(commands: list[list[str]]) -> None:
            run_logged(
                commands,
                cwd=place,
                env=environment,
                log=log,
                what="Verilator",
                jobs=os.cpu_count() or 1,
                time_limit=time_limit,
            )

        def build_and_run() -> float:
            execute([[str(toolchain.binary), *_arguments(), *sources]])
            compile_model(
                place,
                TOP,
                toolchain,
                runtime,
                execute,
                optimization=OPTIMIZATION,
                unit_bytes=UNIT_BYTES,
            )
            reset = [f"+verilator+seed+{seed % ((1 << 31) - 1) + 1}", "+verilator+rand+reset+2"]
            began = time.perf_counter()
            execute([[str(place / TOP), *reset]])
            return time.perf_counter() - began

        with ThreadPoolExecutor(1) as pool:
            working = pool.submit(build_and_run)
            meanwhile()
            seconds = working.result()
        folders = [place / _folder(index) for index in range(len(designs))]
        seen = [cocotb_runner.read_observation(path, "Verilator", log) for path in folders]
        return [replace(observation, seconds=seconds) for observation in seen]


def _arguments() -> list[str]:
    arguments = ["--cc", "--main", "--exe", *verilator.ARGUMENTS, "--timescale", "1ns/1ps"]
    return [*arguments, "--top-module", TOP, "--Mdir", ".", "--prefix", "Vtop"]


def _folder(index: int) -> str:
    return f"case_{index}"


def _write_sources(place: Path, designs: Sequence[Design]) -> list[str]:
    """Writes all Verilog and the files of the jobs; returns the names of the Verilog files."""
    cores = _convert(place, [design.core for design in designs])
    names = []
    for index, (design, core) in enumerate(zip(designs, cores, strict=True)):
        inner = place / _folder(index)
        inner.mkdir()
        cocotb_runner.write_job(inner, design.job)
        text = _renamed(core, index) + _bench(index, has_flash=design.core.has_flash)
        (place / f"{_folder(index)}.v").write_text(text)
        names.append(f"{_folder(index)}.v")
    (place / "batch.v").write_text(_top(place, designs))
    return [*names, "batch.v"]


def _convert(place: Path, cores: Sequence[Core]) -> list[str]:
    """The Verilog of each core as a user gets it, all by one run of yosys."""
    script = []
    for index, core in enumerate(cores):
        (place / f"{index}_{verilog.RTLIL_FILE}").write_text(verilog.to_rtlil(core))
        for command in verilog.YOSYS_COMMANDS:
            for name in (verilog.RTLIL_FILE, verilog.VERILOG_FILE):
                command = re.sub(rf"\b{re.escape(name)}\b", f"{index}_{name}", command)
            script.append(command)
        script.append("design -reset")
    (place / "batch.ys").write_text("\n".join(script) + "\n")
    yowasp.run(
        "yosys",
        ["-q", "batch.ys"],
        folder=place,
        log=place / "yosys.log",
        limit_s=TOOL_LIMIT_S,
        progress=lambda _: None,
    )
    return [(place / f"{index}_{verilog.VERILOG_FILE}").read_text() for index in range(len(cores))]


def _renamed(core: str, index: int) -> str:
    return core.replace(verilog.TOP, f"{verilog.TOP}_{index}")


def _bench(index: int, *, has_flash: bool) -> str:
    """``bench.v`` of one core, with names of its own; its clock stops when it is done."""
    text = _source("bench.v") + (_source("spi_flash.v") if has_flash else "")
    if CLOCK not in text:
        raise ToolError(f"bench.v has no line '{CLOCK} ...'")
    text = text.replace(CLOCK, CLOCK.replace("clk", "if (!done) clk"))
    text = re.sub(r"\b(shiftwork_bench|shiftwork_core|spi_flash)\b", rf"\1_{index}", text)
    text = re.sub(r'"(\w+\.(?:hex|bin))"', rf'"{_folder(index)}/\1"', text)
    defines = ["SHIFTWORK_TRACE", *(["SHIFTWORK_FLASH"] if has_flash else [])]
    before = "".join(f"`define {name} 1\n" for name in defines)
    after = "".join(f"`undef {name}\n" for name in defines)
    return f"\n{before}{text}{after}"


def _source(name: str) -> str:
    return resources.files("shiftwork.sim").joinpath(name).read_text()


def _top(place: Path, designs: Sequence[Design]) -> str:
    """Sets every bench's settings, waits for all and writes their results, as testbench.py does."""
    instances = "".join(_instance(index, design) for index, design in enumerate(designs))
    starts = "".join(_start(place, index) for index in range(len(designs)))
    waits = "".join(f"        wait (bench_{index}.done);\n" for index in range(len(designs)))
    results = "".join(_result(i, len(design.job.images)) for i, design in enumerate(designs))
    return (
        f"module {TOP};\n    integer file;\n{instances}    initial begin\n        #1;\n"
        f"{starts}{waits}{results}        $finish;\n    end\nendmodule\n"
    )


def _instance(index: int, design: Design) -> str:
    job = design.job
    parameters = {
        "WORD_BYTES": design.core.array_config.shape.word_bytes,
        "LAYERS": len(job.images),
        "INPUT_BYTES": job.input_bytes,
        "OUTPUT_BYTES": job.output_bytes,
        "IMAGE_BYTES": job.image_bytes,
        "FLASH_BYTES": len(job.flash),
        "FLASH_OFFSET": job.flash_address,
    }
    settings = ", ".join(f".{name}({value})" for name, value in parameters.items())
    return f"    shiftwork_bench_{index} #({settings}) bench_{index}();\n"


def _start(place: Path, index: int) -> str:
    settings = json.loads((place / _folder(index) / "job.json").read_text())["settings"]
    values = settings | {"start": 1}
    return "".join(f"        bench_{index}.{name} = {value};\n" for name, value in values.items())


def _result(index: int, layers: int) -> str:
    values = [f"bench_{index}.{name}" for name in RESULTS]
    counts = [f"bench_{index}.layer_mismatches[{layer}]" for layer in range(layers)]
    pairs = ", ".join(f"{json.dumps(name)}: %0d" for name in RESULTS)
    text = f'{{{pairs}, "seconds": 1, "layer_mismatches": [{", ".join(["%0d"] * layers)}]}}'
    quoted = text.replace('"', '\\"')
    return (
        f'        file = $fopen("{_folder(index)}/result.json", "w");\n'
        f'        $fwrite(file, "{quoted}", {", ".join([*values, *counts])});\n'
        "        $fclose(file);\n"
    )
