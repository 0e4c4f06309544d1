"""Quantization to the weights of a codebook, over whole networks."""

from collections.abc import Sequence

import numpy as np
import pytest

from shiftwork.boards.accelerator import Accelerator
from shiftwork.errors import DataError, ModelError
from shiftwork.hw.config import ArrayShape
from shiftwork.hw.schedule import make_schedule
from shiftwork.quant import float_executor
from shiftwork.quant.canonical import canonical
from shiftwork.quant.codebook import INT4, powers_of_two
from shiftwork.quant.graph import AveragePool, Graph, Grid
from shiftwork.quant.levels import POWERS
from shiftwork.quant.options import QuantizerOptions, Weights
from shiftwork.quant.program import Program
from shiftwork.quant.program_ops import Conv, Product, Residual
from shiftwork.quant.quantizer import quantize, summable
from shiftwork.sim import golden
from shiftwork.sim.executor import simulate

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


def test_a_network_that_is_quantized_already_has_no_sums(float_network):
    net = float_network((1, 1, 2))
    out = net.conv("x", 2, (1, 1), weights=[[[[1.0, 2.0]]], [[[3.0, 4.0]]]], bias=[0.0, 0.0])
    grid = Grid(scale=1.0, zero_point=0, lo=-128, hi=127)
    options = QuantizerOptions(weights="int4", sums=(net.nodes[0].name,))
    with pytest.raises(ModelError, match=r"already, .* cannot become sums; quantize its float"):
        quantize(net.build(grids={"x": grid, out: grid}), net.samples(3), options)


def test_layers_that_may_have_sums(network):
    graph = network.build()
    found = summable(canonical(graph))
    depthwise = [op.name for op in quantized(network).ops if getattr(op, "groups", 1) > 1]
    assert depthwise
    assert not set(depthwise) & set(found)
    # The shortcut of the second block is of the layer that it is added to.
    assert list(found.values()) == [8 * 27, 8 * 8, 12 * 72 + 12 * 8, 12 * 5]


def quantized(network, **options) -> Program:
    return quantize(network.build(), network.samples(60), QuantizerOptions(**options))


@pytest.mark.parametrize("rounding", ["compensated", "nearest"])
@pytest.mark.parametrize("weights", FEW)
def test_sums_in_some_layers(network, weights, rounding):
    names = list(summable(canonical(network.build())))
    chosen = (names[0], names[2])
    program = quantized(network, weights=weights, sums=chosen, rounding=rounding)
    single = quantized(network, weights=weights, rounding=rounding)
    assert program.info["sums"] == ", ".join(chosen)
    assert "sums" not in single.info
    assert set(all_weights(program)) <= set(program.codebook)
    for op, plain in zip(program.ops, single.ops, strict=True):
        if not isinstance(op, Conv):
            continue
        inputs = [term.input for term in op.terms if isinstance(term, Product)]
        before = [term.input for term in plain.terms if isinstance(term, Product)]
        assert inputs == ([*before, plain.input, *before] if op.name in chosen else before)


def test_sums_lose_less_than_single_values_and_more_than_int8(network):
    graph, x = network.build(), network.samples(60)
    everywhere = tuple(summable(canonical(graph)))
    found = [
        sqnr(graph, quantized(network, **options), x)
        for options in (
            {},
            {"weights": "shared16", "sums": everywhere},
            {"weights": "shared16", "sums": everywhere[:2]},
            {"weights": "shared16"},
        )
    ]
    assert found == sorted(found, reverse=True)
    assert found[1] > found[3] + 3.0


def test_sums_fill_no_accumulator_beyond_what_is_preferred(network):
    program = quantized(network, weights="shared16", sums=tuple(summable(network.build())))
    assert max(program.accumulator_bits(op) for op in program.ops if isinstance(op, Conv)) <= 24


@pytest.mark.parametrize("engine", ["amaranth", pytest.param("verilator", marks=pytest.mark.slow)])
def test_sums_are_bit_exact_in_hardware(float_network, engine):
    """Every value of every layer, and the cycles: of a border, a residual, a shortcut, a stride."""
    net = float_network((4, 4, 2), seed=4)
    stem = net.relu(net.conv("x", 3, padding=(1, 1, 1, 1)))
    block = net.relu(net.add(net.conv(net.depthwise(stem, (1, 1)), 3, (1, 1)), stem))
    net.add(net.conv(block, 5, stride=(2, 2)), net.conv(block, 5, (1, 1), stride=(4, 4)))
    x = net.samples(20)
    cycles = []
    for sums in ((), tuple(summable(canonical(net.build())))):
        program = quantize(net.build(), x, QuantizerOptions(weights="shared16", sums=sums))
        result = simulate(Accelerator(program, rows=2, columns=4), x[:1], engine=engine)
        assert result.passed, result.text
        assert result.cycles_measured == result.cycles_predicted
        cycles.append(result.cycles_measured)
    assert cycles[1] > 1.3 * cycles[0]


@pytest.mark.parametrize("name", ["depthwise", "none"])
def test_sums_of_what_cannot_have_them(network, name):
    graph = network.build()
    if name == "depthwise":
        name = next(n.name for n in graph.nodes if getattr(n, "groups", 1) > 1)
    first = next(iter(summable(canonical(graph))))
    with pytest.raises(DataError, match=f"names '{name}', but only layers that are not .*{first}"):
        quantized(network, weights="int4", sums=(name,))
