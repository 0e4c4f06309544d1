"""The commands and the code of docs/tutorial.md, and that they print what the page shows."""

import ast
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from docs_pages import BLOCK, DOCS, blocks, commands
from PIL import Image

from shiftwork import __main__

PAGE = "docs/tutorial.md"
WIDTH = "100"
NOT_RUN = {
    "python3": "installs the package",
    "shiftwork bitstream": "place and route",
    "shiftwork flash": "needs a board",
    "shiftwork run net.npz labelled.npz --port /dev": "needs a board",
    "shiftwork build": "place and route",
}
"""Commands of the page that are not run, by their beginning, and why."""
SIMULATED = ("shiftwork simulate", "shiftwork run")


def shown() -> list[tuple[str, str]]:
    """Each command of the page that is run, and what the page shows of its output."""
    found, last = [], ""
    for _, language, code in BLOCK.findall((DOCS / "tutorial.md").read_text()):
        if language == "sh":
            lines = commands(code)
            found += [(line, "") for line in lines if not line.startswith(tuple(NOT_RUN))]
            last = lines[-1]
        elif language == "text":
            found[-1] = (last, code)
    return [(line, output) for line, output in found if line.startswith("shiftwork")]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the page's commands run, with the files that its code copies."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", WIDTH)
    copying = next(b.code for b in blocks(PAGE, "python") if "importlib.resources" in b.code)
    exec(copying, {})
    return tmp_path


def words(text: str) -> str:
    return " ".join(text.split())


def run(line: str, output: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Runs a command; every line that the page shows must be printed."""
    assert __main__.run(shlex.split(line)[1:]) == (1 if output.startswith("error") else 0), line
    captured = capsys.readouterr()
    if output.startswith("error"):
        assert words(captured.err.split("error:")[-1]) == words(output.removeprefix("error:"))
        return
    for row in output.splitlines():
        assert words(row) in words(captured.out), f"{line}\ndoes not print\n{row}"


@pytest.mark.usefixtures("folder")
def test_the_commands_print_what_the_page_shows(capsys: pytest.CaptureFixture[str]) -> None:
    quick = [(line, output) for line, output in shown() if not line.startswith(SIMULATED)]
    assert [line.split()[1] for line, _ in quick] == [
        "quantize",
        "compare",
        "analyze",
        "generate",
        "generate",
    ]
    assert sum(bool(output) for _, output in quick) == 3
    for line, output in quick:
        run(line, output, capsys)


@pytest.mark.slow
@pytest.mark.usefixtures("folder")
def test_the_simulations_print_what_the_page_shows(capsys: pytest.CaptureFixture[str]) -> None:
    (first, *_), simulated = shown(), [pair for pair in shown() if pair[0].startswith(SIMULATED)]
    assert len(simulated) == 2 and all(output for _, output in simulated)
    for line, output in [first, *simulated]:
        run(line, output, capsys)


@pytest.mark.usefixtures("folder")
def test_samples_from_arrays_and_from_images() -> None:
    arrays, images = (
        block.code for block in blocks(PAGE, "python") if re.search(r"np\.savez", block.code)
    )
    with np.load("labelled.npz") as samples:
        x, y = samples["x"], samples["y"]
    names = {"x_train": np.concatenate([x] * 2), "x_test": x[:7], "y_test": y[:7]}
    exec(arrays, names)
    with np.load("inputs.npz") as inputs, np.load("labelled.npz") as labelled:
        assert inputs["x"].shape == (100, 28, 28)
        assert labelled["x"].shape == (7, 28, 28) and labelled["y"].shape == (7,)
    x, y = x[:12], y[:12]
    for number, (pixels, label) in enumerate(zip(x, y, strict=True)):
        path = Path("images") / str(label) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    exec(images, {})
    with np.load("labelled.npz") as labelled:
        found = {
            (value.tobytes(), sorted(set(map(str, y)))[number])
            for value, number in zip(labelled["x"], labelled["y"], strict=True)
        }
    assert found == {(value.tobytes(), str(label)) for value, label in zip(x, y, strict=True)}


def test_the_export_from_pytorch_is_python() -> None:
    """PyTorch is not installed for the tests."""
    (block,) = (b for b in blocks(PAGE, "python") if "torch" in b.code)
    call = ast.parse(block.code).body[-1]
    assert ast.unparse(call).startswith("torch.onnx.export(model, torch.zeros(1, 1, 28, 28), 'net")


def test_every_command_is_run_or_has_a_reason() -> None:
    lines = [line for block in blocks(PAGE, "sh") for line in commands(block.code)]
    run_lines = {line for line, _ in shown()}
    others = [line for line in lines if line.split()[0] == "shiftwork" and line not in run_lines]
    assert all(line.startswith(tuple(NOT_RUN)) for line in others)
    assert all(any(line.startswith(start) for line in lines) for start in NOT_RUN)
