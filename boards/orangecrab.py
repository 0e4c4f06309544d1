"""OrangeCrab r0.2 with the Lattice ECP5 LFE5U-25F."""

from amaranth.build import Attrs
from amaranth_boards.orangecrab_r0_2 import OrangeCrabR0_2_25FPlatform
from amaranth_boards.resources import UARTResource

from shiftwork.boards.board import Board


class OrangeCrabPlatform(OrangeCrabR0_2_25FPlatform):
    """With a UART at the header: the board's USB is wired to the FPGA itself."""

    resources = (
        *OrangeCrabR0_2_25FPlatform.resources,
        UARTResource(0, rx="0", tx="1", conn=("io", 0), attrs=Attrs(IO_TYPE="LVCMOS33")),
    )


ORANGECRAB = Board(
    name="orangecrab",
    title="OrangeCrab r0.2 (Lattice ECP5 25F)",
    family="ecp5",
    device="25k",
    package="CSFBGA285",
    speed="8",
    oscillator_mhz=48.0,
    target_mhz=48.0,
    lut=24288,
    ff=24288,
    bram=56,
    bram_bits=18432,
    bram_word_bits=36,
    dsp=28,
    products=28,
    max_elements=16,
    platform="shiftwork.boards.orangecrab:OrangeCrabPlatform",
    clock="clk 0",
    reset="button 0",
    leds=("rgb_led 0 g", "rgb_led 0 r"),
    pack_options=("--compress", "--freq", "38.8"),
    load="dfu-util -d 1209:5af0 -a 0 -D {file}",
    note="connect a 3.3 V serial adapter to the header: its TX to pin 0, its RX to pin 1; hold the "
    "button while you plug in the USB cable to load a bitstream",
)
