"""What the coverage table says of a case."""

import numpy as np
import pytest

from shiftwork.hw.config import ArrayShape
from shiftwork.sim.network_case import Case
from shiftwork.sim.network_features import KINDS, TABLE, empty_cells, features, table_text
from shiftwork.sim.program_builder import ProgramBuilder

PLAIN = ArrayShape(rows=1, columns=2)


def case(builder: ProgramBuilder, shape: ArrayShape = PLAIN, value: int = 1) -> Case:
    program = builder.build()
    q = np.full((1, *program.tensor("input").shape), value, np.int32)
    return Case(program=program, shape=shape, q=q)


def start(*shape: int, **settings) -> ProgramBuilder:
    height, width, channels = shape
    return ProgramBuilder("net", (height, width, channels), **settings)


def tabled() -> ProgramBuilder:
    """Two tables, one of them twice, and layers without."""
    builder = start(4, 4, 2).conv(2, (2, 2), bounds=(-9, 3)).table(range(256), unsigned=True)
    builder.max_pool((1, 1), (1, 1)).average_pool((1, 1), (1, 1), unsigned=True).table([-3] * 256)
    return builder.depthwise((1, 1)).table(range(256), unsigned=True).dense(3)


TABLED = (
    ("Conv", "table"),
    ("Conv", "signed index"),
    ("Conv", "narrow clip"),
    ("Conv", "clipped below"),
    ("Conv", "unsigned values"),
    ("Depthwise", "table that another op has too"),
    ("AveragePool", "several tables"),
    ("AveragePool", "unsigned index"),
    ("AveragePool", "signed values"),
    ("MaxPool", "no table beside others"),
    ("Dense", "no table beside others"),
)


@pytest.mark.parametrize(
    ("builder", "expected"),
    [
        (start(3, 3, 2).conv(2, (2, 2), stride=(2, 1)), ("Conv", "unequal strides")),
        (start(3, 3, 2).conv(2, (2, 2), dilation=(2, 1)), ("Conv", "dilation")),
        (start(2, 2, 2).max_pool((3, 1), (1, 1), (1, 0, 0, 0)), ("MaxPool", "unequal padding")),
        (
            start(2, 2, 2).max_pool((3, 1), (1, 1), (1, 0, 0, 0)),
            ("MaxPool", "kernel larger than the map"),
        ),
        (
            start(2, 2, 2).depthwise((1, 1), padding=(0, 0, 0, 1)),
            ("Depthwise", "window wholly in the border"),
        ),
        (
            start(2, 2, 2).average_pool((2, 2), (1, 1), (1, 0, 0, 0), pad_value=5),
            ("AveragePool", "border not 0"),
        ),
        (start(1, 1, 3).dense(1), ("Dense", "one output")),
        (start(1, 1, 3).dense(3).residual("input", [0, 9, 0]), ("Residual", "shift over 6")),
        (start(1, 1, 3).dense(3, accumulators=True), ("Dense", "accumulators returned")),
        (
            start(1, 1, 3).dense(2, accumulators=True).shortcut("input"),
            ("Product", "accumulators returned"),
        ),
        (start(1, 1, 3).dense(3, wide_output=True).dense(2), ("Dense", "16-bit input")),
        (start(1, 1, 3).dense(3, wide_output=True).dense(2), ("Dense", "16-bit output")),
        (start(1, 1, 3).dense(3, wide=True), ("Dense", "weights of 16 bits")),
        (start(1, 1, 3).dense(3).shortcut("input", wide=True), ("Product", "weights of 16 bits")),
        (
            start(1, 1, 3).dense(3, wide=True).shortcut("input"),
            ("Product", "beside weights of 16 bits"),
        ),
        (
            start(1, 1, 3).dense(3, wide=True).residual("input", [8, 9, 8]),
            ("Residual", "before weights' second digits"),
        ),
        (start(2, 1, 3).reshape((1, 1, 6)).dense(5), ("Reshape", "input of the network")),
        (start(1, 1, 3).dense(3).top_score(), ("Dense", "output of the network")),
        (
            start(1, 1, 3).dense(3, accumulators=True).top_score(),
            ("TopScore", "scores of 32 bits"),
        ),
        (start(1, 1, 3).dense(1).top_score(), ("TopScore", "first class")),
        (start(1, 1, 3).dense(5), ("Dense", "several groups of channels")),
        (start(1, 1, 2).dense(1), ("Dense", "more columns than channels")),
        (start(1, 1, 2, signed=False).dense(1), ("Dense", "unsigned input")),
        (
            start(1, 1, 2).dense(1, name="a").at("input").dense(1),
            ("Dense", "output that nothing reads"),
        ),
        *((tabled(), (kind, name)) for kind, name in TABLED),
    ],
    ids=lambda value: ", ".join(value) if isinstance(value, tuple) else "",
)
def test_features(builder: ProgramBuilder, expected: tuple[str, str]) -> None:
    assert expected in features(case(builder))


def test_a_plain_network_has_none_of_the_corners() -> None:
    builder = start(3, 3, 2).conv(2, (2, 2), weights=[1] * 16, bias=[0, 0], shift=1)
    assert features(case(builder)) == {
        ("Conv", name)
        for name in (
            "signed input",
            "signed output",
            "input of the network",
            "output of the network",
            "one row",
            "words of 4 bytes",
            "others",
        )
    }


@pytest.mark.parametrize(
    ("value", "name"),
    [(-128, "all at the least"), (127, "all at the greatest"), (0, "all zero"), (1, "others")],
)
def test_inputs(value: int, name: str) -> None:
    found = features(case(start(1, 1, 3).dense(1), value=value))
    names = {"all at the least", "all at the greatest", "all zero", "others"}
    assert {feature for _, feature in found} & names == {name}


def test_sums_at_their_bound_and_clips() -> None:
    dense = start(1, 1, 2).conv(1, (1, 1), weights=[1, 1], bias=[0], shift=0)
    found = {name for _, name in features(case(dense, value=127))}
    assert {"accumulator at its bound", "clipped above", "shift 0"} <= found
    found = {name for _, name in features(case(dense, value=1))}
    assert not {"accumulator at its bound", "clipped above", "clipped below"} & found


def test_table() -> None:
    counts = {("Conv", "stride"): 7}
    text = table_text(counts)
    (line,) = [line for line in text.splitlines() if line.startswith("| stride |")]
    assert line == "| stride | 7 | - | 0 | 0 | - | 0 | 0 | - | - |"
    assert ("Conv", "stride") not in empty_cells(counts)
    cells = sum(len(kinds) for group in TABLE.values() for kinds in group.values())
    assert len(empty_cells(counts)) == cells - 1
    assert {kind for kind, _ in empty_cells({})} == set(KINDS)
