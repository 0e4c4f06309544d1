"""From the input stream into activation memory."""

from amaranth import Cat, Module, Mux, Signal, ValueLike
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from shiftwork.hw.config import ArrayConfig
from shiftwork.hw.layouts import descriptor_layout
from shiftwork.hw.loop_counter import LoopCounter


class InputLoader(wiring.Component):
    """Writes frames from a byte stream into two buffers by turns.

    A byte is taken when memory has a free write slot and the buffer is not waiting to be
    computed. Unsigned bytes are stored with their top bit flipped. With one input buffer both are
    the same, and it takes bytes only when it has been released.

    Where the loader is framed, a byte that comes with ``discard`` ends its frame, which is never
    ``full``: the next byte is the first of its buffer again.

    Latency: a byte can be read by requests that follow its transfer; between two frames two cycles
    pass. Flow control: ``i`` is a valid/ready stream; ``full`` and ``release`` hand a buffer
    over and back; a buffer takes bytes from the third cycle after ``release``.

    Parameters:
        config: the array's configuration.
        framed: whether frames can be discarded.

    Members:
        header: the descriptor of the network's streams; loading begins with ``enable``.
        enable: the header is valid.
        i: bytes of the frames, in NHWC order.
        write_enable, write_address, write_data, write_ready: to activation memory, one byte.
        full: the buffer that is to be computed next holds a whole frame.
        second: that buffer is the second one.
        release: that buffer is free again.
        final: the byte that is taken next is the last of its frame; defined while ``i`` is ready.
            Only if framed.
        discard: the frame ends with this byte, and does not count. Only if framed.
    """

    def __init__(self, *, config: ArrayConfig, framed: bool = False):
        self.config = config
        self.framed = framed
        super().__init__(
            {
                "header": In(descriptor_layout(config.header_fields)),
                "enable": In(1),
                "i": In(stream.Signature(8)),
                "write_enable": Out(1),
                "write_address": Out(config.address_bits),
                "write_data": Out(8),
                "write_ready": In(1),
                "full": Out(1),
                "second": Out(1),
                "release": In(1),
                **({"final": Out(1), "discard": In(1)} if framed else {}),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        header = self.header
        m.submodules.count = count = LoopCounter(width=len(header.input_last))
        address = Signal(self.config.address_bits, reset_less=True)
        load_second = Signal()
        compute_second = Signal()
        full = Signal(2)
        # A register of its own, so that the stream's ready is a short path.
        accepting = Signal()
        begin = Signal()
        transfer = Signal()
        taken = full.bit_select(load_second, 1)
        if self.config.shape.input_buffers == 1:
            taken = full.any()
        frame_ends: ValueLike = count.last
        frame_counts: ValueLike = count.last
        if self.framed:
            m.d.comb += self.final.eq(count.last)
            frame_ends = count.last | self.discard
            frame_counts = count.last & ~self.discard
        m.d.comb += [
            transfer.eq(self.i.valid & self.i.ready),
            self.write_enable.eq(self.i.valid & accepting),
            self.i.ready.eq(self.write_ready & accepting),
            self.write_address.eq(address),
            self.write_data.eq(Cat(self.i.payload[:7], self.i.payload[7] ^ header.input_flip)),
            self.full.eq(full.bit_select(compute_second, 1)),
            self.second.eq(compute_second),
            count.limit.eq(header.input_last),
            count.start.eq(begin),
            count.step.eq(transfer),
        ]
        # A cycle late, for short paths.
        m.d.sync += begin.eq(~accepting & ~begin & self.enable & ~taken)
        with m.If(begin | transfer):
            m.d.sync += address.eq(
                Mux(
                    accepting,
                    address + 1,
                    header.input_first + Mux(load_second, header.input_pitch, 0),
                )
            )
        m.d.sync += accepting.eq(begin | (accepting & ~(transfer & frame_ends)))
        with m.If(self.release):
            m.d.sync += [
                full.bit_select(compute_second, 1).eq(0),
                compute_second.eq(~compute_second),
            ]
        with m.If(transfer & frame_counts):
            m.d.sync += [
                full.bit_select(load_second, 1).eq(1),
                load_second.eq(~load_second),
            ]
        return m
