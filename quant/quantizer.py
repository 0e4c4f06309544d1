"""The quantizer: a float graph and calibration inputs become an integer program.

``docs/numerics.md`` gives the rules and the reasons.
"""

from collections.abc import Iterator
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from shiftwork.errors import ModelError
from shiftwork.quant import graph
from shiftwork.quant.calibration import check_samples
from shiftwork.quant.chain import canonical
from shiftwork.quant.graph import Graph, Shape
from shiftwork.quant.layers import Bounds, Layer, State, bounded, quantize_layer
from shiftwork.quant.options import QuantizerOptions
from shiftwork.quant.program import Program, Tensor
from shiftwork.quant.scales import half_up

__all__ = ["QuantizerOptions", "input_tensor", "quantize"]

MAX_CALIBRATION_SAMPLES = 1000


def quantize(
    source: Graph, calibration: NDArray, options: QuantizerOptions | None = None
) -> Program:
    """Quantizes ``source`` to shift-only int8.

    Args:
        source: the float network.
        calibration: samples ``[N, ...]`` in the source model's layout and units. Of more than
            1,000, that many are used, evenly spaced.
        options: see :class:`QuantizerOptions`.

    Raises:
        ModelError: if the network has a form that shift-only arithmetic cannot express.
        DataError: if the calibration samples do not fit the network.
    """
    options = options or QuantizerOptions()
    chain = canonical(source)
    layers = list(_layers(chain))
    if not layers:
        raise ModelError(f"the network '{source.name}' has no layer to compute")
    samples = chain.input_layout.to_nhwc(
        _thinned(check_samples(calibration, name="calibration data")),
        chain.shapes[chain.input],
        "calibration data",
    )
    state = _input_state(chain, samples)
    tensors, ops = [state.tensor], []
    for layer in layers:
        op, state = quantize_layer(layer, state, options)
        tensors.append(state.tensor)
        ops.append(op)
    return Program(
        name=source.name,
        tensors=tuple(tensors),
        ops=tuple(ops),
        input=tensors[0].name,
        output=tensors[-1].name,
        input_layout=chain.input_layout,
        output_layout=chain.output_layout,
        dropped=chain.dropped,
        info={key: str(value) for key, value in asdict(options).items()},
    )


def _thinned(samples: NDArray) -> NDArray:
    if len(samples) <= MAX_CALIBRATION_SAMPLES:
        return samples
    chosen = np.linspace(0, len(samples) - 1, MAX_CALIBRATION_SAMPLES).astype(np.int64)
    return samples[chosen]


def _layers(chain: Graph) -> Iterator[Layer]:
    """Every node but the Clips, which become the bounds of the value before them."""
    for node in chain.nodes:
        if not isinstance(node, graph.Clip):
            bounds = _bounds(chain, node.output)
            last = bounds.output == chain.output
            yield Layer(node=node, bounds=bounds, shape=chain.shapes[node.output], last=last)


def _bounds(chain: Graph, value: str) -> Bounds:
    """The bounds of ``value``, by the Clip that reads it."""
    for node in chain.consumers(value):
        if isinstance(node, graph.Clip):
            return Bounds(output=node.output, lo=node.lo, hi=node.hi)
    return Bounds(output=value)


def _input_state(chain: Graph, samples: NDArray) -> State:
    """The network's own input, on the grid of the samples."""
    bounds = _bounds(chain, chain.input)
    first = next((n for n in chain.nodes if isinstance(n, graph.Conv | graph.AveragePool)), None)
    centred = isinstance(first, graph.AveragePool)
    grid = input_tensor(bounds.output, chain.shapes[chain.input], samples, centred=centred)
    tensor, real = bounded(grid, bounds), bounds.apply(samples)
    return State(tensor=tensor, real=real, integer=tensor.quantize(real).astype(np.float32))


def input_tensor(name: str, shape: Shape, samples: NDArray, *, centred: bool = False) -> Tensor:
    """The integer grid of the network's input.

    Whole numbers inside 0..255 or -128..127 stay as they are. Anything else gets a real scale and
    a zero point that reach from the least to the greatest sample (and 0); with ``centred`` the
    zero point is 0, as average pooling needs it.
    """
    least, greatest = min(float(samples.min()), 0.0), max(float(samples.max()), 0.0)
    if np.array_equal(samples, np.floor(samples)):
        if least >= 0 and greatest <= 255:
            return Tensor(name=name, shape=shape, lo=0, hi=255, signed=False)
        if least >= -128 and greatest <= 127:
            return Tensor(name=name, shape=shape)
    if centred:
        return Tensor(name=name, shape=shape, gain=max(greatest / 127, -least / 128))
    gain = (greatest - least) / 255
    return Tensor(name=name, shape=shape, gain=gain, zero_point=int(half_up(-128 - least / gain)))
