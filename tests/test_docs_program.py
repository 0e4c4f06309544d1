import re
from pathlib import Path

import numpy as np
import pytest

from shiftwork.quant.program import Program
from shiftwork.quant.program_file import FORMAT_VERSION, LATEST_VERSION
from shiftwork.sim import golden

PAGE = Path(__file__).parents[1] / "docs" / "program.md"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where the page's code has run."""
    monkeypatch.chdir(tmp_path)
    for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(code, {})
    return tmp_path


def test_the_program_written_by_hand_computes_what_the_page_says(folder):
    program = Program.load(folder / "dense.npz")
    outputs = golden.predict(program, np.array([[[[1, 2, 3]]], [[[100, -100, 50]]]]))
    assert outputs.reshape(2, 2).tolist() == [[4, 0], [115, 0]]
    inputs = np.array([1, 2, 3])
    assert (int(inputs @ [1, -2, 3]) + 10 + 2) >> 2 == 4


def test_the_residual_block_computes_what_the_page_says(folder):
    program = Program.load(folder / "block.npz")
    x = np.arange(16).reshape(1, 4, 4, 1)
    values = golden.trace(program, x)
    assert values["stem"][0, :, :, 0].ravel().tolist() == [0, 2, 8, 10]
    assert values["stem"][0, :, :, 1].ravel().tolist() == [0, -2, -8, -10]
    assert values["dw"].reshape(4, 2).tolist() == [[20, -10]] * 4
    stem = np.array([0, 2, 8, 10])
    first = (2 * 20 - 10 + (stem << 2) + 4 * stem + 2) >> 2
    second = (5 + 20 - 2 * 10 + (-stem << 3) - 4 * stem + 4) >> 3
    assert values["y"].reshape(4, 2).T.tolist() == [first.tolist(), second.tolist()]
    assert first[3] == 28


def test_the_page_states_the_arrays_and_the_version_of_the_file(folder):
    page = PAGE.read_text()
    with np.load(folder / "block.npz") as archive:
        names = {re.sub(r"op\d+", "op<i>", re.sub(r"term\d+", "term<j>", n)) for n in archive}
    for name in names - {"program"}:
        assert f"`{name}`" in page, name
    assert f"## File format, versions {FORMAT_VERSION} to {LATEST_VERSION}" in page
