"""What Shiftwork knows of a board: plain data, one board a file."""

from dataclasses import dataclass

from shiftwork.hw.config import Family


@dataclass(frozen=True, kw_only=True)
class Board:
    """An FPGA board, as far as size and speed of an accelerator depend on it.

    Attributes:
        name: as given on the command line.
        title: the board and its FPGA in plain words.
        family: "ice40up" or "ecp5"; decides primitives, tools and their flags.
        device, package: as nextpnr names them.
        oscillator_mhz: of the oscillator on the board.
        target_mhz: the clock that an accelerator must reach, made from it by a PLL.
        lut: 4-input lookup tables.
        ff: flip-flops.
        bram, bram_bits: number of block RAMs, and bits of each.
        bram_word_bits: their widest word.
        dsp: multiplier blocks.
        products: 8x8 bit products that they make in one cycle.
        spram_bytes: single-port RAM beside the block RAM, not initialized by the bitstream.
        max_elements: processing elements that fit with a network; the default size of an array.
    """

    name: str
    title: str
    family: Family
    device: str
    package: str
    oscillator_mhz: float
    target_mhz: float
    lut: int
    ff: int
    bram: int
    bram_bits: int
    bram_word_bits: int
    dsp: int
    products: int
    spram_bytes: int = 0
    max_elements: int

    @property
    def bram_bytes(self) -> int:
        """Bytes of all block RAMs."""
        return self.bram * self.bram_bits // 8
