"""The CRC of the host link's packets, bit by bit."""

from amaranth import Module, Mux
from amaranth.lib import crc, wiring
from amaranth.lib.crc.catalog import CRC32_ISO_HDLC
from amaranth.lib.wiring import In, Out


class LinkCrc(wiring.Component):
    """CRC-32 as ``zlib.crc32`` computes it, for packets that come or go bit by bit.

    It also hands the CRC out in the order in which it is on the line: least significant byte and
    bit first. What is fed for that makes the register a plain shift register.

    Latency: a bit is in the CRC a cycle after ``valid``. Flow control: none.

    Members:
        start: forget everything; prevails over ``valid``.
        valid, data: the next bit of the packet.
        unload: with ``valid``: not ``data`` is next, but the following bit of the CRC is wanted.
        value: the lowest bit of the CRC that has not been unloaded.
    """

    def __init__(self) -> None:
        super().__init__(
            {"start": In(1), "valid": In(1), "data": In(1), "unload": In(1), "value": Out(1)}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.processor = processor = crc.Processor(CRC32_ISO_HDLC(data_width=1))
        m.d.comb += [
            processor.start.eq(self.start),
            processor.valid.eq(self.valid & ~self.start),
            # The output is inverted: with its complement as data the register's feedback is 0.
            processor.data.eq(Mux(self.unload, ~self.value, self.data)),
            self.value.eq(processor.crc[0]),
        ]
        return m
