"""Read-only memory."""

from collections.abc import Sequence

from amaranth import Module, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

LATENCY = 1


class Rom(wiring.Component):
    """A ROM in block RAM, initialized by the bitstream.

    Latency: 1 cycle. Flow control: ``enable`` holds the output.

    Parameters:
        width: bits of a word.
        contents: the words, as unsigned integers.

    Members:
        address: of the word to read.
        enable: read in this cycle.
        data: the word addressed in the last enabled cycle.
    """

    def __init__(self, *, width: int, contents: Sequence[int]):
        self.width = width
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
        m.submodules.memory = storage = memory.Memory(
            shape=unsigned(self.width),
            depth=len(self.contents),
            init=self.contents,
            attrs={"ram_style": "block"},
        )
        port = storage.read_port()
        m.d.comb += [
            port.addr.eq(self.address),
            port.en.eq(self.enable),
            self.data.eq(port.data),
        ]
        return m
