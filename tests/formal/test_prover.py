"""The prover itself: it proves, refutes with a trace, and says when it cannot decide."""

import pytest
from amaranth import Module, Signal
from amaranth.hdl import Assert, Assume, Cover
from formal import prover
from formal.prover import Harness, Method, examine, free, mutated, with_names

from shiftwork.hw import loop_counter, output_sender
from shiftwork.hw.loop_counter import LoopCounter

LIMIT = 3
DEPTH = 6


class Counting(Harness):
    """A loop of a known length; the claim is ``most`` steps before the last one."""

    def __init__(self, *, most: int, lemma: bool = True, impossible: bool = False):
        super().__init__()
        self.most = most
        self.lemma = lemma
        self.impossible = impossible

    def build(self, m: Module) -> None:
        m.submodules.dut = dut = LoopCounter(width=4)
        step = free(m, 1, "step")
        steps = Signal(5)
        begun = Signal()
        m.d.sync += begun.eq(1)
        m.d.comb += [dut.limit.eq(LIMIT), dut.start.eq(~begun), dut.step.eq(step)]
        with m.If(step & begun):
            m.d.sync += steps.eq(steps + 1)
            with m.If(dut.last):
                m.d.sync += steps.eq(0)
        m.d.comb += [Assert(steps <= self.most), Cover(steps == LIMIT)]
        if self.impossible:
            m.d.comb += Assume(steps > LIMIT)
        if self.inductive and self.lemma:
            left = self.probe("dut.left", 4)
            m.d.comb += [
                Assert(~begun | (left + steps == LIMIT)),
                Assert(~begun | (self.probe("dut.last", 1) == (left == 0))),
                Assert(begun | (steps == 0)),
            ]


def test_a_claim_holds():
    assert examine(Counting(most=LIMIT), depth=2).holds


def test_a_false_claim_is_refuted_with_its_trace():
    verdict = examine(Counting(most=LIMIT - 1), depth=DEPTH, method=Method.BMC)
    assert not verdict.holds
    assert "Assert failed" in verdict.text
    assert "test_prover.py" in verdict.text
    (line,) = [line for line in verdict.text.splitlines() if line.startswith("steps ")]
    assert line.split()[1:] == ["0", "0", "1", "2", "3"]


def test_without_the_lemma_the_step_fails():
    verdict = examine(Counting(most=LIMIT, lemma=False), depth=2)
    assert not verdict.holds
    assert "Temporal induction failed" in verdict.text


def test_cover_statements_are_reached():
    assert examine(Counting(most=LIMIT), depth=DEPTH, method=Method.COVER).holds
    assert not examine(Counting(most=LIMIT), depth=2, method=Method.COVER).holds


def test_assumptions_that_exclude_each_other_prove_nothing():
    with pytest.raises(prover.ToolError, match="smtbmc"):
        examine(Counting(most=LIMIT, impossible=True), depth=DEPTH)


def test_an_unknown_inner_signal():
    class Unknown(Counting):
        def build(self, m: Module) -> None:
            super().build(m)
            self.probe("dut.right", 4)

    with pytest.raises(pytest.fail.Exception, match=r"dut has 0 inner signals.*right"):
        examine(Unknown(most=LIMIT), depth=2)


def test_a_mutant_is_another_module():
    mutant = mutated(loop_counter, "left - 1", "left - 2")
    assert mutant.LoopCounter is not LoopCounter
    with pytest.raises(pytest.fail.Exception, match="0 times, not once, the text: no such text"):
        mutated(loop_counter, "no such text", "")


def test_names_of_signals_that_are_assigned_together():
    assert with_names(output_sender).BUFFERED_BYTES == output_sender.BUFFERED_BYTES
