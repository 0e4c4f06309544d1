"""Who reads and writes activation memory in a cycle: what each block believes is what happens."""

from types import ModuleType

import pytest
from amaranth import Const, Module, Signal, Value
from amaranth.hdl import Assert, Assume, Cover
from formal.any_rom import AnyRom
from formal.prover import Harness, Method, assert_holds, assert_refuted, free, mutated

from shiftwork.hw import core, sequencer
from shiftwork.hw.activation_memory import ActivationMemory
from shiftwork.hw.config import ArrayConfig, ArrayShape
from shiftwork.hw.drain import Drain
from shiftwork.hw.fetch import Fetch
from shiftwork.hw.images import RomImages
from shiftwork.hw.input_loader import InputLoader
from shiftwork.hw.output_sender import OutputSender

pytestmark = pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
"""Of the blocks that ask there are only ports."""
ADDRESS_BITS = 10
COPY_BITS = 4
LAYER_FIELDS = (
    ("copies", 1, False),
    ("copy_source", ADDRESS_BITS, False),
    ("copy_words", COPY_BITS, False),
    *((name, 1, False) for name in ("groups", "line_tiles", "tile_lines", "rest")),
)
SHAPES = {
    f"{ports} {weights}": ArrayShape(
        rows=2,
        columns=4,
        single_port=ports == "one port,",
        column_bytes=16 if weights == "copied weights" else 0,
    )
    for ports in ("one port,", "two ports,")
    for weights in ("copied weights", "ROMs")
}
DEPTH = 24
MUTANT_DEPTH = 24
IMAGES = RomImages(weights=(), parameters=(0,), program=(0,))


class Arbitration(Harness):
    """The core's memory connections between the real sequencer, copier and memory.

    Fetch, drain, sender and loader ask for whatever they like, in any cycle, but fetch and drain
    only while a layer runs: from ``start`` to ``done``.
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
        m.submodules.memory = memory = ActivationMemory(config=config)
        loader, sender = InputLoader(config=config), OutputSender(config=config)
        fetch, drain = Fetch(config=config), Drain(config=config, parameters=(0,))
        dut = self.source.Core(config=config, images=IMAGES)
        dut._connect_memory(m, control, loader, sender, fetch, drain, memory)
        self._ask(m, "loader", loader, ("write_enable", "write_address", "write_data"))
        self._ask(m, "sender", sender, ("read_enable", "read_address"))
        self._ask(m, "fetch", fetch, ("read_enable", "read_address"))
        asked = ("write_enable", "write_address", "write_data", "write_mask", "done")
        self._ask(m, "drain", drain, asked)
        m.d.comb += [
            control.layer_done.eq(drain.done),
            control.frame_ready.eq(free(m, 1, "frame_ready")),
        ]
        running = Signal()
        with m.If(control.start):
            m.d.sync += running.eq(1)
        with m.Elif(drain.done):
            m.d.sync += running.eq(0)
        m.d.comb += [
            Assume(running | ~(fetch.read_enable | drain.write_enable | drain.done)),
            Assert(~running | (control.busy & ~control.prepare & ~control.start)),
        ]
        copying: Value = Const(0)
        if config.copies_weights:
            copying = m.submodules.copier.read_enable
            self._add_copy(m, control, running, fetch, drain)
        self._add_reads(m, memory, fetch, sender, copying)
        self._add_writes(m, memory, drain, loader)

    def _ask(self, m: Module, name: str, block: object, members: tuple[str, ...]) -> None:
        for member in members:
            port = getattr(block, member)
            m.d.comb += port.eq(free(m, port.shape(), f"{name}_{member}"))

    def _add_copy(
        self,
        m: Module,
        control: sequencer.Sequencer,
        running: Signal,
        fetch: Fetch,
        drain: Drain,
    ) -> None:
        """A copy lies between ``prepare`` and ``start``, when no layer runs."""
        copier = m.submodules.copier
        active = Signal()
        with m.If(control.prepare & control.layer.copies):
            m.d.sync += active.eq(1)
        with m.Elif(copier.done):
            m.d.sync += active.eq(0)
        m.d.comb += Assert(active | ~copier.read_enable)
        with m.If(active):
            m.d.comb += [
                Assert(control.busy & ~control.prepare & ~control.start & ~running),
                Assert(~fetch.read_enable & ~drain.write_enable),
            ]

    def _add_reads(
        self,
        m: Module,
        memory: ActivationMemory,
        fetch: Fetch,
        sender: OutputSender,
        copying: Value,
    ) -> None:
        granted = sender.read_enable & sender.read_ready
        m.d.comb += [
            Assert(fetch.read_enable + copying + granted <= 1, "one reads"),
            Assert(memory.read_enable == (fetch.read_enable | copying | granted)),
            Assert(~fetch.read_enable | (memory.read_address == fetch.read_address)),
            Assert(~granted | (memory.read_address == sender.read_address)),
            Assert(fetch.read_data == memory.read_data),
            Assert(sender.read_data == memory.read_data[:8]),
            Cover(granted & memory.write_enable),
        ]
        if self.config.copies_weights:
            copier = m.submodules.copier
            m.d.comb += [
                Assert(~copying | (memory.read_address == copier.read_address)),
                Assert(copier.read_data == memory.read_data),
                Cover(copying & memory.write_enable),
            ]

    def _add_writes(
        self, m: Module, memory: ActivationMemory, drain: Drain, loader: InputLoader
    ) -> None:
        taken = memory.write_enable & memory.write_ready
        drained = drain.write_enable & drain.write_ready
        loaded = loader.write_enable & loader.write_ready
        m.d.comb += [
            Assert(~(drained & loaded), "one writes"),
            Assert(taken == (drained | loaded), "memory takes just what was granted"),
            Cover(drained),
            Cover(loaded),
        ]
        with m.If(drained):
            m.d.comb += [
                Assert(memory.write_address == drain.write_address),
                Assert(memory.write_data == drain.write_data),
                Assert(memory.write_mask == drain.write_mask),
            ]
        with m.If(loaded):
            m.d.comb += [
                Assert(memory.write_address == loader.write_address),
                Assert(memory.write_data[:8] == loader.write_data),
                Assert(memory.write_mask == 1),
            ]
        if self.config.shape.single_port:
            m.d.comb += Assert(~(memory.read_enable & taken), "either a read or a write")


def config_of(array_config, shape: ArrayShape) -> ArrayConfig:
    return array_config(
        shape,
        address_bits=ADDRESS_BITS,
        bank_depth=8,
        weight_depth=16,
        fields=LAYER_FIELDS,
        header_fields=(("layers_last", 8, False),),
    )


@pytest.mark.parametrize("name", SHAPES)
def test_grants_are_what_memory_does(array_config, name):
    assert_holds(Arbitration(config=config_of(array_config, SHAPES[name])), depth=DEPTH)


@pytest.mark.parametrize("name", SHAPES)
def test_every_block_gets_its_turn(array_config, name):
    harness = Arbitration(config=config_of(array_config, SHAPES[name]))
    assert_holds(harness, depth=DEPTH, method=Method.COVER)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("one port, ROMs", "= ~(reading | drain.write_enable)\n", "= ~reading\n"),
        ("one port, ROMs", "drain_may_write = ~fetch.read_enable", "drain_may_write = 1"),
        ("one port, ROMs", "drain.write_enable | sender.read_enable)", "drain.write_enable)"),
        ("two ports, ROMs", "~reading, ~drain.write_enable", "~reading, 1"),
        ("two ports, ROMs", "Mux(reading, read_address,", "Mux(sender.read_enable, read_address,"),
        (
            "one port, copied weights",
            "copier.start.eq(sequencer.prepare & layer.copies)",
            "copier.start.eq(sequencer.prepare)",
        ),
        ("two ports, copied weights", "fetch.read_enable | copier", "fetch.read_enable & copier"),
    ],
)
def test_mutants_are_refuted(array_config, name, old, new):
    config = config_of(array_config, SHAPES[name])
    assert_refuted(Arbitration(config=config, source=mutated(core, old, new)), depth=MUTANT_DEPTH)
