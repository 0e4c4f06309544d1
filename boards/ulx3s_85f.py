"""ULX3S with the Lattice ECP5 LFE5U-85F."""

from shiftwork.boards.board import Board

ULX3S_85F = Board(
    name="ulx3s-85f",
    title="ULX3S (Lattice ECP5 85F)",
    family="ecp5",
    device="85k",
    package="CABGA381",
    oscillator_mhz=25.0,
    target_mhz=50.0,
    lut=83640,
    ff=83640,
    bram=208,
    bram_bits=18432,
    bram_word_bits=36,
    dsp=156,
    products=156,
    max_elements=32,
    platform="amaranth_boards.ulx3s:ULX3S_85F_Platform",
    clock="clk25 0",
    reset="button_fire 0",
    leds=("led 0", "led 7"),
    pack_options=("--compress",),
    load="openFPGALoader -b ulx3s {file}",
)
