"""The top score answers each frame with the first of its greatest scores, and with nothing else."""

from types import ModuleType

import pytest
from amaranth import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.hdl import Assert, Assume, Cover
from formal.prover import (
    Harness,
    Method,
    assert_holds,
    assert_refuted,
    constant,
    free,
    mutated,
    with_names,
)

from shiftwork.hw import top_score
from shiftwork.hw.layouts import FramedByte

NAMED = with_names(top_score)
DEPTH = 2
MUTANT_DEPTH = 14
CASES = [(1, 1), (2, 1), (1, 4)]
"""Bytes of the class and of a score."""


class Answers(Harness):
    """The component beside a wide comparison of whole scores.

    Frames have any length of whole scores up to the number of classes; when bytes come, what they
    are, when answers are taken, the threshold and the sign are free.

    Parameters:
        class_bytes, score_bytes: of the component.
        source: its module.
    """

    def __init__(self, *, class_bytes: int, score_bytes: int, source: ModuleType = NAMED):
        super().__init__()
        self.class_bytes = class_bytes
        self.score_bytes = score_bytes
        self.source = source

    def build(self, m: Module) -> None:
        size, bits = self.score_bytes, 8 * self.score_bytes
        m.submodules.dut = dut = self.source.TopScore(
            class_bytes=self.class_bytes, score_bytes=size, threshold=True, framed=True
        )
        valid, payload, ready = (
            free(m, 1, "valid"),
            free(m, FramedByte, "payload"),
            free(m, 1, "ready"),
        )
        unsigned = constant(m, 1, "unsigned")
        threshold = constant(m, signed(bits + 1), "threshold")
        self.number = Signal(range(max(size, 2)))
        self.partial = Signal(bits)
        self.seen = Signal()
        self.sending = Signal(name="is_sending")
        self.place = Signal(range(self.class_bytes + size))
        self.index = Signal(8 * self.class_bytes)
        self.best = Signal(bits)
        self.best_index = Signal.like(self.index)
        self.unsigned, self.threshold = unsigned, threshold
        taken, sent = valid & ~self.sending, self.sending & ready
        score = (self.partial | (payload.data << 8 * self.number))[:bits]
        whole = self.number == size - 1
        none = (1 << 8 * self.class_bytes) - 1
        m.d.comb += [
            dut.i.valid.eq(valid),
            dut.i.payload.eq(payload),
            dut.o.ready.eq(ready),
            dut.unsigned.eq(unsigned),
            dut.threshold.eq(threshold),
            Assume(~payload.last | whole, "a frame ends with a score"),
            Assume((self.index != none - 1) | payload.last | ~whole, "no more than it counts"),
            # An extension of the score by one bit holds the signed and the unsigned ones.
            Assume(threshold[bits] == Mux(unsigned, 0, threshold[bits - 1])),
        ]
        wins = ~self.seen | (self._value(score) > self._value(self.best))
        with m.If(taken):
            m.d.sync += [
                self.partial.eq(Mux(whole, 0, score)),
                self.number.eq(Mux(whole, 0, self.number + 1)),
            ]
        with m.If(taken & whole):
            m.d.sync += [
                self.seen.eq(~payload.last),
                self.index.eq(Mux(payload.last, 0, self.index + 1)),
                self.sending.eq(payload.last),
            ]
            with m.If(wins):
                m.d.sync += [self.best.eq(score), self.best_index.eq(self.index)]
        length = self.class_bytes + size
        with m.If(sent):
            end = self.place == length - 1
            m.d.sync += [self.place.eq(Mux(end, 0, self.place + 1)), self.sending.eq(~end)]
        reached = self._value(self.best) >= threshold
        answer = Cat(Mux(reached, self.best_index, none)[: 8 * self.class_bytes], self.best)
        m.d.comb += [
            Assert(dut.i.ready == ~self.sending),
            Assert(dut.o.valid == self.sending),
            Cover(self.sending & ~reached),
            Cover(self.sending & (self.best_index == 2) & reached & (self.place == length - 1)),
        ]
        with m.If(dut.o.valid):
            m.d.comb += [
                Assert(dut.o.payload.data == answer.word_select(self.place, 8)),
                Assert(dut.o.payload.last == (self.place == length - 1)),
            ]
        if self.inductive:
            self._add_lemmas(m, reached)

    def _value(self, score: Value) -> Value:
        """The number that the bytes of a score stand for."""
        return Cat(score, ~self.unsigned & score[-1]).as_signed()

    def _add_lemmas(self, m: Module, reached: Value) -> None:
        size, bits = self.score_bytes, 8 * self.score_bytes
        held = self.seen | self.sending
        m.d.comb += [
            Assert(self.probe("dut.place", len(self.place)) == self.place),
            Assert(self.place < self.class_bytes + size),
            Assert(self.sending | (self.place == 0)),
            Assert(~(self.sending & self.seen)),
            Assert(~self.sending | ((self.number == 0) & (self.index == 0))),
            Assert(self.seen | (self.index == 0)),
            Assert(self.probe("dut.first", 1) == ~self.seen),
            Assert(self.probe("dut.index", 8 * self.class_bytes) == self.index),
        ]
        best = self.probe("dut.best", bits)
        turned = Const(0, 3)
        if size > 1:
            number = self.probe("dut.byte_number", 2)
            sent = Mux(self.place > self.class_bytes, self.place - self.class_bytes, 0)
            turned = Mux(self.sending, sent, self.number)[:2]
            earlier = self.probe("dut.earlier", bits - 8)
            shift = ((size - 1 - self.number) * 8)[:5]
            mask = ((Const(1, bits + 8) << 8 * self.number) - 1)[:bits]
            m.d.comb += [
                Assert(number == self.number),
                Assert((self.partial & ~mask) == 0),
                Assert((earlier >> shift)[: bits - 8] == self.partial[: bits - 8]),
                Assert(
                    self.probe("dut.exceeds_least_before", 1)
                    == (self.partial >= (self.threshold[:bits] & mask))
                ),
            ]
            with m.If(self.seen):
                before = self.probe("dut.exceeds_best_before", 1)
                m.d.comb += Assert(before == (self.partial > (self.best & mask)))
        else:
            m.d.comb += Assert((self.number == 0) & (self.partial == 0))
        doubled = Cat(self.best, self.best)
        with m.If(held):
            m.d.comb += [
                Assert(best == (doubled >> 8 * turned)[:bits]),
                Assert(self.probe("dut.best_index", 8 * self.class_bytes) == self.best_index),
                Assert(self.probe("dut.reached", 1) == reached),
            ]


@pytest.mark.parametrize(("class_bytes", "score_bytes"), CASES)
def test_every_answer_is_the_first_of_the_greatest(class_bytes, score_bytes):
    assert_holds(Answers(class_bytes=class_bytes, score_bytes=score_bytes), depth=DEPTH)


@pytest.mark.parametrize(("class_bytes", "score_bytes"), CASES)
def test_answers_of_every_kind(class_bytes, score_bytes):
    harness = Answers(class_bytes=class_bytes, score_bytes=score_bytes)
    assert_holds(harness, depth=3 * score_bytes + 8, method=Method.COVER)


@pytest.mark.parametrize(
    ("score_bytes", "old", "new"),
    [
        (1, "exceeds.eq(Cat(before, byte[:8]) > ", "exceeds.eq(Cat(before, byte[:8]) >= "),
        (1, "(score_end & ~self.unsigned) << 7", "self.unsigned << 7"),
        (1, "first.eq(self.i.payload.last)", "first.eq(0)"),
        (1, "index.eq(0), sending.eq(1)", "sending.eq(1)"),
        (4, "before.eq(Mux(end, start, exceeds))", "before.eq(exceeds)"),
        (4, "with m.If(taken | (sent & in_score)):", "with m.If(taken):"),
        (4, "score_end & (first | wins))", "score_end & wins)"),
    ],
)
def test_mutants_are_refuted(score_bytes, old, new):
    source = mutated(top_score, old, new)
    harness = Answers(class_bytes=1, score_bytes=score_bytes, source=source)
    assert_refuted(harness, depth=MUTANT_DEPTH)
