"""Contents of a family's block RAMs: in a netlist, and in the text of a routed design.

A block is a row of bits; a *column* of it is one bit of a run of words that follow each other, in a
regular pattern in that row. Which bits of which memory a column holds is found in
``rom_places.py``; here is what differs between the families.
"""

import re
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from shiftwork.errors import ToolError
from shiftwork.hw.config import Family

Bits = NDArray[np.uint8]
Cell = MutableMapping[str, Any]


@dataclass(frozen=True)
class Column:
    """One bit of words that follow each other.

    Attributes:
        start: where the run begins in the block.
        step: bits from one group of words to the next.
        offsets: of each word of a group.
        count: of words, of all groups.
    """

    start: int
    step: int
    offsets: tuple[int, ...]
    count: int

    def of(self, bits: Bits) -> Bits:
        """The words' bits of a block."""
        return bits[self._places()]

    def put(self, bits: Bits, content: Bits) -> None:
        """Changes the words' bits of a block."""
        bits[self._places()] = content

    def _places(self) -> NDArray[np.intp]:
        groups = self.start + self.step * np.arange(self.count // len(self.offsets))
        return (groups[:, None] + np.array(self.offsets)).reshape(-1)


class BlockRams(Protocol):
    """What is done with the block RAMs of a family.

    Attributes:
        cell: the type of their cells.
        words: of a column.
    """

    cell: str
    words: int

    def bits(self, cell: Mapping[str, Any]) -> Bits:
        """The contents of a cell of a netlist; unknown bits are 0."""

    def set_bits(self, cell: Cell, bits: Bits) -> None:
        """Gives a cell of a netlist its contents."""

    def columns(self, cell: Mapping[str, Any]) -> Iterator[Column]:
        """The columns that the cell's read port can see."""

    def place(self, cell: Mapping[str, Any]) -> str:
        """Where a placed cell lies: what names its block in a routed design."""

    def read(self, routed: str) -> dict[str, Bits]:
        """The contents of all blocks of a routed design, by place."""

    def write(self, routed: str, blocks: Mapping[str, Bits]) -> str:
        """The routed design with those contents; other blocks stay as they are."""


class Ice40BlockRams:
    """SB_RAM40_4K: 256 rows of 16 bits.

    In a form with more words a row holds several: yosys lets the lowest bits of the address, in
    reversed order, pick one of as many neighbouring bits.
    """

    cell = "SB_RAM40_4K"
    words = 256
    ROW_BITS = 16
    LINE_BITS = 256
    SECTION = re.compile(r"^\.ram_data (\d+) (\d+)\n((?:[0-9a-f]{64}\n){16})", re.MULTILINE)
    BEL = re.compile(r"X(\d+)/Y(\d+)/ram")

    def bits(self, cell: Mapping[str, Any]) -> Bits:
        """As of :class:`BlockRams`."""
        return np.concatenate([_from_binary(cell["parameters"][name], 256) for name in self._names])

    def set_bits(self, cell: Cell, bits: Bits) -> None:
        """As of :class:`BlockRams`."""
        for index, name in enumerate(self._names):
            cell["parameters"][name] = _to_binary(bits[self.LINE_BITS * index :][: self.LINE_BITS])

    def columns(self, cell: Mapping[str, Any]) -> Iterator[Column]:
        """As of :class:`BlockRams`."""
        mode = int(cell["parameters"]["READ_MODE"], 2)
        offsets = tuple(_reversed(word, mode) for word in range(1 << mode))
        for first_row in range(0, self.words, self.words >> mode):
            for bit in range(0, self.ROW_BITS, 1 << mode):
                start = first_row * self.ROW_BITS + bit
                yield Column(start, self.ROW_BITS, offsets, self.words)

    def place(self, cell: Mapping[str, Any]) -> str:
        """As of :class:`BlockRams`: the tile's coordinates."""
        found = self.BEL.fullmatch(cell["attributes"]["NEXTPNR_BEL"])
        if found is None:
            raise ToolError(f"a block RAM lies at {cell['attributes']['NEXTPNR_BEL']}, of no tile")
        return f"{found[1]} {found[2]}"

    def read(self, routed: str) -> dict[str, Bits]:
        """As of :class:`BlockRams`."""
        return {
            f"{x} {y}": np.concatenate([_from_hex(line, 256) for line in lines.split()])
            for x, y, lines in self.SECTION.findall(routed)
        }

    def write(self, routed: str, blocks: Mapping[str, Bits]) -> str:
        """As of :class:`BlockRams`."""

        def section(found: re.Match[str]) -> str:
            bits = blocks.get(f"{found[1]} {found[2]}")
            if bits is None:
                return found[0]
            lines = [_to_hex(line, 64) for line in bits.reshape(-1, self.LINE_BITS)]
            return f".ram_data {found[1]} {found[2]}\n" + "".join(f"{line}\n" for line in lines)

        return self.SECTION.sub(section, routed)

    @property
    def _names(self) -> list[str]:
        return [f"INIT_{index:X}" for index in range(16)]


class Ecp5BlockRams:
    """DP16KD: 2048 groups of 9 bits; a word is one, two or four of them."""

    cell = "DP16KD"
    words = 512
    GROUP_BITS = 9
    GROUPS = 2048
    STORED_BITS = 20
    """Of two groups in an INITVAL: the last bits stand for nothing."""
    SECTION = re.compile(r"^\.bram_init (\d+)\n((?:(?:[0-9a-f]{3}\s+){8}){256})", re.MULTILINE)

    def bits(self, cell: Mapping[str, Any]) -> Bits:
        """As of :class:`BlockRams`."""
        values = [_from_binary(cell["parameters"].get(name, ""), 320) for name in self._names]
        pairs = np.concatenate(values).reshape(-1, self.STORED_BITS)
        return np.ascontiguousarray(pairs[:, : 2 * self.GROUP_BITS]).reshape(-1)

    def set_bits(self, cell: Cell, bits: Bits) -> None:
        """As of :class:`BlockRams`."""
        pairs = np.zeros((self.GROUPS // 2, self.STORED_BITS), np.uint8)
        pairs[:, : 2 * self.GROUP_BITS] = bits.reshape(-1, 2 * self.GROUP_BITS)
        for name, value in zip(self._names, pairs.reshape(64, -1), strict=True):
            cell["parameters"][name] = _to_binary(value)

    def columns(self, cell: Mapping[str, Any]) -> Iterator[Column]:
        """As of :class:`BlockRams`."""
        ports = ("DATA_WIDTH_A", "DATA_WIDTH_B")
        widths = {int(cell["parameters"][port], 2) for port in ports}
        for width in sorted(width for width in widths if width >= self.GROUP_BITS):
            depth = self.GROUPS * self.GROUP_BITS // width
            for first in range(0, depth, self.words):
                for bit in range(width):
                    yield Column(first * width + bit, width, (0,), self.words)

    def place(self, cell: Mapping[str, Any]) -> str:
        """As of :class:`BlockRams`: the number that nextpnr gives each."""
        return str(int(cell["attributes"]["WID"], 2))

    def read(self, routed: str) -> dict[str, Bits]:
        """As of :class:`BlockRams`."""
        return {
            number: np.concatenate([_from_hex(group, 9) for group in groups.split()])
            for number, groups in self.SECTION.findall(routed)
        }

    def write(self, routed: str, blocks: Mapping[str, Bits]) -> str:
        """As of :class:`BlockRams`."""

        def section(found: re.Match[str]) -> str:
            bits = blocks.get(found[1])
            if bits is None:
                return found[0]
            groups = iter(bits.reshape(-1, self.GROUP_BITS))
            # What stands between the numbers stays as it is.
            text = re.sub(r"[0-9a-f]{3}", lambda _: _to_hex(next(groups), 3), found[2])
            return f".bram_init {found[1]}\n{text}"

        return self.SECTION.sub(section, routed)

    @property
    def _names(self) -> list[str]:
        return [f"INITVAL_{index:02X}" for index in range(64)]


BLOCK_RAMS: dict[Family, BlockRams] = {
    "ice40up": Ice40BlockRams(),
    "ice40hx": Ice40BlockRams(),
    "ecp5": Ecp5BlockRams(),
}


def _reversed(number: int, bits: int) -> int:
    """The number with its bits in reversed order."""
    return int(f"{number:0{bits}b}"[::-1], 2) if bits else 0


def _from_binary(text: str, count: int) -> Bits:
    """Bits of a parameter, whose text has the highest first."""
    known = text.replace("x", "0").rjust(count, "0")
    return np.frombuffer(known.encode(), np.uint8)[::-1] - ord("0")


def _to_binary(bits: Bits) -> str:
    return (bits[::-1] + np.uint8(ord("0"))).tobytes().decode()


def _from_hex(text: str, count: int) -> Bits:
    return _from_binary(f"{int(text, 16):b}", count)


def _to_hex(bits: Bits, digits: int) -> str:
    return f"{int(_to_binary(bits), 2):0{digits}x}"
