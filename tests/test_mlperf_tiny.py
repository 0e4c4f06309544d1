"""The four MLPerf Tiny networks: quantized, planned for the boards of the benchmark's table, and
simulated from power-up, every value of every layer compared with the golden model."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from shiftwork.bench_compression import size_of
from shiftwork.bench_networks import NETWORKS, ROWS, Network, Row
from shiftwork.bench_quality import accuracy, outputs, sqnr_db
from shiftwork.boards.accelerator import Accelerator
from shiftwork.boards.fit import bind
from shiftwork.boards.registry import find
from shiftwork.quant.importer import load
from shiftwork.quant.program import Program
from shiftwork.quant.quantizer import quantize
from shiftwork.sim.executor import simulate
from shiftwork.steps import estimated

BY_KEY = {network.key: network for network in NETWORKS}
FEW = {"kws": 20, "ic": 3, "vww": 2, "ad": 5}
MANY = {"kws": 500, "ic": 50, "vww": 10, "ad": 20}
FLASH = {"kws-icebreaker-16", "vww-icebreaker-16"}
"""Rows whose weights are more than the board's block RAM."""
QUICK = {"kws-icebreaker-16", "kws-ulx3s-85f-64", "vww-icebreaker-16"}
"""Rows that are simulated in CI; the others take minutes each."""

Quantized = Callable[[str], Program]
rows = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
simulated_rows = pytest.mark.parametrize(
    "row",
    [pytest.param(row, marks=() if row.name in QUICK else pytest.mark.heavy) for row in ROWS],
    ids=lambda row: row.name,
)


@pytest.fixture(scope="session")
def quantized(shared: Path) -> Quantized:
    """A function that quantizes a network, once a session."""

    @cache
    def program(key: str) -> Program:
        network = BY_KEY[key]
        samples = network.data(shared)
        return quantize(load(shared / network.model), samples.calibration, network.options)

    return program


def inputs(network: Network, shared: Path, count: int) -> NDArray[np.float32]:
    """Samples of all parts of the data: reference images first, windows spread over all files."""
    samples = network.data(shared)
    if network.key == "kws":
        return np.concatenate([samples.x, samples.calibration])[:count]
    if network.key == "ad":
        return samples.x[:: len(samples.x) // count][:count]
    return samples.x[:count]


def accelerator(row: Row, program: Program) -> Accelerator:
    if row.shape is None:
        return Accelerator(program, board=row.board, elements=row.elements)
    return Accelerator(program, board=row.board, rows=row.shape[0], columns=row.shape[1])


def check(row: Row, program: Program, x: NDArray[np.float32], count: int) -> None:
    assert len(x) == count
    result = simulate(accelerator(row, program), x)
    assert result.passed, result.text
    assert (result.inputs, result.mismatches) == (count, 0)
    assert result.cycles_measured == result.cycles_predicted


@pytest.fixture(scope="session")
def shared_values(shared: Path) -> Program:
    """Keyword spotting with 16 values for all its weights."""
    network = BY_KEY["kws"]
    options = replace(network.options, weights="shared16")
    return quantize(load(shared / network.model), network.data(shared).calibration, options)


@pytest.mark.slow
def test_keyword_spotting_runs_on_an_up5k_from_its_bitstream_alone(
    shared_values: Program, shared: Path
) -> None:
    made = Accelerator(shared_values, board="icebreaker", elements=16)
    assert made.flash_image is None
    assert made.config.codebook == shared_values.codebook
    assert made.schedule.cycles <= 200_000
    assert estimated(made)["block_rams"] <= 29
    assert size_of(shared_values).stored_bytes < 12_000
    network = BY_KEY["kws"]
    samples = network.data(shared)
    found = outputs(load(shared / network.model), shared_values, samples.x)
    assert samples.y is not None
    assert accuracy(found.integer, samples.y) >= accuracy(found.real, samples.y) - 1.5
    assert sqnr_db(found) > 20.0


@pytest.mark.heavy
def test_keyword_spotting_with_shared_values_is_bit_exact(
    shared_values: Program, shared: Path
) -> None:
    made = Accelerator(shared_values, board="icebreaker", elements=16)
    result = simulate(made, BY_KEY["kws"].data(shared).x[:100])
    assert result.passed, result.text
    assert (result.inputs, result.mismatches) == (100, 0)
    assert result.cycles_measured == result.cycles_predicted


@pytest.mark.slow
@rows
def test_the_cycles(row: Row, quantized: Quantized) -> None:
    made = accelerator(row, quantized(row.network))
    shape = made.config.shape
    assert shape.elements <= row.elements
    assert made.schedule.cycles <= row.cycles
    assert (made.flash_image is not None) == (row.name in FLASH)


@pytest.mark.slow
@simulated_rows
def test_some_inputs_in_verilator_are_bit_exact(
    row: Row, quantized: Quantized, shared: Path
) -> None:
    x = inputs(BY_KEY[row.network], shared, FEW[row.network])
    check(row, quantized(row.network), x, FEW[row.network])


@pytest.mark.heavy
@rows
def test_many_inputs_in_verilator_are_bit_exact(
    row: Row, quantized: Quantized, shared: Path
) -> None:
    x = inputs(BY_KEY[row.network], shared, MANY[row.network])
    check(row, quantized(row.network), x, MANY[row.network])


@pytest.mark.heavy
@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.key)
def test_what_quantization_costs(network: Network, quantized: Quantized, shared: Path) -> None:
    samples = network.data(shared)
    found = outputs(load(shared / network.model), quantized(network.key), samples.x)
    missed = [measure.text for measure in network.measures(found, samples) if not measure.met]
    assert not missed


@pytest.mark.slow
def test_the_choice_is_no_slower_than_the_arrays_beside_it(quantized: Quantized) -> None:
    """Arrays of other rows that a user might try by hand."""
    program, board = quantized("kws"), find("ulx3s-85f")
    chosen = Accelerator(program, board=board, elements=64).schedule.cycles
    for shape in ((1, 64), (4, 16), (8, 8)):
        assert chosen <= 1.05 * bind(program, board, rows=shape[0], columns=shape[1]).cycles
