"""Contents of block RAMs in netlists and in routed designs."""

import re

import numpy as np
import pytest

from shiftwork.boards.block_rams import BLOCK_RAMS, Column, Ecp5BlockRams, Ice40BlockRams
from shiftwork.errors import ToolError

ICE40, ECP5 = Ice40BlockRams(), Ecp5BlockRams()
ICE40_TEXT = (
    ".device 5k\n\n.ram_data 6 1\n"
    + ("0" * 64 + "\n") * 16
    + "\n.ram_data 19 27\n"
    + ("f" * 64 + "\n") * 16
    + "\n.sym 0 clk\n"
)
ECP5_TEXT = (
    ".device LFE5U-25F\n\n.bram_init 3\n" + ("000 " * 7 + "000\n") * 256 + "\n.bram_init 12\n"
    + ("1ff " * 7 + "1ff\n") * 256 + "\n.tile X\n"
)  # fmt: skip


def random_bits(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2, count).astype(np.uint8)


@pytest.mark.parametrize(("rams", "count"), [(ICE40, 4096), (ECP5, 18432)])
def test_a_cell_keeps_what_it_is_given(rams, count) -> None:
    bits, cell = random_bits(count), {"parameters": {}}
    rams.set_bits(cell, bits)
    np.testing.assert_array_equal(rams.bits(cell), bits)


def test_parameters_of_an_ice40_cell() -> None:
    bits, cell = np.zeros(4096, np.uint8), {"parameters": {}}
    bits[[0, 17, 256]] = 1
    ICE40.set_bits(cell, bits)
    assert sorted(cell["parameters"]) == sorted(f"INIT_{n:X}" for n in range(16))
    assert int(cell["parameters"]["INIT_0"], 2) == 1 | 1 << 17
    assert cell["parameters"]["INIT_1"] == "0" * 255 + "1"
    cell["parameters"]["INIT_1"] = "x" * 255 + "1"
    np.testing.assert_array_equal(ICE40.bits(cell), bits)


def test_parameters_of_an_ecp5_cell() -> None:
    """20 bits hold two groups of 9; the last two stand for nothing."""
    bits, cell = np.zeros(18432, np.uint8), {"parameters": {}}
    bits[[0, 17, 18, 9 * 2047 + 8]] = 1
    ECP5.set_bits(cell, bits)
    assert int(cell["parameters"]["INITVAL_00"], 2) == 1 | 1 << 17 | 1 << 20
    assert int(cell["parameters"]["INITVAL_3F"], 2) == 1 << 317
    del cell["parameters"]["INITVAL_01"]
    np.testing.assert_array_equal(ECP5.bits(cell), bits)


@pytest.mark.parametrize(
    ("rams", "text", "count", "places"),
    [
        (ICE40, ICE40_TEXT, 4096, ("6 1", "19 27")),
        (ECP5, ECP5_TEXT, 18432, ("3", "12")),
    ],
)
def test_a_routed_design_keeps_all_but_the_contents(rams, text, count, places) -> None:
    found = rams.read(text)
    assert tuple(found) == places
    assert [int(bits.min()) for bits in found.values()] == [0, 1]
    assert {len(bits) for bits in found.values()} == {count}
    bits = random_bits(count, 1)
    changed = rams.write(text, {places[1]: bits})
    assert len(changed) == len(text)
    np.testing.assert_array_equal(rams.read(changed)[places[1]], bits)
    np.testing.assert_array_equal(rams.read(changed)[places[0]], found[places[0]])
    assert rams.write(changed, {places[1]: found[places[1]]}) == text
    assert [line for line in changed.splitlines() if re.match(r"\.(d|s|t)", line)] == [
        line for line in text.splitlines() if re.match(r"\.(d|s|t)", line)
    ]


def test_the_order_of_a_routed_ice40_design() -> None:
    bits = np.zeros(4096, np.uint8)
    bits[[0, 255, 256]] = 1
    lines = ICE40.write(ICE40_TEXT, {"6 1": bits}).split(".ram_data 6 1\n")[1].splitlines()
    assert lines[0] == "8" + "0" * 62 + "1"
    assert lines[1] == "0" * 63 + "1"


def test_the_order_of_a_routed_ecp5_design() -> None:
    bits = np.zeros(18432, np.uint8)
    bits[[0, 8, 9, 9 * 8]] = 1
    lines = ECP5.write(ECP5_TEXT, {"3": bits}).split(".bram_init 3\n")[1].splitlines()
    assert lines[:2] == ["101 001 000 000 000 000 000 000", "001 000 000 000 000 000 000 000"]


@pytest.mark.parametrize("mode", range(4))
def test_columns_of_an_ice40_cell_are_all_of_it_once(mode: int) -> None:
    columns = list(ICE40.columns({"parameters": {"READ_MODE": f"{mode:b}"}}))
    assert len(columns) == 16
    places = np.concatenate([column.of(np.arange(4096)) for column in columns])
    assert sorted(places) == list(range(4096))


def test_a_column_of_a_deep_ice40_cell() -> None:
    """In the form of 1024 words neighbours lie in one row, in the order of reversed addresses."""
    column = list(ICE40.columns({"parameters": {"READ_MODE": "10"}}))[1]
    assert column == Column(4, 16, (0, 2, 1, 3), 256)
    assert column.of(np.arange(4096))[:6].tolist() == [4, 6, 5, 7, 20, 22]
    bits = np.zeros(4096, np.uint8)
    column.put(bits, np.ones(256, np.uint8))
    assert bits.sum() == 256
    assert bits[:16].tolist() == [0] * 4 + [1] * 4 + [0] * 8


@pytest.mark.parametrize(("width", "runs"), [(9, 4), (18, 2), (36, 1)])
def test_columns_of_an_ecp5_cell_are_all_of_it_once(width: int, runs: int) -> None:
    parameters = {"DATA_WIDTH_A": f"{width:b}", "DATA_WIDTH_B": f"{width:b}"}
    columns = list(ECP5.columns({"parameters": parameters}))
    assert len(columns) == width * runs
    places = np.concatenate([column.of(np.arange(18432)) for column in columns])
    assert sorted(places) == list(range(18432))


def test_places() -> None:
    assert ICE40.place({"attributes": {"NEXTPNR_BEL": "X19/Y27/ram"}}) == "19 27"
    assert ECP5.place({"attributes": {"WID": "00001100"}}) == "12"
    with pytest.raises(ToolError, match="a block RAM lies at X1/Y2/lc0, of no tile"):
        ICE40.place({"attributes": {"NEXTPNR_BEL": "X1/Y2/lc0"}})


def test_families() -> None:
    assert set(BLOCK_RAMS) == {"ice40up", "ice40hx", "ecp5"}
