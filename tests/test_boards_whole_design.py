"""A routed whole design: which start of the placer counts."""

from fractions import Fraction
from pathlib import Path

import pytest

from shiftwork.boards.board_top import Sources
from shiftwork.boards.pll import PllSetting
from shiftwork.boards.routing import Routed
from shiftwork.boards.whole_design import Attempt


def attempt(*clocks: float) -> Attempt:
    return Attempt(
        setting=PllSetting(mhz=Fraction(30), parameters={}),
        sources=Sources(rtlil="", constraints=""),
        netlist=Path("netlist.json"),
        cells={},
        routed={
            seed: Routed(folder=Path(), record={"fmax": {"clk": {"achieved": clock}}})
            for seed, clock in enumerate(clocks, start=1)
        },
    )


@pytest.mark.parametrize(
    ("clocks", "best", "met"),
    [((30.0,), 1, True), ((29.9996,), 1, False), ((28.0, 41.5, 35.0), 2, True)],
)
def test_the_fastest_start_counts(clocks: tuple[float, ...], best: int, met: bool) -> None:
    made = attempt(*clocks)
    assert (made.best, made.met) == (best, met)


def test_clocks_are_told_by_seed() -> None:
    made = attempt(28.0004, 41.5)
    assert made.seeds == {1: 28.0, 2: 41.5}
    assert made.spread == "seed 1: 28.0, seed 2: 41.5 MHz"
