"""The sequencer: walks the program ROM, a layer at a time."""

from collections.abc import Sequence

from amaranth import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from shiftwork.hw import rom
from shiftwork.hw.config import ArrayConfig
from shiftwork.hw.layouts import PROGRAM_WORD_BITS, descriptor_layout, descriptor_words
from shiftwork.hw.rom import Rom

LOAD_OVERHEAD = 2 + rom.LATENCY
"""Cycles beside one for each descriptor word, from the end of a layer to ``start`` of the next."""
DONE_LATENCY = 1
"""Cycles from ``layer_done`` to the end of the layer: it comes a long way."""


class Sequencer(wiring.Component):
    """Loads the header after reset, then runs all layers for every frame.

    The program ROM holds the header descriptor and one descriptor a layer. A descriptor is shifted
    in word by word, then the layer's weights are copied where the columns do not hold those of all
    layers; ``start`` begins the layer, ``layer_done`` ends it.

    Latency: ``start`` comes ``descriptor_words + LOAD_OVERHEAD`` cycles after the beginning of the
    frame or the end of the layer before, which is ``DONE_LATENCY`` cycles after its ``layer_done``;
    where weights are copied, ``weight_copier.LATENCY`` and their words later. Flow control: a frame
    begins when ``frame_ready`` is high and then runs to its end; ``busy`` is low for at least one
    cycle between frames.

    Parameters:
        config: the array's configuration.
        program: the words of the program ROM.

    Members:
        header, header_valid: the descriptor of the network's streams.
        layer: the descriptor of the running layer.
        index: number of the running layer.
        prepare: the descriptor is complete; addresses can be computed.
        copy_done: the layer's weights are in the columns.
        start: the layer begins.
        layer_done: the layer's last word is written.
        layer_ended: the layer's last cycle.
        frame_ready: an input frame is complete and an output buffer is free.
        frame_done: the last layer has ended.
        busy: a frame is computed.
    """

    def __init__(self, *, config: ArrayConfig, program: Sequence[int]):
        self.config = config
        self._rom = Rom(width=PROGRAM_WORD_BITS, contents=program, family=config.shape.family)
        super().__init__(
            {
                "header": Out(descriptor_layout(config.header_fields)),
                "header_valid": Out(1),
                "layer": Out(descriptor_layout(config.fields)),
                "index": Out(8),
                "prepare": Out(1),
                "copy_done": In(1),
                "start": Out(1),
                "layer_done": In(1),
                "layer_ended": Out(1),
                "frame_ready": In(1),
                "frame_done": Out(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.program_rom = storage = self._rom
        header_words = descriptor_words(self.config.header_fields)
        layer_words = descriptor_words(self.config.fields)
        header = Signal(header_words * PROGRAM_WORD_BITS, reset_less=True)
        layer = Signal(layer_words * PROGRAM_WORD_BITS, reset_less=True)
        address = Signal(max(1, ceil_log2(self.config.program_depth + 1)))
        count = Signal(range(max(header_words, layer_words) + rom.LATENCY + 1))
        reading = Signal()
        arriving = Signal(rom.LATENCY)
        header_valid = Signal()
        m.d.comb += [
            self.header_valid.eq(header_valid),
            self.header.eq(header),
            self.layer.eq(layer),
            storage.address.eq(address),
            storage.enable.eq(1),
        ]

        def shift_in(register: Signal) -> list:
            return [register.eq(Cat(register[PROGRAM_WORD_BITS:], storage.data))]

        def read(register: Signal, words: int) -> None:
            """Asks for the words, one a cycle, and shifts in those that arrive."""
            m.d.comb += reading.eq(count < words)
            m.d.sync += [count.eq(count + 1), address.eq(address + reading)]
            with m.If(arriving[-1]):
                m.d.sync += shift_in(register)

        ended = Signal()
        final = Signal(reset_less=True)
        m.d.sync += [arriving.eq(Cat(reading, arriving)), ended.eq(self.layer_done)]
        m.d.comb += self.layer_ended.eq(ended)
        with m.FSM():
            with m.State("HEADER"):
                read(header, header_words)
                with m.If(count == header_words + rom.LATENCY - 1):
                    m.d.sync += [count.eq(0), header_valid.eq(1)]
                    m.next = "IDLE"
            with m.State("IDLE"), m.If(self.frame_ready):
                m.next = "LOAD"
            with m.State("LOAD"):
                m.d.comb += [self.busy.eq(1)]
                read(layer, layer_words)
                with m.If(count == layer_words + rom.LATENCY - 1):
                    m.d.sync += count.eq(0)
                    m.next = "PREPARE"
            with m.State("PREPARE"):
                m.d.comb += [self.busy.eq(1), self.prepare.eq(1)]
                m.d.sync += final.eq(self.index == self.header.layers_last)
                m.next = "START"
                if self.config.copies_weights:
                    with m.If(self.layer.copies):
                        m.next = "COPY"
            with m.State("COPY"):
                m.d.comb += [self.busy.eq(1)]
                with m.If(self.copy_done):
                    m.next = "START"
            with m.State("START"):
                m.d.comb += [self.busy.eq(1), self.start.eq(1)]
                m.next = "RUN"
            with m.State("RUN"):
                m.d.comb += [self.busy.eq(1)]
                with m.If(ended):
                    m.d.sync += self.index.eq(self.index + 1)
                    m.next = "LOAD"
                    with m.If(final):
                        m.d.comb += self.frame_done.eq(1)
                        m.d.sync += [self.index.eq(0), address.eq(header_words)]
                        m.next = "IDLE"
        return m
