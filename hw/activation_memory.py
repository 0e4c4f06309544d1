"""Activation memory: words of bytes at any byte address."""

from amaranth import Array, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from shiftwork.hw.activation_bank import ActivationBank
from shiftwork.hw.config import ArrayConfig

READ_LATENCY = 2


class ActivationMemory(wiring.Component):
    """``word_bytes`` byte-wide banks that read and write unaligned words.

    Byte address a lies in bank ``a % word_bytes``, so any ``word_bytes`` consecutive bytes lie in
    different banks: a word can start anywhere.

    Requests are registered before the banks: finding each bank's row, and turning the word, would
    not fit into a cycle together with the way to a RAM.

    Latency: 2 cycles from ``read_address`` to ``read_data``; a write is seen by reads of later
    cycles. Flow control: a read always happens; with a single port ``write_ready`` is low in a
    cycle with ``read_enable``.

    Parameters:
        config: the array's configuration.

    Members:
        read_enable, read_address: the address of the word's first byte.
        read_data: the word addressed two cycles before, first byte lowest.
        write_enable, write_address, write_data, write_mask: bytes to write; ``write_mask`` has a
            bit for each byte.
        write_ready: the write is taken in this cycle.
    """

    def __init__(self, *, config: ArrayConfig):
        self.config = config
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
        width = self.config.shape.word_bytes
        offset_bits = exact_log2(width)
        banks = [
            ActivationBank(depth=self.config.bank_depth, family=self.config.shape.family)
            for _ in range(width)
        ]
        read_rows = self._rows(m, self.read_address, "read")
        write_rows = self._rows(m, self.write_address, "write")
        write_offset = self.write_address[:offset_bits]
        write = Signal()
        ready = ~self.read_enable if self.config.shape.single_port else 1
        m.d.comb += [self.write_ready.eq(ready), write.eq(self.write_enable & self.write_ready)]
        for index, bank in enumerate(banks):
            m.submodules[f"bank_{index}"] = bank
            lane = Signal(offset_bits, name=f"lane_{index}")
            m.d.comb += lane.eq(index - write_offset)
            requests = [
                (bank.read_address, read_rows[index]),
                (bank.write_address, write_rows[index]),
                (bank.write_data, self.write_data.word_select(lane, 8)),
                (bank.write_enable, write & self.write_mask.bit_select(lane, 1)),
            ]
            for port, value in requests:
                request = Signal.like(port, name=f"bank_{index}_{port.name}")
                m.d.sync += request.eq(value)
                m.d.comb += port.eq(request)
        read_offset = Signal(offset_bits)
        data_offset = Signal(offset_bits)
        m.d.sync += [
            read_offset.eq(self.read_address[:offset_bits]),
            data_offset.eq(read_offset),
        ]
        outputs = Array(bank.read_data for bank in banks)
        for index in range(width):
            source = Signal(offset_bits, name=f"source_{index}")
            m.d.comb += [
                source.eq(data_offset + index),
                self.read_data.word_select(index, 8).eq(outputs[source]),
            ]
        return m

    def _rows(self, m: Module, address: Signal, name: str) -> list[Signal]:
        """For each bank the row that holds its byte of the word at ``address``."""
        width = self.config.shape.word_bytes
        offset_bits = exact_log2(width)
        depth_bits = len(address) - offset_bits
        row, following = (
            Signal(depth_bits, name=f"{name}_row"),
            Signal(depth_bits, name=f"{name}_next"),
        )
        offset = address[:offset_bits]
        m.d.comb += [row.eq(address[offset_bits:]), following.eq(row + 1)]
        rows = []
        for index in range(width):
            chosen = Signal(depth_bits, name=f"{name}_row_{index}")
            wraps = Signal(name=f"{name}_wraps_{index}")
            m.d.comb += [
                wraps.eq(offset > index),
                chosen.eq(row),
            ]
            with m.If(wraps):
                m.d.comb += chosen.eq(following)
            rows.append(chosen)
        return rows
