from pathlib import Path

import pytest

from shiftwork.errors import ToolError
from shiftwork.sim.runners import IcarusRunner, VerilatorRunner

# Runs the runners' steps without running any tool.
SOURCES = ("bench.v", "core.v")


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Every command that a runner would have run."""
    collected: list[list[str]] = []
    monkeypatch.setattr(
        "shiftwork.sim.runners.run_logged", lambda batch, **_: collected.extend(batch)
    )
    return collected


def build(runner: VerilatorRunner, folder: Path) -> None:
    runner.build(
        sources=[folder / name for name in SOURCES],
        hdl_toplevel="top",
        build_args=runner.build_arguments,
        build_dir=folder,
        parameters={"LAYERS": 3},
        timescale=("1ns", "1ps"),
        waves=True,
        log_file=folder / "log",
    )


def test_verilator_keeps_private_what_the_bench_does_not_show(
    tmp_path: Path, commands: list[list[str]]
) -> None:
    build(VerilatorRunner(runtime=tmp_path), tmp_path)
    (translate,) = commands
    assert translate[0].endswith("verilator_bin")
    assert "--public-flat-rw" not in translate
    assert {"--vpi", "--timing", "--trace", "-GLAYERS=3"} < set(translate)
    assert translate[translate.index("--make") + 1] == "json", "no makefile, no make"


def test_icarus_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(ToolError, match=r"no iverilog and vvp on the PATH"):
        IcarusRunner()
