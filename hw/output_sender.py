"""From activation memory to the output stream."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from shiftwork.hw.activation_memory import READ_LATENCY
from shiftwork.hw.config import ArrayConfig
from shiftwork.hw.drain import PLANES
from shiftwork.hw.layouts import FramedByte, descriptor_layout
from shiftwork.hw.loop_counter import LoopCounter

BUFFERED_BYTES = READ_LATENCY + 3
"""As many as can be on their way from memory, so that a byte leaves in every cycle."""


class OutputSender(wiring.Component):
    """Sends finished frames from two buffers by turns as a byte stream.

    Accumulators lie in four byte planes in memory and leave as little-endian 32-bit words.
    Unsigned bytes get their top bit back.

    Latency: the first byte is valid ``READ_LATENCY + 2`` cycles after its read was granted. Flow
    control: ``o`` is a valid/ready stream; reads wait for ``read_ready``; ``free`` and ``finish``
    hand a buffer over.

    Parameters:
        config: the array's configuration.
        framed: whether the stream marks the last byte of every frame.

    Members:
        header: the descriptor of the network's streams.
        finish: the buffer that was computed holds a whole frame.
        free: the buffer that is to be written next is empty.
        second: that buffer is the second one.
        read_enable, read_address, read_ready, read_data: from activation memory, one byte.
        o: the bytes of the results, in NHWC order; each a ``FramedByte`` if framed.
    """

    def __init__(self, *, config: ArrayConfig, framed: bool = False):
        self.config = config
        self.framed = framed
        super().__init__(
            {
                "header": In(descriptor_layout(config.header_fields)),
                "finish": In(1),
                "free": Out(1),
                "second": Out(1),
                "read_enable": Out(1),
                "read_address": Out(config.address_bits),
                "read_ready": In(1),
                "read_data": In(8),
                "o": Out(stream.Signature(FramedByte if framed else 8)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        header, bits = self.header, self.config.address_bits
        m.submodules.buffer = buffer = fifo.SyncFIFOBuffered(
            width=9 if self.framed else 8, depth=BUFFERED_BYTES
        )
        full = Signal(2)
        send_second = Signal()
        compute_second = Signal()
        m.submodules.element = element = LoopCounter(width=len(header.output_last))
        plane = Signal(ceil_log2(PLANES))
        address = Signal(bits, reset_less=True)
        value_address = Signal(bits, reset_less=True)
        reading = Signal()
        arriving = Signal(READ_LATENCY)
        credits = Signal(range(BUFFERED_BYTES + 1), init=BUFFERED_BYTES)
        granted = Signal()
        value_end = Signal()
        popped = Signal()
        begin = Signal()
        frame_end = value_end & element.last
        byte = Cat(self.read_data[:7], self.read_data[7] ^ header.output_flip)
        # Travels beside the read of the frame's last byte.
        ending = Signal(READ_LATENCY)
        if self.framed:
            byte = Cat(byte[:8], ending[-1])
        available = Signal(init=1)
        next_credits = Signal.like(credits)
        m.d.comb += [
            self.free.eq(~full.bit_select(compute_second, 1)),
            self.second.eq(compute_second),
            self.read_enable.eq(reading & available),
            next_credits.eq(credits + popped - granted),
            self.read_address.eq(address),
            granted.eq(self.read_enable & self.read_ready),
            begin.eq(~reading & full.bit_select(send_second, 1)),
            value_end.eq(~header.output_raw | (plane == PLANES - 1)),
            element.limit.eq(header.output_last),
            element.start.eq(begin),
            element.step.eq(granted & value_end),
            buffer.w_en.eq(arriving[-1]),
            buffer.w_data.eq(byte),
            self.o.valid.eq(buffer.r_rdy),
            self.o.payload.eq(buffer.r_data),
            buffer.r_en.eq(self.o.ready),
            popped.eq(self.o.valid & self.o.ready),
        ]
        m.d.sync += [
            arriving.eq(Cat(granted, arriving[:-1])),
            credits.eq(next_credits),
            available.eq(next_credits != 0),
        ]
        if self.framed:
            m.d.sync += ending.eq(Cat(frame_end, ending[:-1]))
        with m.If(self.finish):
            m.d.sync += [
                full.bit_select(compute_second, 1).eq(1),
                compute_second.eq(~compute_second),
            ]
        base = Signal(bits)
        m.d.comb += base.eq(header.output_first + Mux(send_second, header.output_pitch, 0))
        with m.If(begin):
            m.d.sync += [
                reading.eq(1),
                plane.eq(0),
                address.eq(base),
                value_address.eq(base),
            ]
        with m.If(granted):
            m.d.sync += [plane.eq(plane + 1), address.eq(address + header.output_plane_step)]
            with m.If(value_end):
                m.d.sync += [
                    plane.eq(0),
                    address.eq(value_address + 1),
                    value_address.eq(value_address + 1),
                ]
            with m.If(frame_end):
                m.d.sync += [
                    reading.eq(0),
                    full.bit_select(send_second, 1).eq(0),
                    send_second.eq(~send_second),
                ]
        return m
