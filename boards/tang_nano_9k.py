"""Sipeed Tang Nano 9K: the Gowin GW1NR-9C."""

from shiftwork.boards.board import Board

TANG_NANO_9K = Board(
    name="tang-nano-9k",
    title="Tang Nano 9K (Gowin GW1NR-9C)",
    family="gowin",
    device="GW1N-9C",
    package="GW1NR-LV9QN88PC6/I5",
    oscillator_mhz=27.0,
    target_mhz=54.0,
    lut=8640,
    ff=6480,
    bram=26,
    bram_bits=18432,
    bram_word_bits=36,
    dsp=40,
    products=40,
    max_elements=8,
    platform="amaranth_boards.tang_nano_9k:TangNano9kPlatform",
    clock="clk27 0",
    reset="button 0",
    leds=("led 0", "led 1"),
    pack_options=("--sspi_as_gpio", "--mspi_as_gpio"),
    load="openFPGALoader -b tangnano9k {file}",
)
