"""Quantization with feature maps of 16 bits, over whole networks."""

import numpy as np
import pytest

from shiftwork.boards.accelerator import Accelerator
from shiftwork.errors import DataError, ModelError
from shiftwork.quant import float_executor
from shiftwork.quant.canonical import canonical
from shiftwork.quant.graph import AveragePool, Grid, MaxPool
from shiftwork.quant.options import QuantizerOptions
from shiftwork.quant.program import Program
from shiftwork.quant.program_ops import AveragePool as PooledMean
from shiftwork.quant.program_ops import Conv
from shiftwork.quant.quantizer import quantize, wide_outputs
from shiftwork.sim import golden
from shiftwork.sim.executor import simulate


@pytest.fixture
def network(float_network):
    """A maximum, a residual block with a depthwise layer, an average and a dense layer."""
    net = float_network((8, 8, 3), seed=2)
    stem = net.pool(MaxPool, net.relu(net.conv("x", 8, padding=(1, 1, 1, 1))))
    first = net.relu(net.conv(stem, 8, (1, 1)))
    body = net.conv(net.relu(net.depthwise(first, padding=(1, 1, 1, 1))), 8, (1, 1))
    block = net.relu(net.add(body, first))
    net.conv(net.reshape(net.pool(AveragePool, block, 2), (1, 1, 32)), 5, (1, 1))
    return net


def quantized(network, **options) -> Program:
    return quantize(network.build(), network.samples(60), QuantizerOptions(**options))


def sqnr(network, program: Program, x) -> float:
    real = float_executor.run(network.build(), x)
    found = program.tensor(program.output).dequantize(
        golden.run(program, program.quantize_input(x))
    )
    return float(10 * np.log10((real**2).sum() / ((real - found.reshape(real.shape)) ** 2).sum()))


def convs(program: Program) -> list[Conv]:
    return [op for op in program.ops if isinstance(op, Conv)]


def wide_tensors(program: Program) -> list[str]:
    ops = [op for op in program.ops if isinstance(op, Conv | PooledMean)]
    return [op.name for op in ops if program.tensor(op.output).wide]


def test_layers_whose_outputs_may_have_16_bits(network):
    """Not what a maximum is made of, and not the last one."""
    kinds = ("conv", "average")
    names = [node.name for node in network.nodes if node.name.startswith(kinds)]
    assert list(wide_outputs(canonical(network.build()))) == names[1:-1]


def test_the_outputs_that_are_named_have_16_bits(network):
    names = wide_outputs(canonical(network.build()))
    program = quantized(network, wide_activations=names[1:2])
    assert wide_tensors(program) == [names[1]]
    assert program.info["wide_activations"] == names[1]
    program = quantized(network, wide_activations=("all",))
    assert wide_tensors(program) == list(names)
    assert program.info["wide_activations"] == ", ".join(names)
    assert "wide_activations" not in quantized(network).info
    assert all(program.tensor(op.output).lo == 0 for op in convs(program)[1:-1])


def test_finer_weights_lose_less_and_finer_maps_less_again(network):
    x = network.samples(60)
    found = [
        sqnr(network, quantized(network, wide=wide, wide_activations=maps), x)
        for wide, maps in (((), ()), (("all",), ()), (("all",), ("all",)))
    ]
    assert found == sorted(found)
    assert found[2] > found[0] + 3.0


def test_the_program_is_what_the_quantizer_saw(network):
    """Biases are corrected by the integers that the golden model computes."""
    x = network.samples(60)
    options = QuantizerOptions(wide=("all",), wide_activations=("all",))
    program = quantize(network.build(), x, options)
    real = float_executor.run(network.build(), x)
    found = program.dequantize_output(golden.run(program, program.quantize_input(x)))
    error = (found.reshape(real.shape) - real).mean(axis=(0, 1, 2))
    assert np.abs(error).max() < 1e-3 * np.abs(real).max()


@pytest.mark.parametrize("engine", ["amaranth", pytest.param("verilator", marks=pytest.mark.slow)])
def test_bit_exact_in_hardware(float_network, engine):
    """Every value of every layer, and the cycles: of a border, a residual, a shortcut, a stride."""
    net = float_network((4, 4, 2), seed=4)
    stem = net.relu(net.conv("x", 3, padding=(1, 1, 1, 1)))
    block = net.relu(net.add(net.conv(net.depthwise(stem, (1, 1)), 3, (1, 1)), stem))
    total = net.add(net.conv(block, 4, stride=(2, 2)), net.conv(block, 4, (1, 1), stride=(4, 4)))
    net.conv(total, 3, (1, 1))
    x = net.samples(20)
    for wide in ((), ("all",)):
        options = QuantizerOptions(wide=wide, wide_activations=("all",))
        program = quantize(net.build(), x, options)
        assert len(wide_tensors(program)) == 4
        result = simulate(Accelerator(program, rows=2, columns=4), x[:1], engine=engine)
        assert result.passed, result.text
        assert result.cycles_measured == result.cycles_predicted


@pytest.mark.parametrize("place", [0, -1])
def test_outputs_that_have_8_bits(network, place):
    name = [node.name for node in network.nodes if node.name.startswith("conv")][place]
    with pytest.raises(DataError, match=f"option wide_activations names '{name}', but the layers "):
        quantized(network, wide_activations=(name,))


def test_a_network_that_is_quantized_already_is_taken_over_as_it_is(float_network):
    net = float_network((1, 1, 2))
    out = net.conv("x", 2, (1, 1), weights=[[[[1.0, 2.0]]], [[[3.0, 4.0]]]], bias=[0.0, 0.0])
    net.conv(out, 2, (1, 1), weights=[[[[1.0, 2.0]]], [[[3.0, 4.0]]]], bias=[0.0, 0.0])
    grid = Grid(scale=1.0, zero_point=0, lo=-128, hi=127)
    graph = net.build(grids={"x": grid, out: grid, net.nodes[-1].output: grid})
    with pytest.raises(ModelError, match="its feature maps cannot become 16 bits wide; quantize"):
        quantize(graph, net.samples(3), QuantizerOptions(wide_activations=("all",)))
