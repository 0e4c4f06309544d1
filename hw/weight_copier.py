"""From activation memory to the columns' weight stores."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2, exact_log2

from shiftwork.hw.activation_memory import READ_LATENCY
from shiftwork.hw.config import ArrayConfig

LATENCY = READ_LATENCY
"""Cycles from ``start`` to ``done``, beside one for each word."""


class WeightCopier(wiring.Component):
    """Copies a layer's weights from activation memory to the columns, a word a cycle.

    A block is ``word_bytes`` columns; a word holds a byte for each. For every address within the
    columns memory holds the words of all blocks: word i goes to block ``i % blocks`` at the address
    ``i // blocks`` of its columns.

    Latency: ``done`` comes ``words + LATENCY`` cycles after ``start``. Flow control: none; memory
    must take every read.

    Parameters:
        config: the array's configuration.

    Members:
        start: begin; not before ``done`` of the last time.
        source: byte address of the first word, a multiple of ``word_bytes``.
        words: number of words, at least 1; like ``source`` stable from ``start`` to ``done``.
        read_enable, read_address, read_data: from activation memory.
        column_enable: a bit for each block of columns that is written.
        column_address, column_data: where in the columns, and a byte for each of the block.
        done: the last word is written in this cycle.
    """

    def __init__(self, *, config: ArrayConfig):
        self.config = config
        width = config.shape.word_bytes
        words = config.weight_depth * config.weight_blocks
        super().__init__(
            {
                "start": In(1),
                "source": In(config.address_bits),
                "words": In(ceil_log2(words + 1)),
                "read_enable": Out(1),
                "read_address": Out(config.address_bits),
                "read_data": In(8 * width),
                "column_enable": Out(config.weight_blocks),
                "column_address": Out(max(1, ceil_log2(config.weight_depth))),
                "column_data": Out(8 * width),
                "done": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        offset_bits = exact_log2(self.config.shape.word_bytes)
        following = Signal(len(self.words) + 1, reset_less=True)
        row = Signal(self.config.address_bits - offset_bits, reset_less=True)
        reading = Signal()
        last = Signal(reset_less=True)
        m.d.comb += [
            self.read_enable.eq(reading),
            self.read_address.eq(Cat(Const(0, offset_bits), row)),
        ]
        # The comparison is made a word ahead: it takes long.
        m.d.sync += [
            reading.eq(self.start | (reading & ~last)),
            last.eq(Mux(self.start, self.words == 1, following == self.words)),
            following.eq(Mux(self.start, 2, following + 1)),
            row.eq(Mux(self.start, self.source[offset_bits:], row + 1)),
        ]
        # The words arrive without a gap, so the last is the one that none follows.
        arriving = Signal(LATENCY)
        done = Signal()
        m.d.sync += [arriving.eq(Cat(reading, arriving)), done.eq(arriving[-2] & ~arriving[-3])]
        m.d.comb += [self.column_data.eq(self.read_data), self.done.eq(done)]
        self._add_place(m, arriving[-1])
        return m

    def _add_place(self, m: Module, valid: Signal) -> None:
        """Which columns a word belongs to, and where in them it lies."""
        blocks = self.config.weight_blocks
        block = Signal(blocks, init=1)
        address = Signal.like(self.column_address)
        m.d.comb += [
            self.column_enable.eq(Mux(valid, block, 0)),
            self.column_address.eq(address),
        ]
        m.d.sync += block.eq(Mux(valid, block.rotate_left(1), 1))
        with m.If(~valid):
            m.d.sync += address.eq(0)
        with m.Elif(block[-1]):
            m.d.sync += address.eq(address + 1)
