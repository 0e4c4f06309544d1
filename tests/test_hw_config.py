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
        (
            {"rows": 2, "columns": 4, "stage_columns": 0},
            "stage_columns must be at least 1, not 0",
        ),
        (
            {"rows": 2, "columns": 4, "bank_bytes": 4},
            "bank_bytes must divide half of word_bytes (4), not be 4",
        ),
        (
            {"rows": 2, "columns": 4, "word_bytes": 16, "bank_bytes": 3},
            "bank_bytes must divide half of word_bytes (16), not be 3",
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


@pytest.mark.parametrize(
    ("columns", "stage_columns", "stages"), [(1, 1, 1), (8, 1, 8), (8, 3, 3), (8, 8, 1), (8, 20, 1)]
)
def test_skew_counts_rows_and_stages(columns, stage_columns, stages):
    shape = ArrayShape(rows=3, columns=columns, stage_columns=stage_columns)
    assert shape.stages == stages
    assert shape.skew == (3 - 1) + (stages - 1)


@pytest.mark.parametrize(
    ("columns", "lanes", "order"),
    [(4, 1, [0, 1, 2, 3]), (4, 4, [0, 1, 2, 3]), (6, 2, [0, 2, 4, 1, 3, 5])],
)
def test_lanes_drain_neighbouring_channels(columns, lanes, order):
    """The first columns of all lanes hold the first channels, and so on."""
    shape = ArrayShape(rows=1, columns=columns, lanes=lanes)
    assert [shape.channel(column) for column in range(columns)] == order


@pytest.mark.parametrize(("columns", "blocks"), [(1, 1), (4, 1), (5, 2), (12, 3)])
def test_weight_blocks(array_config, columns, blocks):
    assert array_config(ArrayShape(rows=1, columns=columns)).weight_blocks == blocks


def test_weights_are_copied_where_columns_hold_one_layer(array_config):
    assert not array_config(ArrayShape(rows=1, columns=4)).copies_weights
    assert array_config(ArrayShape(rows=1, columns=4, column_bytes=9)).copies_weights
