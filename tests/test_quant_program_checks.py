"""Programs that break a rule are refused, and the message says which rule."""

from dataclasses import replace

import numpy as np
import pytest
from changed_program import changed_op, changed_tensor

from shiftwork.errors import ProgramError
from shiftwork.quant.program_ops import Conv, Reshape, Residual
from shiftwork.sim.example_programs import small_cnn
from shiftwork.sim.program_builder import ProgramBuilder


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda p: changed_op(p, 0, weights=p.ops[0].weights.astype(np.int32)),
            r"op 'conv0': weights must be int8 or int16 \[O, kh, kw, I\]",
        ),
        (
            lambda p: changed_op(p, 0, weights=np.full((6, 3, 3, 1), 32640, np.int16)),
            r"op 'conv0': weights of 16 bits must be -32768\.\.32639, .* base 256, not 32640",
        ),
        (
            lambda p: changed_op(p, 0, weights=np.zeros((6, 3, 3, 2), np.int8)),
            "op 'conv0' has weights for 2 input channels, but 'input' has 1",
        ),
        (
            lambda p: changed_op(p, 0, bias=np.zeros(5, np.int64)),
            r"op 'conv0': bias must be int64 of shape \(6,\), not int64 \(5,\)",
        ),
        (
            lambda p: changed_op(p, 0, shift=np.zeros(6, np.int32)),
            r"shift must be int64 of shape \(6,\), not int32 \(6,\)",
        ),
        (
            lambda p: changed_op(p, 0, shift=np.array([0, 1, 2, 32, 4, 5])),
            r"op 'conv0': shifts must be 0\.\.31, not 0\.\.32",
        ),
        (
            lambda p: changed_op(p, 0, shift=np.full(6, -1)),
            r"op 'conv0': shifts must be 0\.\.31, not -1\.\.-1",
        ),
        (
            lambda p: changed_op(p, 0, bias=np.full(6, 1 << 33)),
            "op 'conv0' needs 35 accumulator bits; at most 32",
        ),
        (
            lambda p: changed_op(p, 0, stride=(2, 1)),
            r"op 'conv0' makes the shape \(6, 12, 6\), not \(12, 12, 6\)",
        ),
        (
            lambda p: changed_op(p, 0, lo=-1),
            r"op 'conv0' clips to -1\.\.255, outside of 'conv0' \(0\.\.255\)",
        ),
        (
            lambda p: changed_op(p, 0, pad_value=256),
            "op 'conv0': pad_value 256 does not fit 'input'",
        ),
        (
            lambda p: changed_op(p, 0, accumulators=True),
            "op 'conv0': only the last op may return its accumulators, in a 32-bit tensor",
        ),
        (
            lambda p: changed_op(p, 5, accumulators=False),
            "op 'conv5': only the last op may return its accumulators",
        ),
        (
            lambda p: changed_op(p, 1, stride=(1, 1)),
            r"op 'max_pool1' makes the shape \(11, 11, 6\), not \(6, 6, 6\)",
        ),
        (
            lambda p: changed_tensor(p, 2, hi=100),
            "op 'max_pool1' must keep the range of its input",
        ),
        (
            lambda p: changed_tensor(p, 5, shape=(1, 1, 80)),
            "op 'reshape4' must keep size and range of its input",
        ),
        (
            lambda p: changed_op(p, 1, input="nowhere"),
            "op 'max_pool1' names the tensor 'nowhere', which does not exist",
        ),
        (
            lambda p: changed_op(p, 1, input="conv2"),
            "op 'max_pool1' reads 'conv2' before it is written",
        ),
        (
            lambda p: replace(p, ops=(p.ops[0], *p.ops)),
            "op 'conv0' writes 'conv0' a second time",
        ),
        (
            lambda p: replace(p, ops=p.ops[:-1]),
            "the output 'conv5' is written by no op",
        ),
        (
            lambda p: replace(p, output="nowhere"),
            "the program names the tensor 'nowhere', which does not exist",
        ),
        (
            lambda p: changed_tensor(p, 1, name="input"),
            "tensor names must be unique",
        ),
        (
            lambda p: changed_tensor(p, 0, lo=-1),
            r"tensor 'input': its range must lie in 0\.\.255, not -1\.\.255",
        ),
        (
            lambda p: changed_tensor(p, 0, bits=16),
            "tensor 'input': bits must be 8, 32, or 16 with a sign, not 16",
        ),
        (
            lambda p: changed_tensor(p, 0, bits=16, signed=True),
            "tensor 'input' has 16 bits, which what streams in or out cannot have",
        ),
        (
            lambda p: changed_tensor(p, 1, bits=16, signed=True),
            "op 'max_pool1' reads 'conv0', which has 16 bits: a MaxPool compares bytes or acc",
        ),
        (
            lambda p: changed_tensor(p, 3, bits=16, signed=True, hi=32768),
            r"tensor 'conv2': its range must lie in -32768\.\.32767, not 0\.\.32768",
        ),
        (
            lambda p: changed_tensor(p, 0, shape=(12, 12)),
            r"tensor 'input': the shape \(12, 12\) is not \(H, W, C\)",
        ),
        (
            lambda p: changed_tensor(p, 6, channel_exponents=(1, 2)),
            "tensor 'conv5' needs one exponent for each channel",
        ),
    ],
)
def test_verify_says_what_is_wrong_and_where(change, message):
    with pytest.raises(ProgramError, match=message):
        change(small_cnn())


def test_nothing_reads_accumulators():
    program = small_cnn()
    raw = program.tensors[-1]
    extra = Reshape(name="more", input=raw.name, output="z")
    with pytest.raises(ProgramError, match="op 'conv5': only the last op may return"):
        replace(
            program,
            tensors=(*program.tensors, replace(raw, name="z")),
            ops=(*program.ops, extra),
            output="z",
        )


def test_a_group_count_between_one_and_all_is_refused(program_with_terms):
    program = program_with_terms
    depthwise = program.ops[0]
    assert isinstance(depthwise, Conv)
    bad = replace(depthwise, groups=2, weights=np.zeros((4, 3, 3, 2), np.int8))
    with pytest.raises(ProgramError, match=r"'depthwise': groups must be 1, or equal the channels"):
        replace(program, ops=(bad, *program.ops[1:]))


def test_a_residual_of_another_shape_is_refused(program_with_terms):
    program = program_with_terms
    last = program.ops[2]
    assert isinstance(last, Conv)
    bad = replace(last, terms=(Residual(input="d", shift=np.zeros(4, np.int64)),))
    with pytest.raises(ProgramError, match=r"op 'sum' makes the shape \(6, 6, 4\), not"):
        replace(program, ops=(*program.ops[:2], bad))


def test_the_input_in_another_shape_is_no_output():
    builder = ProgramBuilder("net", (1, 2, 2)).conv(3, (1, 1)).at("input").reshape((1, 1, 4))
    message = "no layer that computes anything: its output 'reshape1' is its input 'input' in"
    with pytest.raises(ProgramError, match=message):
        builder.build()


def test_what_shares_the_output_s_bytes_is_read_by_no_op():
    """The output has two buffers; an op that reads it would have to know which one is in use."""
    builder = ProgramBuilder("net", (1, 2, 2)).conv(3, (1, 1), name="map").conv(2, (1, 1))
    message = "op 'conv1' reads 'map', which is the program's output 'flat' in another shape"
    with pytest.raises(ProgramError, match=message):
        builder.at("map").reshape((1, 1, 6), name="flat").build()


def test_an_output_may_be_reshaped_more_than_once():
    builder = ProgramBuilder("net", (1, 2, 2)).conv(3, (1, 1)).reshape((1, 1, 6)).reshape((6, 1, 1))
    assert builder.build().tensor("reshape2").shape == (6, 1, 1)
