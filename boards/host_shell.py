"""The accelerator behind a UART: a design that answers a host (``docs/host_link.md``)."""

import tempfile
from pathlib import Path

from amaranth import Module, Mux, Signal, Value
from amaranth.back import rtlil
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from shiftwork.boards import yowasp
from shiftwork.boards.accelerator import YOSYS_LIMIT_S, Accelerator
from shiftwork.boards.link_crc import LinkCrc
from shiftwork.boards.link_protocol import (
    PROTOCOL_VERSION,
    Identity,
    Status,
    short_digest,
)
from shiftwork.boards.request_parser import RequestParser
from shiftwork.boards.responder import Responder
from shiftwork.boards.uart_receiver import UartReceiver, check_divisor
from shiftwork.boards.uart_transmitter import UartTransmitter
from shiftwork.errors import CapacityError
from shiftwork.hw import verilog

TOP = "shiftwork_host"
IDLE_S = 0.05
"""A rest of the line in the middle of a request that ends it: longer than a host's scheduler or a
USB adapter pauses."""
MOST_BAUD_ERROR = 0.01
"""Relative; the rest of what a receiver tolerates is the other side's."""
FLASH_PORTS = {
    "flash_cs_n": Out(1, init=1),
    "flash_sck": Out(1),
    "flash_mosi": Out(1),
    "flash_miso": In(1),
}


class HostShell(wiring.Component):
    """Answers requests on a UART: identity, and inferences with the cycles they took.

    Requests are answered one at a time, in their order; what comes before an answer is complete is
    lost (stop and wait). A frame that arrives damaged or in part is computed, but its output never
    leaves the shell: the answer is an error.

    Latency: that of the line, of the core, and a few cycles. Flow control: the answer is the
    permission to send the next request.

    Parameters:
        accelerator: the core.
        clock_hz: of the clock.
        baud: bits a second on the line.
        idle_s: least rest of the line that ends an incomplete request, in seconds; the greatest is
            twice that.

    Members:
        rx, tx: the line, high at rest, eight bits without parity and one stop bit.
        busy: a frame is computed.
        error: the last request was answered with an error, or the flash cannot be used.
        flash_cs_n, flash_sck, flash_mosi, flash_miso: to the SPI flash, where the accelerator's
            weights come from one.

    Raises:
        CapacityError: if the baud rate cannot be made from the clock.
    """

    def __init__(
        self, *, accelerator: Accelerator, clock_hz: int, baud: int, idle_s: float = IDLE_S
    ):
        # It is asked for its identity without being elaborated: no warning about that.
        self._MustUse__used = True
        self.accelerator = accelerator
        self.clock_hz = clock_hz
        self.baud = baud
        self.idle_s = idle_s
        self.divisor = _divisor(clock_hz, baud)
        super().__init__(
            {
                "rx": In(1, init=1),
                "tx": Out(1, init=1),
                "busy": Out(1),
                "error": Out(1),
                **(FLASH_PORTS if accelerator.has_flash else {}),
            }
        )

    @property
    def identity(self) -> Identity:
        """What the shell says of itself when its core can take frames."""
        program = self.accelerator.program
        return Identity(
            version=PROTOCOL_VERSION,
            state=Status.OK,
            clock_hz=self.clock_hz,
            input_bytes=program.tensor(program.input).bytes,
            output_bytes=program.tensor(program.output).bytes,
            cycles=self.accelerator.schedule.cycles,
            digest=short_digest(program),
        )

    def verilog(self) -> str:
        """Verilog of the shell and its core, in a module named ``TOP``.

        Raises:
            ToolError: if yosys is missing, fails or takes too long.
        """
        names = ("rx", "tx", "busy", "error", *(FLASH_PORTS if self.accelerator.has_flash else ()))
        ports = {name: (getattr(self, name), None) for name in names}
        commands = (command.replace(verilog.TOP, TOP) for command in verilog.YOSYS_COMMANDS)
        with tempfile.TemporaryDirectory(prefix="shiftwork-") as name:
            folder = Path(name)
            text = rtlil.convert(self, name=TOP, ports=ports, emit_src=False)
            (folder / verilog.RTLIL_FILE).write_text(text)
            yowasp.run(
                "yosys",
                ["-q", "-p", "; ".join(commands)],
                folder=folder,
                log=folder / "yosys.log",
                limit_s=YOSYS_LIMIT_S,
                progress=lambda _: None,
            )
            text = (folder / verilog.VERILOG_FILE).read_text()
        return verilog.clean(text, heading=self._heading())

    def _heading(self) -> str:
        network = self.accelerator.program
        return (
            f"Accelerator for '{network.name}' behind a UART, made by Shiftwork\n"
            f"{self.clock_hz} Hz, {self.baud} baud\nnetwork {network.digest}"
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        core = self.accelerator
        m.submodules.core = core
        m.submodules.receiver = receiver = UartReceiver(divisor=self.divisor)
        m.submodules.transmitter = transmitter = UartTransmitter(divisor=self.divisor)
        parser, responder = self._add_link(m)
        m.submodules.crc = crc = LinkCrc()
        wiring.connect(m, receiver.o, parser.i)
        wiring.connect(m, receiver.bits, parser.bits)
        wiring.connect(m, parser.frame, core.i)
        wiring.connect(m, core.o, responder.result)
        wiring.connect(m, responder.o, transmitter.i)
        refusal = self._refusal(m)
        m.d.comb += [
            receiver.rx.eq(self.rx),
            self.tx.eq(transmitter.tx),
            self.busy.eq(core.busy),
            parser.tick.eq(receiver.tick),
            parser.refusal.eq(refusal),
            parser.resume.eq(responder.resume),
            responder.done.eq(parser.done),
            responder.request.eq(parser.request),
            responder.refusal.eq(refusal),
            responder.cycles.eq(self._cycles(m, clear=responder.resume)),
            # One CRC for both: the parser rests while an answer is sent.
            crc.start.eq(parser.crc_start | responder.crc_start),
            crc.valid.eq(parser.crc_valid | responder.crc_valid),
            crc.unload.eq(parser.crc_unload | responder.crc_unload),
            crc.data.eq(Mux(parser.done, responder.o.payload, receiver.bits.payload)),
            parser.crc_value.eq(crc.value),
            responder.crc_value.eq(crc.value),
        ]
        failed = Signal()
        with m.If(responder.resume):
            m.d.sync += failed.eq(parser.request.status != Status.OK)
        m.d.comb += self.error.eq(failed)
        if core.has_flash:
            for name, member in FLASH_PORTS.items():
                inner, outer = getattr(core, name), getattr(self, name)
                m.d.comb += outer.eq(inner) if member.flow is Out else inner.eq(outer)
            m.d.comb += self.error.eq(failed | (core.status != 0))
        return m

    def _add_link(self, m: Module) -> tuple[RequestParser, Responder]:
        """What reads requests, and what answers them."""
        identity = self.identity
        m.submodules.parser = parser = RequestParser(
            frame_bytes=identity.input_bytes, idle_ticks=self._idle_ticks
        )
        m.submodules.responder = responder = Responder(identity=identity)
        return parser, responder

    @property
    def _idle_ticks(self) -> int:
        """Bits of the line without a byte that end a request."""
        return round(self.idle_s * self.baud)

    def _refusal(self, m: Module) -> Value:
        """The status of a request for an inference that comes now."""
        core = self.accelerator
        refusal = Signal(range(max(Status) + 1))
        m.d.comb += refusal.eq(Mux(core.i.ready, Status.OK, Status.BUSY))
        if core.has_flash:
            with m.If(core.status != 0):
                m.d.comb += refusal.eq(Status.FLASH | core.status)
        return refusal

    @property
    def _cycle_bits(self) -> int:
        """Bits of the counter of a frame's cycles."""
        return (2 * self.accelerator.schedule.cycles - 1).bit_length()

    def _cycles(self, m: Module, *, clear: Value) -> Value:
        """Cycles of the frame that is or was computed. It is no wider than a frame needs."""
        cycles = Signal(self._cycle_bits)
        with m.If(clear):
            m.d.sync += cycles.eq(0)
        with m.Elif(self.accelerator.busy):
            m.d.sync += cycles.eq(cycles + 1)
        return cycles


def _divisor(clock_hz: int, baud: int) -> int:
    """Clock cycles a bit.

    Raises:
        CapacityError: if they would make another baud rate.
    """
    divisor = round(clock_hz / baud)
    check_divisor(divisor)
    error = abs(clock_hz / (divisor * baud) - 1)
    if error > MOST_BAUD_ERROR:
        raise CapacityError(
            f"{baud:,} baud cannot be made from a clock of {clock_hz:,} Hz: {divisor} "
            f"cycles a bit are {error:.1%} off, more than {MOST_BAUD_ERROR:.0%}; "
            "use a lower baud rate"
        )
    return divisor
