import numpy as np
import pytest

from shiftwork.errors import ProgramError
from shiftwork.quant.program_ops import Conv, Product, Residual
from shiftwork.sim import golden
from shiftwork.sim.example_programs import random_inputs
from shiftwork.sim.program_builder import ProgramBuilder


def builder(shape=(6, 5, 3), **options):
    return ProgramBuilder("net", shape, np.random.default_rng(0), **options)


def test_ops_read_the_last_tensor_unless_told_otherwise():
    program = (
        builder()
        .conv(4, (1, 1), name="a")
        .conv(5, (1, 1))
        .max_pool(name="side")
        .at("a")
        .conv(6, (1, 1), name="b")
        .build()
    )
    assert [op.input for op in program.ops] == ["input", "a", "conv1", "a"]
    assert program.output == "b"


def test_a_depthwise_convolution_has_one_plane_of_weights_a_channel():
    program = builder(zero_point=-3).depthwise((3, 2), stride=(2, 1), padding=(1, 0, 1, 1)).build()
    (op,) = program.ops
    assert isinstance(op, Conv)
    assert op.name == "depthwise0"
    assert (op.weights.shape, op.groups, op.pad_value) == ((3, 3, 2, 1), 3, -3)
    assert program.tensor(program.output).shape == (3, 5, 3)


def test_residuals_and_shortcuts_extend_the_last_accumulator():
    shift = np.array([0, 3, 9])
    program = (
        builder(signed=False, zero_point=9)
        .conv(3, padding=(1, 1, 1, 1), name="a")
        .residual("input", shift)
        .shortcut("input", (3, 3), padding=(1, 1, 1, 1))
        .residual("input")
        .build()
    )
    (op,) = program.ops
    assert isinstance(op, Conv)
    assert op.inputs == ("input",) * 4
    first, second, third = op.terms
    assert isinstance(first, Residual) and (first.shift == shift).all()
    assert isinstance(second, Product) and second.weights.shape == (3, 3, 3, 3)
    assert second.pad_value == 9
    assert isinstance(third, Residual) and third.shift.dtype == np.int64
    assert golden.run(program, random_inputs(program, np.random.default_rng(1))).shape[1:] == (
        6,
        5,
        3,
    )


def test_shapes_that_do_not_agree_are_refused():
    with pytest.raises(ProgramError, match="op 'conv0' makes the shape"):
        builder().conv(4).residual("input", np.zeros(4, np.int64)).build()
    with pytest.raises(ProgramError, match="op 'conv0' makes the shape"):
        builder().conv(4).shortcut("input").build()


def test_only_a_convolution_takes_a_residual():
    with pytest.raises(TypeError, match="needs a convolution, not 'max_pool0'"):
        builder().max_pool().residual("input")
