"""The weights of one column where they are written at run time."""

from amaranth import Module, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from shiftwork.hw import rom
from shiftwork.hw.config import Family

LATENCY = rom.LATENCY


class WeightRam(wiring.Component):
    """Bytes in block RAM with a read port like a ROM's and a write port.

    A byte that is read and written in the same cycle is undefined.

    Latency: as a ROM's, 2 cycles from ``address`` to ``data``; a write is seen by addresses of
    later cycles, and where the register stands before the RAM by that of the cycle before too.
    Flow control: ``enable`` holds the output.

    Parameters:
        depth: number of bytes.
        family: decides the place of the register beside the RAM.

    Members:
        address: of the byte to read.
        enable: go on in this cycle.
        data: the byte addressed two enabled cycles before.
        write_enable, write_address, write_data: a byte to write.
    """

    def __init__(self, *, depth: int, family: Family = "generic"):
        self.depth = depth
        self.family = family
        address_bits = max(1, ceil_log2(depth))
        super().__init__(
            {
                "address": In(address_bits),
                "enable": In(1),
                "data": Out(8),
                "write_enable": In(1),
                "write_address": In(address_bits),
                "write_data": In(8),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = storage = memory.Memory(
            shape=unsigned(8),
            depth=self.depth,
            init=[],
            # Without the second synthesis adds logic that defines a read of the byte being written.
            attrs={"ram_style": "block", "no_rw_check": 1},
        )
        read = rom.read_port(storage)
        write = storage.write_port()
        m.d.comb += [
            read.en.eq(self.enable),
            write.addr.eq(self.write_address),
            write.data.eq(self.write_data),
            write.en.eq(self.write_enable),
        ]
        rom.connect_registered(
            m,
            family=self.family,
            enable=self.enable,
            address=self.address,
            port=read,
            data=self.data,
        )
        return m
