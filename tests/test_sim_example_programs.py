import numpy as np

from shiftwork.quant.program import AveragePool, Conv, MaxPool, Reshape
from shiftwork.sim import golden
from shiftwork.sim.example_programs import dense_net, random_inputs, random_program, small_cnn


def test_random_programs_cover_the_corners():
    programs = [random_program(np.random.default_rng(seed)) for seed in range(200)]
    ops = [(program, op) for program in programs for op in program.ops]
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


def test_every_window_holds_a_pixel():
    for seed in range(200):
        for op in random_program(np.random.default_rng(seed)).ops:
            if not isinstance(op, Reshape):
                top, left, bottom, right = op.padding
                assert max(top, bottom) < op.kernel[0]
                assert max(left, right) < op.kernel[1]


def test_builders_are_deterministic_and_outputs_are_busy():
    for build in (small_cnn, dense_net):
        assert build(seed=3).digest == build(seed=3).digest != build(seed=4).digest
        program = build()
        q = random_inputs(program, np.random.default_rng(0), 20)
        for name, values in golden.trace(program, q).items():
            assert len(np.unique(values)) > 30, name
