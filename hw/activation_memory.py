"""Activation memory: words of bytes at any byte address."""

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from shiftwork.hw.activation_bank import ActivationBank
from shiftwork.hw.config import ArrayConfig

READ_LATENCY = 3
"""The requests' registers, the RAM, and a register behind it: a RAM is slow to answer."""


class ActivationMemory(wiring.Component):
    """Banks side by side that read and write unaligned words of ``word_bytes`` bytes.

    With g = ``bank_bytes`` byte address a lies in bank ``a // g % (word_bytes / g)``: a whole word
    can start at any multiple of g. From another address a on, the last ``a % g`` bytes of a word
    are out of reach.

    Requests are registered before the banks, data behind them, and turning a word is left to logic
    between those registers and the next.

    Latency: ``READ_LATENCY`` cycles from ``read_address`` to ``read_data``; a write is seen by
    reads of later cycles. Flow control: a read always happens; with a single port ``write_ready``
    is low in a cycle with ``read_enable``.

    Parameters:
        config: the array's configuration.
        contents: its first bytes at power-up; the others are 0. For simulation: not every family
            has such RAM.

    Members:
        read_enable, read_address: the address of the word's first byte.
        read_data: the word addressed ``READ_LATENCY`` cycles before, first byte lowest; its last
            ``read_address % bank_bytes`` bytes are undefined.
        write_enable, write_address, write_data, write_mask: bytes to write; ``write_mask`` has a
            bit for each byte, and its last ``write_address % bank_bytes`` bits must be 0.
        write_ready: the write is taken in this cycle.
    """

    def __init__(self, *, config: ArrayConfig, contents: bytes = b""):
        self.config = config
        self.contents = contents
        width = config.shape.word_bytes
        super().__init__(
            {
                "read_enable": In(1),
                "read_address": In(config.address_bits),
                "read_data": Out(8 * width),
                "write_enable": In(1),
                "write_address": In(config.address_bits),
                "write_data": In(8 * width),
                "write_mask": In(width),
                "write_ready": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        shape = self.config.shape
        if shape.single_port:
            m.d.comb += self.write_ready.eq(~self.read_enable)
            address = Mux(self.read_enable, self.read_address, self.write_address)
            read_rows = write_rows = self._add_rows(m, address, "access")
        else:
            m.d.comb += self.write_ready.eq(1)
            read_rows = self._add_rows(m, self.read_address, "read")
            write_rows = self._add_rows(m, self.write_address, "write")
        data, mask = self._add_write_word(m)
        answer = Signal(8 * shape.word_bytes, reset_less=True)
        for index in range(shape.word_bytes // shape.bank_bytes):
            m.submodules[f"bank_{index}"] = bank = ActivationBank(
                depth=self.config.bank_depth,
                bank_bytes=shape.bank_bytes,
                family=shape.family,
                contents=self._bank_contents(index),
            )
            m.d.comb += [
                bank.read_address.eq(read_rows[index]),
                bank.write_address.eq(write_rows[index]),
                bank.write_data.eq(data.word_select(index, 8 * shape.bank_bytes)),
                bank.write_mask.eq(mask.word_select(index, shape.bank_bytes)),
            ]
            m.d.sync += answer.word_select(index, 8 * shape.bank_bytes).eq(bank.read_data)
        self._add_read_word(m, answer)
        return m

    def _bank_contents(self, index: int) -> list[int]:
        """The words of ``contents`` that lie in a bank."""
        shape = self.config.shape
        first = index * shape.bank_bytes
        return [
            int.from_bytes(self.contents[start : start + shape.bank_bytes], "little")
            for start in range(first, len(self.contents), shape.word_bytes)
        ]

    def _add_rows(self, m: Module, address: Value, name: str) -> list[Value]:
        """For each bank the row that holds its part of the word at ``address``, a cycle later."""
        shape = self.config.shape
        offset_bits, part_bits = exact_log2(shape.word_bytes), exact_log2(shape.bank_bytes)
        banks = shape.word_bytes // shape.bank_bytes
        requested = Signal(self.config.address_bits, name=f"{name}_address")
        row = Signal(self.config.address_bits - offset_bits, name=f"{name}_row", reset_less=True)
        following = Signal(len(row), name=f"{name}_next")
        wraps = Signal(banks, name=f"{name}_wraps", reset_less=True)
        m.d.comb += [requested.eq(address), following.eq(row + 1)]
        first = requested[part_bits:offset_bits]
        m.d.sync += [
            row.eq(requested[offset_bits:]),
            wraps.eq(Cat(first > index for index in range(banks))),
        ]
        return [Mux(wraps[index], following, row) for index in range(banks)]

    def _add_write_word(self, m: Module) -> tuple[Signal, Signal]:
        """The bytes to write and their mask at their places in the banks, a cycle later."""
        width = self.config.shape.word_bytes
        offset_bits = exact_log2(width)
        mask = Signal(width)
        offset = Signal(offset_bits, name="write_offset", reset_less=True)
        with m.If(self.write_enable & self.write_ready):
            m.d.comb += mask.eq(self.write_mask)
        words = []
        # With a single port the mask comes late; else it is turned before the long way to the RAMs.
        early_mask_bits = 0 if self.config.shape.single_port else offset_bits
        for name, word, early_bits in (
            ("data", self.write_data, offset_bits // 2),
            ("mask", mask, early_mask_bits),
        ):
            step = len(word) // width
            early = range(early_bits)
            turned = _turned(m, word, self.write_address, early, step, f"write_{name}_early")
            kept = Signal.like(turned, name=f"write_{name}_kept", reset_less=name == "data")
            m.d.sync += kept.eq(turned)
            late = range(early_bits, offset_bits)
            words.append(_turned(m, kept, offset, late, step, f"write_{name}_late"))
        m.d.sync += offset.eq(self.write_address)
        return words[0], words[1]

    def _add_read_word(self, m: Module, answer: Signal) -> None:
        """The banks' bytes in the order of their addresses."""
        width = self.config.shape.word_bytes
        offset_bits = exact_log2(width)
        offset: Value = self.read_address
        for stage in range(READ_LATENCY):
            later = Signal(offset_bits, name=f"read_offset_{stage}", reset_less=True)
            m.d.sync += later.eq(offset)
            offset = later
        back = range(offset_bits)
        m.d.comb += self.read_data.eq(_turned(m, answer, offset, back, -8, "read_data"))


def _turned(m: Module, word: Signal, amount: Value, bits: range, step: int, name: str) -> Signal:
    """``word`` rotated up by ``step`` times those ``bits`` of ``amount``, a stage for each."""
    for bit in bits:
        stage = Signal.like(word, name=f"{name}_{bit}")
        m.d.comb += stage.eq(Mux(amount[bit], word.rotate_left(step << bit), word))
        word = stage
    return word
