"""Which bit of a routed design's block RAMs holds which bit of a ROM, and other contents for them.

Synthesis cuts ROMs into block RAMs as it likes. Where it put what is found from the contents: those
that an engine is routed with are as good as random, so that each bit of a ROM, over a run of words,
is found in one column of one block and in no other.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from shiftwork.boards.block_rams import Bits, BlockRams, Column
from shiftwork.boards.engine_core import RomContents
from shiftwork.errors import ToolError


@dataclass(frozen=True)
class Place:
    """A column of a block of a routed design."""

    block: str
    column: Column


Places = Mapping[str, tuple[tuple[Place, ...], ...]]
"""For each ROM by name, for each run of words and bit, in this order, where it lies."""


def find_places(
    roms: Mapping[str, RomContents],
    netlist: Mapping[str, Any],
    placed: Mapping[str, Any],
    routed: str,
    rams: BlockRams,
) -> Places:
    """Where the bits of ``roms`` are.

    Args:
        roms: that the design was synthesized with.
        netlist: the cells of the top module that was placed and routed, by name.
        placed: the same after that, as nextpnr writes them.
        routed: the text of the routed design.
        rams: of the family.

    Raises:
        ToolError: if one is not found, or if the routed design has other contents than the
            netlist.
    """
    blocks, found = rams.read(routed), defaultdict(list)
    for name, cell in block_cells(netlist, rams).items():
        bits, place = rams.bits(cell), block_place(name, placed, rams)
        if not np.array_equal(blocks.get(place, ()), bits):
            raise ToolError(
                f"the routed design has other contents at {place} than the netlist in '{name}': "
                "its block RAMs cannot be exchanged with these versions of the tools"
            )
        for column in rams.columns(cell):
            found[_key(column.of(bits))].append(Place(place, column))
    places = {}
    for name, rom in roms.items():
        here = [found[_key(part)] for part in _parts(rom, rams.words)]
        missing = sum(not part for part in here)
        if missing:
            raise ToolError(
                f"{missing} of the {len(here)} columns of the ROM '{name}' are not found in the "
                "block RAMs of the netlist: its contents cannot be exchanged with this version of "
                "yosys"
            )
        places[name] = tuple(tuple(part) for part in here)
    return places


def exchange(routed: str, roms: Mapping[str, RomContents], places: Places, rams: BlockRams) -> str:
    """The routed design with the contents of ``roms``, as deep as those it was made with."""
    blocks = rams.read(routed)
    changed: dict[str, Bits] = {}
    for name, rom in roms.items():
        for bits, here in zip(_parts(rom, rams.words), places[name], strict=True):
            for place in here:
                block = changed.setdefault(place.block, blocks[place.block].copy())
                place.column.put(block, bits)
    return rams.write(routed, changed)


def block_cells(cells: Mapping[str, Any], rams: BlockRams) -> dict[str, Any]:
    """The block RAMs among the cells of a netlist, by name."""
    return {name: cell for name, cell in cells.items() if cell["type"] == rams.cell}


def block_place(name: str, placed: Mapping[str, Any], rams: BlockRams) -> str:
    """Where nextpnr put a block RAM; it may have given it a longer name.

    Raises:
        ToolError: if it is not there.
    """
    cell = placed.get(name) or placed.get(f"{name}_RAM")
    if cell is None:
        raise ToolError(f"nextpnr does not tell where the block RAM '{name}' lies")
    return rams.place(cell)


def places_to_json(places: Places) -> dict[str, Any]:
    """As JSON values."""
    return {
        name: [
            [
                [p.block, p.column.start, p.column.step, p.column.offsets, p.column.count]
                for p in part
            ]
            for part in parts
        ]
        for name, parts in places.items()
    }


def places_from_json(record: Mapping[str, Any]) -> Places:
    """The inverse of :func:`places_to_json`."""
    return {
        name: tuple(
            tuple(
                Place(block, Column(start, step, tuple(offsets), count))
                for block, start, step, offsets, count in part
            )
            for part in parts
        )
        for name, parts in record.items()
    }


def _parts(rom: RomContents, words: int) -> Iterator[Bits]:
    """Each bit of each run of ``words`` words; the last run may be shorter, and 0 then."""
    for first in range(0, len(rom.words), words):
        run = rom.words[first : first + words]
        for bit in range(rom.width):
            bits = np.zeros(words, np.uint8)
            bits[: len(run)] = [word >> bit & 1 for word in run]
            yield bits


def _key(bits: Bits) -> bytes:
    return np.packbits(bits).tobytes()
