"""What an engine tells the host of its network: contents of a block RAM, not logic."""

from collections.abc import Sequence

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from shiftwork.boards.link_protocol import CYCLES_BYTES, LENGTH_BYTES, Identity, Kind
from shiftwork.boards.responder import PLACE_BITS, answer_header
from shiftwork.hw import rom
from shiftwork.hw.config import Family
from shiftwork.hw.rom import BLOCK_FORMS, Rom

INDEX_BITS = PLACE_BITS - 3
ANSWER_BYTES = 1 << INDEX_BITS
SIZES = 2 * ANSWER_BYTES
"""Address of the lengths of the input and the output, behind both answers."""
WORDS = SIZES + 2 * LENGTH_BYTES


def link_words(identity: Identity) -> bytes:
    """Both answers up to where they depend on the request, then the lengths of the frames."""
    payload = identity.pack()
    inference = CYCLES_BYTES + identity.output_bytes
    identify = answer_header(Kind.IDENTIFY, len(payload)) + payload
    lengths = (identity.input_bytes, identity.output_bytes)
    return (
        identify.ljust(ANSWER_BYTES, b"\0")
        + answer_header(Kind.INFER, inference).ljust(ANSWER_BYTES, b"\0")
        + b"".join(length.to_bytes(LENGTH_BYTES, "little") for length in lengths)
    )


def link_depth(family: Family) -> int:
    """Words of the ROM: those of a block RAM in its shallowest form."""
    forms = BLOCK_FORMS[family]
    return forms[-1][0] if forms else WORDS


class LinkRom(wiring.Component):
    """The bytes of an engine's answers, and the lengths of its frames.

    The lengths are read once, after reset: nothing else is to be asked before.

    Latency: ``rom.LATENCY`` cycles from ``index`` and ``infer`` to ``data``; the lengths hold
    ``SETTLED`` cycles after reset. Flow control: none.

    Parameters:
        contents: of the ROM, as :func:`link_words` makes them, filled up to its depth.
        family: of the block RAM.
        input_bits, output_bits: of the lengths in bytes.

    Members:
        index: of a byte of an answer.
        infer: which answer: that to a request for an inference.
        data: the byte.
        input_bytes, output_bytes: lengths of an input and an output frame.
    """

    SETTLED = 2 * LENGTH_BYTES + rom.LATENCY + 1

    def __init__(
        self, *, contents: Sequence[int], family: Family, input_bits: int, output_bits: int
    ):
        self._rom = Rom(width=8, contents=contents, family=family)
        super().__init__(
            {
                "index": In(INDEX_BITS),
                "infer": In(1),
                "data": Out(8),
                "input_bytes": Out(input_bits),
                "output_bytes": Out(output_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.rom = storage = self._rom
        count = Signal(range(self.SETTLED + 1))
        lengths = Signal(8 * 2 * LENGTH_BYTES, reset_less=True)
        loading = Signal()
        m.d.comb += [
            loading.eq(count != self.SETTLED),
            storage.enable.eq(1),
            storage.address.eq(Mux(loading, SIZES + count, Cat(self.index, self.infer))),
            self.data.eq(storage.data),
            self.input_bytes.eq(lengths),
            self.output_bytes.eq(lengths[8 * LENGTH_BYTES :]),
        ]
        with m.If(loading):
            m.d.sync += count.eq(count + 1)
        with m.If((count >= rom.LATENCY) & (count < rom.LATENCY + 2 * LENGTH_BYTES)):
            m.d.sync += lengths.eq(Cat(lengths[8:], storage.data))
        return m
