"""The array's shape and configuration: limits, and what follows from them."""

import re

import pytest

from shiftwork.errors import CapacityError
from shiftwork.hw.config import ArrayShape


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rows": 0, "columns": 4}, "rows must be at least 1, not 0"),
        ({"rows": 2, "columns": -3}, "columns must be at least 1, not -3"),
        ({"rows": 2, "columns": 4, "lanes": 0}, "lanes must be at least 1, not 0"),
        (
            {"rows": 2, "columns": 4, "word_bytes": 1},
            "word_bytes must be a power of two, at least 2, not 1",
        ),
        (
            {"rows": 2, "columns": 4, "word_bytes": 6},
            "word_bytes must be a power of two, at least 2, not 6",
        ),
        ({"rows": 2, "columns": 6, "lanes": 4}, "lanes must divide columns (6), not be 4"),
        ({"rows": 2, "columns": 8, "lanes": 8}, "lanes must divide word_bytes (4), not be 8"),
    ],
)
def test_limits(fields, message):
    with pytest.raises(CapacityError, match=f"^{re.escape(message)}$"):
        ArrayShape(**fields)


@pytest.mark.parametrize(("rows", "word_bytes", "cycles"), [(1, 4, 4), (4, 4, 4), (5, 4, 5)])
def test_full_word_cycles(rows, word_bytes, cycles):
    shape = ArrayShape(rows=rows, columns=3, word_bytes=word_bytes)
    assert shape.full_word_cycles == cycles
    assert shape.elements == 3 * rows


@pytest.mark.parametrize("family", ["generic", "ice40up", "ecp5"])
def test_portable_differs_in_the_family_only(array_config, family):
    shape = ArrayShape(rows=2, columns=4, lanes=2, family=family, single_port=True)
    plain = ArrayShape(rows=2, columns=4, lanes=2, single_port=True)
    assert shape.portable() == plain
    assert array_config(shape).portable() == array_config(plain)


def test_activation_bytes(array_config):
    shape = ArrayShape(rows=1, columns=1, word_bytes=8)
    assert array_config(shape, bank_depth=17).activation_bytes == 136
