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
    lut=5280,
    ff=5280,
    bram=30,
    bram_bits=4096,
    bram_word_bits=16,
    dsp=8,
    products=16,
    spram_bytes=4 * 32768,
    max_elements=16,
)
