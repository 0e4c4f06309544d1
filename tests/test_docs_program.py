import re
from pathlib import Path

import numpy as np

from shiftwork.quant.program import Program
from shiftwork.sim import golden

PAGE = Path(__file__).parents[1] / "docs" / "program.md"


def test_the_program_written_by_hand_computes_what_the_page_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    exec(code, {})
    program = Program.load(tmp_path / "dense.npz")
    outputs = golden.predict(program, np.array([[[[1, 2, 3]]], [[[100, -100, 50]]]]))
    assert outputs.reshape(2, 2).tolist() == [[4, 0], [115, 0]]
    inputs = np.array([1, 2, 3])
    assert (int(inputs @ [1, -2, 3]) + 10 + 2) >> 2 == 4
