"""From one command to the next: what to run now, complete with the user's paths."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shiftwork.commands import array_products, command_line
from shiftwork.errors import UsageError
from shiftwork.workspace import write_text

if TYPE_CHECKING:
    from shiftwork.build import Job
    from shiftwork.quant.graph import Graph

FIRST_BOARD = "icebreaker"
"""Named where the user has not named a board yet."""
SAMPLES = "inputs.npz"
BITSTREAM = "bitstream"
RUN_RECORD = "run.json"
"""Beside a bitstream: the network and the inputs that it can be tried with."""
EVALUATION = "evaluation.json"
PLACEHOLDERS = {"inputs": "INPUTS.npz", "port": "PORT"}
"""In place of what is not known."""


def after_quantize(net: Path) -> str:
    """The Verilog of a quantized network."""
    return command_line("generate", net, board=FIRST_BOARD, output="verilog")


def after_hardware(
    net: Path, board: str | None, *, clock: float | None = None, **size: Any
) -> str | None:
    """The bitstream of an accelerator that was generated, simulated or synthesized.

    Args:
        net: the quantized network.
        board: None if the accelerator is for no board in particular: nothing follows then.
        clock: that was asked for, in MHz.
        size: what decided the array's size, as keyword options.
    """
    if board is None:
        return None
    return command_line("bitstream", net, board=board, **size, clock=clock, output=BITSTREAM)


def after_build(job: "Job", folder: Path, net: Path) -> str:
    """The bitstream of what was built, in a folder beside the steps."""
    return command_line(
        "bitstream",
        net,
        board=job.board,
        rows=job.rows,
        columns=job.columns,
        elements=job.elements,
        latency_us=job.latency_us,
        **array_products(job),
        clock=job.clock_mhz,
        output=folder / BITSTREAM,
    )


def after_bitstream(folder: Path, board: str, net: Path) -> str:
    """Loading it; notes beside the bitstream what to run then."""
    record = {"network": str(net.absolute()), "inputs": _inputs_of(net)}
    write_text(folder / RUN_RECORD, json.dumps(record, indent=2) + "\n")
    return command_line("flash", folder, board=board)


def after_flash(bitstream: Path) -> str | None:
    """Running the network on the board; None if it is not known which one is in the bitstream."""
    folder = bitstream if bitstream.is_dir() else bitstream.parent
    try:
        record = json.loads((folder / RUN_RECORD).read_text(encoding="utf-8"))
        net, inputs = record["network"], record["inputs"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return command_line(
        "run",
        _shown(net),
        _shown(inputs) if inputs else PLACEHOLDERS["inputs"],
        "--compare",
        port=serial_port() or PLACEHOLDERS["port"],
    )


def _inputs_of(net: Path) -> str | None:
    """The samples that a build measured the network with, if it is a build's and they exist."""
    try:
        record = json.loads(net.with_name(EVALUATION).read_text(encoding="utf-8"))
        path = Path(record["evaluated_on"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(path.absolute()) if path.is_file() else None


def _shown(path: str) -> Path:
    """As short as it works from here."""
    here = Path.cwd()
    return Path(path).relative_to(here) if Path(path).is_relative_to(here) else Path(path)


def serial_port() -> str | None:
    """The serial port that a board is likely to have: of USB adapters with two, the second."""
    from serial.tools import list_ports

    found = sorted(port.device for port in list_ports.comports() if port.vid is not None)
    return found[-1] if found else None


def missing(command: str, **needed: Any) -> UsageError:
    """The error for a command that lacks some of the options that it needs: those that are None."""
    absent = [name for name, value in needed.items() if value is None]
    stand_ins = {"calibration": SAMPLES, "board": FIRST_BOARD}
    return UsageError(
        f"{command} needs {' and '.join(f'--{name}' for name in absent)}",
        add=tuple(word for name in absent for word in (f"--{name}", stand_ins[name])),
    )


def samples_guide(model: Path, graph: "Graph") -> str:
    """How to make a file of calibration samples, in words and in Python."""
    shape = ", ".join(map(str, graph.input_layout.shape))
    return (
        f"{model}: the input '{graph.input}' takes samples of the shape [{shape}]. About 100 "
        "typical ones,\nin the units that the network was trained on, set the scales. In Python, "
        "with such an array 'samples':\n"
        "    import numpy as np\n"
        f'    np.savez("{SAMPLES}", x=np.asarray(samples, "float32").reshape(-1, {shape}))\n'
        "An array 'y' of class numbers beside 'x' has the accuracy measured. An .npy file of that "
        "shape will do, too."
    )
