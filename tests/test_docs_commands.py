"""Runs the commands of README and docs that need place and route, in the order in which they stand.

What a page's reader has of his own is the bundled network here; a stand-in takes what goes to a
board, and ``--port sim`` answers in its place.
"""

import importlib.resources
import os
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from docs_pages import ROOT, blocks, commands

from shiftwork import __main__
from shiftwork.sim.example_programs import dense_net, random_inputs, small_cnn

PAGES = (
    "README.md",
    "docs/boards/icebreaker.md",
    "docs/boards.md",
    "docs/exchange.md",
    "docs/explore.md",
    "docs/host_link.md",
    "docs/search.md",
)
IMAGES = 3
PROGRAMMERS = ("iceprog", "openFPGALoader", "dfu-util")
BOARD_PORT = "/dev/ttyUSB1"
ELSEWHERE = {
    "cd": "test_docs_generated.py",
    "dask": "test_shiftwork_explore_runners.py, with the command that needs them",
    "pip": ".ci/run",
    "python": "test_docs_generated.py, .ci/run",
    "python3": ".ci/run",
}
"""Programs of commands that are run by something else."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the files that pages name, and programmers that only succeed."""
    examples = Path(str(importlib.resources.files("shiftwork.examples")))
    shutil.copytree(examples, tmp_path / "examples")
    shutil.copy(examples / "mnist_cnn.onnx", tmp_path / "net.onnx")
    shutil.copy(examples / "mnist_calibration.npz", tmp_path / "inputs.npz")
    with np.load(examples / "mnist_samples.npz") as archive:
        few = {key: archive[key][:IMAGES] for key in ("x", "y")}
    np.savez(tmp_path / "labelled.npz", **few)
    np.savez(tmp_path / "samples.npz", x=few["x"])
    for name, program in (("a", small_cnn()), ("b", dense_net()), ("c", small_cnn(seed=1))):
        program.save(tmp_path / f"{name}.npz")
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    for tool in PROGRAMMERS:
        (bin_folder / tool).write_text("#!/bin/sh\nexit 0\n")
        (bin_folder / tool).chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(line: str) -> None:
    """Runs a command of a page.

    A board is simulated: of the default one, which the pages' bitstreams are for.
    """
    program, *arguments = shlex.split(line)
    if program in ELSEWHERE or program.startswith(".venv/") or "--scheduler" in arguments:
        return
    assert program == "shiftwork", line
    if BOARD_PORT in arguments:
        arguments[arguments.index(BOARD_PORT)] = "sim"
        arguments += ["--board", "icebreaker"]
    assert __main__.run(arguments) == 0, line


def prepare(page: str, folder: Path) -> None:
    """What the page takes for granted."""
    if page == "docs/exchange.md":
        program = small_cnn(seed=1)
        q = random_inputs(program, np.random.default_rng(2), IMAGES)
        x = program.tensor(program.input).dequantize(q)
        np.savez(folder / "samples.npz", x=program.input_layout.from_nhwc(x))
    elif page != "README.md":
        run("shiftwork quantize net.onnx --calibration inputs.npz -o net.npz")
    if page == "docs/host_link.md":
        run("shiftwork bitstream net.npz --board icebreaker --rows 1 --columns 2 -o FOLDER")


@pytest.mark.heavy
@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_run(page: str, folder: Path) -> None:
    lines = [line for block in blocks(page, "sh") for line in commands(block.code)]
    assert any(line.startswith("shiftwork ") for line in lines)
    prepare(page, folder)
    for line in lines:
        run(line)


def test_the_pages_are_there() -> None:
    assert all((ROOT / page).is_file() for page in PAGES)
