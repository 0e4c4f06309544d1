"""A ROM whose contents nobody knows."""

from collections.abc import Sequence

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from formal.prover import free

from shiftwork.hw.config import Family

ADDRESS_BITS = 8


class AnyRom(wiring.Component):
    """In place of a ``Rom``: any word in any cycle, which covers all contents."""

    def __init__(self, *, width: int, contents: Sequence[int], family: Family):
        super().__init__({"address": In(ADDRESS_BITS), "enable": In(1), "data": Out(width)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self.data.eq(free(m, len(self.data), "word"))
        return m
