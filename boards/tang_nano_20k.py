"""Sipeed Tang Nano 20K: the Gowin GW2AR-18C."""

from amaranth.build import Attrs, Clock, Pins, Resource
from amaranth.vendor import GowinPlatform
from amaranth_boards.resources import ButtonResources, LEDResources, UARTResource

from shiftwork.boards.board import Board


class TangNano20kPlatform(GowinPlatform):
    """The pins that a design with a link to a host needs."""

    part = "GW2AR-LV18QN88C8/I7"
    family = "GW2AR-18C"
    default_clk = "clk27"
    resources = (
        Resource("clk27", 0, Pins("4", dir="i"), Clock(27e6), Attrs(IO_TYPE="LVCMOS33")),
        *LEDResources(pins="15 16 17 18 19 20", invert=True, attrs=Attrs(IO_TYPE="LVCMOS33")),
        *ButtonResources(pins="88 87", attrs=Attrs(IO_TYPE="LVCMOS33")),
        UARTResource(0, rx="70", tx="69", attrs=Attrs(PULL_MODE="UP", IO_TYPE="LVCMOS33")),
    )
    connectors = ()


TANG_NANO_20K = Board(
    name="tang-nano-20k",
    title="Tang Nano 20K (Gowin GW2AR-18C)",
    family="gowin",
    device="GW2A-18C",
    package="GW2AR-LV18QN88C8/I7",
    oscillator_mhz=27.0,
    target_mhz=60.0,
    lut=20736,
    ff=15552,
    bram=46,
    bram_bits=18432,
    bram_word_bits=36,
    dsp=96,
    products=96,
    max_elements=16,
    platform="shiftwork.boards.tang_nano_20k:TangNano20kPlatform",
    clock="clk27 0",
    reset="button 0",
    leds=("led 0", "led 1"),
    pack_options=("--sspi_as_gpio", "--mspi_as_gpio"),
    load="openFPGALoader -b tangnano20k {file}",
)
