"""The accelerator core: everything between the input and the output stream."""

from amaranth import Module, Mux, Signal, ValueLike
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from shiftwork.hw.activation_memory import ActivationMemory
from shiftwork.hw.array import SystolicArray
from shiftwork.hw.config import ArrayConfig
from shiftwork.hw.drain import Drain
from shiftwork.hw.fetch import Fetch
from shiftwork.hw.images import RomImages
from shiftwork.hw.input_loader import InputLoader
from shiftwork.hw.layouts import FetchToken
from shiftwork.hw.output_sender import OutputSender
from shiftwork.hw.pooling import Pooling
from shiftwork.hw.sequencer import Sequencer

TRACE_LAYER_BITS = 8
TRACE_OFFSET_BITS = 24


class Core(wiring.Component):
    """A systolic int8 accelerator for the network in its ROMs.

    Latency: a frame takes exactly the schedule's cycles from ``busy`` to its end, whatever the
    streams do: the next frame may stream in and the last one out meanwhile. Flow control:
    valid/ready streams ``i`` and ``o``.

    Parameters:
        config: the array's configuration.
        images: contents of the ROMs.

    Members:
        i: bytes of the input frames in NHWC order; unsigned inputs are sent as they are.
        o: bytes of the outputs in NHWC order; accumulators as little-endian 32-bit words.
        busy: a frame is computed; low for at least one cycle between frames.
        trace_valid, trace_layer, trace_offset, trace_data, trace_mask: every write of a layer's
            results, for verification: byte ``k`` of ``trace_data`` with mask bit ``k`` is byte
            ``trace_offset + k`` of the layer's output as it is stored. Leave them unconnected in
            a design: they cost nothing then.
    """

    def __init__(self, *, config: ArrayConfig, images: RomImages):
        self.array_config = config
        self.images = images
        width = config.shape.word_bytes
        super().__init__(
            {
                "i": In(stream.Signature(8)),
                "o": Out(stream.Signature(8)),
                "busy": Out(1),
                "trace_valid": Out(1),
                "trace_layer": Out(TRACE_LAYER_BITS),
                "trace_offset": Out(TRACE_OFFSET_BITS),
                "trace_data": Out(8 * width),
                "trace_mask": Out(width),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.array_config
        m.submodules.sequencer = sequencer = Sequencer(config=config, program=self.images.program)
        m.submodules.loader = loader = InputLoader(config=config)
        m.submodules.sender = sender = OutputSender(config=config)
        m.submodules.fetch = fetch = Fetch(config=config)
        m.submodules.drain = drain = Drain(config=config, parameters=self.images.parameters)
        m.submodules.memory = memory = ActivationMemory(config=config)
        wiring.connect(m, wiring.flipped(self.i), loader.i)
        wiring.connect(m, sender.o, wiring.flipped(self.o))
        self._connect_control(m, sequencer, loader, sender, fetch, drain)
        self._connect_memory(m, loader, sender, fetch, drain, memory)
        self._connect_array(m, sequencer, fetch, drain)
        m.d.comb += self.busy.eq(sequencer.busy)
        return m

    def _connect_control(
        self,
        m: Module,
        sequencer: Sequencer,
        loader: InputLoader,
        sender: OutputSender,
        fetch: Fetch,
        drain: Drain,
    ) -> None:
        layer, header = sequencer.layer, sequencer.header
        fetch_origin = Signal(self.array_config.address_bits, reset_less=True)
        drain_origin = Signal(self.array_config.address_bits, reset_less=True)
        second_input = layer.reads_input & loader.second
        second_output = layer.writes_output & sender.second
        with m.If(sequencer.prepare):
            m.d.sync += [
                fetch_origin.eq(layer.input_base + Mux(second_input, header.input_pitch, 0)),
                drain_origin.eq(layer.output_base + Mux(second_output, header.output_pitch, 0)),
            ]
        m.d.comb += [
            sequencer.frame_ready.eq(loader.full & sender.free),
            sequencer.layer_done.eq(drain.done),
            loader.header.eq(header),
            loader.enable.eq(sequencer.header_valid),
            loader.release.eq(sequencer.frame_done),
            sender.header.eq(header),
            sender.finish.eq(sequencer.frame_done),
            fetch.layer.eq(layer),
            fetch.start.eq(sequencer.start),
            fetch.origin.eq(fetch_origin),
            drain.layer.eq(layer),
            drain.start.eq(sequencer.start),
            drain.origin.eq(drain_origin),
        ]
        m.d.comb += [
            self.trace_valid.eq(drain.write_enable & drain.write_ready),
            self.trace_layer.eq(sequencer.index),
            self.trace_offset.eq((drain.write_address - drain_origin)[: len(drain_origin)]),
            self.trace_data.eq(drain.write_data),
            self.trace_mask.eq(drain.write_mask),
        ]

    def _connect_memory(
        self,
        m: Module,
        loader: InputLoader,
        sender: OutputSender,
        fetch: Fetch,
        drain: Drain,
        memory: ActivationMemory,
    ) -> None:
        """Fetch first, then the drain, the sender and the loader, as far as they share a port."""
        sender_may_read, loader_may_write = ~fetch.read_enable, ~drain.write_enable
        drain_may_write: ValueLike = 1
        if self.array_config.shape.single_port:
            # Spelled out, rather than taken from the memory's answer, for short paths.
            drain_may_write = ~fetch.read_enable
            sender_may_read = ~(fetch.read_enable | drain.write_enable)
            loader_may_write = ~(fetch.read_enable | drain.write_enable | sender.read_enable)
        m.d.comb += [
            sender.read_ready.eq(sender_may_read),
            memory.read_enable.eq(fetch.read_enable | (sender.read_enable & sender_may_read)),
            memory.read_address.eq(Mux(fetch.read_enable, fetch.read_address, sender.read_address)),
            fetch.read_data.eq(memory.read_data),
            sender.read_data.eq(memory.read_data[:8]),
            memory.write_enable.eq(drain.write_enable | loader.write_enable),
            memory.write_address.eq(
                Mux(drain.write_enable, drain.write_address, loader.write_address)
            ),
            memory.write_data.eq(Mux(drain.write_enable, drain.write_data, loader.write_data)),
            memory.write_mask.eq(Mux(drain.write_enable, drain.write_mask, 1)),
            drain.write_ready.eq(drain_may_write),
            loader.write_ready.eq(loader_may_write),
        ]

    def _connect_array(self, m: Module, sequencer: Sequencer, fetch: Fetch, drain: Drain) -> None:
        config, layer = self.array_config, sequencer.layer
        m.submodules.array = array = SystolicArray(config=config, weights=self.images.weights)
        address = Signal.like(array.address, reset_less=True)
        token = Signal(FetchToken)
        m.d.sync += token.eq(fetch.token)
        with m.If(fetch.token.valid):
            m.d.sync += address.eq(Mux(fetch.token.start, layer.weight_base, address + 1))
        m.d.comb += [
            array.address.eq(address),
            array.token.valid.eq(token.valid & ~layer.pool),
            array.token.last.eq(token.last),
            array.drain_shift.eq(drain.shift),
        ]
        for r in range(config.shape.rows):
            m.d.comb += array.a[r].eq(fetch.rows[r])
        captured, sums = array.captured, list(array.sums)
        if config.pool_bits:
            m.submodules.pooling = pooling = Pooling(config=config)
            word_token = Signal(FetchToken)
            m.d.sync += word_token.eq(token)
            m.d.comb += [
                pooling.word.eq(fetch.word),
                pooling.token.eq(word_token),
                pooling.token.valid.eq(word_token.valid & layer.pool),
                pooling.average.eq(layer.average),
                pooling.drain_shift.eq(drain.shift),
            ]
            captured = captured | pooling.captured
            sums = [Mux(layer.pool, pooling.sums[q], s) for q, s in enumerate(sums)]
        m.d.comb += drain.captured.eq(captured)
        for q, value in enumerate(sums):
            m.d.comb += drain.sums[q].eq(value)
