"""The quantizer: a float graph and calibration inputs become an integer program.

``docs/numerics.md`` gives the rules and the reasons.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, replace

import numpy as np
from numpy.typing import NDArray

from shiftwork.errors import DataError, ModelError
from shiftwork.quant import graph
from shiftwork.quant.calibration import check_samples
from shiftwork.quant.canonical import canonical
from shiftwork.quant.codebook import INT4
from shiftwork.quant.convolutions import quantize_conv, weighted_rows
from shiftwork.quant.equalization import equalization
from shiftwork.quant.exact import exact_steps
from shiftwork.quant.fusion import Layer, bounds_of, layers
from shiftwork.quant.graph import Graph, Grid
from shiftwork.quant.input_grid import input_tensor, tensor_of_grid
from shiftwork.quant.layers import State, States, bounded, quantize_average, quantize_move
from shiftwork.quant.levels import POWERS, Levels
from shiftwork.quant.options import QuantizerOptions
from shiftwork.quant.program import Program
from shiftwork.quant.program_ops import Conv, Op, Reshape, Tensor
from shiftwork.quant.range_fill import range_fill
from shiftwork.quant.raw_folding import Folded, fold
from shiftwork.quant.raw_input import RawInput
from shiftwork.quant.scaling import Factors, rescaled
from shiftwork.quant.shared_weights import shared_codebook
from shiftwork.quant.softmax import with_exponentials
from shiftwork.quant.softmax_choice import choose_softmax

__all__ = ["QuantizerOptions", "quantize"]

MAX_CALIBRATION_SAMPLES = 1000
ALL_LAYERS = "all"
"""In place of the names of layers with weights of 16 bits."""
ANEW = (
    "the network is quantized already, but not to powers of two throughout: what its integers "
    "stand for is quantized anew"
)
Progress = Callable[[str], None]


def quantize(
    source: Graph,
    calibration: NDArray,
    options: QuantizerOptions | None = None,
    *,
    raw_input: RawInput | None = None,
    progress: Progress | None = None,
) -> Program:
    """Quantizes ``source`` to shift-only int8.

    Args:
        source: the float network.
        calibration: samples ``[N, ...]`` in the source model's layout and units. Of more than
            1,000, that many are used, evenly spaced. With ``raw_input`` integer arrays hold bytes.
        options: see :class:`QuantizerOptions`.
        raw_input: the network shall take these bytes; what they stand for goes into its weights.
        progress: called with a line of text before each layer.

    Raises:
        ModelError: if the network has a form that shift-only arithmetic cannot express.
        DataError: if the calibration samples do not fit the network.
    """
    options = options or QuantizerOptions()
    if raw_input is not None:
        return _quantize_raw(source, calibration, options, raw_input, progress)
    network = canonical(source)
    if not layers(network):
        raise ModelError(f"the network '{source.name}' has no layer to compute")
    samples = network.input_layout.to_nhwc(
        _thinned(check_samples(calibration, name="calibration data")),
        network.shapes[network.input],
        "calibration data",
    )
    softmax = choose_softmax(network, samples, options) if options.softmax else None
    source = with_exponentials(source, softmax)
    network = canonical(source) if softmax else network
    source_tensor = _input_tensor(network, samples, options)
    plan = layers(network, rounded=network.grids.keys())
    _check_sums(network, options)
    options = _with_wide(network, options)
    steps = exact_steps(network, plan, source_tensor, options.weights)
    levels = Levels(INT4 if options.weights == "int4" else None)
    if steps is None:
        if network.grids.keys() - {network.input} and progress is not None:
            progress(ANEW)
        network = canonical(_with_grid_of_input(source))
        source_tensor = _input_tensor(network, samples, options)
        steps, levels = _chosen_steps(network, samples, source_tensor, options, progress)
    else:
        _check_exact(source, options)
    return Program(
        name=source.name,
        tensors=(source_tensor, *(tensor for _, tensor in steps)),
        ops=tuple(op for op, _ in steps),
        input=source_tensor.name,
        output=steps[-1][1].name,
        input_layout=network.input_layout,
        output_layout=network.output_layout,
        dropped=network.dropped,
        info=_info(options),
        codebook=levels.codebook,
        softmax=softmax,
    )


def _with_grid_of_input(source: Graph) -> Graph:
    """The network in real numbers: what it rounded inside is not rounded."""
    kept = {value: grid for value, grid in source.grids.items() if value == source.input}
    return replace(source, grids=kept)


def _quantize_raw(
    source: Graph,
    calibration: NDArray,
    options: QuantizerOptions,
    raw_input: RawInput,
    progress: Progress | None,
) -> Program:
    """A program whose input is the raw byte, with scale and offset in the first layers."""
    if options.input_scale is not None:
        raise DataError("option input_scale and a raw input exclude each other; give one of them")
    folded = fold(source, raw_input)
    if progress is not None and folded.border:
        progress(folded.border)
    centred = centred_bytes(source, folded, calibration, raw_input)
    program = quantize(folded.graph, centred, options, progress=progress)
    info = program.info | ({"input_border": folded.border} if folded.border else {})
    tensors = _with_raw_gains(program, raw_input)
    return replace(program, tensors=tensors, raw_input=raw_input, info=info)


def centred_bytes(
    source: Graph, folded: Folded, samples: NDArray, raw_input: RawInput
) -> NDArray[np.float32]:
    """What ``folded.graph`` takes for ``samples`` of ``source``: bytes less the zero point.

    Raises:
        DataError: if the samples do not fit the network, or integers are no bytes.
    """
    layout, shape = source.input_layout, source.shapes[source.input]
    checked = check_samples(samples, name="calibration data")
    raw = raw_input.to_raw(layout.to_nhwc(checked, shape, "calibration data"))
    return layout.from_nhwc((raw - folded.zero_point).astype(np.float32))


def _with_raw_gains(program: Program, raw_input: RawInput) -> tuple[Tensor, ...]:
    """The tensors; those that hold raw bytes, or what pools make of them, know their scale."""
    scales = {program.input: np.array(raw_input.scale)}
    for op in program.ops:
        if op.input in scales and not isinstance(op, Conv):
            scale = scales[op.input]
            if isinstance(op, Reshape) and scale.size > 1:
                scale = np.broadcast_to(scale, program.tensor(op.input).shape).reshape(-1)
            scales[op.output] = scale
    return tuple(
        _scaled_by(tensor, scales[tensor.name]) if tensor.name in scales else tensor
        for tensor in program.tensors
    )


def _scaled_by(tensor: Tensor, scale: NDArray[np.float64]) -> Tensor:
    if scale.size == 1:
        return replace(tensor, gain=tensor.gain * float(scale[0]))
    own = np.asarray(tensor.channel_gains or (1.0,))
    return replace(tensor, channel_gains=tuple((own * scale).tolist()))


def _info(options: QuantizerOptions) -> dict[str, str]:
    """The options as text; without those for weights of any int8 and for scores, as ever."""
    names = {key: getattr(options, key) for key in ("sums", "wide", "wide_activations")}
    texts = {key: str(value) for key, value in asdict(options).items() if key not in names}
    if options.weights == "int8":
        del texts["weights"]
    if not options.softmax:
        del texts["softmax"]
    return texts | {key: ", ".join(chosen) for key, chosen in names.items() if chosen}


def summable(network: Graph) -> dict[str, int]:
    """The layers of a canonical network whose weights may be sums, and how many weights each has.

    What is added to a layer's output before it is rounded is of the layer.
    """
    return _weight_counts(network, depthwise=False)


def widenable(network: Graph) -> dict[str, int]:
    """The same of the layers whose weights may have 16 bits."""
    return _weight_counts(network, depthwise=True)


def _weight_counts(network: Graph, *, depthwise: bool) -> dict[str, int]:
    return {
        layer.node.name: sum(conv.weights.size for conv in (layer.node, *layer.products))
        for layer in layers(network)
        if isinstance(layer.node, graph.Conv) and (depthwise or layer.node.groups == 1)
    }


def _check_sums(network: Graph, options: QuantizerOptions) -> None:
    possible = summable(network)
    for name in options.sums:
        if name not in possible:
            raise DataError(
                f"option sums names '{name}', but only layers that are not depthwise can have sums "
                f"of two values as weights: {', '.join(possible) or 'the network has none'}"
            )


def _check_exact(source: Graph, options: QuantizerOptions) -> None:
    """Refuses options that would change a network which is quantized already."""
    refused = {
        "its weights cannot become sums": options.sums,
        "its weights cannot become weights of 16 bits": options.wide,
        "its feature maps cannot become 16 bits wide": options.wide_activations,
    }
    for text, names in refused.items():
        if names:
            raise ModelError(
                f"the network '{source.name}' is quantized already, and taken over as it is: "
                f"{text}; quantize its float original"
            )


def wide_outputs(network: Graph) -> tuple[str, ...]:
    """The layers of a canonical network whose outputs may have 16 bits.

    They are convolutions, dense layers and averages without a table, of which neither the output
    nor a maximum is made.
    """
    plan = layers(network)
    return tuple(
        layer.node.name
        for layer in plan
        if isinstance(layer.node, graph.Conv | graph.AveragePool)
        and layer.bounds.function is None
        and not _needs_bytes(layer.output, plan)
    )


def _needs_bytes(value: str, plan: tuple[Layer, ...]) -> bool:
    """Whether ``value`` is the network's output or read by a maximum, in whatever shape."""
    readers = [layer for layer in plan if value in layer.inputs]
    return not readers or any(
        isinstance(layer.node, graph.MaxPool)
        or (isinstance(layer.node, graph.Reshape) and _needs_bytes(layer.output, plan))
        for layer in readers
    )


def _with_wide(network: Graph, options: QuantizerOptions) -> QuantizerOptions:
    """The options with the names of all layers in place of "all"; names are checked."""
    weights = _resolved(
        "wide", options.wide, tuple(widenable(network)), "the layers that have weights are"
    )
    outputs = _resolved(
        "wide_activations",
        options.wide_activations,
        wide_outputs(network),
        "the layers whose outputs may have 16 bits, which have no table and of which neither a "
        "maximum nor the network's output is made, are",
    )
    return replace(options, wide=weights, wide_activations=outputs)


def _resolved(
    option: str, names: tuple[str, ...], possible: tuple[str, ...], which: str
) -> tuple[str, ...]:
    if names == (ALL_LAYERS,) and ALL_LAYERS not in possible:
        return possible
    for name in names:
        if name not in possible:
            raise DataError(
                f"option {option} names '{name}', but {which} {', '.join(possible) or 'none'}"
            )
    return names


def _chosen_steps(
    network: Graph,
    samples: NDArray,
    source: Tensor,
    options: QuantizerOptions,
    progress: Progress | None,
) -> tuple[list[tuple[Op, Tensor]], Levels]:
    """The ops, what they write, at the scales that suit the samples, and what weights may be."""
    network, factors = _scaled(network, samples, options)
    levels = _levels(network, samples, source, options, progress)
    steps = [
        (op, _with_gains(state.tensor, factors))
        for _, _, made in _walk(network, samples, source, options, levels, progress)
        for op, state in made
    ]
    return steps, levels


def _levels(
    network: Graph,
    samples: NDArray,
    source: Tensor,
    options: QuantizerOptions,
    progress: Progress | None,
) -> Levels:
    """What the weights of ``network`` may become."""
    if options.weights != "shared16":
        return Levels({"int8": None, "int4": INT4, "pow2": POWERS}[options.weights])
    if progress is not None:
        progress("choosing the values that weights share")
    plain = replace(options, rounding="nearest", weights="int8", sums=())
    walk = _walk(network, samples, source, plain, Levels(), None)
    names = {layer.node.name for layer in layers(network) if isinstance(layer.node, graph.Conv)}
    suited = names.difference(options.sums) or names
    rows = [
        weighted_rows(layer, states, options)
        for layer, states, _ in walk
        if layer.node.name in suited
    ]
    averages = any(isinstance(node, graph.AveragePool) for node in network.nodes)
    residuals = any(layer.residuals for layer in layers(network))
    return Levels(shared_codebook(rows, residuals=residuals, averages=averages))


def _walk(
    network: Graph,
    samples: NDArray,
    source: Tensor,
    options: QuantizerOptions,
    levels: Levels,
    progress: Progress | None,
) -> Iterator[tuple[Layer, States, list[tuple[Op, State]]]]:
    """Each layer, the values before it, and its ops with what they write."""
    real = bounds_of(network, network.input).apply(samples)
    integer = source.quantize(real).astype(np.float32)
    states = {source.name: State(tensor=source, real=real, integer=integer)}
    plan = layers(network)
    for number, layer in enumerate(plan):
        if progress is not None:
            progress(f"quantizing layer {number + 1} of {len(plan)}: {layer.node.name}")
        made = _quantize_layer(layer, states, options, levels)
        yield layer, states, made
        states |= {state.tensor.name: state for _, state in made}
        read = {value for later in plan[number + 1 :] for value in later.inputs}
        states = {name: state for name, state in states.items() if name in read}


def _thinned(samples: NDArray) -> NDArray:
    if len(samples) <= MAX_CALIBRATION_SAMPLES:
        return samples
    chosen = np.linspace(0, len(samples) - 1, MAX_CALIBRATION_SAMPLES).astype(np.int64)
    return samples[chosen]


def _scaled(network: Graph, samples: NDArray, options: QuantizerOptions) -> tuple[Graph, Factors]:
    """The network with its hidden values scaled, as far as ``options`` ask, and the factors."""
    total = {value: np.ones(shape[2]) for value, shape in network.shapes.items()}
    if options.equalization:
        factors = equalization(network, samples)
        network = rescaled(network, factors)
        total = {value: total[value] * factors[value] for value in total}
    if options.range_fill:
        factors = range_fill(network, samples, options)
        network = rescaled(network, factors)
        total = {value: total[value] * factors[value] for value in total}
    return network, total


def _with_gains(tensor: Tensor, factors: Factors) -> Tensor:
    """``tensor``, which knows the factors that its channels have in the program."""
    factor = factors.get(tensor.name)
    if factor is None or (factor == 1.0).all():
        return tensor
    return replace(tensor, channel_gains=tuple((1.0 / factor).tolist()))


def _quantize_layer(
    layer: Layer, states: States, options: QuantizerOptions, levels: Levels
) -> list[tuple[Op, State]]:
    match layer.node:
        case graph.Conv():
            return quantize_conv(layer, states, options, _own(levels, layer.node.name, options))
        case graph.AveragePool() as node:
            return [quantize_average(layer, node, states[node.input], options)]
        case node:
            return [quantize_move(layer, states[node.input])]


def _own(levels: Levels, name: str, options: QuantizerOptions) -> Levels:
    """What the weights of the layer ``name`` may become."""
    if name in options.wide:
        return levels.widened
    return levels.summed if name in options.sums else levels


def _input_tensor(network: Graph, samples: NDArray, options: QuantizerOptions) -> Tensor:
    """The network's own input, on the grid of the options, of the source model, or the samples."""
    bounds = bounds_of(network, network.input)
    shape, grid = network.shapes[network.input], network.grids.get(network.input)
    if options.input_scale is not None:
        grid = Grid(scale=options.input_scale, zero_point=options.input_zero_point, lo=-128, hi=127)
    centred = _averages(network, network.input)
    if grid is not None and not (centred and grid.zero_point):
        return bounded(tensor_of_grid(bounds.output, shape, grid), bounds)
    return bounded(input_tensor(bounds.output, shape, samples, centred=centred), bounds)


def _averages(network: Graph, value: str) -> bool:
    """Whether an average is taken of ``value`` before any convolution."""
    moves = (graph.Clip, graph.MaxPool, graph.Reshape)
    return any(
        isinstance(node, graph.AveragePool)
        or (isinstance(node, moves) and _averages(network, node.output))
        for node in network.consumers(value)
    )
