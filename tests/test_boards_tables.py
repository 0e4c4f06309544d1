"""Designs with tables behind the requantizers: block RAMs, lookup tables, files and messages."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.back import rtlil

from shiftwork.boards import resources, yowasp
from shiftwork.boards.accelerator import Accelerator, memory_binding
from shiftwork.boards.board import Board
from shiftwork.boards.estimate import estimate
from shiftwork.boards.flow import FLOWS
from shiftwork.boards.registry import find
from shiftwork.boards.resources import Contents
from shiftwork.hw.activation_table import ActivationTable
from shiftwork.hw.config import ArrayShape
from shiftwork.hw.images import RomImages
from shiftwork.quant.activation_table import ENTRIES
from shiftwork.quant.program import Program
from shiftwork.sim.program_builder import ProgramBuilder
from shiftwork.workspace import silent

ICE, HX, ULX, TANG = map(find, ("icebreaker", "ice40-hx8k", "ulx3s-85f", "tang-nano-9k"))


def tabled(tables: int) -> Program:
    """A layer for each table, and one without."""
    rng = np.random.default_rng(0)
    builder = ProgramBuilder("tabled", (4, 4, 2), rng)
    for _ in range(tables):
        builder.conv(4, (1, 1)).table(rng.integers(-128, 128, ENTRIES))
    return builder.conv(4, (1, 1)).build()


@pytest.mark.parametrize(
    ("board", "tables", "bits"),
    [
        *((ICE, 1, 8), (ICE, 2, 8), (ICE, 3, 8), (ICE, 2, 5)),
        *((ULX, 1, 8), (ULX, 5, 8), (TANG, 3, 8), (HX, 3, 8)),
        pytest.param(ULX, 9, 8, marks=pytest.mark.slow),
        pytest.param(ICE, 9, 8, marks=pytest.mark.slow),
        pytest.param(TANG, 9, 8, marks=pytest.mark.slow),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_block_rams_are_those_of_the_netlist(
    board: Board, tables: int, bits: int, array_config: Any, tmp_path: Path
) -> None:
    """Of one lane; bits that are the same in all tables take no block RAM."""
    contents = np.random.default_rng(0).integers(0, 1 << bits, tables * ENTRIES).astype(np.uint8)
    config = array_config(ArrayShape(rows=1, columns=1, family=board.family), tables=tables)
    images = RomImages((b"",), (0,), (0,), contents.tobytes())
    table = ActivationTable(contents=images.tables, family=board.family)
    (tmp_path / "table.il").write_text(rtlil.convert(table, name="table", emit_src=False))
    synth = FLOWS[board.family].synth.replace("-abc9", "").replace("-dff", "")
    script = f"read_rtlil table.il; {synth} -top table; write_json table.json"
    yowasp.run(
        "yosys",
        ["-q", "-p", script],
        folder=tmp_path,
        log=tmp_path / "yosys.log",
        limit_s=120.0,
        progress=silent,
    )
    cells = json.loads((tmp_path / "table.json").read_text())["modules"]["table"]["cells"]
    used = [FLOWS[board.family].resource(cell["type"]) for cell in cells.values()]
    counted = sum(number for name, number in filter(None, used) if name == "bram")
    found = resources.table_blocks(config, board, Contents.of(images, config))
    assert found == counted <= resources.table_blocks(config, board)


def test_every_lane_has_the_tables(array_config: Any) -> None:
    shape = ArrayShape(rows=1, columns=8, lanes=8, word_bytes=8, family="ecp5")
    assert resources.table_blocks(array_config(shape, tables=3), ULX) == 8
    assert resources.table_blocks(array_config(shape), ULX) == 0


@pytest.mark.parametrize("board", [ICE, ULX], ids=lambda board: board.name)
def test_an_estimate_knows_the_tables(board: Board) -> None:
    accelerator = Accelerator(tabled(3), board=board.name, rows=1, columns=4)
    config = accelerator.config
    with_tables, without = (estimate(c, board) for c in (config, replace(config, tables=0)))
    lanes = config.shape.lanes
    assert with_tables.bram == without.bram + resources.table_blocks(config, board)
    assert with_tables.blocks["tables"] > 0 and "tables" not in without.blocks
    assert 0 < with_tables.lut - without.lut <= 40 * lanes
    assert with_tables.ff == without.ff + 30 * lanes


def test_files_and_manifest_have_the_tables() -> None:
    accelerator = Accelerator(tabled(2), rows=1, columns=4)
    manifest = accelerator.manifest()
    assert [row["ops"] for row in manifest["tables"]] == [["conv0"], ["conv1"]]
    assert "tables.hex" in manifest["files"]
    assert manifest["memory"]["tables"] == "block RAM, a ROM of all tables in each lane"
    plain = Accelerator(tabled(0), rows=1, columns=4)
    assert "tables" not in plain.manifest() and "tables" not in memory_binding(plain.schedule)
    lanes = accelerator.config.shape.lanes
    assert accelerator.schedule.rom_bytes > plain.schedule.rom_bytes + lanes * 2 * ENTRIES
