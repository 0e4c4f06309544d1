"""Read-only memory."""

from collections.abc import Sequence

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

    Members:
        address: of the word to read.
        enable: go on in this cycle.
        data: the word addressed two enabled cycles before.
    """

    def __init__(self, *, width: int, contents: Sequence[int], family: Family = "generic"):
        self.width = width
        self.family = family
        self.contents = tuple(int(word) for word in contents) or (0,)
        super().__init__(
            {
                "address": In(max(1, ceil_log2(len(self.contents)))),
                "enable": In(1),
                "data": Out(width),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        block = _block_depth(self.width) if self.family == "ecp5" else len(self.contents)
        blocks = [
            self._add_block(m, index, self.contents[first : first + block])
            for index, first in enumerate(range(0, len(self.contents), block))
        ]
        if len(blocks) == 1:
            m.d.comb += self.data.eq(blocks[0])
            return m
        select: Value = self.address[ceil_log2(block) :]
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
