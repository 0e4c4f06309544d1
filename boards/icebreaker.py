"""iCEBreaker: the Lattice iCE40 UltraPlus 5K in its SG48 package."""

from shiftwork.boards.board import Board

ICEBREAKER = Board(
    name="icebreaker",
    title="iCEBreaker (Lattice iCE40 UP5K)",
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
    platform="amaranth_boards.icebreaker:ICEBreakerPlatform",
    clock="clk12 0",
    clock_on_pll_pad=True,
    flash="spi_flash_1x 0",
    reset="button 0",
    leds=("led 1", "led 0"),
    load="iceprog {file}",
    load_flash="iceprog -o 1M {file}",
)
