import importlib.resources
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

from shiftwork import __main__
from shiftwork.quant.calibration import read_samples

PAGE = (Path(__file__).parents[1] / "docs" / "workbench.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A network and samples under the names that the page uses."""
    with importlib.resources.as_file(importlib.resources.files("shiftwork.examples")) as examples:
        shutil.copy(examples / "mnist_cnn.onnx", tmp_path / "net.onnx")
        test = read_samples(examples / "mnist_samples.npz")
    np.savez(tmp_path / "labelled.npz", x=test.x[:20], y=test.y[:20])
    np.savez(tmp_path / "inputs.npz", x=test.x[30:50])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commands_run(folder, capsys):
    for name, rounding in (("a.npz", "nearest"), ("b.npz", "compensated")):
        options = f"--calibration inputs.npz -o {name} --rounding {rounding}"
        assert __main__.run(["quantize", "net.onnx", *options.split()]) == 0
    shutil.copy("a.npz", "c.npz")
    commands = [line for block in blocks("sh") for line in block.splitlines() if line]
    assert len(commands) == 5
    for command in commands:
        program, *arguments = shlex.split(command, comments=True)
        assert program == "shiftwork"
        assert __main__.run(arguments) == 0, command
    out = capsys.readouterr().out
    assert out.count("costs most") == 6
    assert (folder / "analysis" / "report.html").is_file()
    assert (folder / "analysis" / "analysis.json").is_file()
    assert (folder / "page" / "report.html").is_file()


def test_the_python_code_runs(folder, capsys):
    first, metric, second = blocks("python")
    x = read_samples(folder / "inputs.npz").x
    exec(first, {"x": x})
    assert capsys.readouterr().out.splitlines()[0].startswith("conv1 weights ")
    flat = "def reconstruction_error(x, outputs, y):\n    return float(outputs.max())\n"
    assert "return ((x - outputs) ** 2).mean()" in metric
    exec(flat + second, {"x": x})
    assert "costs most" in capsys.readouterr().out


def test_the_metric_is_a_mean_square():
    names = {}
    exec(blocks("python")[1], names)
    assert names["reconstruction_error"](np.ones((2, 3)), np.zeros((2, 3)), None) == 1.0
