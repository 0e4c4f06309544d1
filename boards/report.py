"""The resource and timing report of a placed and routed accelerator."""

from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

LABELS = {
    "lut": "LUT",
    "ff": "FF",
    "bram": "block RAM",
    "dsp": "DSP",
    "spram": "SPRAM",
}


@dataclass(frozen=True, kw_only=True)
class Resource:
    """How much of one kind of resource is used, of how much there is."""

    used: int
    available: int

    @property
    def percent(self) -> float:
        """Share in use, in percent; 0 where the device has none and none is used."""
        return 100.0 * self.used / self.available if self.available else 0.0


@dataclass(frozen=True, kw_only=True)
class Report:
    """What an accelerator takes on a board, and how fast it is there.

    Attributes:
        network: name of the program.
        board, title: name of the board, and the board in plain words.
        rows, columns: of the array of processing elements.
        lut: on iCE40 logic cells after packing (a lookup table and a flip-flop each), on ECP5
            4-input lookup tables.
        ff, bram, dsp, spram: flip-flops, block RAMs, multiplier blocks, single-port RAMs.
        blocks: for each block of the design, cells of the netlist before packing, by resource.
        fmax_mhz: the best seed's greatest clock frequency.
        seeds: fmax in MHz of each seed of the placer.
        seed: the best of them.
        target_mhz: the clock that was asked for.
        critical_path: the slowest path of the best seed.
        cycles: of one inference, from the first cycle of computation to the last.
        macs: multiply-accumulates of one inference.
        io_bytes: bytes of one input and one output; each takes one cycle on its stream. Scores of
            which only the greatest is sent count as output.
        input_held_cycles: cycles of an inference before the next input can stream in; 0 with two
            input buffers.
        rom_bytes, activation_bytes: memory for the network, and for its feature maps.
        versions: of Shiftwork and the tools.
    """

    network: str
    board: str
    title: str
    rows: int
    columns: int
    lut: Resource
    ff: Resource
    bram: Resource
    dsp: Resource
    spram: Resource
    blocks: dict[str, dict[str, int]]
    fmax_mhz: float
    seeds: dict[int, float]
    seed: int
    target_mhz: float
    critical_path: str
    cycles: int
    macs: int
    io_bytes: tuple[int, int]
    rom_bytes: int
    activation_bytes: int
    versions: dict[str, str]
    input_held_cycles: int = 0

    @property
    def met(self) -> bool:
        """Whether the design reaches the clock that was asked for."""
        return self.fmax_mhz >= self.target_mhz

    @property
    def latency_us(self) -> float:
        """Microseconds of computation of one inference at ``fmax_mhz``."""
        return self.cycles / self.fmax_mhz

    @property
    def latency_with_io_us(self) -> float:
        """As :attr:`latency_us`, with reading the input and writing the output at full speed."""
        return (self.cycles + sum(self.io_bytes)) / self.fmax_mhz

    @property
    def inferences_per_second(self) -> float:
        """At ``fmax_mhz``; input and output stream beside the computation."""
        taken, sent = self.io_bytes
        return self.fmax_mhz * 1e6 / max(self.cycles, self.input_held_cycles + taken, sent)

    @property
    def resources(self) -> dict[str, Resource]:
        """All resources that the board has, by name."""
        named = {name: getattr(self, name) for name in LABELS}
        return {name: resource for name, resource in named.items() if resource.available}

    def as_dict(self) -> dict[str, Any]:
        """Everything as JSON values; percents and derived figures included."""
        record = asdict(self)
        for name in LABELS:
            record[name]["percent"] = round(getattr(self, name).percent, 2)
        return record | {
            "met": self.met,
            "latency_us": round(self.latency_us, 3),
            "latency_with_io_us": round(self.latency_with_io_us, 3),
            "inferences_per_second": round(self.inferences_per_second, 2),
        }


def resource_table(report: Report) -> Table:
    """Used, available and percent of each resource, as a table for the terminal."""
    table = Table(title=f"{report.network} on {report.title}", title_justify="left")
    for column in ("resource", "used", "available", "%"):
        table.add_column(column, justify="left" if column == "resource" else "right")
    for name, resource in report.resources.items():
        table.add_row(
            LABELS[name], str(resource.used), str(resource.available), f"{resource.percent:.1f}"
        )
    return table


def block_table(report: Report) -> Table:
    """Netlist cells of each block, as a table for the terminal."""
    names = list(report.resources)
    table = Table(title="by block (netlist cells before packing)", title_justify="left")
    table.add_column("block")
    for name in names:
        table.add_column(LABELS[name], justify="right")
    for block, counts in report.blocks.items():
        table.add_row(block, *(str(counts.get(name, 0)) for name in names))
    return table


def timing_table(report: Report) -> Table:
    """Clock, latency and throughput, as a table for the terminal."""
    table = Table(title="speed", title_justify="left", show_header=False)
    table.add_column("what")
    table.add_column("value", justify="right")
    table.add_row("array", f"{report.rows} x {report.columns} = {report.rows * report.columns} PEs")
    table.add_row("greatest clock", f"{report.fmax_mhz:.1f} MHz")
    table.add_row("clock asked for", f"{report.target_mhz:.1f} MHz")
    table.add_row("cycles an inference", f"{report.cycles:,}")
    table.add_row("latency", f"{report.latency_us:,.1f} us")
    table.add_row("latency with input and output", f"{report.latency_with_io_us:,.1f} us")
    table.add_row("inferences a second", f"{report.inferences_per_second:,.0f}")
    table.add_row("network in ROM", f"{report.rom_bytes:,} bytes")
    table.add_row("feature maps in RAM", f"{report.activation_bytes:,} bytes")
    return table
