"""Read-only memory."""

from collections.abc import Sequence

from amaranth import Module, Signal, Value, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from shiftwork.hw.config import Family

LATENCY = 2


class Rom(wiring.Component):
    """A ROM in block RAM, initialized by the bitstream, with one more register.

    It stands behind the RAM, which is slow to answer on some chips; or before it, where the RAM is
    not the slow part: addresses are narrow, and ROMs of one address share the register.

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
        m.submodules.memory = storage = memory.Memory(
            shape=unsigned(self.width),
            depth=len(self.contents),
            init=self.contents,
            attrs={"ram_style": "block"},
        )
        port = storage.read_port()
        m.d.comb += port.en.eq(self.enable)
        connect_registered(
            m,
            family=self.family,
            enable=self.enable,
            address=self.address,
            port=port,
            data=self.data,
        )
        return m


def connect_registered(
    m: Module,
    *,
    family: Family,
    enable: Value,
    address: Signal,
    port: memory.ReadPort,
    data: Signal,
) -> None:
    """``address`` to ``port`` to ``data``, with a register where the family needs it."""
    late = Signal.like(address if family == "ice40up" else data, reset_less=True)
    if family == "ice40up":
        m.d.comb += [port.addr.eq(late), data.eq(port.data)]
        source: Value = address
    else:
        m.d.comb += [port.addr.eq(address), data.eq(late)]
        source = port.data
    with m.If(enable):
        m.d.sync += late.eq(source)
