"""The command ``shiftwork bitstream``."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from shiftwork.cli_options import (
    AsJson,
    Baud,
    Clock,
    Columns,
    Elements,
    Fastest,
    Folder,
    LatencyUs,
    Net,
    ProductsChoice,
    Rows,
    Seeds,
    TargetBoard,
    ToolchainName,
    array_size,
)
from shiftwork.cli_views import facts_table, new_table, progress_printer, show_result

if TYPE_CHECKING:
    from rich.table import Table

    from shiftwork.boards.bitstream import Bitstream
    from shiftwork.boards.report import Resource


def bitstream(
    net: Net,
    board: TargetBoard,
    output: Folder,
    rows: Rows = None,
    columns: Columns = None,
    elements: Elements = None,
    latency_us: LatencyUs = None,
    products: ProductsChoice = "auto",
    seeds: Seeds = None,
    clock: Clock = None,
    fastest: Fastest = False,
    baud: Baud = 115_200,
    toolchain: ToolchainName = "yowasp",
    as_json: AsJson = False,
) -> None:
    """Make the bitstream of a board: the accelerator with a serial link to the host.

    The PLL makes the clock; a design that does not reach it is an error. Writes the bitstream,
    bitstream.json, and flash.bin if the weights come from the board's flash.
    """
    size = array_size(rows, columns, elements, latency_us, products)
    from shiftwork.boards.bitstream import make_bitstream
    from shiftwork.next_steps import after_bitstream
    from shiftwork.quant.program import Program
    from shiftwork.steps import accelerate

    made = make_bitstream(
        accelerate(Program.load(net), board, clock_mhz=clock, beside_link=True, **size),
        board=board,
        folder=output,
        seeds=seeds,
        clock_mhz=clock,
        fastest=fastest,
        baud=baud,
        toolchain=toolchain,
        progress=progress_printer(),
    )
    show_result(
        made.as_dict(),
        as_json,
        *bitstream_views(made, output),
        following=after_bitstream(output, board, net),
    )


def bitstream_views(made: "Bitstream", output: Path) -> "tuple[Table, Table, str]":
    """What a user is shown of a bitstream."""
    return (
        _facts(made),
        resource_table(made.resources),
        f"wrote {output / made.file}\n{_loading(made)}",
    )


def _facts(made: "Bitstream") -> "Table":
    spread = ", ".join(f"{mhz:.1f}" for mhz in made.seeds.values())
    return facts_table(
        f"{made.network} on {made.title}",
        {
            "array": f"{made.rows} x {made.columns}",
            "clock of the PLL": f"{made.clock_mhz:g} MHz",
            "greatest clock": f"{made.fmax_mhz:.1f} MHz (seed {made.seed})",
            "of each seed": f"{spread} MHz",
            "cycles an inference": made.cycles,
            "latency": f"{made.latency_us:,.1f} us",
            "baud": made.baud,
        },
    )


def resource_table(resources: "Mapping[str, Resource]") -> "Table":
    """Used and available resources of a whole design."""
    from shiftwork.boards.report import LABELS

    table = new_table("resources, link to the host included", "resource", "used", "available", "%")
    for name, resource in resources.items():
        if resource.available:
            used, available = str(resource.used), str(resource.available)
            table.add_row(LABELS[name], used, available, f"{resource.percent:.1f}")
    return table


def _loading(made: "Bitstream") -> str:
    """What brings it to the board."""
    lines = [f"note: {made.note}"] if made.note else []
    return "\n".join([*lines, "to load it:", *(f"  {command}" for command in made.commands)])
