"""Arguments and options that several commands share, and what they stand for."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from shiftwork.steps import Ends

Model = Annotated[Path, typer.Argument(help="Trained network, ONNX or TFLite.", show_default=False)]
Net = Annotated[
    Path, typer.Argument(help="Quantized network, from 'shiftwork quantize'.", show_default=False)
]
Inputs = Annotated[
    Path, typer.Argument(help="Inputs: .npz with the array 'x', or .npy.", show_default=False)
]
Calibration = Annotated[
    Path | None,
    typer.Option(
        "--calibration",
        help="Inputs that set the scales: .npz with 'x', or .npy. Left out, the command says how "
        "to make them.",
        show_default=False,
    ),
]
Test = Annotated[
    Path | None,
    typer.Option(help="Inputs 'x' with labels 'y' (.npz): the accuracy is measured on them."),
]
BOARD_HELP = "Board; 'shiftwork boards' lists them."
BoardName = Annotated[str | None, typer.Option("--board", help=BOARD_HELP)]
TargetBoard = Annotated[str, typer.Option("--board", help=BOARD_HELP)]
NeededBoard = Annotated[
    str | None, typer.Option("--board", help=f"{BOARD_HELP} Needed.", show_default=False)
]
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
ProductsChoice = Annotated[
    Literal["auto", "multiply", "shift"],
    typer.Option(
        "--products",
        help="Multiply, or shift where weights are powers of two and no multiplier block is free; "
        "auto: shift on FPGAs with few multipliers or none.",
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
Fastest = Annotated[
    bool, typer.Option("--fastest", help="Route again with the PLL as fast as the design allows.")
]
Baud = Annotated[int, typer.Option(min=300, help="Of the UART, in bits a second.")]
ToolchainName = Annotated[
    Literal["yowasp", "native"],
    typer.Option(
        "--toolchain", help="Tools from pip, or yosys, nextpnr and packer as they are on PATH."
    ),
]
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
Softmax = Annotated[
    bool,
    typer.Option(
        "--softmax",
        help="The chip answers with a byte for each class that the host makes a probability of.",
    ),
]
TopScore = Annotated[
    bool,
    typer.Option("--top-score", help="The chip answers with the class and its score, not all."),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        help="With --top-score: the least score (before Softmax) that makes a class; below it the "
        "answer is no class.",
        show_default=False,
    ),
]
InputBytes = Annotated[
    Literal["uint8", "int8"] | None,
    typer.Option(
        help="The chip takes a sensor's bytes as they are; --input-scale and --input-offset, which "
        "go into the weights, say what they stand for.",
        show_default=False,
    ),
]
InputScale = Annotated[
    str | None,
    typer.Option(
        help="real = byte * scale + offset: one number, or one a channel with commas; default 1.",
        show_default=False,
    ),
]
InputOffset = Annotated[
    str | None,
    typer.Option(help="As --input-scale; default 0.", show_default=False),
]
Sums = Annotated[
    str | None,
    typer.Option(
        help="Layers, divided by commas, whose weights are sums of two of the few values: 8 bits "
        "each, and twice the cycles.",
        show_default=False,
    ),
]
Wide = Annotated[
    str | None,
    typer.Option(
        help="Layers, divided by commas, whose weights have 16 bits instead of 8, or 'all': twice "
        "the bytes and the cycles.",
        show_default=False,
    ),
]
WideActivations = Annotated[
    str | None,
    typer.Option(
        help="Layers whose outputs have 16 bits instead of 8, or 'all': twice the cycles of those "
        "that read them.",
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
    rows: int | None,
    columns: int | None,
    elements: int | None,
    latency_us: float | None,
    products: str = "auto",
) -> dict[str, Any]:
    """What decides the array's size and its elements, as keyword arguments."""
    if (rows is None) != (columns is None):
        raise typer.BadParameter("--rows and --columns must be given together")
    if rows is not None and not (elements is None and latency_us is None):
        raise typer.BadParameter(
            "--elements and --latency-us choose the array: leave out --rows and --columns"
        )
    size: dict[str, Any] = {"rows": rows, "columns": columns}
    size |= {"elements": elements, "latency_us": latency_us}
    return size if products == "auto" else size | {"products": products}


def network_ends(
    top_score: bool,
    threshold: float | None,
    input_bytes: Literal["uint8", "int8"] | None,
    input_scale: str | None,
    input_offset: str | None,
) -> "Ends":
    """What is done to the network's input and output."""
    from shiftwork.steps import Ends

    if threshold is not None and not top_score:
        raise typer.BadParameter("--threshold needs --top-score")
    if input_bytes is None and (input_scale or input_offset):
        raise typer.BadParameter("--input-scale and --input-offset need --input-bytes")
    return Ends(
        top_score=top_score,
        threshold=threshold,
        input_bytes=input_bytes,
        input_scale=_numbers("--input-scale", input_scale or "1"),
        input_offset=_numbers("--input-offset", input_offset or "0"),
    )


def _numbers(option: str, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(
            f"{option} must be a number, or several with commas, not '{text}'"
        ) from None


def quantizer_options(
    scales: str,
    per_tensor: bool,
    activations: str,
    headroom: float,
    equalize: bool,
    rounding: str,
    weights: str,
    softmax: bool,
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
        "softmax": softmax,
    }
