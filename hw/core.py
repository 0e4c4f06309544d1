"""The accelerator core: everything between the input and the output stream."""

from amaranth import Module, Mux, Signal, ValueLike
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from shiftwork.hw import rom
from shiftwork.hw.activation_memory import ActivationMemory
from shiftwork.hw.array import SystolicArray
from shiftwork.hw.config import ArrayConfig
from shiftwork.hw.drain import Drain
from shiftwork.hw.fetch import Fetch
from shiftwork.hw.flash_loader import FlashError, FlashLoader
from shiftwork.hw.frame_guard import DISCARDED_BITS, FrameErrors, FrameEvent, FrameGuard
from shiftwork.hw.images import RomImages
from shiftwork.hw.input_loader import InputLoader
from shiftwork.hw.layouts import FramedByte, fetch_token_layout
from shiftwork.hw.output_sender import OutputSender
from shiftwork.hw.pooling import Pooling
from shiftwork.hw.sequencer import Sequencer
from shiftwork.hw.top_score import TopScore
from shiftwork.hw.weight_check import CheckResult, WeightCheck
from shiftwork.hw.weight_copier import WeightCopier

FLASH_PORTS = {
    "flash_cs_n": Out(1, init=1),
    "flash_sck": Out(1),
    "flash_mosi": Out(1),
    "flash_miso": In(1),
    "status": Out(FlashError),
}
"""Ports of a core whose weights come from a flash."""
FRAME_PORTS = {
    "frame_event": Out(FrameEvent),
    "frame_errors": Out(FrameErrors),
    "frames_discarded": Out(DISCARDED_BITS),
    "clear_errors": In(1),
}
"""Ports of a framed core that tell what became of its frames."""
CHECK_PORTS = {"weight_check": Out(CheckResult)}
"""Port of a core that checks its weights after reset."""
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
        preload: the payload, if the activation memory holds it at power-up and no flash loader
            brings it. For simulation: not every family has such memory.
        framed: whether the streams mark the last byte of every frame, and frames of a wrong length
            are discarded.
        checksum: whether the weight ROMs are checked after reset; ``i`` takes nothing before they
            have passed. Weights from a flash have a checksum of their own.

    Members:
        i: bytes of the input frames in NHWC order; unsigned inputs are sent as they are.
        o: bytes of the outputs in NHWC order; accumulators as little-endian 32-bit words; or class
            and score, where the network ends with a TopScore. If framed, the bytes of both streams
            are ``FramedByte``.
        busy: a frame is computed; low for at least one cycle between frames.
        flash_cs_n, flash_sck, flash_mosi, flash_miso: to the SPI flash, where the weights come from
            one; nothing else happens before they are in memory.
        status: a :class:`FlashError`: why they are not.
        frame_event, frame_errors, frames_discarded, clear_errors: if framed, what became of the
            input frames, as ``event``, ``errors``, ``discarded`` and ``clear`` of
            :class:`shiftwork.hw.frame_guard.FrameGuard`.
        weight_check: with ``checksum``, what is known of the weights: a
            :class:`shiftwork.hw.weight_check.CheckResult`.
        trace_valid, trace_layer, trace_offset, trace_data, trace_mask: every write of a layer's
            results, for verification: byte ``k`` of ``trace_data`` with mask bit ``k`` is byte
            ``trace_offset + k`` of the layer's output as it is stored, counted from the first
            channel that the layer computes of it. Leave them unconnected in a design: they cost
            nothing then.

    Raises:
        ValueError: if there are no weight ROMs to check.
    """

    def __init__(
        self,
        *,
        config: ArrayConfig,
        images: RomImages,
        preload: bytes = b"",
        framed: bool = False,
        checksum: bool = False,
    ):
        if checksum and (config.copies_weights or not images.weights[0]):
            raise ValueError(
                "checksum needs weights in ROMs: these come from a flash, whose image has a "
                "checksum already, or the network has none"
            )
        self.array_config = config
        self.images = images
        self.preload = preload
        self.framed = framed
        self.checksum = checksum
        self.has_flash = config.payload_bytes > 0 and not preload
        width = config.shape.word_bytes
        byte = FramedByte if framed else 8
        super().__init__(
            {
                "i": In(stream.Signature(byte)),
                "o": Out(stream.Signature(byte)),
                "busy": Out(1),
                **(FLASH_PORTS if self.has_flash else {}),
                **(FRAME_PORTS if framed else {}),
                **(CHECK_PORTS if checksum else {}),
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
        m.submodules.loader = loader = InputLoader(config=config, framed=self.framed)
        m.submodules.sender = sender = OutputSender(
            config=config, framed=self.framed or config.class_bytes > 0
        )
        m.submodules.fetch = fetch = Fetch(config=config)
        m.submodules.drain = drain = Drain(
            config=config, parameters=self.images.parameters, tables=self.images.tables
        )
        contents = bytes(config.payload_base) + self.preload if self.preload else b""
        m.submodules.memory = memory = ActivationMemory(config=config, contents=contents)
        if self.framed:
            self._add_frame_guard(m, loader)
        else:
            wiring.connect(m, wiring.flipped(self.i), loader.i)
        if config.class_bytes:
            self._add_top_score(m, sequencer, sender)
        else:
            wiring.connect(m, sender.o, wiring.flipped(self.o))
        self._connect_control(m, sequencer, loader, sender, fetch, drain)
        self._connect_memory(m, sequencer, loader, sender, fetch, drain, memory)
        self._connect_array(m, sequencer, fetch, drain)
        if self.checksum:
            self._add_weight_check(m, sequencer, loader, drain)
        m.d.comb += self.busy.eq(sequencer.busy)
        return m

    def _add_frame_guard(self, m: Module, loader: InputLoader) -> None:
        """Between the input stream and the loader."""
        m.submodules.guard = guard = FrameGuard()
        wiring.connect(m, wiring.flipped(self.i), guard.i)
        wiring.connect(m, guard.o, loader.i)
        m.d.comb += [
            guard.final.eq(loader.final),
            loader.discard.eq(guard.discard),
            guard.clear.eq(self.clear_errors),
            self.frame_event.eq(guard.event),
            self.frame_errors.eq(guard.errors),
            self.frames_discarded.eq(guard.discarded),
        ]

    def _add_top_score(self, m: Module, sequencer: Sequencer, sender: OutputSender) -> None:
        """Between the sender and the output stream."""
        config, header = self.array_config, sequencer.header
        limited = any(name == "threshold" for name, _, _ in config.header_fields)
        m.submodules.top_score = top_score = TopScore(
            class_bytes=config.class_bytes,
            score_bytes=config.score_bytes,
            threshold=limited,
            framed=self.framed,
        )
        wiring.connect(m, sender.o, top_score.i)
        wiring.connect(m, top_score.o, wiring.flipped(self.o))
        m.d.comb += top_score.unsigned.eq(header.output_flip)
        if limited:
            m.d.comb += top_score.threshold.eq(header.threshold)

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
        drain_origin = Signal(self.array_config.address_bits, reset_less=True)
        second_output = layer.writes_output & sender.second
        for index in range(self.array_config.segments):
            segment = fetch.segments[index]
            for name, _, _ in self.array_config.segment_fields:
                m.d.comb += segment[name].eq(layer[f"{name}_{index}"])
            origin = Signal(self.array_config.address_bits, name=f"origin_{index}", reset_less=True)
            second_input = segment.reads_input & loader.second
            with m.If(sequencer.prepare):
                m.d.sync += origin.eq(segment.input_base + Mux(second_input, header.input_pitch, 0))
            m.d.comb += fetch.origins[index].eq(origin)
        with m.If(sequencer.prepare):
            m.d.sync += [
                drain_origin.eq(layer.output_base + Mux(second_output, header.output_pitch, 0)),
            ]
        m.d.comb += [
            sequencer.frame_ready.eq(loader.full & sender.free),
            sequencer.layer_done.eq(drain.done),
            loader.header.eq(header),
            loader.release.eq(sequencer.layer_ended & layer.frees_input),
            sender.header.eq(header),
            sender.finish.eq(sequencer.frame_done),
            fetch.layer.eq(layer),
            fetch.start.eq(sequencer.start),
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
        sequencer: Sequencer,
        loader: InputLoader,
        sender: OutputSender,
        fetch: Fetch,
        drain: Drain,
        memory: ActivationMemory,
    ) -> None:
        """Fetch and copier first, then the drain, the sender and the loader."""
        reading, read_address = fetch.read_enable, fetch.read_address
        if self.array_config.copies_weights:
            copier = self._add_copier(m, sequencer, memory)
            reading = fetch.read_enable | copier.read_enable
            read_address = Mux(copier.read_enable, copier.read_address, fetch.read_address)
        sender_may_read, loader_may_write = ~reading, ~drain.write_enable
        drain_may_write: ValueLike = 1
        if self.array_config.shape.single_port:
            # Spelled out, rather than taken from the memory's answer, for short paths.
            drain_may_write = ~fetch.read_enable
            sender_may_read = ~(reading | drain.write_enable)
            loader_may_write = ~(reading | drain.write_enable | sender.read_enable)
        m.d.comb += [
            sender.read_ready.eq(sender_may_read),
            memory.read_enable.eq(reading | (sender.read_enable & sender_may_read)),
            memory.read_address.eq(Mux(reading, read_address, sender.read_address)),
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
            loader.enable.eq(sequencer.header_valid),
        ]
        if self.has_flash:
            self._add_flash_loader(m, sequencer, loader, memory)

    def _add_copier(
        self, m: Module, sequencer: Sequencer, memory: ActivationMemory
    ) -> WeightCopier:
        layer = sequencer.layer
        m.submodules.copier = copier = WeightCopier(config=self.array_config)
        m.d.comb += [
            copier.start.eq(sequencer.prepare & layer.copies),
            copier.source.eq(layer.copy_source),
            copier.words.eq(layer.copy_words),
            copier.read_data.eq(memory.read_data),
            sequencer.copy_done.eq(copier.done),
        ]
        return copier

    def _add_flash_loader(
        self,
        m: Module,
        sequencer: Sequencer,
        loader: InputLoader,
        memory: ActivationMemory,
    ) -> None:
        """Nothing streams in before the flash image is in memory; so nothing else begins."""
        config = self.array_config
        m.submodules.flash = flash = FlashLoader(
            config=config,
            payload_bytes=config.payload_bytes,
            identity=config.identity,
            destination=config.payload_base,
        )
        m.d.comb += [
            self.flash_cs_n.eq(flash.cs_n),
            self.flash_sck.eq(flash.sck),
            self.flash_mosi.eq(flash.mosi),
            flash.miso.eq(self.flash_miso),
            self.status.eq(flash.error),
            loader.enable.eq(sequencer.header_valid & flash.done),
        ]
        with m.If(flash.write_enable):
            m.d.comb += [
                memory.write_enable.eq(1),
                memory.write_address.eq(flash.write_address),
                memory.write_data.eq(flash.write_data),
                memory.write_mask.eq(1),
            ]

    def _add_weight_check(
        self, m: Module, sequencer: Sequencer, loader: InputLoader, drain: Drain
    ) -> None:
        """It has the array for itself at first; nothing streams in before it has passed."""
        array = m.submodules.array
        m.submodules.check = check = WeightCheck(
            config=self.array_config, weights=self.images.weights
        )
        m.d.comb += [
            check.captured.eq(array.captured),
            self.weight_check.eq(check.result),
            loader.enable.eq(sequencer.header_valid & (check.result == CheckResult.PASSED)),
        ]
        m.d.comb += [here.eq(there) for here, there in zip(check.sums, array.sums, strict=True)]
        with m.If(check.running):
            m.d.comb += [
                array.address.eq(check.address),
                array.token.eq(check.token),
                array.a[0].eq(check.a),
                array.drain_shift.eq(check.shift),
                drain.captured.eq(0),
            ]
            if self.array_config.pooling:
                m.d.comb += m.submodules.pooling.token.valid.eq(0)

    def _connect_array(self, m: Module, sequencer: Sequencer, fetch: Fetch, drain: Drain) -> None:
        config, layer = self.array_config, sequencer.layer
        weights = None if config.copies_weights else self.images.weights
        m.submodules.array = array = SystolicArray(config=config, weights=weights)
        address = Signal.like(array.address, reset_less=True)
        following = Signal.like(array.address, reset_less=True)
        current = Signal.like(array.address)
        layout = fetch_token_layout(scaled=config.scaled)
        token = Signal(layout)
        m.d.sync += token.eq(fetch.token)
        m.d.comb += current.eq(Mux(fetch.token.start, layer.weight_base, following))
        with m.If(fetch.token.valid):
            m.d.sync += [address.eq(current), following.eq(current + fetch.token.advance)]
        m.d.comb += [
            array.address.eq(address),
            array.token.valid.eq(token.valid & ~layer.pool),
            array.token.last.eq(token.last),
            array.token.broadcast.eq(token.broadcast),
            array.word.eq(fetch.word),
            array.drain_shift.eq(drain.shift),
        ]
        if config.copies_weights:
            copier = m.submodules.copier
            m.d.comb += [
                array.load_enable.eq(copier.column_enable),
                array.load_address.eq(copier.column_address),
                array.load_data.eq(copier.column_data),
            ]
        if config.scaled:
            m.d.comb += array.token.scale.eq(token.scale)
        for r in range(config.shape.rows):
            m.d.comb += array.a[r].eq(fetch.rows[r])
        captured, sums = array.captured, list(array.sums)
        if config.pooling:
            m.submodules.pooling = pooling = Pooling(config=config)
            word_token = token
            for cycle in range(rom.LATENCY):
                late = Signal(layout, name=f"word_token_{cycle}")
                m.d.sync += late.eq(word_token)
                word_token = late
            m.d.comb += [
                pooling.word.eq(fetch.word),
                pooling.token.eq(word_token),
                pooling.token.valid.eq(word_token.valid & layer.pool),
                pooling.drain_shift.eq(drain.shift),
            ]
            captured = captured | pooling.captured
            sums = [Mux(layer.pool, pooling.sums[q], s) for q, s in enumerate(sums)]
        m.d.comb += drain.captured.eq(captured)
        for q, value in enumerate(sums):
            m.d.comb += drain.sums[q].eq(value)
