"""A loop of the sequencing hardware, with its end known before it is needed."""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class LoopCounter(wiring.Component):
    """Counts the iterations of a loop; the flag of the last one is a register.

    Nested loops ask all their counters at once, so no comparison may stand in that path.

    Latency: ``last`` follows ``start`` and ``step`` by one cycle. Flow control: ``step`` ends an
    iteration; after the last one the loop begins again.

    Parameters:
        width: bits of ``limit``; 0 for a loop that never has more than one iteration.

    Members:
        limit: number of iterations less one, stable while the loop runs.
        start: begin the loop anew.
        step: an iteration ends.
        last: the current iteration is the last one.
        next_last: the iteration after this one is the last one.
    """

    def __init__(self, *, width: int):
        self.width = width
        super().__init__(
            {"limit": In(width), "start": In(1), "step": In(1), "last": Out(1), "next_last": Out(1)}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if self.width == 0:
            m.d.comb += [self.last.eq(1), self.next_last.eq(1)]
            return m
        left = Signal(self.width, reset_less=True)
        last = Signal(reset_less=True)
        m.d.comb += [
            self.last.eq(last),
            self.next_last.eq(Mux(last, self.limit == 0, left == 1)),
        ]
        with m.If(self.start | self.step):
            m.d.sync += [
                left.eq(Mux(self.start | last, self.limit, left - 1)),
                last.eq(Mux(self.start, self.limit == 0, self.next_last)),
            ]
        return m
