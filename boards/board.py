"""What Shiftwork knows of a board: plain data, one board a file."""

from dataclasses import dataclass

from shiftwork.hw.config import Family


@dataclass(frozen=True, kw_only=True)
class Board:
    """An FPGA board: what size and speed of an accelerator depend on, and what is wired to it.

    A *resource* is one of the board's Amaranth platform, as its name, number and, if it has them,
    subsignal: ``"led 0"``, ``"rgb_led 0 r"``.

    Attributes:
        name: as given on the command line.
        title: the board and its FPGA in plain words.
        family: "ice40up", "ice40hx", "ecp5" or "gowin"; decides primitives, tools and their flags.
        device, package: as nextpnr names them; on Gowin the device's series and the whole part.
        speed: its speed grade as nextpnr names it; empty: nextpnr's own choice.
        oscillator_mhz: of the oscillator on the board.
        target_mhz: the clock that an accelerator must reach, made from it by a PLL.
        bitstream_mhz: the same with the link to the host, where that is slower; else 0.
        lut: 4-input lookup tables.
        ff: flip-flops.
        bram, bram_bits: number of block RAMs, and bits of each.
        bram_word_bits: their widest word.
        dsp: multiplier blocks.
        products: 8x8 bit products that they make in one cycle.
        spram_bytes: single-port RAM beside the block RAM, not initialized by the bitstream.
        max_elements: processing elements that fit with a network; the default size of an array.
        shift_elements: the same where they shift in place of multiplying; 0: ``max_elements``.
        platform: the Amaranth platform as "module:class"; its resources name the pins.
        clock: resource of the oscillator.
        clock_on_pll_pad: whether the oscillator's pin leads straight to the PLL (iCE40).
        uart: resource of the link to the host, with subsignals rx and tx.
        uart_beside_flash: the same for designs that read the flash; empty: ``uart``.
        flash: resource of the SPI flash; empty: designs cannot read it.
        reset: resource of a button that resets the design; empty: none.
        leds: resources that show "busy" and "error"; no more than there are.
        idle: resources that are held inactive in designs that do not read the flash.
        pack_options: for the tool that packs the bitstream.
        load: the command that brings a bitstream to the board; ``{file}`` stands for its path.
        load_flash: the same for the flash image.
        note: what to know before the cable is plugged in; empty: nothing.
    """

    name: str
    title: str
    family: Family
    device: str
    package: str
    speed: str = ""
    oscillator_mhz: float
    target_mhz: float
    bitstream_mhz: float = 0.0
    lut: int
    ff: int
    bram: int
    bram_bits: int
    bram_word_bits: int
    dsp: int
    products: int
    spram_bytes: int = 0
    max_elements: int
    shift_elements: int = 0
    platform: str
    clock: str
    clock_on_pll_pad: bool = False
    uart: str = "uart 0"
    uart_beside_flash: str = ""
    flash: str = ""
    reset: str = ""
    leds: tuple[str, ...] = ()
    idle: tuple[str, ...] = ()
    pack_options: tuple[str, ...] = ()
    load: str
    load_flash: str = ""
    note: str = ""

    @property
    def bram_bytes(self) -> int:
        """Bytes of all block RAMs."""
        return self.bram * self.bram_bits // 8
