from dataclasses import replace

import numpy as np
import pytest

from shiftwork.quant import float_executor, graph
from shiftwork.quant.canonical import canonical
from shiftwork.quant.program_ops import Conv
from shiftwork.quant.quantizer import QuantizerOptions, quantize
from shiftwork.sim import golden
from shiftwork.sim.evaluation import evaluate
from shiftwork.sim.layer_errors import blame, layer_errors


@pytest.fixture
def network(float_network):
    """A residual block, both kinds of pooling, a dense layer."""
    build = float_network((8, 8, 3))
    stem = build.relu(build.conv("x", 6, padding=(1, 1, 1, 1)))
    block = build.relu(build.add(build.conv(stem, 6, padding=(1, 1, 1, 1)), stem))
    pooled = build.pool(graph.AveragePool, build.pool(graph.MaxPool, block))
    build.conv(build.reshape(pooled, (1, 1, 24)), 5, (1, 1))
    return build.build(), build.samples(40), build.samples(90, seed=2)


def decibels(expected, found):
    noise = np.square(found - expected).sum()
    return 10 * np.log10(np.square(expected).sum() / noise)


def traced(program, x):
    integer = golden.trace(program, program.quantize_input(x))
    return {name: program.tensor(name).dequantize(q) for name, q in integer.items()}


def test_a_layer_alone_is_compared_on_its_own_inputs(network):
    source, calibration, x = network
    program, chain = quantize(source, calibration), canonical(source)
    found = {error.name: error for error in layer_errors(source, program, x)}
    restored = traced(program, x)
    convs = [node for node in chain.nodes if isinstance(node, graph.Conv)]
    stem = np.maximum(float_executor.execute(convs[0], restored["x"]), 0)
    (first,) = [op for op in program.ops if op.name == convs[0].name]
    assert found[first.name].alone_db == pytest.approx(decibels(stem, restored[first.output]))
    block = float_executor.execute(convs[1], restored[first.output]) + restored[first.output]
    (second,) = [op for op in program.ops if op.name == convs[1].name]
    own = decibels(np.maximum(block, 0), restored[second.output])
    assert found[second.name].alone_db == pytest.approx(own)
    totals = {layer.name: layer.sqnr_db for layer in evaluate(source, program, x).layers}
    assert found[first.name].alone_db > totals[first.name]
    assert found[second.name].alone_db > totals[second.name]


def test_the_worst_channel_has_the_least_ratio(network):
    source, calibration, x = network
    program = quantize(source, calibration)
    last = layer_errors(source, program, x)[-1]
    chain, restored = canonical(source), traced(program, x)
    expected = float_executor.execute(chain.nodes[-1], restored[program.ops[-1].input])
    found = restored[program.output]
    ratios = [decibels(expected[..., c], found[..., c]) for c in range(5)]
    assert last.worst_channel == int(np.argmin(ratios))
    assert last.worst_channel_db == pytest.approx(min(ratios), abs=1e-6)


def test_moves_are_exact_and_have_no_effect(network):
    source, calibration, x = network
    (pool,) = [
        error
        for error in layer_errors(source, quantize(source, calibration), x)
        if error.op == "MaxPool"
    ]
    assert (pool.alone_db, pool.effect_db, pool.worst_channel) == (None, None, None)
    assert pool.saturated == 0


def test_the_effect_is_that_of_the_one_error(network):
    source, calibration, x = network
    program, chain = quantize(source, calibration), canonical(source)
    x = x[:16]
    last = layer_errors(source, program, x)[-1]
    real, restored = float_executor.run(chain, x), traced(program, x)
    own = restored[program.output] - float_executor.execute(
        chain.nodes[-1], restored[program.ops[-1].input]
    )
    assert last.effect_db == pytest.approx(decibels(real, real + own), abs=1e-3)


def spoiled(program, name):
    """``program`` with every weight of the op ``name`` off by three."""
    ops = [
        replace(op, weights=np.clip(op.weights.astype(int) + 3, -128, 127).astype(np.int8))
        if isinstance(op, Conv) and op.name == name
        else op
        for op in program.ops
    ]
    return replace(program, ops=tuple(ops))


@pytest.mark.parametrize("index", [0, 1, -1])
def test_the_layer_that_was_spoiled_is_to_blame(network, index):
    source, calibration, x = network
    program = quantize(source, calibration)
    name = [op.name for op in program.ops if isinstance(op, Conv)][index]
    errors = layer_errors(source, spoiled(program, name), x)
    assert blame(errors).startswith(f"{name} costs most: with its error alone the output would")


def test_saturation_is_what_the_type_cuts_off(network):
    source, calibration, x = network
    options = QuantizerOptions(headroom=1.0, scales="max", equalization=False, range_fill=False)
    program = quantize(source, calibration, options)
    loud = layer_errors(source, program, 4 * x)
    assert loud[0].saturated > 0
    assert loud[0].values == 90 * 8 * 8 * 6
    op = program.ops[0]
    q = program.quantize_input(4 * x)
    values = golden.accumulate(op, program.sources(op), (q,)) / 2.0**op.shift
    assert program.tensor(op.output).hi == 255
    assert loud[0].saturated == (np.floor(values + 0.5) > 255).sum()
    assert "of its values saturate" in blame(loud)
    assert loud[-1].saturated == 0  # accumulators have no limit


def test_bounds_of_the_network_are_no_saturation(float_network):
    build = float_network((4, 4, 2))
    build.conv(build.relu(build.conv("x", 4), hi=0.5), 3, (2, 2))
    source = build.build()
    program = quantize(source, build.samples(30))
    assert program.tensor(program.ops[0].output).hi < 255
    assert layer_errors(source, program, build.samples(30))[0].saturated == 0


def test_batches_make_no_difference(network, monkeypatch):
    source, calibration, x = network
    program = quantize(source, calibration)
    whole = layer_errors(source, program, x)
    monkeypatch.setattr("shiftwork.sim.evaluation.BATCH", 20)
    for first, second in zip(whole, layer_errors(source, program, x), strict=True):
        assert (first.saturated, first.values) == (second.saturated, second.values)
        assert first.alone_db == pytest.approx(second.alone_db)
        assert first.effect_db == pytest.approx(second.effect_db, abs=1e-3)
