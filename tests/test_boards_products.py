"""Which elements a board gets, and whole networks on elements that shift."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from shiftwork.boards import fit, resources
from shiftwork.boards.accelerator import Accelerator
from shiftwork.boards.engine import Engine
from shiftwork.boards.estimate import estimate
from shiftwork.boards.products import ProductChoice, products_of
from shiftwork.boards.registry import find
from shiftwork.errors import CapacityError
from shiftwork.hw.config import ArrayConfig, ArrayShape, Family, Products
from shiftwork.quant.codebook import INT4
from shiftwork.quant.levels import POWERS
from shiftwork.quant.program import Program
from shiftwork.sim import golden
from shiftwork.sim.coded_programs import coded
from shiftwork.sim.example_programs import random_inputs
from shiftwork.sim.executor import Engine as Simulator
from shiftwork.sim.executor import simulate
from shiftwork.sim.network_case import Case, amaranth_difference
from shiftwork.sim.program_builder import ProgramBuilder

HX, ICE = find("ice40-hx8k"), find("icebreaker")
ALL_POWERS = (-128, *POWERS)


def mixed_net() -> Program:
    """A network with a layer of each kind: rows, channels, a maximum, an average, a residual."""
    builder = ProgramBuilder("mixed", (4, 4, 3), np.random.default_rng(2), signed=False)
    builder.conv(4, (2, 2), padding=(0, 0, 1, 1), unsigned=True)
    first = builder.last.name
    builder.depthwise((3, 3), padding=(1, 1, 1, 1)).residual(first, 3).max_pool((2, 2))
    return builder.average_pool().dense(5, accumulators=True).build()


def wide_net() -> Program:
    """Powers of two, and a feature map of 16 bits."""
    builder = ProgramBuilder("wide", (2, 2, 2), np.random.default_rng(3))
    builder.conv(2, (1, 1), wide_output=True).dense(3, accumulators=True)
    return coded(builder.build(), ALL_POWERS)


def coded_net(codebook: tuple[int, ...] = ALL_POWERS) -> Program:
    return coded(mixed_net(), codebook)


def test_maps_of_16_bits_multiply() -> None:
    program = wide_net()
    assert products_of("auto", "ice40hx", program, elements=4) == "multiply"
    with pytest.raises(CapacityError, match=r"need feature maps of 8 bits: 'wide' has some of 16"):
        products_of("shift", "ice40hx", program, elements=4)
    with pytest.raises(CapacityError, match="leave out --products shift"):
        Accelerator(program, board="ice40-hx8k", rows=1, columns=2, products="shift")
    accelerator = Accelerator(program, board="ice40-hx8k", rows=1, columns=2)
    assert accelerator.config.shape.products == "multiply" and accelerator.config.scaled


@pytest.mark.parametrize(
    ("choice", "family", "elements", "expected"),
    [
        ("auto", "ice40hx", 4, "shift"),
        ("auto", "ice40up", 16, "multiply"),
        ("auto", "ice40up", 17, "mixed"),
        ("auto", "ecp5", 64, "multiply"),
        ("auto", "gowin", 64, "multiply"),
        ("auto", "generic", 64, "multiply"),
        ("shift", "ecp5", 64, "shift"),
        ("shift", "generic", 4, "shift"),
        ("shift", "ice40up", 16, "multiply"),
        ("shift", "ice40up", 17, "mixed"),
        ("multiply", "ice40hx", 4, "multiply"),
        ("multiply", "ice40up", 17, "multiply"),
    ],
)
def test_elements_by_family(
    choice: ProductChoice, family: Family, elements: int, expected: Products
) -> None:
    assert products_of(choice, family, coded_net(), elements=elements) == expected


@pytest.mark.parametrize("codebook", [None, INT4])
@pytest.mark.parametrize("family", ["ice40hx", "ice40up", "ecp5"])
def test_other_weights_multiply(family: Family, codebook: tuple[int, ...] | None) -> None:
    program = mixed_net() if codebook is None else coded_net(codebook)
    for choice in ("auto", "multiply"):
        assert products_of(choice, family, program, elements=20) == "multiply"
    with pytest.raises(CapacityError, match="weights that are 0 or signed powers of two: 'mixed'"):
        products_of("shift", family, program, elements=20)


def test_the_error_of_an_accelerator() -> None:
    with pytest.raises(CapacityError) as error:
        Accelerator(mixed_net(), board="ice40-hx8k", products="shift")
    assert str(error.value) == (
        "products by shifting need weights that are 0 or signed powers of two: 'mixed' has no "
        "codebook; quantize it with --weights pow2, or leave out --products shift"
    )


def test_cycles_and_memories_stay() -> None:
    shifts, multiplies = (
        fit.bind(coded_net(), HX, rows=2, columns=4, products=choice)
        for choice in ("auto", "multiply")
    )
    assert shifts.config.shape.products == "shift"
    assert multiplies.config.shape.products == "multiply"
    assert shifts.cycles == multiplies.cycles
    assert shifts.images.weights == multiplies.images.weights
    assert resources.block_rams(shifts.config, HX) == resources.block_rams(multiplies.config, HX)
    assert resources.shifted_products(shifts.config) == 8
    assert resources.soft_products(shifts.config) == 0
    assert resources.soft_products(multiplies.config) == 8


def test_multiplier_blocks_of_a_mixed_array() -> None:
    config = fit.bind(coded_net(), ICE, rows=5, columns=4).config
    assert config.shape.products == "mixed"
    assert resources.multipliers(config, ICE) == 8
    assert resources.shifted_products(config) == 4
    assert resources.soft_products(config) == 0


def test_the_manifest_tells() -> None:
    manifest = Accelerator(coded_net(), board=HX, rows=1, columns=2)._manifest({}, "stream", False)
    assert manifest["products"] == "shift"
    other = Accelerator(mixed_net(), board=HX, rows=1, columns=2)._manifest({}, "stream", False)
    assert "products" not in other


def test_a_board_without_multipliers_gets_a_larger_array() -> None:
    program = ProgramBuilder("wide", (8, 8, 4), np.random.default_rng(0)).conv(24, (3, 3)).build()
    shifts, multiplies = fit.choose(coded(program, POWERS), HX), fit.choose(program, HX)
    assert shifts.config.shape.elements >= 2 * multiplies.config.shape.elements
    assert shifts.cycles < 0.6 * multiplies.cycles


ARRAYS = [
    ("ice40hx", "shift", 2, 4, 22, False, 7, 741),
    ("ice40hx", "shift", 2, 4, 22, True, 7, 793),
    ("ice40hx", "shift", 4, 4, 22, True, 7, 1569),
    ("ice40hx", "shift", 2, 4, 18, False, 7, 677),
    ("ice40hx", "shift", 4, 4, 18, False, 7, 1335),
    ("ice40hx", "shift", 2, 4, 22, False, 4, 604),
    ("ice40hx", "shift", 4, 4, 22, False, 4, 1192),
    ("ice40up", "mixed", 3, 6, 22, False, 7, 1484),
    ("ice40up", "mixed", 4, 6, 22, False, 7, 2235),
]
"""Family, products, rows, columns, accumulator's bits, whether operands come from a broadcast word,
exponents, and the logic cells of the array that yosys made, with ROMs of 200 weights a column."""


@pytest.mark.parametrize(
    ("family", "products", "rows", "columns", "bits", "depthwise", "exponents", "cells"), ARRAYS
)
def test_estimated_arrays(
    family: Family,
    products: Products,
    rows: int,
    columns: int,
    bits: int,
    depthwise: bool,
    exponents: int,
    cells: int,
    array_config: Callable[..., ArrayConfig],
) -> None:
    config = array_config(
        ArrayShape(
            rows=rows, columns=columns, stage_columns=columns, family=family, products=products
        ),
        accumulator_bits=bits,
        depthwise=depthwise,
        exponents=exponents,
        weight_depth=200,
        codebook=tuple(v for v in POWERS if abs(v) < 1 << exponents),
    )
    found = estimate(config, HX if family == "ice40hx" else ICE).blocks["array"]
    assert abs(found / cells - 1) <= 0.075


def test_an_engine_multiplies() -> None:
    """Another network has other weights."""
    assert Engine([coded_net()], board="ice40-hx8k").config.shape.products == "multiply"


SHAPES = [
    ArrayShape(rows=2, columns=4, products="shift"),
    ArrayShape(rows=3, columns=4, lanes=2, stage_columns=4, products="shift"),
    ArrayShape(rows=5, columns=4, stage_columns=2, products="mixed"),
    ArrayShape(rows=1, columns=20, stage_columns=8, products="mixed"),
    ArrayShape(rows=2, columns=3, products="shift", column_bytes=512),
]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape.rows}x{shape.columns}")
def test_whole_networks_are_exact(shape: ArrayShape) -> None:
    """Every byte of every layer, and the cycles."""
    program = coded_net()
    q = random_inputs(program, np.random.default_rng(1), 2)
    assert amaranth_difference(Case(program=program, shape=shape, q=q)) is None


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["verilator", "netlist"])
@pytest.mark.parametrize(
    ("board", "rows", "columns"), [("ice40-hx8k", 2, 3), ("icebreaker", 3, 6), ("ulx3s-85f", 1, 4)]
)
def test_verilog_and_netlists_are_exact(
    board: str, rows: int, columns: int, engine: Simulator, tmp_path: Path
) -> None:
    program = coded_net()
    made = Accelerator(program, board=board, rows=rows, columns=columns, products="shift")
    x = random_inputs(program, np.random.default_rng(1), 2).astype(np.float64)
    folder = tmp_path if engine == "netlist" else None
    result = simulate(made, x, engine=engine, synthesis_dir=folder)
    assert result.passed, result.text
    assert result.cycles_measured == result.cycles_predicted
    np.testing.assert_array_equal(result, golden.predict(program, x))
