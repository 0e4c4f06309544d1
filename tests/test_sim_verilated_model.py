import json
from pathlib import Path
from typing import Any

import pytest

from shiftwork.sim.verilated_model import compile_model
from shiftwork.sim.verilator import Toolchain

TOOLS = Toolchain(root=Path("/verilator"), version="1", compiler=("cxx", "-m64"))


class Tools:
    """Stands for the compiler: makes the files that the commands name, and keeps the commands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.commands: list[list[str]] = []

    def __call__(self, commands: list[list[str]]) -> None:
        self.commands += commands
        for command in commands:
            (self.folder / command[command.index("-o") + 1]).write_text("object")


@pytest.fixture
def tools(tmp_path: Path) -> Tools:
    """What Verilator leaves of a design: two hot files, one cold, two of the run-time library."""
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("Vtop_0.cpp", "Vtop_1.cpp", "Vtop_slow.cpp", "main.cpp"):
        (folder / name).write_text("// " + 30 * name)
    description = {
        "options": {
            "ldflags": ["-Lplace -lcocotb"],
            "use_timing": True,
            "trace": False,
            "trace_vcd": False,
        },
        "sources": {
            "global": ["/verilator/include/verilated.cpp", "/verilator/include/verilated_vpi.cpp"],
            "classes_fast": [str(folder / "Vtop_0.cpp"), str(folder / "Vtop_1.cpp")],
            "classes_slow": [str(folder / "Vtop_slow.cpp")],
            "user_classes": [str(folder / "main.cpp")],
        },
    }
    (folder / "Vtop.json").write_text(json.dumps(description))
    return Tools(folder)


def compile_with(tools: Tools, **settings: Any) -> list[str]:
    """The commands, in short: optimization and what is made of what."""
    tools.commands.clear()
    runtime = tools.folder.parent / "runtime"
    compile_model(tools.folder, "program", TOOLS, runtime, tools, **settings)
    *compiles, _ = tools.commands
    return [" ".join(command[-5:]) for command in compiles]


def test_hot_and_cold_code_are_compiled_apart(tools: Tools) -> None:
    assert compile_with(tools) == [
        "-O2 -c hot_0.cpp -o hot_0.o",
        "-O0 -c cold_0.cpp -o cold_0.o",
        "-Og -c /verilator/include/verilated.cpp -o verilated.o",
        "-Og -c /verilator/include/verilated_vpi.cpp -o verilated_vpi.o",
    ]
    lines = (tools.folder / "hot_0.cpp").read_text().splitlines()
    names = ("Vtop_0.cpp", "Vtop_1.cpp", "main.cpp")
    assert lines[1:] == [f'#include "{tools.folder / name}"' for name in names]


def test_everything_is_linked(tools: Tools) -> None:
    compile_with(tools)
    runtime = tools.folder.parent / "runtime"
    link = tools.commands[-1]
    assert link[:4] == ["cxx", "-m64", "hot_0.o", "cold_0.o"]
    assert link[4:6] == [str(runtime / "verilated.o"), str(runtime / "verilated_vpi.o")]
    assert {"-Lplace", "-lcocotb"} < set(link)
    assert link[-2:] == ["-o", "program"]


def test_the_run_time_library_is_compiled_once(tools: Tools) -> None:
    compile_with(tools)
    assert [line.split()[2] for line in compile_with(tools)] == ["hot_0.cpp", "cold_0.cpp"]


def test_large_models_are_compiled_in_parts(tools: Tools) -> None:
    units = [line.split()[2] for line in compile_with(tools, unit_bytes=400)]
    assert units[:3] == ["hot_0.cpp", "hot_1.cpp", "cold_0.cpp"]


def test_the_switches_follow_the_description(tools: Tools) -> None:
    compile_with(tools)
    command = tools.commands[0]
    assert {"-DVM_TIMING=1", "-DVM_TRACE=0", "-std=gnu++20", "-I/verilator/include"} < set(command)
