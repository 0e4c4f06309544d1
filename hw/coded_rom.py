"""A ROM of weights that take few values: an index of 4 bits in place of each."""

from collections.abc import Sequence
from itertools import accumulate, pairwise

from amaranth import Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from shiftwork.hw.config import Family
from shiftwork.hw.rom import Rom, part_sizes
from shiftwork.quant.codebook import INT4

CODE_BITS = 4
Column = Sequence[int]
"""Weights of a column, as bytes."""


class CodedRom(wiring.Component):
    """The weights of neighbouring columns, which read the same address in the same cycle.

    A word holds one index a column. Behind the ROM a lookup table for each bit turns an index into
    the weight; none is needed where the values are -8 to 7, whose indices are their last bits.

    Latency: that of :class:`Rom`. Flow control: ``enable`` holds the output.

    Parameters:
        columns: for each column its weights as bytes, all of one length.
        codebook: the values that the weights take as int8, at most 16 and 0 among them, ascending.
        family: of the block RAMs that the ROM is cut for.

    Members:
        address: of the weights to read.
        enable: go on in this cycle.
        data: for each column the weight addressed two enabled cycles before.
    """

    def __init__(self, *, columns: Sequence[Column], codebook: Sequence[int], family: Family):
        self.columns = tuple(tuple(column) for column in columns)
        self.codebook = tuple(codebook)
        self.family = family
        words = coded_words(columns, codebook)
        width = CODE_BITS * len(self.columns)
        self._rom = Rom(
            width=width,
            contents=words,
            family=family,
            parts=part_sizes(max(1, len(words)), width, family),
        )
        super().__init__(
            {
                "address": In(len(self._rom.address)),
                "enable": In(1),
                "data": Out(signed(8)).array(len(self.columns)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.rom = self._rom
        m.d.comb += [self._rom.address.eq(self.address), self._rom.enable.eq(self.enable)]
        for index in range(len(self.columns)):
            code = Signal(CODE_BITS, name=f"code_{index}")
            m.d.comb += code.eq(self._rom.data.word_select(index, CODE_BITS))
            with m.Switch(code):
                for value, number in codes(self.codebook).items():
                    with m.Case(number):
                        m.d.comb += self.data[index].eq(value)
        return m


def codes(codebook: Sequence[int]) -> dict[int, int]:
    """The index of each value: its last bits if it is -8 to 7, else its place behind that of 0."""
    if not decoded_bits(codebook):
        return {value: value % (1 << CODE_BITS) for value in codebook}
    zero = codebook.index(0)
    return {value: (place - zero) % (1 << CODE_BITS) for place, value in enumerate(codebook)}


def decoded_bits(codebook: Sequence[int]) -> int:
    """Bits of a weight that take a lookup table: none if the indices are the values."""
    return 0 if set(codebook) <= set(INT4) else 8


def stages(columns: Sequence[Column], widths: Sequence[int]) -> list[Sequence[Column]]:
    """The columns of each stage of the pipeline, which share a ROM."""
    ends = accumulate(widths, initial=0)
    return [columns[first:end] for first, end in pairwise(ends)]


def coded_words(columns: Sequence[Column], codebook: Sequence[int]) -> tuple[int, ...]:
    """The words of the ROM of ``columns``, whose weights are bytes; column 0 in the last bits."""
    numbers = {value & 0xFF: number for value, number in codes(codebook).items()}
    return tuple(
        sum(numbers[weight] << (CODE_BITS * place) for place, weight in enumerate(weights))
        for weights in zip(*columns, strict=True)
    )
