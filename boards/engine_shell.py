"""An engine behind a UART: as the host shell, with what depends on the network in a ROM."""

from amaranth import Module

from shiftwork.boards.engine_core import EngineCore
from shiftwork.boards.host_shell import IDLE_S, HostShell
from shiftwork.boards.link_protocol import (
    CYCLES_BYTES,
    DIGEST_BYTES,
    PROTOCOL_VERSION,
    Identity,
    Status,
)
from shiftwork.boards.link_rom import LinkRom
from shiftwork.boards.request_parser import RequestParser
from shiftwork.boards.responder import Responder


class EngineShell(HostShell):
    """Answers requests on a UART for the network whose contents the engine has.

    Latency, flow control and members: those of :class:`shiftwork.boards.host_shell.HostShell`.

    Parameters:
        core: the engine's hardware.
        clock_hz, baud, idle_s: as of ``HostShell``.

    Raises:
        CapacityError: if the baud rate cannot be made from the clock.
    """

    accelerator: EngineCore

    def __init__(self, *, core: EngineCore, clock_hz: int, baud: int, idle_s: float = IDLE_S):
        super().__init__(accelerator=core, clock_hz=clock_hz, baud=baud, idle_s=idle_s)

    @property
    def identity(self) -> Identity:
        """The greatest lengths that the shell counts; what it says of itself is in its ROM."""
        return Identity(
            version=PROTOCOL_VERSION,
            state=Status.OK,
            clock_hz=self.clock_hz,
            input_bytes=self.accelerator.most_input_bytes,
            output_bytes=self.accelerator.most_output_bytes,
            cycles=0,
            digest="00" * DIGEST_BYTES,
        )

    def _heading(self) -> str:
        return f"An engine behind a UART, made by Shiftwork\n{self.clock_hz} Hz, {self.baud} baud"

    def _add_link(self, m: Module) -> tuple[RequestParser, Responder]:
        most = self.identity
        m.submodules.parser = parser = RequestParser(
            frame_bytes=most.input_bytes, idle_ticks=self._idle_ticks, variable=True
        )
        m.submodules.responder = responder = Responder(identity=most, variable=True)
        m.submodules.link = link = LinkRom(
            contents=self.accelerator.link,
            family=self.accelerator.array_config.shape.family,
            input_bits=len(parser.length),
            output_bits=len(responder.output_bytes),
        )
        m.d.comb += [
            link.index.eq(responder.link_index),
            link.infer.eq(parser.request.infer),
            responder.link_data.eq(link.data),
            responder.output_bytes.eq(link.output_bytes),
            parser.length.eq(link.input_bytes),
        ]
        return parser, responder

    @property
    def _cycle_bits(self) -> int:
        return 8 * CYCLES_BYTES
