"""Colorlight i5 (v7.0) on its extension board: the Lattice ECP5 LFE5U-25F."""

from amaranth.build import Attrs, Clock, Pins, PinsN, Resource
from amaranth.vendor import LatticeECP5Platform
from amaranth_boards.resources import LEDResources, UARTResource

from shiftwork.boards.board import Board


class ColorlightI5Platform(LatticeECP5Platform):
    """The pins that a design with a link to a host needs."""

    device = "LFE5U-25F"
    package = "BG381"
    speed = "6"
    default_clk = "clk25"
    resources = (
        Resource("clk25", 0, Pins("P3", dir="i"), Clock(25e6), Attrs(IO_TYPE="LVCMOS33")),
        *LEDResources(pins="U16", invert=True, attrs=Attrs(IO_TYPE="LVCMOS33")),
        UARTResource(0, rx="H18", tx="J17", attrs=Attrs(IO_TYPE="LVCMOS33")),
        Resource("reset", 0, PinsN("K18", dir="i"), Attrs(IO_TYPE="LVCMOS33", PULLMODE="UP")),
    )
    connectors = ()


COLORLIGHT_I5 = Board(
    name="colorlight-i5",
    title="Colorlight i5 (Lattice ECP5 25F)",
    family="ecp5",
    device="25k",
    package="CABGA381",
    oscillator_mhz=25.0,
    target_mhz=50.0,
    lut=24288,
    ff=24288,
    bram=56,
    bram_bits=18432,
    bram_word_bits=36,
    dsp=28,
    products=28,
    max_elements=16,
    platform="shiftwork.boards.colorlight_i5:ColorlightI5Platform",
    clock="clk25 0",
    reset="reset 0",
    leds=("led 0",),
    pack_options=("--compress",),
    load="openFPGALoader -b colorlight-i5 {file}",
    note="UART and programmer are those of the extension board",
)
