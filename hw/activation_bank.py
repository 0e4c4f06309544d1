"""One bank of activation memory; the only place that knows a family's RAM."""

from collections.abc import Sequence

from amaranth import Cat, ClockSignal, Const, Instance, Module, Mux, Signal, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from shiftwork.errors import CapacityError
from shiftwork.hw import rom
from shiftwork.hw.config import Family

READ_LATENCY = 1
SPRAM_BYTES = 32768
SPRAM_WORD_BYTES = 2


class ActivationBank(wiring.Component):
    """A RAM of small words with one read port and one write port that writes single bytes.

    On ``ice40up`` a bank is one single-ported SB_SPRAM256KA of 32 KiB: it must not be read in a
    cycle in which it is written. Elsewhere a bank is block RAM with two ports. A byte that is read
    and written in the same cycle is undefined; the schedule never does so.

    Latency: 1 cycle from ``read_address`` to ``read_data``. Flow control: none.

    Parameters:
        depth: number of words.
        bank_bytes: bytes of a word; 1 or 2 on ``ice40up``.
        family: whose RAM is instantiated.
        contents: the first words, as unsigned integers; the others are 0. For simulation.

    Members:
        read_address, read_data: the word that was addressed in the cycle before.
        write_address, write_data, write_mask: bytes to write; ``write_mask`` has a bit for each.

    Raises:
        CapacityError: if the family's RAM does not have that many bytes, words that wide, or
            contents at power-up.
    """

    def __init__(
        self, *, depth: int, bank_bytes: int, family: Family, contents: Sequence[int] = ()
    ):
        if family == "ice40up":
            _check_spram(depth, bank_bytes, contents)
        self.depth = depth
        self.bank_bytes = bank_bytes
        self.family = family
        self.contents = tuple(contents)
        address_bits = max(1, ceil_log2(depth))
        super().__init__(
            {
                "read_address": In(address_bits),
                "read_data": Out(8 * bank_bytes),
                "write_address": In(address_bits),
                "write_data": In(8 * bank_bytes),
                "write_mask": In(bank_bytes),
            }
        )

    def elaborate(self, platform: object) -> Module:
        return self._spram() if self.family == "ice40up" else self._block_ram()

    def _block_ram(self) -> Module:
        m = Module()
        m.submodules.memory = storage = memory.Memory(
            shape=unsigned(8 * self.bank_bytes),
            depth=self.depth,
            init=self.contents,
            # Without it synthesis adds logic that defines a read of the byte that is written.
            attrs={"no_rw_check": 1},
        )
        read = rom.read_port(storage)
        write = storage.write_port(granularity=8)
        m.d.comb += [
            read.addr.eq(self.read_address),
            read.en.eq(1),
            self.read_data.eq(read.data),
            write.addr.eq(self.write_address),
            write.data.eq(self.write_data),
            write.en.eq(self.write_mask),
        ]
        return m

    def _spram(self) -> Module:
        """Its words have two bytes: the lowest bit of a byte's address picks the half."""
        m = Module()
        write = Signal()
        address = Signal(self.read_address.shape())
        word = Signal(8 * SPRAM_WORD_BYTES)
        m.d.comb += [
            write.eq(self.write_mask.any()),
            address.eq(Mux(write, self.write_address, self.read_address)),
        ]
        if self.bank_bytes == 1:
            half = Signal()
            m.d.sync += half.eq(address[0])
            m.d.comb += self.read_data.eq(word.word_select(half, 8))
            row, mask = address[1:], Cat(~address[0], address[0])
        else:
            m.d.comb += self.read_data.eq(word)
            row, mask = address[:], self.write_mask
        m.submodules.spram = Instance(
            "SB_SPRAM256KA",
            i_CLOCK=ClockSignal(),
            i_ADDRESS=Cat(row, Const(0, 14))[:14],
            i_DATAIN=self.write_data.replicate(SPRAM_WORD_BYTES // self.bank_bytes),
            i_MASKWREN=Cat(bit.replicate(2) for bit in mask),
            i_WREN=write,
            i_CHIPSELECT=Const(1),
            i_STANDBY=Const(0),
            i_SLEEP=Const(0),
            i_POWEROFF=Const(1),
            o_DATAOUT=word,
        )
        return m


def _check_spram(depth: int, bank_bytes: int, contents: Sequence[int]) -> None:
    if contents:
        raise CapacityError("an SPRAM has no contents at power-up; load them from a flash")
    if bank_bytes > SPRAM_WORD_BYTES:
        raise CapacityError(
            f"bank_bytes must be at most {SPRAM_WORD_BYTES} on the UP5K (an SPRAM's word), "
            f"not {bank_bytes}"
        )
    if depth * bank_bytes > SPRAM_BYTES:
        raise CapacityError(
            f"a bank of activation memory must not exceed {SPRAM_BYTES} bytes (one SPRAM), "
            f"not {depth * bank_bytes}"
        )
