"""What differs between the FPGA families: the tools, their flags and the names of their cells."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Flow:
    """How one family is synthesized, placed and routed.

    Attributes:
        synth: the synthesis pass of yosys with its options.
        nextpnr: the tool for place and route, and its fixed arguments.
        utilization: for each resource, its name in nextpnr's report.
        cells: for each resource, the netlist cells that use it and how many units each takes;
            a name that ends in ``*`` stands for all that begin so.
    """

    synth: str
    nextpnr: str
    arguments: tuple[str, ...]
    utilization: dict[str, str]
    cells: dict[str, dict[str, int]]

    def resource(self, cell: str) -> tuple[str, int] | None:
        """The resource that a netlist cell type uses and how much of it; None for the others."""
        for resource, patterns in self.cells.items():
            for pattern, count in patterns.items():
                if cell == pattern or (pattern[-1] == "*" and cell.startswith(pattern[:-1])):
                    return resource, count
        return None


FLOWS = {
    "ice40up": Flow(
        synth="synth_ice40 -device u -abc9 -dff",
        nextpnr="nextpnr-ice40",
        # Cells a little further apart than by default: a nearly full UP5K routes in half the time.
        arguments=("--placer-heap-beta", "0.75"),
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
    ),
    "ecp5": Flow(
        # Logic of less than 4 ns is fast enough: without a bound, speed is bought at any area.
        synth="synth_ecp5 -abc9",
        nextpnr="nextpnr-ecp5",
        arguments=("--lpf-allow-unconstrained",),
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
}
