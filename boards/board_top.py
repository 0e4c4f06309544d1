"""The whole design of a board: accelerator, link to the host, PLL, reset and pins."""

import importlib
import math
import re
from dataclasses import dataclass
from typing import Any

from amaranth import ClockDomain, ClockSignal, Elaboratable, Module, ResetSignal, Signal
from amaranth.build import Platform, ResourceError
from amaranth.lib import io
from amaranth.lib.cdc import FFSynchronizer

from shiftwork.boards.accelerator import Accelerator
from shiftwork.boards.board import Board
from shiftwork.boards.engine_core import EngineCore
from shiftwork.boards.engine_shell import EngineShell
from shiftwork.boards.host_shell import HostShell
from shiftwork.boards.pll import PllSetting, add_pll
from shiftwork.boards.registry import BoardError

TOP = "shiftwork_board"
RESET_S = 20e-6
"""Of reset after the PLL has locked: iCE40's block RAMs hold their contents only after 10 us."""
SLOWEST_CLOCK = re.compile(r"^\s*(?:set_frequency|FREQUENCY)\b.*\n", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What synthesis, place and route read.

    Attributes:
        rtlil: the design, with the top module ``TOP``.
        constraints: its pins, in the format of the family's nextpnr.
    """

    rtlil: str
    constraints: str


def platform_of(board: Board) -> Platform:
    """A new instance of the board's Amaranth platform."""
    module, name = board.platform.split(":")
    return getattr(importlib.import_module(module), name)()


def make_sources(
    accelerator: Accelerator | EngineCore, *, board: Board, setting: PllSetting, baud: int
) -> Sources:
    """The design as RTLIL and its pins; the same text for the same arguments.

    Raises:
        BoardError: if the board does not have what the design needs.
        CapacityError: if the baud rate cannot be made from the clock.
    """
    if accelerator.has_flash and not board.flash:
        raise BoardError(
            f"the weights are in flash, which a design cannot read on {board.name}; use a smaller "
            "network, or another board"
        )
    top = BoardTop(accelerator, board=board, setting=setting, baud=baud)
    try:
        plan = platform_of(board).prepare(top, TOP, emit_src=False)
    except ResourceError as error:
        raise BoardError(f"the design cannot be wired to {board.name}: {error}") from error
    suffix = next(name for name in plan.files if name.endswith((".pcf", ".lpf", ".cst")))
    # nextpnr is told the clock to reach; from the oscillator's it would take the PLL's own.
    constraints = SLOWEST_CLOCK.sub("", _text(plan.files[suffix]))
    return Sources(rtlil=_text(plan.files[f"{TOP}.il"]), constraints=constraints)


def _text(content: str | bytes) -> str:
    return content.decode() if isinstance(content, bytes) else content


class BoardTop(Elaboratable):
    """The design of a board; elaborated with the board's platform.

    The clock comes from the PLL. Reset lasts until the PLL has locked and ``RESET_S`` more, and as
    long as the board's reset button is pressed.

    Parameters:
        accelerator: what the host talks to.
        board: decides PLL and pins.
        setting: of the PLL.
        baud: of the link to the host, in bits a second.
    """

    def __init__(
        self,
        accelerator: Accelerator | EngineCore,
        *,
        board: Board,
        setting: PllSetting,
        baud: int,
    ) -> None:
        self.accelerator = accelerator
        self.board = board
        self.setting = setting
        self.baud = baud

    def elaborate(self, platform: Platform) -> Module:
        m = Module()
        board, has_flash = self.board, self.accelerator.has_flash
        ports = _Ports(platform)
        self._add_clock(m, ports)
        m.submodules.host = host = self._shell()
        uart = ports.of((has_flash and board.uart_beside_flash) or board.uart)
        m.submodules.rx = rx = io.Buffer("i", uart.rx)
        m.submodules.tx = tx = io.Buffer("o", uart.tx)
        m.d.comb += [host.rx.eq(rx.i), tx.o.eq(host.tx)]
        for resource, name in zip(board.leds, ("busy", "error"), strict=False):
            m.submodules[f"led_{name}"] = led = io.Buffer("o", ports.of(resource))
            m.d.comb += led.o.eq(getattr(host, name))
        if has_flash:
            self._add_flash(m, ports, host)
        else:
            for resource in board.idle:
                m.submodules += io.Buffer("o", ports.of(resource))
        return m

    def _shell(self) -> HostShell:
        clock_hz, baud = self.setting.hertz, self.baud
        if isinstance(self.accelerator, EngineCore):
            return EngineShell(core=self.accelerator, clock_hz=clock_hz, baud=baud)
        return HostShell(accelerator=self.accelerator, clock_hz=clock_hz, baud=baud)

    def _add_clock(self, m: Module, ports: "_Ports") -> None:
        """The domain "sync", and "start" with the same clock and no reset, which counts it out."""
        board = self.board
        pin = ports.of(board.clock)
        clock = Signal()
        pll_locked = Signal()
        locked = Signal()
        if board.clock_on_pll_pad:
            source: Any = pin.io
        else:
            m.submodules.oscillator = oscillator = io.Buffer("i", pin)
            source = oscillator.i
        add_pll(m, board=board, setting=self.setting, source=source, clock=clock, locked=pll_locked)
        m.domains.start = ClockDomain(reset_less=True)
        m.domains.sync = ClockDomain()
        m.d.comb += [ClockSignal("start").eq(clock), ClockSignal("sync").eq(clock)]
        m.submodules.locked = FFSynchronizer(pll_locked, locked, o_domain="start")
        go = locked
        if board.reset:
            pressed = Signal()
            m.submodules.reset = button = io.Buffer("i", ports.of(board.reset))
            m.submodules.reset_synchronizer = FFSynchronizer(button.i, pressed, o_domain="start")
            go = locked & ~pressed
        waiting = Signal(range(math.ceil(RESET_S * self.setting.hertz) + 1))
        done = Signal()
        with m.If(~go):
            m.d.start += [waiting.eq(0), done.eq(0)]
        with m.Elif(waiting.all()):
            m.d.start += done.eq(1)
        with m.Else():
            m.d.start += waiting.eq(waiting + 1)
        m.d.comb += ResetSignal("sync").eq(~done)

    def _add_flash(self, m: Module, ports: "_Ports", host: HostShell) -> None:
        flash = ports.of(self.board.flash)
        for name in ("cs", "clk", "copi", "wp", "hold"):
            if hasattr(flash, name):
                m.submodules[f"flash_{name}"] = io.Buffer("o", getattr(flash, name))
        m.submodules.flash_cipo = cipo = io.Buffer("i", flash.cipo)
        buffers = m.submodules
        m.d.comb += [
            buffers.flash_cs.o.eq(~host.flash_cs_n),
            buffers.flash_clk.o.eq(host.flash_sck),
            buffers.flash_copi.o.eq(host.flash_mosi),
            host.flash_miso.eq(cipo.i),
        ]


class _Ports:
    """The ports of a platform's resources, each requested once."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self._requested: dict[tuple[str, str], Any] = {}

    def of(self, resource: str) -> Any:
        """The port, or the group of ports, of a resource as a :class:`Board` names it."""
        name, number, *path = resource.split()
        if (name, number) not in self._requested:
            port = self.platform.request(name, int(number), dir="-")
            self._requested[name, number] = port
        port = self._requested[name, number]
        for part in path:
            port = getattr(port, part)
        return port
