"""Designs whose weights are indices of a codebook: block RAMs, and what a board makes of them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.back import rtlil

from shiftwork.boards import resources, yowasp
from shiftwork.boards.accelerator import Accelerator, rom_files
from shiftwork.boards.board import Board
from shiftwork.boards.fit import bind, choose
from shiftwork.boards.flow import FLOWS
from shiftwork.boards.registry import find
from shiftwork.boards.resources import Contents
from shiftwork.errors import CapacityError
from shiftwork.hw.coded_rom import CodedRom, coded_words
from shiftwork.hw.config import ArrayShape
from shiftwork.hw.images import RomImages
from shiftwork.quant.codebook import INT4
from shiftwork.quant.levels import POWERS
from shiftwork.quant.program import Program
from shiftwork.sim.coded_programs import coded
from shiftwork.sim.program_builder import ProgramBuilder
from shiftwork.workspace import silent

ICE, HX, ULX, TANG = map(find, ("icebreaker", "ice40-hx8k", "ulx3s-85f", "tang-nano-9k"))


def dense(features: int, *channels: int) -> Program:
    builder = ProgramBuilder("dense", (1, 1, features), np.random.default_rng(0))
    for count in channels:
        builder.dense(count)
    return builder.build()


@pytest.mark.parametrize(
    ("board", "columns", "depth"),
    [
        (ICE, 5, 700),
        (ULX, 3, 2100),
        (HX, 5, 700),
        (TANG, 3, 2100),
        pytest.param(TANG, 8, 1500, marks=pytest.mark.slow),
        pytest.param(ICE, 8, 1500, marks=pytest.mark.slow),
        pytest.param(ICE, 8, 2792, marks=pytest.mark.slow),
        pytest.param(ULX, 8, 1500, marks=pytest.mark.slow),
    ],
)
def test_block_rams_are_those_of_the_netlist(
    board: Board, columns: int, depth: int, array_config: Any, tmp_path: Path
) -> None:
    """Of the ROM alone; the last column has no weights but 0."""
    weights = np.random.default_rng(0).choice(np.array(POWERS, np.int8), (columns, depth))
    weights[-1] = 0
    config = array_config(
        ArrayShape(rows=1, columns=columns, stage_columns=columns, family=board.family),
        codebook=POWERS,
        weight_depth=depth,
    )
    images = RomImages(tuple(column.tobytes() for column in weights), (), ())
    rom = CodedRom(columns=images.weights, codebook=POWERS, family=board.family)
    (tmp_path / "rom.il").write_text(rtlil.convert(rom, name="rom", emit_src=False))
    synth = FLOWS[board.family].synth.replace("-abc9", "").replace("-dff", "")
    script = f"read_rtlil rom.il; {synth} -top rom; write_json rom.json"
    yowasp.run(
        "yosys",
        ["-q", "-p", script],
        folder=tmp_path,
        log=tmp_path / "yosys.log",
        limit_s=120.0,
        progress=silent,
    )
    cells = json.loads((tmp_path / "rom.json").read_text())["modules"]["rom"]["cells"]
    used = [FLOWS[board.family].resource(cell["type"]) for cell in cells.values()]
    counted = sum(number for name, number in filter(None, used) if name == "bram")
    found = resources.weight_blocks(config, board, Contents.of(images, config))
    assert found == counted <= resources.weight_blocks(config, board)


@pytest.mark.parametrize("board", [ICE, ULX], ids=lambda board: board.name)
def test_half_the_bits_take_about_half_the_block_rams(board) -> None:
    program = dense(128, 64, 64)
    plain, few = (bind(p, board, rows=1, columns=8) for p in (program, coded(program, INT4)))
    assert few.cycles == plain.cycles
    assert few.weight_bytes == plain.weight_bytes // 2
    whole, half = (resources.weight_blocks(s.config, board) for s in (plain, few))
    assert half <= 0.6 * whole
    assert resources.block_rams(few.config, board) < resources.block_rams(plain.config, board)


def test_contents_that_do_not_vary_take_no_block_ram() -> None:
    """The last 3 of 8 columns have no channel, and the small weights none of the other bits."""
    program = coded(dense(300, 5), INT4)
    schedule = bind(program, ICE, rows=1, columns=8)
    found = Contents.of(schedule.images, schedule.config)
    assert found.coded_bits == ((20,),)
    assert resources.weight_blocks(schedule.config, ICE) == 4
    assert resources.weight_blocks(schedule.config, ICE, found) == 3


def test_a_codebook_keeps_weights_in_the_bitstream() -> None:
    program = dense(1000, 20)
    plain, few = choose(program, ICE), choose(coded(program, POWERS), ICE)
    assert plain.config.copies_weights
    assert not few.config.copies_weights
    assert few.config.codebook == POWERS


def test_what_does_not_fit_is_told_in_weights() -> None:
    program = coded(dense(4000, 40), INT4)
    with pytest.raises(CapacityError, match=r"the feature maps and the|weights of 4 bits in each"):
        bind(program, ICE, rows=1, columns=20)


def test_files_and_manifest() -> None:
    program = coded(dense(20, 12), POWERS)
    accelerator = Accelerator(program, board="icebreaker", rows=1, columns=10)
    texts = rom_files(accelerator.schedule)
    assert [name for name in texts if name.startswith("weights")] == [
        "weights_0.hex",
        "weights_1.hex",
    ]
    columns = accelerator.schedule.images.weights
    words = [int(line, 16) for line in texts["weights_1.hex"].split()]
    assert tuple(words) == coded_words(columns[8:], POWERS)
    assert {len(line) for line in texts["weights_0.hex"].split()} == {8}
    manifest = accelerator._manifest({}, "stream", False)
    assert manifest["codebook"] == POWERS
    assert manifest["memory"]["weights"] == "block RAM, indices of a codebook"
    assert "codebook" not in Accelerator(dense(20, 12), board="icebreaker")._manifest(
        {}, "stream", False
    )
