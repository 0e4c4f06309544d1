"""Streams and layers never use the same buffer: how the core hands input and output buffers over.

The loader's and the sender's proofs take from their environment what is proved here: a buffer is
released only while it is full, and finished only while one is free.
"""

from types import ModuleType

import pytest
from amaranth import Module, Signal
from amaranth.hdl import Assert, Assume, Cover
from formal.any_rom import AnyRom
from formal.prover import Harness, Method, assert_holds, assert_refuted, free, mutated

from shiftwork.hw import core, sequencer
from shiftwork.hw.config import ArrayConfig, ArrayShape
from shiftwork.hw.drain import Drain
from shiftwork.hw.fetch import Fetch
from shiftwork.hw.images import RomImages
from shiftwork.hw.input_loader import InputLoader
from shiftwork.hw.output_sender import OutputSender

pytestmark = pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
"""Of fetch and drain there are only ports."""
ADDRESS_BITS = 6
SEGMENT_FIELDS = (("reads_input", 1, False), ("input_base", ADDRESS_BITS, False))
LAYER_FIELDS = (
    *((name, 1, False) for name in ("groups", "line_tiles", "tile_lines")),
    ("output_base", ADDRESS_BITS, False),
    ("writes_output", 1, False),
    ("frees_input", 1, False),
    *((f"{name}_0", width, sign) for name, width, sign in SEGMENT_FIELDS),
)
HEADER_FIELDS = (
    *((f"input_{name}", 2, False) for name in ("first", "pitch", "last")),
    *((f"output_{name}", 2, False) for name in ("first", "pitch", "last", "plane_step")),
    ("input_flip", 1, False),
    ("output_flip", 1, False),
    ("output_raw", 1, False),
    ("layers_last", 2, False),
)
IMAGES = RomImages(weights=(), parameters=(0,), program=(0,))
DEPTH = 16
MUTANT_DEPTH = 40


class Handover(Harness):
    """Sequencer, loader and sender as the core connects them; any program, any stalls.

    A layer may end in any cycle while it runs. One layer of a frame, at most, frees the input.
    """

    def __init__(self, *, config: ArrayConfig, source: ModuleType = core):
        super().__init__()
        self.config = config
        self.source = source

    def build(self, m: Module) -> None:
        config = self.config
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sequencer, "Rom", AnyRom)
            m.submodules.sequencer = control = sequencer.Sequencer(config=config, program=())
        m.submodules.loader = loader = InputLoader(config=config)
        m.submodules.sender = sender = OutputSender(config=config)
        fetch, drain = Fetch(config=config), Drain(config=config, parameters=(0,))
        dut = self.source.Core(config=config, images=IMAGES)
        dut._connect_control(m, control, loader, sender, fetch, drain)
        m.d.comb += [
            loader.enable.eq(control.header_valid),
            loader.i.valid.eq(free(m, 1, "valid")),
            loader.write_ready.eq(free(m, 1, "write_ready")),
            sender.read_ready.eq(free(m, 1, "read_ready")),
            sender.o.ready.eq(free(m, 1, "ready")),
            drain.done.eq(free(m, 1, "layer_done")),
        ]
        running = self._add_running(m, control, drain)
        released = Signal()
        with m.If(~control.busy):
            m.d.sync += released.eq(0)
        with m.Elif(loader.release):
            m.d.sync += released.eq(1)
        m.d.comb += [
            Assume(~(released & control.layer.frees_input & control.layer_ended)),
            Assert(~loader.release | loader.full, "released while full"),
            Assert(~sender.finish | sender.free, "finished while free"),
            Assert(~control.busy | released | loader.full, "the input stays while it is needed"),
            Assert(~control.busy | sender.free, "an output buffer is there to be written"),
            Assert(~running | control.busy),
            Cover(sender.finish & sender.second),
        ]

    def _add_running(self, m: Module, control: sequencer.Sequencer, drain: Drain) -> Signal:
        running, ended = Signal(name="running"), Signal(name="ended")
        m.d.sync += ended.eq(drain.done)
        with m.If(control.start):
            m.d.sync += running.eq(1)
        with m.Elif(drain.done):
            m.d.sync += running.eq(0)
        m.d.comb += [
            Assume(running | ~drain.done),
            Assert(control.layer_ended == ended),
            Assert(~(running | ended) | (control.busy & ~control.prepare & ~control.start)),
        ]
        return running


def config_of(array_config, buffers: int) -> ArrayConfig:
    return array_config(
        ArrayShape(rows=2, columns=4, input_buffers=buffers),
        address_bits=ADDRESS_BITS,
        fields=LAYER_FIELDS,
        segment_fields=SEGMENT_FIELDS,
        header_fields=HEADER_FIELDS,
    )


@pytest.mark.parametrize("buffers", [1, 2])
def test_a_buffer_has_one_user(array_config, buffers):
    assert_holds(Handover(config=config_of(array_config, buffers)), depth=DEPTH)


def test_both_output_buffers_are_used(array_config):
    harness = Handover(config=config_of(array_config, 2))
    assert_holds(harness, depth=MUTANT_DEPTH, method=Method.COVER)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("loader.full & sender.free", "loader.full"),
        ("loader.full & sender.free", "sender.free"),
        ("sender.finish.eq(sequencer.frame_done)", "sender.finish.eq(sequencer.layer_ended)"),
    ],
)
def test_mutants_are_refuted(array_config, old, new):
    config = config_of(array_config, 2)
    assert_refuted(Handover(config=config, source=mutated(core, old, new)), depth=MUTANT_DEPTH)
