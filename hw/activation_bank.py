"""One byte-wide bank of activation memory; the only place that knows a family's RAM."""

from amaranth import Cat, ClockSignal, Const, Instance, Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from shiftwork.errors import CapacityError
from shiftwork.hw.config import Family

READ_LATENCY = 1
SPRAM_BYTES = 32768


class ActivationBank(wiring.Component):
    """A byte-wide RAM with one read port and one write port.

    On ``ice40up`` a bank is one single-ported SB_SPRAM256KA of 32 KiB: it must not be read in a
    cycle in which it is written. Elsewhere a bank is block RAM with two ports. A byte that is read
    and written in the same cycle is undefined; the schedule never does so.

    Latency: 1 cycle from ``read_address`` to ``read_data``. Flow control: none.

    Parameters:
        depth: number of bytes.
        family: whose RAM is instantiated.

    Members:
        read_address, read_data: the byte that was addressed in the cycle before.
        write_address, write_data, write_enable: a byte to write.
    """

    def __init__(self, *, depth: int, family: Family):
        if family == "ice40up" and depth > SPRAM_BYTES:
            raise CapacityError(
                f"a bank of activation memory must not exceed {SPRAM_BYTES} bytes (one SPRAM), "
                f"not {depth}"
            )
        self.depth = depth
        self.family = family
        address_bits = max(1, ceil_log2(depth))
        super().__init__(
            {
                "read_address": In(address_bits),
                "read_data": Out(8),
                "write_address": In(address_bits),
                "write_data": In(8),
                "write_enable": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        return self._spram() if self.family == "ice40up" else self._block_ram()

    def _block_ram(self) -> Module:
        m = Module()
        m.submodules.memory = storage = memory.Memory(shape=8, depth=self.depth, init=[])
        read, write = storage.read_port(), storage.write_port()
        m.d.comb += [
            read.addr.eq(self.read_address),
            read.en.eq(1),
            self.read_data.eq(read.data),
            write.addr.eq(self.write_address),
            write.data.eq(self.write_data),
            write.en.eq(self.write_enable),
        ]
        return m

    def _spram(self) -> Module:
        """Two bytes share a 16-bit word: the lowest address bit picks the half."""
        m = Module()
        address = Signal(15)
        half = Signal()
        word = Signal(16)
        m.d.comb += [
            address.eq(Mux(self.write_enable, self.write_address, self.read_address)),
            self.read_data.eq(word.word_select(half, 8)),
        ]
        m.d.sync += half.eq(address[0])
        low, high = ~address[0], address[0]
        m.submodules.spram = Instance(
            "SB_SPRAM256KA",
            i_CLOCK=ClockSignal(),
            i_ADDRESS=address[1:],
            i_DATAIN=Cat(self.write_data, self.write_data),
            i_MASKWREN=Cat(low, low, high, high),
            i_WREN=self.write_enable,
            i_CHIPSELECT=Const(1),
            i_STANDBY=Const(0),
            i_SLEEP=Const(0),
            i_POWEROFF=Const(1),
            o_DATAOUT=word,
        )
        return m
