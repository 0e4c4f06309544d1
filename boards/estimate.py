"""What a design takes and how fast it is on a board, estimated before synthesis.

Block RAMs, multipliers and single-port RAMs are exact. Lookup tables, flip-flops and clock are
sums of the terms of ``estimate_terms.py`` times the fitted coefficients of
``estimate_coefficients.py``. ``docs/estimates.md`` has their errors against place and route.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from shiftwork.boards import resources
from shiftwork.boards.board import Board
from shiftwork.boards.estimate_coefficients import COEFFICIENTS, WORST_LUT_ERROR
from shiftwork.boards.estimate_terms import (
    EXACT_SHIFTS,
    LANES_WITH_TABLES,
    SHIFT_EXPONENTS,
    SHIFTS,
    SOFT_PRODUCTS,
    Terms,
    area_terms,
    clock_terms,
)
from shiftwork.hw.config import ArrayConfig, Family

NS_PER_US = 1000.0


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """A family whose designs were not measured one by one, and the one that it resembles.

    Attributes:
        family: whose coefficients are taken.
        lut, period: what its lookup tables and its clock period are multiplied by.
        worst_lut_error: of the lookup tables, as a bound.
    """

    family: Family
    lut: float
    period: float
    worst_lut_error: float


LIKENESSES: dict[Family, Likeness] = {
    "ice40hx": Likeness(family="ice40up", lut=1.0, period=0.6, worst_lut_error=0.25),
    "gowin": Likeness(family="ecp5", lut=0.9, period=1.4, worst_lut_error=0.25),
}
"""From single routed designs."""


SOFT_PRODUCT_LUT = 190.0
"""Of a product of lookup tables with its registers, on iCE40. From single synthesized designs: none
of those that the coefficients are fitted to has such products."""
SHIFT_LUT = {SHIFTS: -30.0, SHIFT_EXPONENTS: 6.0, EXACT_SHIFTS: 24.0}
"""What an element takes more, or less, than one whose product is that of a multiplier block, on
iCE40. From synthesized arrays (docs/compression.md): none of the designs that the coefficients are
fitted to shifts."""


TABLE_LUT: dict[Family, float] = {"ice40up": 40.0, "ecp5": 4.0}
TABLE_FF = 30.0
"""Of the tables behind a lane's requantizer; on iCE40 most of the registers fill logic cells of
their own. From single synthesized designs, as above."""


@dataclass(frozen=True, kw_only=True)
class Coefficients:
    """Of one family.

    Attributes:
        lut, ff: for each block, of each term.
        period_ns: of each term of the clock's period.
    """

    lut: Mapping[str, Mapping[str, float]]
    ff: Mapping[str, Mapping[str, float]]
    period_ns: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A design before synthesis.

    Attributes:
        lut: logic cells as nextpnr packs them on iCE40, lookup tables on ECP5.
        ff: flip-flops.
        bram, dsp, spram: block RAMs, multiplier blocks and single-port RAMs; exact if the ROMs'
            contents are known.
        fmax_mhz: greatest clock frequency.
        blocks: lookup tables of each block.
    """

    lut: int
    ff: int
    bram: int
    dsp: int
    spram: int
    fmax_mhz: float
    blocks: dict[str, int]

    def latency_us(self, cycles: int) -> float:
        """Microseconds of so many cycles at ``fmax_mhz``."""
        return cycles / self.fmax_mhz


def estimate(
    config: ArrayConfig,
    board: Board,
    *,
    contents: resources.Contents | None = None,
    coefficients: Coefficients | None = None,
) -> Estimate:
    """The estimate of a design; it takes well under a millisecond.

    Args:
        config: of the design.
        board: where it is to run.
        contents: of the ROMs; without them the block RAMs may be a little too many.
        coefficients: other than the published ones of the board's family.
    """
    like = LIKENESSES.get(board.family)
    family = like.family if like else board.family
    chosen = coefficients or Coefficients(**COEFFICIENTS[family])
    terms = area_terms(config, board)
    blocks = {name: _sum(part, chosen.lut.get(name, {})) for name, part in terms.items()}
    if not chosen.lut.get("array", {}).get(SOFT_PRODUCTS):
        blocks["array"] += SOFT_PRODUCT_LUT * terms["array"][SOFT_PRODUCTS]
    lanes_with_tables = terms.get("tables", {}).get(LANES_WITH_TABLES, 0.0)
    if lanes_with_tables:
        blocks["tables"] = TABLE_LUT[family] * lanes_with_tables
    blocks["array"] += _sum(terms["array"], SHIFT_LUT)
    if like:
        blocks = {name: value * like.lut for name, value in blocks.items()}
    lut = sum(blocks.values())
    ff = sum(_sum(part, chosen.ff.get(name, {})) for name, part in terms.items())
    ff += TABLE_FF * lanes_with_tables
    period_ns = _sum(clock_terms(config, board, lut=lut), chosen.period_ns)
    return Estimate(
        lut=round(lut),
        ff=round(ff),
        bram=resources.block_rams(config, board, contents),
        dsp=resources.multipliers(config, board),
        spram=resources.single_port_rams(config, board),
        fmax_mhz=NS_PER_US / (period_ns * (like.period if like else 1.0)),
        blocks={name: round(value) for name, value in blocks.items()},
    )


def least_lut(estimated: Estimate, board: Board) -> int:
    """What the design takes at least, if the estimate errs as much as it ever did in the docs."""
    like = LIKENESSES.get(board.family)
    worst = like.worst_lut_error if like else WORST_LUT_ERROR[board.family]
    return int(estimated.lut / (1 + worst))


def _sum(terms: Terms, coefficients: Mapping[str, float]) -> float:
    return sum(coefficients.get(name, 0.0) * value for name, value in terms.items())
