"""Compiles what Verilator has translated: the C++ files that its build description lists.

Verilator's own makefile would do as well, but twice as slowly for one design: it compiles many
files that each spend most of the time in the same headers. Here they are joined to few units, and
the objects of Verilator's run-time library, which no design changes, are kept.
"""

import json
import shlex
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from shiftwork.quant.whole_file import whole_file
from shiftwork.sim.verilator import Toolchain

STANDARD = "-std=gnu++20"  # coroutines, for the bench's clock
HOT_OPTIMIZATION = "-O2"
COLD_OPTIMIZATION = "-O0"  # what runs once

# The run-time library is called twice a clock cycle: worth a little optimization, at half the
# compile time of -O1.
RUNTIME_OPTIMIZATION = "-Og"

HOT = ("classes_fast", "support_fast", "user_classes")
COLD = ("classes_slow", "support_slow")
UNIT_BYTES = 1 << 20

# Verilator's run-time library leaves functions open that only other programs define.
PLATFORM_FLAGS = {"darwin": ("-Wl,-undefined,dynamic_lookup",)}

Command = list[str]
RunCommands = Callable[[list[Command]], None]


def compile_model(
    folder: Path,
    program: str,
    toolchain: Toolchain,
    runtime: Path,
    run: RunCommands,
    *,
    optimization: str = HOT_OPTIMIZATION,
    unit_bytes: int = UNIT_BYTES,
) -> None:
    """Compiles and links ``Vtop.json`` in ``folder`` to the executable ``program`` there.

    Parameters:
        folder: where Verilator has put its files.
        program: file name of the result.
        toolchain: the compiler.
        runtime: where objects of the run-time library are kept, for all designs.
        run: runs commands in ``folder``, in parallel, and raises if one fails.
        optimization: the compiler's option for what runs every cycle.
        unit_bytes: of C++ that are compiled at once, about.
    """
    description = json.loads((folder / "Vtop.json").read_text())
    sources = description["sources"]
    prefix = [*toolchain.compiler, STANDARD, *_flags(description, toolchain.root)]
    commands = []
    objects = []
    for name, option, groups in (("hot", optimization, HOT), ("cold", COLD_OPTIMIZATION, COLD)):
        files = [Path(name) for group in groups for name in sources.get(group, ())]
        for unit in _write_units(folder, name, files, unit_bytes):
            commands.append([*prefix, option, "-c", f"{unit}.cpp", "-o", f"{unit}.o"])
            objects.append(f"{unit}.o")
    library = [Path(name) for name in sources["global"]]
    missing = [path for path in library if not (runtime / f"{path.stem}.o").exists()]
    for path in missing:
        commands.append([*prefix, RUNTIME_OPTIMIZATION, "-c", str(path), "-o", f"{path.stem}.o"])
    run(commands)
    keep_objects([folder / f"{path.stem}.o" for path in missing], runtime)
    objects += [str(runtime / f"{path.stem}.o") for path in library]
    options = [
        word for text in description["options"].get("ldflags", ()) for word in shlex.split(text)
    ]
    options += PLATFORM_FLAGS.get(sys.platform, ())
    run([[*toolchain.compiler, *objects, "-pthread", *options, "-o", program]])


def keep_objects(objects: Iterable[Path], folder: Path) -> None:
    """Copies objects into ``folder``, each complete or not at all."""
    folder.mkdir(exist_ok=True)
    for path in objects:
        with path.open("rb") as source, whole_file(folder / path.name) as copy:
            shutil.copyfileobj(source, copy)


def _flags(description: dict[str, Any], root: Path) -> list[str]:
    options = description["options"]
    switches = {
        "VERILATOR": 1,
        "VM_COVERAGE": 0,
        "VM_SC": 0,
        "VM_TIMING": int(options["use_timing"]),
        "VM_TRACE": int(options["trace"]),
        "VM_TRACE_FST": 0,
        "VM_TRACE_SAIF": 0,
        "VM_TRACE_VCD": int(options["trace_vcd"]),
    }
    includes = [".", str(root / "include"), str(root / "include" / "vltstd")]
    return [
        *(f"-D{name}={value}" for name, value in switches.items()),
        *(f"-I{path}" for path in includes),
    ]


def _write_units(folder: Path, name: str, files: Sequence[Path], unit_bytes: int) -> Iterator[str]:
    """Writes C++ files that include ``files``, a few each; yields their names."""
    for number, unit in enumerate(_packed(files, unit_bytes)):
        lines = ["#define VL_INCLUDE_OPT include", *(f'#include "{path}"' for path in unit)]
        (folder / f"{name}_{number}.cpp").write_text("\n".join(lines) + "\n")
        yield f"{name}_{number}"


def _packed(files: Sequence[Path], unit_bytes: int) -> list[list[Path]]:
    """``files`` in their order, in parts of about ``unit_bytes``."""
    parts: list[list[Path]] = []
    size = unit_bytes
    for path in files:
        if size >= unit_bytes:
            parts.append([])
            size = 0
        parts[-1].append(path)
        size += path.stat().st_size
    return parts
