"""UPduino 3: the Lattice iCE40 UltraPlus 5K in its SG48 package."""

from amaranth.build import Attrs, Clock, Pins, PinsN, Resource
from amaranth.vendor import LatticeICE40Platform
from amaranth_boards.resources import RGBLEDResource, SPIFlashResources, UARTResource

from shiftwork.boards.board import Board


class Upduino3Platform(LatticeICE40Platform):
    """The pins that a design with a link to a host needs.

    The USB chip shares two wires with the flash: either both are used one after the other, for
    loading, or as a UART while the flash is not selected. Designs that read the flash have their
    UART at the header.
    """

    device = "iCE40UP5K"
    package = "SG48"
    default_clk = "clk12"
    resources = (
        Resource("clk12", 0, Pins("20", dir="i"), Clock(12e6), Attrs(IO_STANDARD="SB_LVCMOS")),
        RGBLEDResource(
            0, r="41", g="39", b="40", invert=True, attrs=Attrs(IO_STANDARD="SB_LVCMOS")
        ),
        UARTResource(0, rx="15", tx="14", attrs=Attrs(IO_STANDARD="SB_LVCMOS")),
        UARTResource(1, rx="38", tx="28", attrs=Attrs(IO_STANDARD="SB_LVCMOS", PULLUP=1)),
        *SPIFlashResources(
            0, cs_n="16", clk="15", copi="14", cipo="17", attrs=Attrs(IO_STANDARD="SB_LVCMOS")
        ),
        Resource("flash_select", 0, PinsN("16", dir="o"), Attrs(IO_STANDARD="SB_LVCMOS")),
    )
    connectors = ()


UPDUINO3 = Board(
    name="upduino3",
    title="UPduino 3 (Lattice iCE40 UP5K)",
    family="ice40up",
    device="up5k",
    package="sg48",
    oscillator_mhz=12.0,
    target_mhz=36.0,
    bitstream_mhz=30.0,
    lut=5280,
    ff=5280,
    bram=30,
    bram_bits=4096,
    bram_word_bits=16,
    dsp=8,
    products=16,
    spram_bytes=4 * 32768,
    max_elements=16,
    platform="shiftwork.boards.upduino3:Upduino3Platform",
    clock="clk12 0",
    uart_beside_flash="uart 1",
    flash="spi_flash_1x 0",
    leds=("rgb_led 0 g", "rgb_led 0 r"),
    idle=("flash_select 0",),
    load="iceprog {file}",
    load_flash="iceprog -o 1M {file}",
    note="close the solder jumper OSC, which brings the 12 MHz to pin 20; a design with a flash "
    "image has its UART at the header: connect a 3.3 V serial adapter, its TX to pin 38, its RX to "
    "pin 28",
)
