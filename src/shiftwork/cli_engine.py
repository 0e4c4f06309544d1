"""Commands for engines: place and route once, then a bitstream for each network in seconds."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shiftwork.cli_bitstream import bitstream_views, resource_table
from shiftwork.cli_options import (
    AsJson,
    Baud,
    Clock,
    Columns,
    Fastest,
    Folder,
    Net,
    Rows,
    Seeds,
    TargetBoard,
    ToolchainName,
    array_size,
)
from shiftwork.cli_views import facts_table, progress_printer, show_result
from shiftwork.commands import command_line

if TYPE_CHECKING:
    from rich.table import Table

    from shiftwork.boards.routed_engine import RoutedEngine


def engine(
    nets: Annotated[
        list[Path],
        typer.Argument(
            help="Quantized networks that have to fit; the first decides the array's size.",
            show_default=False,
        ),
    ],
    board: TargetBoard,
    output: Folder,
    rows: Rows = None,
    columns: Columns = None,
    room: Annotated[
        bool,
        typer.Option("--room/--exact", help="Head room for networks that come later, or none."),
    ] = True,
    seeds: Seeds = None,
    clock: Clock = None,
    fastest: Fastest = False,
    baud: Baud = 115_200,
    toolchain: ToolchainName = "yowasp",
    as_json: AsJson = False,
) -> None:
    """Place and route an array that several networks share, once.

    Afterwards "shiftwork exchange" makes the bitstream of any network that fits it, in seconds.
    """
    array_size(rows, columns, None, None)
    from shiftwork.boards.engine import Engine
    from shiftwork.boards.routed_engine import RECORD, make_engine
    from shiftwork.quant.program import Program

    wanted = Engine(
        [Program.load(net) for net in nets], board=board, rows=rows, columns=columns, room=room
    )
    made = make_engine(
        wanted,
        folder=output,
        seeds=seeds,
        clock_mhz=clock,
        fastest=fastest,
        baud=baud,
        toolchain=toolchain,
        progress=progress_printer(),
    )
    record = {name: value for name, value in made.as_dict().items() if name != "places"}
    show_result(
        record | {"fmax_mhz": made.fmax_mhz, "clock_mhz": made.clock_mhz},
        as_json,
        _capacity(made),
        resource_table(made.resources),
        f"wrote {output / RECORD}",
        following=command_line("exchange", nets[0], engine=output, output="bit"),
    )


def _capacity(made: "RoutedEngine") -> "Table":
    from shiftwork.hw.engine import layer_capacity

    config, shape = made.config, made.config.shape
    top = config.shift_base + (1 << config.shift_bits) - 1
    return facts_table(
        f"an engine on {made.board}",
        {
            "made for": ", ".join(made.networks),
            "array": f"{shape.rows} x {shape.columns}",
            "clock of the PLL": f"{made.clock_mhz:g} MHz",
            "greatest clock": f"{made.fmax_mhz:.1f} MHz (seed {made.seed})",
            "weights": f"{config.weight_depth:,} bytes in each of {shape.columns} columns",
            "channels": f"{config.parameter_depth * shape.lanes:,}, with bias and shift",
            "layers": layer_capacity(config),
            "feature maps": f"{config.activation_bytes:,} bytes",
            "accumulators": f"{config.accumulator_bits} bits",
            "shifts": f"{config.shift_base} to {top}",
            "inputs of a layer": config.segments,
            "pooling unit": "yes" if config.pooling else "no",
            "depthwise, average, residual": "yes" if config.depthwise else "no",
            "baud": made.baud,
        },
    )


def exchange(
    net: Net,
    engine: Annotated[Path, typer.Option(help="Folder of the engine, from 'shiftwork engine'.")],
    output: Folder,
    toolchain: ToolchainName = "yowasp",
    as_json: AsJson = False,
) -> None:
    """Make the bitstream of a network on an engine that is placed and routed already.

    Only the contents of block RAMs change. Writes the same files as "shiftwork bitstream".
    """
    from shiftwork.boards.exchange import exchange as exchange_network
    from shiftwork.next_steps import after_bitstream
    from shiftwork.quant.program import Program

    began = time.perf_counter()
    made = exchange_network(
        Program.load(net),
        engine=engine,
        folder=output,
        toolchain=toolchain,
        progress=progress_printer(),
    )
    seconds = round(time.perf_counter() - began, 1)
    show_result(
        made.as_dict() | {"seconds": seconds},
        as_json,
        *bitstream_views(made, output),
        f"exchanged in {seconds:g} s",
        following=after_bitstream(output, made.board, net),
    )


def register(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
    app.command()(engine)
    app.command()(exchange)
