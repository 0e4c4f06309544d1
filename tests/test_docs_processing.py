import importlib.resources
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

from shiftwork import __main__
from shiftwork.quant.calibration import read_samples
from shiftwork.quant.program import Program

PAGE = (Path(__file__).parents[1] / "docs" / "processing.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A network and samples under the names that the page uses."""
    with importlib.resources.as_file(importlib.resources.files("shiftwork.examples")) as examples:
        shutil.copy(examples / "mnist_cnn.onnx", tmp_path / "net.onnx")
        test = read_samples(examples / "mnist_samples.npz")
    np.savez(tmp_path / "labelled.npz", x=test.x[:20], y=test.y[:20])
    for name in ("inputs.npz", "images.npz"):
        np.savez(tmp_path / name, x=test.x[30:40])
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_the_commands_run(capsys):
    """Those with three channels are for another network; its own number is what they fail for."""
    commands = [line for block in blocks("sh") for line in block.replace("\\\n", "").splitlines()]
    codes = []
    for command in commands:
        program, *arguments = shlex.split(command)
        assert program == "shiftwork"
        codes.append(__main__.run(arguments))
    assert codes == [0, 0, 0, 1]
    captured = capsys.readouterr()
    assert "one number, or one for each of the 1 channels, not 3" in captured.err
    assert Program.load("sure.npz").top_score.threshold == 20480
    assert "threshold: a score of 20480, which is 5" in captured.out


@pytest.mark.usefixtures("folder")
def test_the_python_code_runs():
    (code,) = blocks("python")
    names = {}
    exec(compile(code, "processing.md", "exec"), names)
    net, images = names["net"], names["images"]
    assert images.dtype == np.uint8
    assert (net.classes(names["sw"].golden(net, images).reshape(-1, 1, 1, 2)) >= 0).any()
