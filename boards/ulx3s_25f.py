"""ULX3S with the Lattice ECP5 LFE5U-25F."""

from shiftwork.boards.board import Board

ULX3S_25F = Board(
    name="ulx3s-25f",
    title="ULX3S (Lattice ECP5 25F)",
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
    platform="amaranth_boards.ulx3s:ULX3S_25F_Platform",
    clock="clk25 0",
    reset="button_fire 0",
    leds=("led 0", "led 7"),
    pack_options=("--compress",),
    load="openFPGALoader -b ulx3s {file}",
)
