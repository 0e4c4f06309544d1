"""Where synthesis puts the bits of ROMs, and other contents for them."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from amaranth import Module, Signal
from amaranth.back import rtlil
from engine_tools import RAMS, cells_of, placed_of, routed_of

from shiftwork.boards import yowasp
from shiftwork.boards.block_rams import BLOCK_RAMS
from shiftwork.boards.engine_core import RomContents
from shiftwork.boards.flow import FLOWS
from shiftwork.boards.rom_places import (
    block_cells,
    exchange,
    find_places,
    places_from_json,
    places_to_json,
)
from shiftwork.errors import ToolError
from shiftwork.hw.rom import Rom

SIZES = {"weights": (8, 512), "parameters": (27, 256), "link": (8, 256)}
YOSYS_SIZES = {
    "ice40up": {"weights": (8, 1536), "deep": (4, 1024), "parameters": (27, 512), "link": (8, 256)},
    "ecp5": {
        "weights": (8, 6144),
        "parameters": (217, 512),
        "program": (32, 512),
        "link": (8, 512),
    },
}


def random_roms(sizes: Mapping[str, tuple[int, int]], seed: int = 0) -> dict[str, RomContents]:
    rng = np.random.default_rng(seed)
    return {
        name: RomContents(
            width,
            tuple(
                int.from_bytes(rng.bytes(-(-width // 8)), "little") & ((1 << width) - 1)
                for _ in range(depth)
            ),
        )
        for name, (width, depth) in sizes.items()
    }


ROMS = random_roms(SIZES)
CELLS = cells_of(ROMS)
PLACED, ROUTED = placed_of(CELLS), routed_of(CELLS)


def test_contents_are_exchanged_and_nothing_else() -> None:
    places = find_places(ROMS, CELLS, PLACED, ROUTED, RAMS)
    assert {name: len(parts) for name, parts in places.items()} == {
        "weights": 16,
        "parameters": 27,
        "link": 8,
    }
    other = random_roms(SIZES, seed=1)
    assert exchange(ROUTED, other, places, RAMS) == routed_of(cells_of(other))
    assert exchange(exchange(ROUTED, other, places, RAMS), ROMS, places, RAMS) == ROUTED
    assert places_from_json(json.loads(json.dumps(places_to_json(places)))) == places


def test_a_memory_that_is_there_twice_is_exchanged_twice() -> None:
    twice = CELLS | {f"copy.{name}": cell for name, cell in CELLS.items()}
    placed, routed = placed_of(twice), routed_of(twice)
    places = find_places(ROMS, twice, placed, routed, RAMS)
    assert {len(part) for parts in places.values() for part in parts} == {2}
    other = random_roms(SIZES, seed=1)
    cells = cells_of(other)
    again = cells | {f"copy.{name}": cell for name, cell in cells.items()}
    assert exchange(routed, other, places, RAMS) == routed_of(again)


def test_a_rom_that_is_not_found() -> None:
    link = ROMS["link"]
    changed = replace(link, words=(link.words[0] ^ 1, *link.words[1:]))
    with pytest.raises(ToolError) as caught:
        find_places(ROMS | {"link": changed}, CELLS, PLACED, ROUTED, RAMS)
    assert str(caught.value) == (
        "1 of the 8 columns of the ROM 'link' are not found in the block RAMs of the netlist: its "
        "contents cannot be exchanged with this version of yosys"
    )


def test_a_routed_design_of_another_netlist() -> None:
    with pytest.raises(ToolError) as caught:
        find_places(ROMS, CELLS, PLACED, routed_of(cells_of(random_roms(SIZES, seed=1))), RAMS)
    assert str(caught.value) == (
        "the routed design has other contents at 6 1 than the netlist in 'weights.0': its block "
        "RAMs cannot be exchanged with these versions of the tools"
    )


def test_a_cell_that_was_not_placed() -> None:
    with pytest.raises(ToolError) as caught:
        find_places(ROMS, CELLS, {}, ROUTED, RAMS)
    assert str(caught.value) == ("nextpnr does not tell where the block RAM 'weights.0' lies")


@pytest.mark.slow
@pytest.mark.parametrize("family", YOSYS_SIZES)
def test_yosys_puts_every_bit_into_one_place(family: str, tmp_path: Path) -> None:
    roms, rams = random_roms(YOSYS_SIZES[family]), BLOCK_RAMS[family]
    m, ports = Module(), {}
    for name, contents in roms.items():
        m.submodules[name] = rom = Rom(width=contents.width, contents=contents.words, family=family)
        address, data = Signal(len(rom.address)), Signal(contents.width)
        m.d.comb += [rom.address.eq(address), rom.enable.eq(1), data.eq(rom.data)]
        ports |= {f"{name}_address": (address, None), f"{name}_data": (data, None)}
    (tmp_path / "roms.il").write_text(rtlil.convert(m, name="top", ports=ports, emit_src=False))
    synth = FLOWS[family].synth_board or FLOWS[family].synth
    yowasp.run(
        "yosys",
        ["-q", "-p", f"read_rtlil roms.il; {synth} -top top -json netlist.json"],
        folder=tmp_path,
        log=tmp_path / "yosys.log",
        limit_s=600.0,
        progress=lambda _: None,
    )
    cells = json.loads((tmp_path / "netlist.json").read_text())["modules"]["top"]["cells"]
    placed, routed = stand_in_for_nextpnr(family, block_cells(cells, rams))
    places = find_places(roms, cells, placed, routed, rams)
    assert {len(part) for parts in places.values() for part in parts} == {1}
    other = random_roms(YOSYS_SIZES[family], seed=1)
    changed = exchange(routed, other, places, rams)
    assert changed != routed
    assert exchange(changed, roms, places, rams) == routed


def stand_in_for_nextpnr(family: str, cells: Mapping[str, dict]) -> tuple[dict, str]:
    if family == "ice40up":
        return placed_of(cells), routed_of(cells)
    placed = {name: {"attributes": {"WID": f"{n:b}"}} for n, name in enumerate(cells)}
    empty = ("000 " * 7 + "000\n") * 256
    text = "".join(f".bram_init {number}\n{empty}\n" for number in range(len(cells)))
    rams = BLOCK_RAMS["ecp5"]
    contents = {str(number): rams.bits(cell) for number, cell in enumerate(cells.values())}
    return placed, rams.write(text, contents)
