import re
from pathlib import Path

import pytest

from shiftwork.quant import FixedPoint

PAGE = Path(__file__).parents[1] / "docs" / "fixed_point.md"


def test_the_examples_hold():
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 7
    assert all("assert" in block for block in blocks)
    exec("".join(blocks), {})


ROW = r"^\| `(\w+)` \|[^|]*" + r"\|\s*(-?\d)\s*" * 4
TABLE = re.findall(ROW, PAGE.read_text(), re.MULTILINE)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row[0])
def test_the_table_of_rounding_modes_holds(row):
    mode, *cells = row
    kind = FixedPoint(rounding=mode)
    assert kind.to_stored([2.5, -2.5, 2.7, -2.7]).tolist() == [int(cell) for cell in cells]


def test_the_table_has_every_mode():
    assert len(TABLE) == 6
