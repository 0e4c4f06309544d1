import numpy as np
import pytest

from shiftwork.quant.program_ops import AveragePool, Conv, MaxPool, Product, Reshape, Residual
from shiftwork.sim import golden
from shiftwork.sim.example_programs import (
    CHAIN_KINDS,
    KINDS,
    dense_net,
    depthwise_net,
    random_inputs,
    random_program,
    residual_net,
    small_cnn,
)


def random_programs(count, **options):
    return [random_program(np.random.default_rng(seed), **options) for seed in range(count)]


def convs_of(programs):
    return [(program, op) for program in programs for op in program.ops if isinstance(op, Conv)]


def test_random_programs_cover_the_corners():
    ops = [(program, op) for program in random_programs(200) for op in program.ops]
    convs = [op for _, op in ops if isinstance(op, Conv)]
    pools = [op for _, op in ops if isinstance(op, MaxPool | AveragePool)]
    assert {type(op) for _, op in ops} == {Conv, MaxPool, AveragePool, Reshape}
    assert any(op.pad_value and any(op.padding) for op in convs)
    assert any(op.dilation != (1, 1) for op in convs)
    assert any(op.accumulators for op in convs)
    assert any((op.shift == 0).all() and not op.accumulators for op in convs)
    assert any(len(set(op.shift.tolist())) > 1 for op in convs)
    assert any(any(op.padding) for op in pools)
    assert any(op.stride != op.kernel for op in pools)
    assert {program.tensor(op.output).signed for program, op in ops} == {True, False}


def test_random_programs_cover_depthwise_convolutions():
    programs = random_programs(100)
    depthwise = [(program, op) for program, op in convs_of(programs) if op.groups > 1]
    assert len({id(program) for program, _ in depthwise}) > 40
    assert {program.tensor(op.input).signed for program, op in depthwise} == {True, False}
    assert {max(op.kernel) for _, op in depthwise} == {1, 2, 3, 4, 5}
    assert {max(op.stride) for _, op in depthwise} == {1, 2, 3}
    assert any(op.pad_value and any(op.padding) for _, op in depthwise)
    assert any(op.groups % 2 for _, op in depthwise)
    assert all(op.dilation == (1, 1) for _, op in depthwise)
    assert any(op.terms for _, op in depthwise)


def test_random_programs_cover_residuals_and_shortcuts():
    convs = convs_of(random_programs(200))
    residuals = [(p, op, t) for p, op in convs for t in op.terms if isinstance(t, Residual)]
    products = [(p, op, t) for p, op in convs for t in op.terms if isinstance(t, Product)]
    assert len({id(program) for program, op in convs if op.terms}) > 50
    for found in (residuals, products):
        assert {program.tensor(term.input).signed for program, _, term in found} == {True, False}
        assert any(term.input == op.input for _, op, term in found)
        assert any(term.input == program.input for program, _, term in found)
        assert any(program.tensor(term.input).zero_point for program, _, term in found)
    shifts = np.concatenate([term.shift for _, _, term in residuals])
    assert set(range(10)) < set(shifts.tolist())
    assert np.mean(shifts <= 9) > 0.9
    assert any(len(op.terms) > 1 for _, op in convs)
    assert any(term.kernel == (1, 1) and term.stride != (1, 1) for _, _, term in products)
    assert any(term.kernel == (3, 3) for _, _, term in products)
    assert any(any(term.padding) and term.pad_value for _, _, term in products)
    assert any(op.accumulators and op.terms for _, op in convs)


@pytest.mark.parametrize("kind", sorted(KINDS - CHAIN_KINDS))
def test_kinds_that_are_not_asked_for_do_not_occur(kind):
    depthwise = {"depthwise", "depthwise_residual", "depthwise_shortcut"}
    found = convs_of(random_programs(30, kinds=CHAIN_KINDS | {kind}))
    assert any(op.groups > 1 for _, op in found) == (kind in depthwise)
    terms = {type(term) for _, op in found for term in op.terms}
    assert (Product in terms) <= ("shortcut" in kind or kind == "residual")
    assert (Residual in terms) == ("residual" in kind)
    assert not any(op.terms for _, op in convs_of(random_programs(30, kinds=CHAIN_KINDS)))


def test_accumulators_stay_far_from_their_limit():
    assert max(program.accumulator_bits(op) for program, op in convs_of(random_programs(300))) < 30


def test_every_window_holds_a_pixel():
    for program in random_programs(200):
        for op in program.ops:
            windows = [op, *(t for t in getattr(op, "terms", ()) if isinstance(t, Product))]
            for window in windows:
                if not isinstance(window, Reshape):
                    top, left, bottom, right = window.padding
                    assert max(top, bottom) < window.kernel[0]
                    assert max(left, right) < window.kernel[1]


@pytest.mark.parametrize("build", [small_cnn, dense_net, residual_net, depthwise_net])
def test_builders_are_deterministic_and_outputs_are_busy(build):
    assert build(seed=3).digest == build(seed=3).digest != build(seed=4).digest
    program = build()
    q = random_inputs(program, np.random.default_rng(0), 20)
    for name, values in golden.trace(program, q).items():
        assert len(np.unique(values)) > 20, name


def test_the_named_networks_hold_what_they_show():
    residual, depthwise = residual_net(), depthwise_net()
    terms = [term for op in residual.ops if isinstance(op, Conv) for term in op.terms]
    assert [type(term) for term in terms] == [Residual, Product]
    assert [term.input for term in terms] == ["stem", "block1b"]
    strides = [op.stride for _, op in convs_of([depthwise]) if op.groups > 1]
    assert strides == [(1, 1), (2, 2)]
