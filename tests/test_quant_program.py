"""What a program says of itself as a whole."""

import json
from dataclasses import replace

import numpy as np
import pytest
from changed_program import changed_op, changed_tensor

from shiftwork.errors import ProgramError
from shiftwork.quant.program import Program
from shiftwork.sim.example_programs import small_cnn
from shiftwork.sim.program_builder import ProgramBuilder


def test_digests_tell_programs_apart():
    program = small_cnn()
    weights = program.ops[0].weights.copy()
    weights[0, 0, 0, 0] ^= 1
    others = [
        changed_op(program, 0, weights=weights),
        changed_op(program, 0, lo=1),
        changed_tensor(program, 0, gain=0.5),
        replace(program, name="other"),
    ]
    assert len({program.digest, *(other.digest for other in others)}) == 5
    assert small_cnn().digest == program.digest


def test_feature_maps_of_16_bits(tmp_path):
    builder = ProgramBuilder("wide", (1, 2, 2), np.random.default_rng(1))
    builder.conv(3, (1, 1), wide_output=True, shift=2).reshape((2, 1, 3))
    program = builder.conv(2, (2, 1), pad_value=-32768).build()
    hidden = program.tensor("conv0")
    assert (hidden.bytes, hidden.lo, hidden.hi, hidden.wide) == (12, -32768, 32767, True)
    _, hi = program.ops[-1].accumulator_range(program.tensor("reshape1"))
    assert hi.max() > 1 << 20
    path = tmp_path / "net.npz"
    program.save(path)
    assert Program.load(path).digest == program.digest
    with np.load(path) as archive:
        assert json.loads(archive["program"].tobytes())["version"] == 4
    with pytest.raises(ProgramError, match="pad_value -32769 does not fit 'reshape1'"):
        changed_op(program, 2, pad_value=-32769)
    with pytest.raises(ProgramError, match="op 'reshape1' must keep size and range of its input"):
        changed_tensor(program, 2, bits=8, lo=-128, hi=127)
