"""iCE40-HX8K breakout board: the Lattice iCE40 HX8K in its CT256 package."""

from shiftwork.boards.board import Board

ICE40_HX8K = Board(
    name="ice40-hx8k",
    title="iCE40-HX8K breakout (Lattice iCE40 HX8K)",
    family="ice40hx",
    device="hx8k",
    package="ct256",
    oscillator_mhz=12.0,
    target_mhz=48.0,
    lut=7680,
    ff=7680,
    bram=32,
    bram_bits=4096,
    bram_word_bits=16,
    dsp=0,
    products=0,
    max_elements=8,
    shift_elements=40,
    platform="amaranth_boards.ice40_hx8k_b_evn:ICE40HX8KBEVNPlatform",
    clock="clk12 0",
    leds=("led 0", "led 7"),
    load="iceprog {file}",
    note="iceprog writes the flash, with the jumpers as they are delivered; 'iceprog -S' with the "
    "jumpers of J6 turned writes the FPGA itself",
)
