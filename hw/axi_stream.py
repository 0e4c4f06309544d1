"""A framed core with AXI4-Stream ports, for a design whose buses are AXI."""

from amaranth import ClockDomain, ClockSignal, DomainRenamer, Module, ResetSignal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from shiftwork.hw.core import CHECK_PORTS, FLASH_PORTS, FRAME_PORTS, Core

DOMAIN = "axis"
AxiStreamSignature = wiring.Signature(
    {"tdata": Out(8), "tvalid": Out(1), "tready": In(1), "tlast": Out(1)}
)
"""A stream of bytes; ``tlast`` marks the final one of a frame."""


class AxiStream(wiring.Component):
    """The ports of a framed core by the names, and in the clock domain, of AXI4-Stream.

    A frame is a packet: a byte a transfer, the last one with ``tlast``. There is no ``tkeep``,
    ``tstrb``, ``tid``, ``tdest`` or ``tuser``: every transfer is one byte of data.

    Latency: none beside the core's. Flow control: as AXI4-Stream; ``tvalid`` never waits for
    ``tready``, and what it offers stays until it is taken.

    Parameters:
        core: a framed core; it becomes a submodule.

    Members:
        aclk: the clock of everything here; rising edge.
        aresetn: reset, active low, synchronous to ``aclk``; low for at least one edge.
        s_axis: the input frames.
        m_axis: the answers.
        busy, flash_cs_n, flash_sck, flash_mosi, flash_miso, status, frame_event, frame_errors,
            frames_discarded, clear_errors, weight_check: those of the core.

    Raises:
        ValueError: if the core is not framed.
    """

    def __init__(self, core: Core) -> None:
        if not core.framed:
            raise ValueError("core must be framed: Core(..., framed=True)")
        self.core = core
        self._passed = {"busy": Out(1), **FRAME_PORTS}
        if core.has_flash:
            self._passed |= FLASH_PORTS
        if core.checksum:
            self._passed |= CHECK_PORTS
        super().__init__(
            {
                "aclk": In(1),
                "aresetn": In(1),
                "s_axis": In(AxiStreamSignature),
                "m_axis": Out(AxiStreamSignature),
                **self._passed,
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # Of a name that a design around it will hardly have.
        m.domains += ClockDomain(DOMAIN, local=True)
        core = self.core
        m.submodules.core = DomainRenamer(DOMAIN)(core)
        i, o = core.i.payload, core.o.payload
        m.d.comb += [
            ClockSignal(DOMAIN).eq(self.aclk),
            ResetSignal(DOMAIN).eq(~self.aresetn),
            core.i.valid.eq(self.s_axis.tvalid),
            i.data.eq(self.s_axis.tdata),
            i.last.eq(self.s_axis.tlast),
            self.s_axis.tready.eq(core.i.ready),
            self.m_axis.tvalid.eq(core.o.valid),
            self.m_axis.tdata.eq(o.data),
            self.m_axis.tlast.eq(o.last),
            core.o.ready.eq(self.m_axis.tready),
        ]
        for name, member in self._passed.items():
            inner, outer = getattr(core, name), getattr(self, name)
            m.d.comb += outer.eq(inner) if member.flow is Out else inner.eq(outer)
        return m

    @property
    def ports(self) -> dict[str, Value]:
        """The ports by their names in Verilog."""
        streams = {
            f"{name}_{member}": getattr(getattr(self, name), member)
            for name in ("s_axis", "m_axis")
            for member in AxiStreamSignature.members
        }
        passed = {name: Value.cast(getattr(self, name)) for name in self._passed}
        return {"aclk": self.aclk, "aresetn": self.aresetn, **streams, **passed}
