"""Commands for engines: place and route once, then a bitstream for each network in seconds."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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

    from shiftwork.boards.bitstream import Bitstream
    from shiftwork.boards.routed_engine import RoutedEngine
    from shiftwork.quant.program import Program
    from shiftwork.workspace import Progress


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
    verify: Annotated[
        Path | None,
        typer.Option(
            help="Inputs: simulate the routed netlist with what is in the bitstream; a "
            "difference fails."
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Inputs to verify.")] = 3,
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
    program, progress = Program.load(net), progress_printer()
    made = exchange_network(
        program, engine=engine, folder=output, toolchain=toolchain, progress=progress
    )
    seconds = round(time.perf_counter() - began, 1)
    record = made.as_dict() | {"seconds": seconds}
    if verify is not None:
        record["verified"] = _verified(program, verify, made, engine, output, limit, progress)
    show_result(
        record,
        as_json,
        *bitstream_views(made, output),
        f"exchanged in {seconds:g} s",
        following=after_bitstream(output, made.board, net),
    )


def _verified(
    program: "Program",
    inputs: Path,
    made: "Bitstream",
    engine: Path,
    output: Path,
    limit: int,
    progress: "Progress",
) -> dict[str, Any]:
    """What the simulation of the bitstream's contents found.

    Raises:
        MismatchError: if it differs from the golden model, or from the schedule's cycles.
    """
    from shiftwork.errors import MismatchError
    from shiftwork.exchange_check import verify_exchange
    from shiftwork.quant.calibration import read_samples

    x = read_samples(inputs).x
    found = verify_exchange(
        program, x, made, engine=engine, folder=output, limit=limit, progress=progress
    )
    if found["first_mismatch"]:
        raise MismatchError(
            f"what is in {output / made.file} differs from the golden model in "
            f"{found['mismatches']} values; the first: {found['first_mismatch']['text']}"
        )
    if set(found["cycles_measured"]) != {made.cycles}:
        raise MismatchError(
            f"what is in {output / made.file} takes {max(found['cycles_measured']):,} cycles, not "
            f"{made.cycles:,}"
        )
    progress(f"{found['compared']} inputs as the golden model has them, in {made.cycles:,} cycles")
    return found


def register(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
    app.command()(engine)
    app.command()(exchange)
