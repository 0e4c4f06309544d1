"""Read-only memory."""

from collections.abc import Sequence
from functools import reduce
from itertools import accumulate, pairwise
from operator import add

from amaranth import Module, Signal, Value, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from shiftwork.hw.config import Family

LATENCY = 2
REGISTERED_ADDRESS: tuple[Family, ...] = ("ice40up", "ice40hx")
"""Families whose block RAMs are quick to answer."""
ECP5_BLOCK_BITS = 16384
ECP5_BLOCK_WIDTHS = (8, 16, 32)
"""Widths of an ECP5 block RAM's words, without the parity bits that make them 9, 18 and 36."""
ICE40_BLOCK_FORMS = ((2048, 2), (1024, 4), (512, 8), (256, 16))
BLOCK_FORMS: dict[Family, tuple[tuple[int, int], ...]] = {
    "generic": (),
    "ice40up": ICE40_BLOCK_FORMS,
    "ice40hx": ICE40_BLOCK_FORMS,
    "ecp5": ((2048, 9), (1024, 18), (512, 36)),
    "gowin": ((2048, 9), (1024, 18), (512, 36)),
}
"""Words of a block RAM and their bits, deepest form first, each half as deep as the one before."""


class Rom(wiring.Component):
    """A ROM in block RAM, initialized by the bitstream, with one more register.

    It stands behind the RAM, which is slow to answer on some chips; or before it, where the RAM is
    not the slow part: addresses are narrow, and ROMs of one address share the register. On ``ecp5``
    a ROM deeper than a block RAM has a register behind each, and selects among them.

    Latency: 2 enabled cycles. Flow control: ``enable`` holds the output.

    Parameters:
        width: bits of a word.
        contents: the words, as unsigned integers.
        family: decides the register's place.
        parts: words of the memories that it is made of, powers of two in descending order; by
            default what the family needs.

    Members:
        address: of the word to read.
        enable: go on in this cycle.
        data: the word addressed two enabled cycles before.
    """

    def __init__(
        self,
        *,
        width: int,
        contents: Sequence[int],
        family: Family = "generic",
        parts: Sequence[int] | None = None,
    ):
        self.width = width
        self.family = family
        self.contents = tuple(int(word) for word in contents) or (0,)
        self.parts = self._equal_parts() if parts is None else tuple(parts)
        super().__init__(
            {
                "address": In(max(1, ceil_log2(len(self.contents)))),
                "enable": In(1),
                "data": Out(width),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        starts = list(accumulate(self.parts, initial=0))
        blocks = [
            self._add_block(m, index, self.contents[first:end])
            for index, (first, end) in enumerate(pairwise(starts))
        ]
        if len(blocks) == 1:
            m.d.comb += self.data.eq(blocks[0])
            return m
        select = self._select(starts[1:-1])
        for cycle in range(LATENCY):
            late = Signal(range(len(blocks)), name=f"select_{cycle}", reset_less=True)
            with m.If(self.enable):
                m.d.sync += late.eq(select)
            select = late
        with m.Switch(select):
            for index, data in enumerate(blocks):
                with m.Case(index):
                    m.d.comb += self.data.eq(data)
        return m

    def _equal_parts(self) -> tuple[int, ...]:
        """One memory; on ``ecp5`` one for each depth of a block RAM."""
        depth = len(self.contents)
        block = _block_depth(self.width) if self.family == "ecp5" else depth
        return (block,) * -(-depth // block)

    def _select(self, starts: Sequence[int]) -> Value:
        """The number of the part that holds the address, from where all but the first begin."""
        if len(set(self.parts)) == 1:
            return self.address[ceil_log2(self.parts[0]) :]
        return reduce(add, [self.address >= start for start in starts])

    def _add_block(self, m: Module, index: int, contents: Sequence[int]) -> Signal:
        """A part of the ROM with its register."""
        m.submodules[f"memory_{index}"] = storage = memory.Memory(
            shape=unsigned(self.width),
            depth=len(contents),
            init=contents,
            attrs={"ram_style": "block"},
        )
        port = storage.read_port()
        data = Signal(self.width, name=f"data_{index}")
        m.d.comb += port.en.eq(self.enable)
        connect_registered(
            m,
            family=self.family,
            enable=self.enable,
            address=self.address[: len(port.addr)],
            port=port,
            data=data,
        )
        return data


def read_port(storage: memory.Memory) -> memory.ReadPort:
    """A read port whose signals are not named after a variable."""
    return storage.read_port()


def part_blocks(depth: int, width: int, family: Family) -> int:
    """Block RAMs of a part of a ROM, no deeper than their deepest form.

    Synthesis cuts it into pieces as deep as the shallowest form, and fills blocks with the bits of
    all pieces side by side.
    """
    shallowest, bits = BLOCK_FORMS[family][-1]
    return -(-width * -(-depth // shallowest) // bits)


def part_sizes(depth: int, width: int, family: Family) -> tuple[int, ...]:
    """The parts of a ROM that fill the fewest block RAMs, and of these the least to select from.

    Args:
        depth, width: of the ROM, in words and bits.
        family: of the block RAMs; the portable one has a single part.

    Returns:
        Words that each part has room for, in descending order; all but the last are filled.
    """
    forms = BLOCK_FORMS[family]
    if not forms:
        return (depth,)
    whole, rest = divmod(depth, forms[0][0])
    return (forms[0][0],) * whole + _cover(rest, width, family, forms)[2]


def _cover(
    rest: int, width: int, family: Family, forms: Sequence[tuple[int, int]]
) -> tuple[int, int, tuple[int, ...]]:
    """Blocks, pieces to select from, and parts for ``rest`` words.

    Args:
        forms: what parts may be; ``rest`` is less than twice the deepest of them.
    """
    if not rest:
        return 0, 0, ()
    (deepest, bits), shallower = forms[0], forms[1:]
    if rest >= deepest:
        blocks, pieces, parts = _cover(rest - deepest, width, family, forms)
        return blocks + -(-width // bits), pieces + 1, (deepest, *parts)
    blocks = part_blocks(rest, width, family)
    pieces = 1 if blocks == -(-width // bits) else -(-rest // forms[-1][0])
    one = (blocks, pieces, (deepest,))
    return min(one, _cover(rest, width, family, shallower)) if shallower else one


def _block_depth(width: int) -> int:
    """Words of an ECP5 block RAM that are as wide as ``width``, or as wide as there are."""
    widest = ECP5_BLOCK_WIDTHS[-1]
    return ECP5_BLOCK_BITS // next((w for w in ECP5_BLOCK_WIDTHS if w + w // 8 >= width), widest)


def connect_registered(
    m: Module,
    *,
    family: Family,
    enable: Value,
    address: Value,
    port: memory.ReadPort,
    data: Signal,
) -> None:
    """``address`` to ``port`` to ``data``, with a register where the family needs it."""
    before = family in REGISTERED_ADDRESS
    late = Signal(len(address if before else data), reset_less=True)
    if before:
        m.d.comb += [port.addr.eq(late), data.eq(port.data)]
        source = address
    else:
        m.d.comb += [port.addr.eq(address), data.eq(late)]
        source = port.data
    with m.If(enable):
        m.d.sync += late.eq(source)
