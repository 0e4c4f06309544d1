"""Quantization to weights of 16 bits in some layers, over whole networks."""

import numpy as np
import pytest

from shiftwork.boards.accelerator import Accelerator
from shiftwork.errors import DataError, ModelError
from shiftwork.quant import float_executor
from shiftwork.quant.canonical import canonical
from shiftwork.quant.graph import AveragePool, Graph, Grid
from shiftwork.quant.options import QuantizerOptions
from shiftwork.quant.program import Program
from shiftwork.quant.program_ops import Conv, Product, Residual
from shiftwork.quant.quantizer import quantize, widenable
from shiftwork.quant.search_bounds import stored_bytes
from shiftwork.sim import golden
from shiftwork.sim.executor import simulate


@pytest.fixture
def network(float_network):
    """A residual block with a shortcut, a depthwise layer, an average and a dense layer."""
    net = float_network((8, 8, 3), seed=2)
    stem = net.relu(net.conv("x", 8, padding=(1, 1, 1, 1)))
    body = net.conv(net.relu(net.depthwise(stem, padding=(1, 1, 1, 1))), 8, (1, 1))
    block = net.relu(net.add(body, stem))
    large = net.conv(block, 12, padding=(1, 1, 1, 1), stride=(2, 2))
    other = net.relu(net.add(large, net.conv(block, 12, (1, 1), stride=(2, 2))))
    net.conv(net.pool(AveragePool, other, 4), 5, (1, 1))
    return net


def quantized(network, **options) -> Program:
    return quantize(network.build(), network.samples(60), QuantizerOptions(**options))


def convs(program: Program) -> list[Conv]:
    return [op for op in program.ops if isinstance(op, Conv)]


def sqnr(graph: Graph, program: Program, x) -> float:
    real = float_executor.run(graph, x)
    found = program.tensor(program.output).dequantize(
        golden.run(program, program.quantize_input(x))
    )
    return float(10 * np.log10((real**2).sum() / ((real - found.reshape(real.shape)) ** 2).sum()))


def layer_sqnr(net, options: QuantizerOptions) -> float:
    """Of a network of one layer, whose input has 8 bits in both."""
    graph, x = net.build(), net.samples(200)
    program = quantize(graph, x, options)
    exact = program.tensor("x").dequantize(program.quantize_input(x)).astype(np.float32)
    return sqnr(graph, program, exact)


def test_layers_that_may_have_16_bits(network):
    """All that have weights; the shortcut is of the layer that it is added to."""
    found = widenable(canonical(network.build()))
    assert list(found.values()) == [8 * 27, 8 * 9, 8 * 8, 12 * 72 + 12 * 8, 12 * 5]


@pytest.mark.parametrize("rounding", ["compensated", "nearest"])
def test_the_layers_that_are_named_have_16_bits(network, rounding):
    names = list(widenable(canonical(network.build())))
    chosen = (names[1], names[3])
    program = quantized(network, wide=chosen, rounding=rounding)
    assert program.info["wide"] == ", ".join(chosen)
    found = {op.name: {weights.dtype.name for weights in op.products} for op in convs(program)}
    assert found == {name: {"int16" if name in chosen else "int8"} for name in names}
    assert "wide" not in quantized(network).info


def test_all_layers(network):
    graph = network.build()
    program = quantized(network, wide=("all",))
    assert all(op.wide for op in convs(program))
    assert program.info["wide"] == ", ".join(widenable(canonical(graph)))
    assert stored_bytes(program) == 2 * stored_bytes(quantized(network))
    assert {type(term) for op in convs(program) for term in op.terms} == {Product, Residual}


def test_weights_are_finer(float_network):
    """Alone, with an input that is exact; two bits less than could be, as 24 bits then hold it."""
    net = float_network((1, 1, 40), seed=1)
    net.conv("x", 6, (1, 1))
    plain, wide = (layer_sqnr(net, QuantizerOptions(wide=wide)) for wide in ((), ("all",)))
    assert wide > plain + 20.0
    assert wide > 65.0


def test_a_network_of_16_bits_loses_less(network):
    graph, x = network.build(), network.samples(60)
    plain, wide = quantized(network), quantized(network, wide=("all",))
    assert sqnr(graph, wide, x) > sqnr(graph, plain, x) + 1.0


def test_accumulators_hold_the_worst_case(float_network):
    """4,000 weights of 16 bits do not fit in 32 bits: the layer's exponent gives way."""
    net = float_network((1, 1, 4000), seed=1)
    net.conv("x", 2, (1, 1), weights=np.ones((2, 1, 1, 4000)) / 64)
    (op,) = convs(
        program := quantize(net.build(), net.samples(20), QuantizerOptions(wide=("all",)))
    )
    assert program.accumulator_bits(op) <= 32
    assert 1 << 11 <= op.weights.max() < 1 << 13


def test_shifts_are_within_what_a_program_may_have(float_network):
    """Weights that are tiny beside the output's step, and a residual that is coarse."""
    net = float_network((4, 4, 2), seed=1)
    stem = net.relu(net.conv("x", 4, (1, 1)))
    tiny = net.conv(stem, 4, (1, 1), weights=1e-7 * np.ones((4, 1, 1, 4)))
    net.relu(net.add(tiny, stem))
    options = QuantizerOptions(wide=("all",), equalization=False, range_fill=False)
    program = quantize(net.build(), net.samples(20), options)
    (last,) = [op for op in convs(program) if op.terms]
    (term,) = last.terms
    assert isinstance(term, Residual)
    assert last.shift.max() <= 23
    assert 8 <= term.shift.min() <= term.shift.max() <= 19


def test_a_residual_finer_than_the_first_digits_is_copied(float_network):
    net = float_network((4, 4, 2), seed=1)
    large = net.conv("x", 4, (1, 1), weights=200.0 * np.ones((4, 1, 1, 2)))
    small = net.relu(net.conv("x", 4, (1, 1), weights=1e-4 * np.ones((4, 1, 1, 2))))
    net.add(net.conv(large, 4, (1, 1)), small)
    options = QuantizerOptions(wide=("all",), equalization=False, range_fill=False)
    program = quantize(net.build(), net.samples(20), options)
    assert len([op for op in program.ops if op.name.endswith(small)]) == 1
    (term,) = next(op for op in convs(program) if op.terms).terms
    assert term.shift.min() == 8


@pytest.mark.parametrize("engine", ["amaranth", pytest.param("verilator", marks=pytest.mark.slow)])
def test_bit_exact_in_hardware(float_network, engine):
    """Every value of every layer, and the cycles: of a border, a residual, a shortcut, a stride."""
    net = float_network((4, 4, 2), seed=4)
    stem = net.relu(net.conv("x", 3, padding=(1, 1, 1, 1)))
    block = net.relu(net.add(net.conv(net.depthwise(stem), 3, padding=(2, 2, 2, 2)), stem))
    net.add(net.conv(block, 5, stride=(2, 2)), net.conv(block, 5, (1, 1), stride=(4, 4)))
    x = net.samples(20)
    names = tuple(widenable(canonical(net.build())))
    cycles = []
    for wide in ((), names[1:3], names):
        program = quantize(net.build(), x, QuantizerOptions(wide=wide))
        result = simulate(Accelerator(program, rows=2, columns=4), x[:1], engine=engine)
        assert result.passed, result.text
        assert result.cycles_measured == result.cycles_predicted
        cycles.append(result.cycles_measured)
    assert cycles == sorted(cycles)
    assert 1.3 * cycles[0] < cycles[2] < 2 * cycles[0]


def test_a_layer_that_is_not_there(network):
    first = next(iter(widenable(canonical(network.build()))))
    with pytest.raises(DataError, match=f"option wide names 'none', but .* weights are {first}, "):
        quantized(network, wide=("none",))


def test_a_network_that_is_quantized_already_keeps_its_weights(float_network):
    net = float_network((1, 1, 2))
    out = net.conv("x", 2, (1, 1), weights=[[[[1.0, 2.0]]], [[[3.0, 4.0]]]], bias=[0.0, 0.0])
    grid = Grid(scale=1.0, zero_point=0, lo=-128, hi=127)
    with pytest.raises(ModelError, match=r"already, .* cannot become weights of 16 bits; quantize"):
        quantize(
            net.build(grids={"x": grid, out: grid}), net.samples(3), QuantizerOptions(wide=("all",))
        )
