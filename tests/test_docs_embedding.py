"""The code of docs/embedding.md: both detectors agree with golden, FuseSoC finds its files."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator
from framed_streams import Frames
from verilated import run_bench

from shiftwork import __main__
from shiftwork.quant.program import Program
from shiftwork.sim.example_programs import ProgramBuilder

PAGE = (Path(__file__).parents[1] / "docs" / "embedding.md").read_text()
PERIOD = 1e-8
FRAMES = 6
PATIENCE = 300


def code(language: str, place: int = 0) -> str:
    """A piece of code of the page."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)[place]


def program() -> Program:
    """A network with a signed answer."""
    builder = ProgramBuilder("detect", (2, 2, 3), np.random.default_rng(8))
    return builder.conv(4, (2, 2), unsigned=True).conv(3, (1, 1)).build()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With the quantized network, and where the commands run."""
    program().save(tmp_path / "net.npz")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def generated(folder: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """What the page's command writes."""
    name, *arguments = code("sh").split()
    assert name == "shiftwork"
    assert __main__.run(arguments) == 0
    capsys.readouterr()
    return folder / "accelerator"


def frames_and_answers() -> tuple[list[bytes], list[int]]:
    """Frames, one of which is too short, and whether the first value of each answer is positive."""
    frames = Frames(program(), count=FRAMES)
    found = [int(int.from_bytes(answer[:1], signed=True) > 0) for answer in frames.answers]
    assert set(found) == {0, 1}
    return [frames.inputs[0], frames.inputs[1][:-1], *frames.inputs[1:]], found


@pytest.mark.usefixtures("folder")
def test_the_component_in_amaranth() -> None:
    names: dict[str, Any] = {}
    exec(code("python"), names)
    dut, found = names["detector"], []
    frames, expected = frames_and_answers()

    async def bench(ctx: Any) -> None:
        pending = [(byte, k == len(f) - 1) for f in frames for k, byte in enumerate(f)]
        for _ in range(len(frames) * PATIENCE):
            data, last = pending[0] if pending else (0, 0)
            ctx.set(dut.pixels.payload, {"data": data, "last": last})
            ctx.set(dut.pixels.valid, int(bool(pending)))
            if pending and ctx.get(dut.pixels.ready):
                pending.pop(0)
            if ctx.get(dut.found_valid):
                found.append(ctx.get(dut.found))
            await ctx.tick()
            if len(found) == len(expected) and not pending:
                break
        assert ctx.get(dut.broken)

    simulator = Simulator(dut)
    simulator.add_clock(PERIOD)
    simulator.add_testbench(bench)
    simulator.run()
    assert found == expected


def test_the_module_in_verilog(folder: Path, generated: Path) -> None:
    frames, expected = frames_and_answers()
    sources = {
        "axi_stream.v": (generated / "axi_stream.v").read_text(),
        "detector.v": code("verilog"),
    }
    job = {"frames": [frame.hex() for frame in frames]}
    assert run_bench(folder, "detector", sources, job) == {"found": expected, "broken": 1}


def test_the_core_file_for_fusesoc(folder: Path, generated: Path) -> None:
    (folder / "detector.core").write_text(code("yaml"))
    (folder / "detector.v").write_text(code("verilog"))
    name, *arguments = code("sh", 1).split()
    assert name == "fusesoc"
    command = [str(Path(sys.executable).with_name(name)), *arguments]
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder / "config")},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    copied = {file.name: file.read_text() for file in folder.glob("build/**/*.v")}
    assert copied == {
        "axi_stream.v": (generated / "axi_stream.v").read_text(),
        "detector.v": code("verilog"),
    }
    (listing,) = folder.glob("build/**/*.vc")
    assert "--top-module detector" in listing.read_text()
