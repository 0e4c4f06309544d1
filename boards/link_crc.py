"""The CRC of the host link's packets, a bit a cycle."""

from amaranth import Module, Signal
from amaranth.lib import crc, wiring
from amaranth.lib.crc.catalog import CRC32_ISO_HDLC
from amaranth.lib.wiring import In, Out

CYCLES = 8
"""That a byte takes. On a serial line a byte takes much longer, so nothing has to wait."""


class LinkCrc(wiring.Component):
    """CRC-32 as ``zlib.crc32`` computes it, for packets that come or go byte by byte.

    Latency: ``CYCLES`` cycles after ``valid`` the byte is in ``value`` and ``match``; ``working`` is
    high meanwhile. Flow control: none; bytes must be more than ``CYCLES`` cycles apart.

    Members:
        start: forget everything; not while a byte is worked on.
        valid, data: the next byte.
        working: ``value`` and ``match`` do not count yet.
        value: the CRC of the bytes since ``start``.
        match: the bytes since ``start`` end with their own CRC, least significant byte first.
    """

    start: In(1)
    valid: In(1)
    data: In(8)
    working: Out(1)
    value: Out(32)
    match: Out(1)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.processor = processor = crc.Processor(CRC32_ISO_HDLC(data_width=1))
        bits = Signal(8, reset_less=True)
        left = Signal(range(CYCLES + 1))
        m.d.comb += [
            self.working.eq(left != 0),
            processor.start.eq(self.start),
            processor.valid.eq(self.working),
            processor.data.eq(bits[0]),
            self.value.eq(processor.crc),
            self.match.eq(processor.match_detected),
        ]
        m.d.sync += bits.eq(bits >> 1)
        with m.If(self.working):
            m.d.sync += left.eq(left - 1)
        with m.If(self.valid):
            m.d.sync += [bits.eq(self.data), left.eq(CYCLES)]
        return m
