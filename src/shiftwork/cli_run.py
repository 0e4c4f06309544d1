"""Commands for a board in the hand: compute inputs on it, and load a bitstream into it."""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shiftwork.cli_options import (
    AsJson,
    BoardName,
    Columns,
    Elements,
    Inputs,
    LatencyUs,
    Net,
    ProductsChoice,
    Rows,
    TargetBoard,
    array_size,
)
from shiftwork.cli_views import facts_table, new_table, progress_printer, show_result

if TYPE_CHECKING:
    from rich.table import Table

    from shiftwork.link import Link
    from shiftwork.quant.program import Program
    from shiftwork.workspace import Progress

SIMULATED_PORT = "sim"
MOST_ROWS = 20
"""Of the table; the JSON has all."""


def run(
    net: Net,
    inputs: Inputs,
    port: Annotated[
        str,
        typer.Option(help="Serial port of the board; 'sim' simulates the design behind one."),
    ],
    board: BoardName = None,
    rows: Rows = None,
    columns: Columns = None,
    elements: Elements = None,
    latency_us: LatencyUs = None,
    products: ProductsChoice = "auto",
    baud: Annotated[int | None, typer.Option(min=1, help="Of the bitstream's UART.")] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Compare with the golden model; a difference fails.")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Use the first N inputs.")] = None,
    as_json: AsJson = False,
) -> None:
    """Compute inputs on a board: classes, and the latency that is measured on the chip.

    --board and the array's size are for --port sim: a board knows what is in its bitstream.
    """
    size = array_size(rows, columns, elements, latency_us, products)
    from shiftwork.errors import MismatchError
    from shiftwork.link import compare as compare_with_golden
    from shiftwork.quant.calibration import read_samples
    from shiftwork.quant.program import Program

    progress = progress_printer()
    program = Program.load(net)
    samples = read_samples(inputs)
    with ExitStack() as stack:
        if port == SIMULATED_PORT:
            link = _simulated(stack, program, board, size, progress)
        else:
            _check_no_size(board, size)
            link = _connected(stack, program, port, baud)
        progress(f"connected: '{program.name}' at {link.identity.clock_hz / 1e6:g} MHz")
        result = link.run(samples.x, limit=limit, progress=progress)
    record: dict[str, Any] = {
        "port": port,
        "network": program.name,
        "digest": program.digest,
        "inputs": len(result.outputs),
        "clock_mhz": result.clock_hz / 1e6,
        "cycles": result.cycles.tolist(),
        "latency_us": result.latency_us.tolist(),
        "seconds": result.seconds,
        "classes": [None if label < 0 else label for label in result.classes.tolist()],
        "outputs": result.outputs.reshape(len(result.outputs), -1).tolist(),
    }
    if program.softmax is not None:
        made = program.softmax.probabilities(result.outputs)
        record["probabilities"] = made.tolist()
    difference = None
    if compare:
        found = compare_with_golden(program, samples.x, result)
        difference = found["first_mismatch"]
        record |= found
    show_result(record, as_json, _inference_table(record), facts_table("run", _facts(record)))
    if difference:
        raise MismatchError(
            f"the board differs from the golden model in {record['mismatches']} values; "
            f"the first: {difference['text']}"
        )


def _connected(stack: ExitStack, program: "Program", port: str, baud: int | None) -> "Link":
    from shiftwork.link import BAUD, connect

    return stack.enter_context(connect(port, program, baud=baud or BAUD))


def _simulated(
    stack: ExitStack,
    program: "Program",
    board: str | None,
    size: dict[str, Any],
    progress: "Progress",
) -> "Link":
    from shiftwork.link import connect
    from shiftwork.sim.link_simulator import SimulatedBoard, simulation_seconds
    from shiftwork.steps import accelerate, describe

    accelerator = accelerate(program, board, beside_link=True, **size)
    progress(f"building the simulator: {describe(accelerator)}, behind a UART")
    simulated = stack.enter_context(SimulatedBoard(accelerator))
    timeout_s = simulation_seconds(simulated.shell)
    return stack.enter_context(connect(simulated.port, program, timeout_s=timeout_s))


def _check_no_size(board: str | None, size: dict[str, Any]) -> None:
    if board is not None or any(value is not None for value in size.values()):
        raise typer.BadParameter(
            "--board and the array's size are for --port sim: what a board computes with is in "
            "its bitstream"
        )


def _facts(record: dict[str, Any]) -> dict[str, Any]:
    cycles, latency = record["cycles"], record["latency_us"]
    facts = {
        "inputs": record["inputs"],
        "cycles_of_an_inference": max(cycles),
        "clock_mhz": record["clock_mhz"],
        "latency_us": max(latency),
        "seconds_with_the_line": record["seconds"],
    }
    if "mismatches" in record:
        facts["values_that_differ_from_golden"] = record["mismatches"]
    return facts


def _inference_table(record: dict[str, Any]) -> "Table":
    table = new_table("inferences", "input", "class", "output", "cycles", "latency")
    probabilities = record.get("probabilities", [None] * record["inputs"])
    rows = zip(
        record["classes"],
        record["outputs"],
        record["cycles"],
        record["latency_us"],
        probabilities,
        strict=True,
    )
    for number, (label, output, cycles, latency, chances) in enumerate(rows):
        if number == MOST_ROWS:
            table.add_row(f"{record['inputs'] - MOST_ROWS} more", "", "", "", "")
            break
        certainty = "" if chances is None else f" ({100 * max(chances):.1f} %)"
        shown = " ".join(map(str, output[:12])) + (" ..." if len(output) > 12 else "")
        table.add_row(
            str(number),
            "none" if label is None else f"{label}{certainty}",
            shown,
            f"{cycles:,}",
            f"{latency:,.1f} us",
        )
    return table


def flash(
    bitstream: Annotated[
        Path,
        typer.Argument(help="Bitstream, or the folder with it.", show_default=False),
    ],
    board: TargetBoard,
    as_json: AsJson = False,
) -> None:
    """Load a bitstream into a board, with the tool that does it: iceprog, openFPGALoader, dfu-util.

    A flash image beside the bitstream (flash.bin) is written first, at 1 MiB.
    """
    from shiftwork.boards.programmer import program_board
    from shiftwork.next_steps import after_flash

    commands = program_board(bitstream, board=board, progress=progress_printer())
    record = {"board": board, "commands": [" ".join(command) for command in commands]}
    done = [f"done: {command}" for command in record["commands"]]
    show_result(record, as_json, *done, following=after_flash(bitstream))


def register(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
    app.command()(run)
    app.command()(flash)
