"""The whole design of each board: its pins, its reset, and what is refused."""

import gc
import re
from dataclasses import replace

import pytest
from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from shiftwork.boards import board_top
from shiftwork.boards.accelerator import Accelerator
from shiftwork.boards.board_top import RESET_S, make_sources, platform_of
from shiftwork.boards.pll import pll_setting
from shiftwork.boards.registry import BOARDS, BoardError, find
from shiftwork.sim.example_programs import dense_net

UPSTREAM = {
    "upduino3": ("amaranth_boards.upduino_v3:UpduinoV3Platform", {"clk12 0", "rgb_led 0"}),
    "orangecrab": (
        "amaranth_boards.orangecrab_r0_2:OrangeCrabR0_2_25FPlatform",
        {"clk 0", "rgb_led 0", "button 0"},
    ),
}
"""Boards with a platform of their own, and what it must have in common with amaranth-boards'."""


class Shell(wiring.Component):
    """A link that only wires through."""

    def __init__(self, *, accelerator, clock_hz, baud):
        del clock_hz, baud
        flash = {"flash_cs_n": Out(1), "flash_sck": Out(1), "flash_mosi": Out(1)}
        ports = {"rx": In(1), "tx": Out(1), "busy": Out(1), "error": Out(1)}
        more = flash | {"flash_miso": In(1)} if accelerator.has_flash else {}
        super().__init__(ports | more)

    def elaborate(self, platform):
        m = Module()
        m.d.sync += [self.tx.eq(self.rx), self.busy.eq(self.rx), self.error.eq(~self.rx)]
        if hasattr(self, "flash_sck"):
            m.d.sync += [self.flash_sck.eq(self.flash_miso), self.flash_mosi.eq(self.rx)]
        return m


@pytest.fixture
def sources(monkeypatch):
    """A function that makes a board's sources with a small link and no accelerator."""
    monkeypatch.setattr(board_top, "HostShell", Shell)

    def make(board, *, flash=False):
        accelerator = Accelerator(dense_net(), board=board, rows=1, columns=1)
        accelerator.has_flash = flash
        setting = pll_setting(board, board.target_mhz)
        return make_sources(accelerator, board=board, setting=setting, baud=115_200)

    return make


def pins_of(constraints):
    """The pins, by port."""
    patterns = (
        r"^set_io (\S+) (\S+)",
        r'^LOCATE COMP "(\S+)" SITE "(\S+)";',
        r'^IO_LOC "(\S+)" (\S+);',
    )
    return {
        port: pin
        for pattern in patterns
        for port, pin in re.findall(pattern, constraints, re.MULTILINE)
    }


def pins_of_resource(platform, name, number):
    """The pins of a resource, by subsignal."""
    found = {}
    for io in platform.lookup(name, int(number)).ios:
        if hasattr(io, "ios"):
            found |= {io.name: tuple(io.ios[0].names)}
        elif hasattr(io, "names"):
            found |= {"": tuple(io.names)}
    return found


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_the_platform_has_the_resources(board):
    platform = platform_of(board)
    wanted = [board.clock, board.uart, board.uart_beside_flash, board.flash, board.reset]
    for resource in (*wanted, *board.leds, *board.idle):
        if resource:
            name, number, *path = resource.split()
            pins = pins_of_resource(platform, name, number)
            assert set(path) <= set(pins)
    clock = platform.lookup(*board.clock.split()[:1], int(board.clock.split()[1])).clock
    assert clock.frequency == board.oscillator_mhz * 1e6


@pytest.mark.parametrize("board", UPSTREAM)
def test_a_platform_of_our_own_agrees_with_amaranth_boards(board):
    path, resources = UPSTREAM[board]
    ours = platform_of(find(board))
    theirs = platform_of(replace(find(board), platform=path))
    assert (ours.device, ours.package) == (theirs.device, theirs.package)
    for resource in resources:
        name, number = resource.split()
        assert pins_of_resource(ours, name, number) == pins_of_resource(theirs, name, number)


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_every_port_has_a_pin_of_its_own(sources, board):
    made = sources(board)
    pins = pins_of(made.constraints)
    ports = 3 + len(board.leds) + bool(board.reset) + len(board.idle)
    assert len(pins) == len(set(pins.values())) == ports
    assert "FREQUENCY" not in made.constraints
    assert "set_frequency" not in made.constraints
    cell = {"ice40up": "SB_PLL40", "ice40hx": "SB_PLL40", "ecp5": "EHXPLLL", "gowin": "rPLL"}
    assert made.rtlil.count(f"cell \\{cell[board.family]}") == 1
    assert "/" not in "".join(re.findall(r'attribute \\src "(.*)"', made.rtlil))


def test_the_same_text_every_time(sources):
    assert sources(find("icebreaker")) == sources(find("icebreaker"))


@pytest.mark.parametrize(
    ("board", "expected"),
    [
        ("icebreaker", {"35", "10", "6", "9", "37", "11", "16", "15", "14", "17", "12", "13"}),
        ("upduino3", {"20", "38", "28", "39", "41", "16", "15", "14", "17"}),
    ],
)
def test_a_design_that_reads_the_flash(sources, board, expected):
    assert set(pins_of(sources(find(board), flash=True).constraints).values()) == expected


def test_a_board_whose_flash_cannot_be_read(sources):
    with pytest.raises(BoardError) as caught:
        sources(find("ulx3s-25f"), flash=True)
    assert str(caught.value) == (
        "the weights are in flash, which a design cannot read on ulx3s-25f; use a smaller network, "
        "or another board"
    )


@pytest.mark.filterwarnings("ignore:.*created but never used")
def test_a_board_that_lacks_a_resource(sources):
    board = replace(find("icebreaker"), leds=("led 9",))
    with pytest.raises(BoardError, match=r"cannot be wired to icebreaker: Resource led#9 does not"):
        sources(board)
    gc.collect()


def test_reset_lasts_until_block_rams_can_be_read():
    assert RESET_S >= 10e-6
