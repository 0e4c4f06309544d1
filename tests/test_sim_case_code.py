"""Cases as Python code: read back they are the same."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from shiftwork.errors import DataError
from shiftwork.hw.config import ArrayShape
from shiftwork.sim import case_code
from shiftwork.sim.network_case import Case
from shiftwork.sim.program_builder import ProgramBuilder
from shiftwork.sim.random_networks import cases

EVERYTHING = (
    ProgramBuilder("all", (4, 5, 2), signed=False, zero_point=3, bounds=(1, 250))
    .conv(3, (2, 2), stride=(2, 1), padding=(1, 0, 0, 1), unsigned=True, pad_value=9, name="a")
    .depthwise((1, 2), dilation=(1, 2), bounds=(-5, 5), shift=4)
    .shortcut("a", (1, 2), stride=(1, 2), padding=(0, 0, 0, 2))
    .table(list(range(128)) * 2)
    .max_pool()
    .at("a")
    .conv(3, (1, 1), shift=[1, 2, 3], unsigned=True)
    .residual("a")
    .table(range(256), unsigned=True)
    .average_pool((1, 1), (1, 1), shift=2, unsigned=True, bounds=(4, 99))
    .table([5] * 256)
    .dense(3, wide_output=True)
    .dense(2, wide=True)
    .shortcut("a", (2, 5), wide=True)
    .dense(2, accumulators=True)
    .top_score(7)
)


def written(case: Case, folder: Path) -> Path:
    path = folder / "case.py"
    path.write_text(case_code.to_python(case, title="Of a test."))
    return path


def test_every_op_is_read_back(tmp_path: Path) -> None:
    shape = ArrayShape(rows=2, columns=4, lanes=2, single_port=True)
    q = np.full((1, 4, 5, 2), 7, np.int32)
    case = Case(program=EVERYTHING.build(), shape=shape, q=q, seed=5, stall_probability=0.0)
    read = case_code.load(written(case, tmp_path))
    assert (read.digest, read.program.digest) == (case.digest, case.program.digest)


def test_an_output_that_is_not_the_last_is_named(tmp_path: Path) -> None:
    builder = ProgramBuilder("net", (1, 1, 2)).dense(1, name="a").at("input").dense(1)
    case = Case(
        program=builder.build("a"),
        shape=ArrayShape(rows=1, columns=1),
        q=np.zeros((1, 1, 1, 2), np.int32),
    )
    path = written(case, tmp_path)
    assert 'builder.build("a")' in path.read_text()
    assert case_code.load(path).program.output == "a"


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(case=cases())
def test_random_cases_are_read_back(tmp_path_factory: pytest.TempPathFactory, case: Case) -> None:
    path = written(case, tmp_path_factory.mktemp("case"))
    assert case_code.load(path).digest == case.digest


def test_code_is_easy_to_read() -> None:
    builder = ProgramBuilder("net", (1, 1, 2)).conv(1, (1, 1), weights=[3, -4], bias=[0], shift=[2])
    case = Case(
        program=builder.build(),
        shape=ArrayShape(rows=1, columns=1),
        q=np.array([[[[5, 6]]]], np.int32),
    )
    lines = case_code.to_python(case, title="Title.").splitlines()
    assert lines[0] == '"""Title."""'
    assert 'builder.conv(1, (1, 1), weights=[3, -4], bias=[0], shift=[2], name="conv0")' in lines
    assert "    shape=ArrayShape(rows=1, columns=1)," in lines


def test_a_file_without_a_case_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "none.py"
    path.write_text("case = 1\n")
    with pytest.raises(DataError, match=r"none\.py defines no 'case'"):
        case_code.load(path)
