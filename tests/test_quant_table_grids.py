"""What a table's index stands for, and what the table holds."""

import math
from decimal import Decimal

import numpy as np
import pytest

from shiftwork.errors import ModelError
from shiftwork.quant.table_grids import (
    TableGrid,
    choose_grid,
    index_exponents,
    make_table,
)
from shiftwork.quant.unary_functions import HARD_SWISH, SWISH, affine, function

SHAPE = (1, 1, 3)
X = np.random.default_rng(0).normal(size=5_000) * 5.0


def chosen(name, x=X, **fields):
    of = function(name) if isinstance(name, str) else name
    return of, choose_grid(of, x, name="layer", exponents=index_exponents(x, 1.0), **fields)


def test_a_sigmoid_is_an_unsigned_byte_over_the_range_where_it_changes():
    of, grid = chosen("sigmoid")
    assert (grid.exponent, grid.signed, grid.offset) == (4, True, 0.0)
    assert (grid.output_exponent, grid.output_signed) == (8, False)
    table, tensor = make_table(of, grid, "y", SHAPE)
    assert (tensor.lo, tensor.hi, tensor.exponent) == (0, 255, 8)
    assert table.lookup(np.array([-128, 0, 16, 127])).tolist() == [0, 128, 187, 255]
    assert (table.function, table.step) == ("sigmoid(x)", 1 / 16)


def test_a_hyperbolic_tangent_is_a_signed_byte():
    of, grid = chosen("tanh", X / 2.5)
    assert (grid.exponent, grid.output_exponent, grid.output_signed) == (5, 7, True)
    table, _ = make_table(of, grid, "y", SHAPE)
    expected = [math.floor(math.tanh(i / 32) * 128 + 0.5) for i in range(-128, 128)]
    assert table.lookup(np.arange(-128, 128)).tolist() == np.clip(expected, -128, 127).tolist()


def test_outputs_may_be_kept_signed():
    assert chosen("sigmoid", outputs="signed")[1].output_signed
    assert chosen("sigmoid", outputs="signed")[1].output_exponent == 7


def test_an_index_that_is_used_on_one_side_is_moved_there():
    x = np.random.default_rng(1).uniform(-1.0, 11.0, 4_000)
    of, grid = chosen("softplus", x)
    assert (grid.exponent, grid.output_exponent, grid.output_signed) == (4, 4, False)
    assert grid.index(x).min() < -64 and grid.index(x).max() <= 127
    table, _ = make_table(of, grid, "y", SHAPE)
    assert table.function == f"softplus((x+{-grid.offset:g}))"


def test_the_grids_have_the_least_error():
    """Of all that were to choose from, tried one by one."""
    of = SWISH
    _, grid = chosen(of)

    def error(candidate):
        table, tensor = make_table(of, candidate, "y", (1, 1, 1))
        found = tensor.dequantize(table.lookup(candidate.index(X).astype(int)))
        return np.square(found - of.real(X)).sum()

    least = error(grid)
    for exponent in (grid.exponent - 1, grid.exponent, grid.exponent + 1):
        for steps in (-64, 0, 64):
            for finer in (-1, 0, 1):
                other = TableGrid(
                    exponent=exponent,
                    gain=1.0,
                    offset=steps * 2.0**-exponent,
                    signed=True,
                    output_exponent=grid.output_exponent + finer,
                    output_signed=True,
                )
                assert least <= error(other) * (1 + 1e-9)


@pytest.mark.parametrize("of", [function("sigmoid"), function("tanh"), SWISH, HARD_SWISH], ids=str)
def test_values_are_rounded_half_up_from_the_exact_ones(of):
    grid = TableGrid(
        exponent=4, gain=0.75, offset=0.5, signed=True, output_exponent=6, output_signed=True
    )
    table, _ = make_table(of, grid, "y", SHAPE)
    for index in range(-128, 128):
        exact = of.exact(Decimal(index) * Decimal("0.75") / 16 - Decimal("0.5")) * 64
        assert table.lookup(np.array(index)) == min(
            max(math.floor(exact + Decimal("0.5")), -128), 127
        )


def test_a_value_midway_is_rounded_up():
    grid = TableGrid(
        exponent=1, gain=1.0, offset=0.0, signed=True, output_exponent=0, output_signed=True
    )
    table, _ = make_table(affine(1.0, 0.0), grid, "y", SHAPE)
    assert table.lookup(np.array([-3, -1, 1, 3])).tolist() == [-1, 0, 1, 2]


def test_an_unsigned_index_has_an_order_of_its_own():
    grid = TableGrid(
        exponent=4, gain=1.0, offset=0.0, signed=False, output_exponent=7, output_signed=True
    )
    table, _ = make_table(function("tanh"), grid, "y", SHAPE)
    assert grid.bounds == (0, 255)
    assert (np.diff(table.outputs) >= 0).all() and table.outputs[0] == 0


def test_no_exponent_above_the_greatest_is_tried():
    assert max(index_exponents(X, 1.0, 2)) == 2
    assert max(index_exponents(X, 1.0, -20)) == -20


def test_a_function_that_is_infinite_is_refused():
    with pytest.raises(
        ModelError,
        match=r"node 'layer' computes exp\(x\), which is not finite at \d+, reached by the calib",
    ):
        chosen("exp", np.array([0.0, 900.0]))
