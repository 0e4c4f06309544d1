"""Behind the output sender: the class with the greatest score in place of all scores."""

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from shiftwork.hw.layouts import FramedByte

LATENCY = 1
"""Cycles from the transfer of a frame's last byte to the first byte of its answer."""


class TopScore(wiring.Component):
    """Answers every frame of scores with the index of the greatest one, and with that score.

    The first of equal scores wins. Index and score leave little endian, the index first. If the
    score is less than the threshold, all bits of the index are ones.

    Scores are compared byte by byte as they come, the least significant ones first: whether a score
    is greater is known with its last byte, and no number is wider than a byte.

    Latency: the first byte of an answer is valid :data:`LATENCY` cycles after the transfer of the
    frame's last byte. Flow control: ``i`` and ``o`` are valid/ready streams; a byte is taken in
    every cycle, but none while an answer leaves, which takes as many cycles as it has bytes if
    ``o`` is ready.

    Parameters:
        class_bytes: of the index, 1 or 2; there must be fewer scores than it has values.
        score_bytes: of a score, 1 or 4.
        threshold: whether there is one.
        framed: whether ``o`` marks the last byte of every answer.

    Members:
        i: the bytes of the scores, little endian; ``last`` marks the final one of a frame.
        unsigned: scores are not signed.
        threshold: the least score that makes a class; only with the parameter.
        o: the bytes of the answers; each a ``FramedByte`` if framed.
    """

    def __init__(
        self, *, class_bytes: int, score_bytes: int, threshold: bool = False, framed: bool = False
    ):
        self.class_bytes = class_bytes
        self.score_bytes = score_bytes
        self.has_threshold = threshold
        self.framed = framed
        # An unsigned score takes a bit more.
        limit = {"threshold": In(signed(8 * score_bytes + 1))} if threshold else {}
        super().__init__(
            {
                "i": In(stream.Signature(FramedByte)),
                "unsigned": In(1),
                **limit,
                "o": Out(stream.Signature(FramedByte if framed else 8)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        length = self.class_bytes + self.score_bytes
        sending = Signal()
        place = Signal(range(length))
        taken = Signal()
        sent = Signal()
        ends = Signal()
        score_end, byte_number = self._add_byte_counter(m, taken)
        index = Signal(8 * self.class_bytes)
        first = Signal(init=1)
        best = Signal(8 * self.score_bytes, reset_less=True)
        best_index = Signal.like(index, reset_less=True)
        reached: Value = Const(1)
        in_score = place >= self.class_bytes
        m.d.comb += [
            self.i.ready.eq(~sending),
            taken.eq(self.i.valid & ~sending),
            self.o.valid.eq(sending),
            sent.eq(sending & self.o.ready),
            ends.eq(place == length - 1),
        ]
        data = self.i.payload.data
        # The sign is in the last byte; with it flipped, signed scores compare as unsigned ones.
        flip = (score_end & ~self.unsigned) << 7
        wins = self._exceeds(
            m, data ^ flip, best[:8] ^ flip, taken, score_end, start=0, name="best"
        )
        score = self._collected(m, data, taken)
        new_best = Signal()
        m.d.comb += new_best.eq(taken & score_end & (first | wins))
        turned = best.rotate_right(8) if self.score_bytes > 1 else best
        with m.If(taken | (sent & in_score)):
            m.d.sync += best.eq(Mux(new_best, score, turned))
        with m.If(new_best):
            m.d.sync += best_index.eq(index)
        with m.If(taken & score_end):
            m.d.sync += [first.eq(self.i.payload.last), index.eq(index + 1)]
            with m.If(self.i.payload.last):
                m.d.sync += [index.eq(0), sending.eq(1)]
        if self.has_threshold:
            least = self.threshold.as_unsigned()[: 8 * self.score_bytes]
            byte = least.word_select(byte_number, 8) if self.score_bytes > 1 else least
            reaches = self._exceeds(
                m, data ^ flip, byte ^ flip, taken, score_end, start=1, name="least"
            )
            reached = Signal(reset_less=True)
            with m.If(new_best):
                m.d.sync += reached.eq(reaches)
        answer = best_index | (~reached).replicate(len(best_index))
        part = answer if self.class_bytes == 1 else answer.word_select(place[0], 8)
        payload = Mux(in_score, best[:8], part)
        m.d.comb += self.o.payload.eq(Cat(payload, ends) if self.framed else payload)
        with m.If(sent):
            m.d.sync += place.eq(place + 1)
            with m.If(ends):
                m.d.sync += [place.eq(0), sending.eq(0)]
        return m

    def _add_byte_counter(self, m: Module, taken: Value) -> tuple[Value, Signal]:
        """Whether the byte that comes is its score's last one, and its number in the score."""
        number = Signal(range(max(self.score_bytes, 2)), name="byte_number")
        if self.score_bytes == 1:
            return Const(1), number
        end = Signal(name="score_end")
        m.d.comb += end.eq(number == self.score_bytes - 1)
        with m.If(taken):
            m.d.sync += number.eq(number + 1)
        return end, number

    def _exceeds(
        self,
        m: Module,
        byte: Value,
        other: Value,
        taken: Value,
        end: Value,
        *,
        start: int,
        name: str,
    ) -> Signal:
        """Whether the bytes of a score so far are greater than another's; or equal, with ``start``.

        What the bytes before say decides where these are equal.
        """
        before = Signal(init=start, name=f"exceeds_{name}_before")
        exceeds = Signal(name=f"exceeds_{name}")
        m.d.comb += exceeds.eq(Cat(before, byte[:8]) > Cat(Const(0, 1), other[:8]))
        if self.score_bytes > 1:
            with m.If(taken):
                m.d.sync += before.eq(Mux(end, start, exceeds))
        return exceeds

    def _collected(self, m: Module, data: Value, taken: Value) -> Value:
        """The score whose last byte is ``data``."""
        if self.score_bytes == 1:
            return data
        earlier = Signal(8 * (self.score_bytes - 1), reset_less=True)
        with m.If(taken):
            m.d.sync += earlier.eq(Cat(earlier, data)[8:])
        return Cat(earlier, data)
