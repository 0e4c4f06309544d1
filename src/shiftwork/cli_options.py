"""Arguments and options that several commands share, and what they stand for."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

Model = Annotated[Path, typer.Argument(help="Trained network, ONNX or TFLite.", show_default=False)]
Net = Annotated[
    Path, typer.Argument(help="Quantized network, from 'shiftwork quantize'.", show_default=False)
]
Inputs = Annotated[
    Path, typer.Argument(help="Inputs: .npz with the array 'x', or .npy.", show_default=False)
]
Calibration = Annotated[
    Path,
    typer.Option(help="Inputs that set the scales: .npz with 'x', or .npy.", show_default=False),
]
Test = Annotated[
    Path | None,
    typer.Option(help="Inputs 'x' with labels 'y' (.npz): the accuracy is measured on them."),
]
BOARD_HELP = "Board; 'shiftwork boards' lists them."
BoardName = Annotated[str | None, typer.Option("--board", help=BOARD_HELP)]
TargetBoard = Annotated[str, typer.Option("--board", help=BOARD_HELP)]
Rows = Annotated[int | None, typer.Option(min=1, help="Output pixels computed at once.")]
Columns = Annotated[int | None, typer.Option(min=1, help="Output channels computed at once.")]
Elements = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Choose an array of at most so many processing elements; default: what the board "
        "is known to hold.",
    ),
]
LatencyUs = Annotated[
    float | None,
    typer.Option(
        "--latency-us",
        help="Choose the smallest array that takes no longer at the clock, in microseconds.",
    ),
]
Seeds = Annotated[
    int | None,
    typer.Option(
        min=1, help="Starts of the placer, the best kept; default: up to 8, until the clock is met."
    ),
]
Clock = Annotated[float | None, typer.Option(help="Clock to reach in MHz; default: the board's.")]
Folder = Annotated[Path, typer.Option("-o", "--output", help="Folder for the results.")]
Scales = Annotated[
    Literal["mse", "max", "percentile", "kl"],
    typer.Option(
        help="Scales by least squared error, by maximum, or (of activations) by the 99.99th "
        "percentile or the threshold of least divergence."
    ),
]
PerTensor = Annotated[
    bool, typer.Option("--per-tensor", help="One weight scale a layer, not one a channel.")
]
Activations = Annotated[
    Literal["unsigned", "signed"],
    typer.Option(help="What is never negative is stored as 0..255, or as 0..127 (signed)."),
]
Headroom = Annotated[
    float,
    typer.Option(
        min=1.0,
        help="How much larger than in the calibration data activations may become; 2 for samples "
        "that are few or much alike.",
    ),
]
Equalize = Annotated[
    bool,
    typer.Option(
        "--equalize/--no-equalize", help="Scale the channels of a tensor toward a common range."
    ),
]
Rounding = Annotated[
    Literal["compensated", "nearest"],
    typer.Option(help="Round the weights of a row together, or each on its own (fast)."),
]
Weights = Annotated[
    Literal["int8", "int4", "shared16", "pow2"],
    typer.Option(
        help="What weights become: any int8; -8 to 7; 16 values that the network's weights share; "
        "signed powers of two. All but the first take 4 bits in a ROM."
    ),
]
Sums = Annotated[
    str | None,
    typer.Option(
        help="Layers, divided by commas, whose weights are sums of two of the few values: 8 bits "
        "each, and twice the cycles.",
        show_default=False,
    ),
]
Search = Annotated[
    bool,
    typer.Option("--search", help="Try recipes, and take the best one that keeps the bounds."),
]
WeightBytes = Annotated[
    int | None,
    typer.Option(help="Bound of a search: bytes of all weights, at most.", show_default=False),
]
MaxLoss = Annotated[
    float | None,
    typer.Option(
        help="Bound of a search: points of accuracy lost, at most; without labels, percent of the "
        "answers that change.",
        show_default=False,
    ),
]
MinSqnr = Annotated[
    float | None,
    typer.Option(help="Bound of a search: SQNR of the output in dB, at least.", show_default=False),
]
Validate = Annotated[
    Path | None,
    typer.Option(
        help="Inputs that a search measures on, with labels 'y' if there are any; default: every "
        "third one of the calibration inputs, which then does not calibrate.",
        show_default=False,
    ),
]
Trials = Annotated[
    Path | None,
    typer.Option(
        help="Folder that keeps what a search tried: a rerun goes on where it stopped.",
        show_default=False,
    ),
]
Engine = Annotated[
    Literal["verilator", "icarus", "amaranth", "netlist", "golden"],
    typer.Option(help="Simulator; netlist: what Yosys makes for the board, outputs only."),
]
BuildEngine = Annotated[
    Literal["verilator", "icarus", "amaranth", "golden"], typer.Option(help="Simulator.")
]
Verify = Annotated[
    Literal["netlist"] | None,
    typer.Option(help="Simulate the netlist of the routed design too; a difference fails."),
]
PortStyle = Annotated[
    Literal["stream", "axi-stream"],
    typer.Option(
        "--interface",
        help="Ports: plain valid/ready (core.v), or AXI4-Stream, where frames of a wrong length "
        "are discarded (axi_stream.v), with a core file for FuseSoC.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


def array_size(
    rows: int | None, columns: int | None, elements: int | None, latency_us: float | None
) -> dict[str, Any]:
    """What decides the array's size, as keyword arguments."""
    if (rows is None) != (columns is None):
        raise typer.BadParameter("--rows and --columns must be given together")
    if rows is not None and not (elements is None and latency_us is None):
        raise typer.BadParameter(
            "--elements and --latency-us choose the array: leave out --rows and --columns"
        )
    return {"rows": rows, "columns": columns, "elements": elements, "latency_us": latency_us}


def quantizer_options(
    scales: str,
    per_tensor: bool,
    activations: str,
    headroom: float,
    equalize: bool,
    rounding: str,
    weights: str,
) -> dict[str, Any]:
    """The quantizer's options, as keyword arguments."""
    return {
        "scales": scales,
        "per_channel": not per_tensor,
        "activations": activations,
        "headroom": headroom,
        "equalization": equalize,
        "rounding": rounding,
        "weights": weights,
    }
