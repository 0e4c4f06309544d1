"""Quantization to the weights of a codebook, over whole networks."""

from collections.abc import Sequence

import numpy as np
import pytest

from shiftwork.errors import ModelError
from shiftwork.hw.config import ArrayShape
from shiftwork.hw.schedule import make_schedule
from shiftwork.quant import float_executor
from shiftwork.quant.codebook import INT4, powers_of_two
from shiftwork.quant.graph import AveragePool, Graph, Grid
from shiftwork.quant.levels import POWERS
from shiftwork.quant.options import QuantizerOptions, Weights
from shiftwork.quant.program import Conv, Product, Program, Residual
from shiftwork.quant.quantizer import quantize
from shiftwork.sim import golden

FEW: Sequence[Weights] = ("int4", "shared16", "pow2")


@pytest.fixture
def network(float_network):
    """A residual block with a shortcut, a depthwise layer, an average and a dense layer."""
    net = float_network((8, 8, 3), seed=2)
    stem = net.relu(net.conv("x", 8, padding=(1, 1, 1, 1)))
    body = net.conv(net.relu(net.depthwise(stem, padding=(1, 1, 1, 1))), 8, (1, 1))
    block = net.relu(net.add(body, stem))
    wide = net.conv(block, 12, padding=(1, 1, 1, 1), stride=(2, 2))
    other = net.relu(net.add(wide, net.conv(block, 12, (1, 1), stride=(2, 2))))
    net.conv(net.pool(AveragePool, other, 4), 5, (1, 1))
    return net


def sqnr(graph: Graph, program: Program, x) -> float:
    real = float_executor.run(graph, x)
    found = program.tensor(program.output).dequantize(
        golden.run(program, program.quantize_input(x))
    )
    return float(10 * np.log10((real**2).sum() / ((real - found.reshape(real.shape)) ** 2).sum()))


def all_weights(program: Program):
    convs = [op for op in program.ops if isinstance(op, Conv)]
    products = [t for op in convs for t in op.terms if isinstance(t, Product)]
    return np.concatenate([part.weights.reshape(-1) for part in (*convs, *products)])


@pytest.mark.parametrize("rounding", ["compensated", "nearest"])
@pytest.mark.parametrize("weights", FEW)
def test_every_weight_is_of_the_codebook(network, weights, rounding):
    options = QuantizerOptions(weights=weights, rounding=rounding)
    program = quantize(network.build(), network.samples(40), options)
    assert program.info["weights"] == weights
    assert program.codebook == {"int4": INT4, "pow2": POWERS}.get(weights, program.codebook)
    assert program.codebook is not None
    assert set(all_weights(program)) <= set(program.codebook)
    terms = [t for op in program.ops if isinstance(op, Conv) for t in op.terms]
    assert {type(term) for term in terms} == {Product, Residual}
    assert make_schedule(program, ArrayShape(rows=2, columns=4)).config.codebook


def test_more_values_and_compensation_lose_less(network):
    graph, x = network.build(), network.samples(60)
    found = {}
    for weights in ("int8", *FEW):
        for rounding in ("compensated", "nearest"):
            options = QuantizerOptions(weights=weights, rounding=rounding)
            found[weights, rounding] = sqnr(graph, quantize(graph, x, options), x)
        assert found[weights, "compensated"] > found[weights, "nearest"]
    best = [found[weights, "compensated"] for weights in ("int8", "shared16", "int4", "pow2")]
    assert best == sorted(best, reverse=True)
    assert best[1] > 20.0


def test_int8_leaves_no_trace(network):
    program = quantize(network.build(), network.samples(5))
    assert program.codebook is None
    assert "weights" not in program.info


def test_shared_values_of_a_network_without_residuals(float_network):
    net = float_network((6, 6, 2))
    net.pool(AveragePool, net.relu(net.conv("x", 8)), 4)
    program = quantize(net.build(), net.samples(20), QuantizerOptions(weights="shared16"))
    assert len(program.codebook) == 16
    assert 1 not in program.codebook
    assert powers_of_two(program.codebook)


@pytest.mark.parametrize("weights", FEW)
def test_a_value_finer_than_the_accumulators_is_copied(float_network, weights):
    """The copy's weights are of the codebook too."""
    net = float_network((4, 4, 2), seed=1)
    large = net.conv("x", 4, (1, 1), weights=200.0 * np.ones((4, 1, 1, 2)))
    small = net.conv("x", 4, (1, 1), weights=0.01 * np.ones((4, 1, 1, 2)))
    doubled = net.relu(small)
    net.add(net.conv(large, 4, (1, 1)), doubled)
    options = QuantizerOptions(weights=weights, equalization=False, range_fill=False)
    program = quantize(net.build(), net.samples(20), options)
    copies = [op for op in program.ops if op.name.endswith(doubled)]
    assert len(copies) == 1
    assert set(all_weights(program)) <= set(program.codebook)


@pytest.mark.parametrize("weights", FEW)
def test_a_network_that_is_quantized_already_keeps_its_weights(float_network, weights):
    net = float_network((1, 1, 2))
    out = net.conv("x", 2, (1, 1), weights=[[[[1.0, 2.0]]], [[[3.0, 4.0]]]], bias=[0.0, 0.0])
    grid = Grid(scale=1.0, zero_point=0, lo=-128, hi=127)
    graph = net.build(grids={"x": grid, out: grid})
    plain = quantize(graph, net.samples(3))
    assert plain.codebook is None
    if weights == "int4":
        coded = quantize(graph, net.samples(3), QuantizerOptions(weights=weights))
        assert coded.codebook == tuple(range(-8, 8))
        assert all_weights(coded).tolist() == all_weights(plain).tolist() == [1, 2, 3, 4]
        return
    with pytest.raises(ModelError, match=f"already, .* cannot become {weights}; quantize"):
        quantize(graph, net.samples(3), QuantizerOptions(weights=weights))
