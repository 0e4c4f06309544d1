"""After reset: reads every weight ROM through the array, and compares a checksum of them."""

from collections.abc import Iterator, Sequence
from enum import IntEnum

import numpy as np
from amaranth import Cat, Const, Module, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from shiftwork.hw.array import OPERAND_LATENCY
from shiftwork.hw.config import ArrayConfig
from shiftwork.hw.layouts import token_layout
from shiftwork.hw.shift_product import multiplied, offset

FACTOR_BITS = 16
FACTOR_TAPS = (15, 14, 12, 3)
"""Of a linear feedback shift register of the greatest period."""


class CheckResult(IntEnum):
    """What is known of the weights."""

    RUNNING = 0
    PASSED = 1
    FAILED = 2


class WeightCheck(wiring.Component):
    """A dot product of every column's weights with a fixed sequence of odd factors.

    It is the array that multiplies and adds: row 0 gets the factors as its activations, all columns
    the addresses from first to last. The sums, modulo their width, leave by the drain chains, and
    are folded to one word, which a column more rotates by a bit. A single wrong byte always shows,
    as its difference times an odd number is no multiple of 256; errors at random escape with a
    probability of ``2**-accumulator_bits``. What also has to work for it is row 0 of the array.

    Latency: ``cycles`` from the end of reset to ``result``. Flow control: none; while ``running``
    the array belongs to it. A reset starts anew.

    Parameters:
        config: the array's configuration; its columns have ROMs.
        weights: for every column the bytes that its ROM should hold.

    Members:
        running: the array belongs to the check.
        address, token: for column 0.
        a: the activation of row 0, ``OPERAND_LATENCY`` cycles after its address.
        captured, sums, shift: the array's drain chains.
        result: a :class:`CheckResult`; stays.
    """

    def __init__(self, *, config: ArrayConfig, weights: Sequence[bytes]) -> None:
        self.config = config
        self.depth = len(weights[0])
        self.expected = signature(weights, config=config)
        super().__init__(
            {
                "running": Out(1),
                "address": Out(max(1, ceil_log2(self.depth))),
                "token": Out(token_layout(scaled=config.scaled)),
                "a": Out(signed(8)),
                "captured": In(1),
                "sums": In(signed(config.accumulator_bits)).array(config.shape.lanes),
                "shift": Out(1),
                "result": Out(CheckResult),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        shape = self.config.shape
        span = shape.columns // shape.lanes
        folded = Signal(self.config.accumulator_bits)
        column = Signal(range(span))
        factor = Signal(FACTOR_BITS, init=1)
        started = Signal(OPERAND_LATENCY)
        m.d.comb += [
            self.running.eq(self.result == CheckResult.RUNNING),
            self.a.eq(Cat(1, factor[1:8])),
        ]
        m.d.sync += started.eq(Cat(1, started))
        with m.If(started[-1]):
            m.d.sync += factor.eq(_following(factor))
        with m.FSM():
            with m.State("WALK"):
                m.d.comb += [
                    self.token.valid.eq(1),
                    self.token.last.eq(self.address == self.depth - 1),
                ]
                m.d.sync += self.address.eq(self.address + 1)
                with m.If(self.token.last):
                    m.next = "WAIT"
            with m.State("WAIT"), m.If(self.captured):
                m.next = "FOLD"
            with m.State("FOLD"):
                m.d.comb += self.shift.eq(1)
                m.d.sync += [
                    folded.eq(folded.rotate_left(1) ^ _together(list(self.sums))),
                    column.eq(column + 1),
                ]
                with m.If(column == span - 1):
                    m.next = "COMPARE"
            with m.State("COMPARE"):
                m.d.sync += self.result.eq(CheckResult.FAILED)
                with m.If(folded == Const(self.expected, len(folded))):
                    m.d.sync += self.result.eq(CheckResult.PASSED)
        return m


def _following(factor: Signal) -> Value:
    feedback = Const(0, 1)
    for tap in FACTOR_TAPS:
        feedback = feedback ^ factor[tap]
    return Cat(feedback, factor[:-1])


def _together(sums: Sequence[Signal]) -> Value:
    """The sums of all lanes, each rotated by its number."""
    word = Const(0, len(sums[0]))
    for lane, value in enumerate(sums):
        word = word ^ value.as_unsigned().rotate_left(lane)
    return word


def factors() -> Iterator[int]:
    """The factors, odd numbers of -127 to 127, without an end."""
    state = 1
    while True:
        byte = state & 0xFE | 1
        yield byte - 256 if byte > 127 else byte
        feedback = sum(state >> tap & 1 for tap in FACTOR_TAPS) & 1
        state = (state << 1 | feedback) & ((1 << FACTOR_BITS) - 1)


def signature(weights: Sequence[bytes], *, config: ArrayConfig) -> int:
    """What the check should come to."""
    bits, lanes = config.accumulator_bits, config.shape.lanes
    shifts = not multiplied(config.shape.products, config.shape.elements)
    mask, span = (1 << bits) - 1, len(weights) // lanes

    def rotated(word: int, amount: int) -> int:
        amount %= bits
        return (word << amount | word >> (bits - amount)) & mask

    def column_sum(column: bytes) -> int:
        values = (byte - 256 if byte > 127 else byte for byte in column)
        total = sum(w * factor for w, factor in zip(values, factors(), strict=False))
        if shifts:
            total += int(offset(np.frombuffer(column, np.int8), config.exponents).sum())
        return total & mask

    sums = [column_sum(column) for column in weights]
    folded = 0
    for place in range(span):
        folded = rotated(folded, 1)
        for lane in range(lanes):
            folded ^= rotated(sums[lane * span + place], lane)
    return folded
