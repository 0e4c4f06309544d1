"""A simulated board at a pseudo-terminal: the host shell's Verilog behind a port like a real one.

What opens ``SimulatedBoard.port`` with pyserial talks to the design bit by bit, over the lines rx
and tx; the bridge between them (``link_bridge.cpp``) is part of the simulator.
"""

import contextlib
import hashlib
import os
import shutil
import subprocess
import tempfile
import tty
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import Self

from shiftwork.boards.accelerator import FLASH_FILE, Accelerator
from shiftwork.boards.host_shell import HostShell
from shiftwork.errors import ToolError
from shiftwork.sim import cocotb_runner, simulator_cache, verilator
from shiftwork.sim.processes import LONGEST_S, end_with_parent, run_logged
from shiftwork.sim.verilated_model import compile_model

TOP = "shiftwork_link"
PROGRAM = "shiftwork_link"
BRIDGE = "link_bridge.cpp"
DIVISOR = 8
"""Clock cycles a bit: few, for speed."""
IDLE_BITS = 1024
"""After so many without a byte the simulated shell gives a request up."""
SETTLE_BITS = IDLE_BITS // 2
EXPIRE_BITS = 3 * IDLE_BITS
DEFAULT_CLOCK_HZ = 12_000_000
"""Of a design for no board."""
END_S = 5.0
START_S = 5.0
SLOWEST_HZ = 20_000.0
"""Cycles a second of a simulation that has to share its processor."""


def simulated_shell(accelerator: Accelerator) -> HostShell:
    """The host shell as it is simulated: at the board's clock, with a fast line."""
    board = accelerator.board
    clock_hz = DEFAULT_CLOCK_HZ if board is None else round(board.target_mhz * 1e6)
    baud = clock_hz // DIVISOR
    return HostShell(accelerator=accelerator, clock_hz=clock_hz, baud=baud, idle_s=IDLE_BITS / baud)


def simulation_seconds(shell: HostShell) -> float:
    """What a simulated answer may take at most, on a slow and busy machine."""
    identity = shell.identity
    line_bits = 10 * (identity.input_bytes + identity.output_bytes)
    flash_cycles = 16 * len(shell.accelerator.flash_image or b"")
    return START_S + (identity.cycles + line_bits * DIVISOR + flash_cycles) / SLOWEST_HZ


class SimulatedBoard:
    """A running simulation of the host shell; a context manager, which ends it.

    Parameters:
        design: a core, which gets a fast line, or one that has its host shell already.
        build_dir: where built simulators are kept, by default in the user's cache.
        time_limit: seconds that a tool may take.

    Attributes:
        port: name of the terminal to open.
        shell: what is simulated.

    Raises:
        ToolError: if a tool is missing, fails or takes too long.
        OutputError: if the folder of simulators cannot be written.
    """

    def __init__(
        self,
        design: Accelerator | HostShell,
        *,
        build_dir: str | Path | None = None,
        time_limit: float = LONGEST_S,
    ) -> None:
        self.shell = design if isinstance(design, HostShell) else simulated_shell(design)
        folder = Path(build_dir) if build_dir else simulator_cache.default_folder()
        program = _build(self.shell, folder.absolute(), time_limit)
        with contextlib.ExitStack() as stack:
            work = stack.enter_context(tempfile.TemporaryDirectory(prefix="shiftwork-"))
            image = self.shell.accelerator.flash_image
            if image:
                (Path(work) / FLASH_FILE).write_bytes(image)
            board_end, host_end = os.openpty()
            # Held open, so that the terminal outlives the times when nobody else has it open.
            stack.callback(os.close, host_end)
            tty.setraw(host_end)
            self.port = os.ttyname(host_end)
            try:
                self._process = _start(program, Path(work), board_end, self.shell)
            finally:
                os.close(board_end)
            stack.callback(self._end)
            self._stack = stack.pop_all()

    def close(self) -> None:
        """Ends the simulation."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _start(program: Path, work: Path, line: int, shell: HostShell) -> subprocess.Popen[bytes]:
    settings = (shell.divisor, SETTLE_BITS, EXPIRE_BITS, round(1e12 / shell.clock_hz))
    try:
        return subprocess.Popen(
            [str(program), *map(str, settings)],
            cwd=work,
            stdin=line,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=end_with_parent(os.getpid()),
        )
    except OSError as error:
        raise ToolError(f"the simulator cannot be started: {program}: {error.strerror}") from error


def _build(shell: HostShell, folder: Path, time_limit: float) -> Path:
    """The simulator's program, built unless it is there."""
    simulator_cache.prepare(folder)
    toolchain = verilator.find()
    sources = _sources(shell)
    parameters = _parameters(shell)
    tools = hashlib.sha256(toolchain.identity.encode()).hexdigest()[:20]
    design = hashlib.sha256(f"{tools} {sorted(sources.items())} {parameters}".encode())
    target = folder / f"link-{design.hexdigest()[:20]}"
    if simulator_cache.use(target):
        return target / PROGRAM
    runtime = folder / f"runtime-link-{tools}"
    simulator_cache.use(runtime)
    with (
        simulator_cache.kept_log(folder, f"{target.name}-build") as log,
        tempfile.TemporaryDirectory(prefix="shiftwork-") as work,
        simulator_cache.new_folder(target) as partial,
    ):
        place = Path(work)
        for name, text in sources.items():
            (place / name).write_text(text)

        def execute(commands: list[list[str]]) -> None:
            run_logged(
                commands,
                cwd=place,
                env=os.environ | {"VERILATOR_ROOT": str(toolchain.root), "TMPDIR": work},
                log=log,
                what="Verilator",
                jobs=os.cpu_count() or 1,
                time_limit=time_limit,
            )

        execute([[str(toolchain.binary), *_arguments(shell, parameters), *sources]])
        compile_model(place, PROGRAM, toolchain, runtime, execute)
        shutil.copy2(place / PROGRAM, partial / PROGRAM)
    simulator_cache.prune(folder)
    return target / PROGRAM


def _sources(shell: HostShell) -> dict[str, str]:
    own = ("link_bench.v", BRIDGE, *(["spi_flash.v"] if shell.accelerator.has_flash else []))
    texts = {name: resources.files("shiftwork.sim").joinpath(name).read_text() for name in own}
    host = shell.verilog()
    return texts | cocotb_runner.cell_models(host) | {"host.v": host}


def _parameters(shell: HostShell) -> dict[str, int]:
    image = shell.accelerator.flash_image
    return {"FLASH_BYTES": len(image)} if image else {}


def _arguments(shell: HostShell, parameters: dict[str, int]) -> list[str]:
    defines: dict[str, object] = dict(cocotb_runner.CELL_DEFINES)
    if shell.accelerator.has_flash:
        defines |= {cocotb_runner.FLASH_DEFINE: 1}
    unit, precision = cocotb_runner.TIMESCALE
    return [
        *("--cc", "--exe", *verilator.ARGUMENTS, "--timescale", f"{unit}/{precision}"),
        *("--top-module", TOP, "--Mdir", ".", "--prefix", "Vtop"),
        *(f"-D{name}={value}" for name, value in defines.items()),
        *(f"-G{name}={value}" for name, value in parameters.items()),
    ]
