"""docs/activations.md: its code runs, and gives the figures of its table."""

import re

import numpy as np
from docs_pages import blocks, pages

from shiftwork.quant.onnx_unary import FUNCTIONS as ONNX
from shiftwork.quant.tflite_unary import FUNCTIONS as TFLITE

PAGE = "docs/activations.md"


def cells(row):
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_the_code_gives_the_table():
    """Steps exactly; errors up to the last digit, which another numpy may round otherwise."""
    found = {}
    for block in blocks(PAGE, "python"):
        exec(block.code, found)
    for row in found["rows"]:
        name, *steps, worst, ratio = cells(row)
        (line,) = re.findall(rf"^\| {re.escape(name)} \|.*$", pages()[PAGE], re.MULTILINE)
        _, *told_steps, told_worst, told_ratio = cells(line)
        assert told_steps == steps
        assert np.isclose(float(told_worst), float(worst), atol=0.0011)
        assert np.isclose(float(told_ratio[:-3]), float(ratio[:-3]), atol=0.11)


def test_every_function_is_listed():
    text = pages()[PAGE]
    for name in (*ONNX, *TFLITE):
        assert f"`{name}`" in text
