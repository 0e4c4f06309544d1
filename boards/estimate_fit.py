"""Fits the coefficients of the estimates to measured designs.

Least squares of relative errors with coefficients that are not negative: a wider register never
makes a design smaller. A weak pull towards a prior keeps those in bounds that few designs tell.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from shiftwork.boards.estimate import NS_PER_US, Coefficients, estimate
from shiftwork.boards.estimate_terms import REGISTERS, Terms, area_terms, clock_terms
from shiftwork.boards.registry import find
from shiftwork.boards.resources import Contents
from shiftwork.hw.config import ArrayConfig, ArrayShape, Family

Term = TypeVar("Term", str, tuple[str, str])
Matrix = NDArray[np.float64]
AREA_PULL = 3e-2
CLOCK_PULL = 3e-2
DATA_PATH = ("array", "fetch", "memory")
"""Synthesis moves logic across their borders, so that only their sum can be told."""
LUT_PRIOR: dict[tuple[str, str], float] = {
    ("array", "accumulators' bits"): 2.0,
    ("array", "products of lookup tables"): 90.0,
    ("array", "broadcast operands"): 1.0,
    ("array", "parts of weight ROMs"): 0.7,
    ("fetch", "segments"): 100.0,
    ("fetch", "positions"): 3.0,
    ("fetch", "rows' positions"): 1.0,
    ("fetch", "masks"): 2.0,
    ("fetch", "word"): 1.0,
    ("fetch", "rows' words"): 1.0,
    ("memory", "turned words"): 1.5,
    ("memory", "banks' rows"): 1.0,
    ("memory", "parts of the banks"): 0.7,
    ("memory", "lookup table RAM"): 14.0,
}
"""By block and term: what the logic takes bit by bit."""
PERIOD_PRIOR_NS: dict[str, dict[str, float]] = {
    "ice40up": {"unit": 9.0, "adder": 0.28, "size": 0.18, "crowding": 20.0},
    "ecp5": {"unit": 7.0, "memory parts": 0.6, "adder": 0.05, "size": 0.02},
}
"""From single critical paths: logic, a carry's delay a bit, a level of multiplexers, wires.

Only these terms count: on iCE40 RAMs are fast, and slow paths are in control logic.
"""
STEPS_A_TERM = 5
FLAT = 1e-10


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """A design that was synthesized, and maybe placed and routed.

    Attributes:
        name, network, board: of the design.
        check: whether it is kept out of the fit, to check it.
        config: of the design.
        contents: of its ROMs.
        cells: its resources by name.
        blocks: the same for each block.
        fmax_mhz: after place and route; None without.
    """

    name: str
    network: str
    board: str
    check: bool
    config: ArrayConfig
    contents: Contents
    cells: dict[str, int]
    blocks: dict[str, dict[str, int]]
    fmax_mhz: float | None = None

    @property
    def family(self) -> Family:
        """Of the board's FPGA."""
        return find(self.board).family

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "Measurement":
        """The inverse of :meth:`as_dict`."""
        config = dict(record["config"])
        shape = ArrayShape(**config.pop("shape"))
        for name in ("fields", "segment_fields", "header_fields"):
            config[name] = tuple(tuple(field) for field in config[name])
        config["codebook"] = tuple(config.get("codebook", ()))
        contents = dict(record["contents"])
        contents["coded_bits"] = tuple(map(tuple, contents.get("coded_bits", ())))
        whole = ArrayConfig(shape=shape, **config)
        return cls(**{**record, "config": whole, "contents": Contents(**contents)})


def calibrate(measurements: Sequence[Measurement]) -> dict[Family, Coefficients]:
    """The coefficients of every family, from the measurements that are not for checking."""
    families = sorted({m.family for m in measurements})
    return {
        family: _calibrate([m for m in measurements if m.family == family and not m.check], family)
        for family in families
    }


def _calibrate(measurements: Sequence[Measurement], family: Family) -> Coefficients:
    area = {name: _fit_area(measurements, name) for name in ("lut", "ff")}
    partial = Coefficients(**area, period_ns=PERIOD_PRIOR_NS[family])
    return Coefficients(**area, period_ns=_fit_clock(measurements, partial, family))


def _fit_area(measurements: Sequence[Measurement], resource: str) -> dict[str, dict[str, float]]:
    terms = [area_terms(m.config, find(m.board)) for m in measurements]
    coefficients: dict[str, dict[str, float]] = {}
    for blocks in _groups({block for row in terms for block in row}):
        chosen = [
            (m, {(b, t): v for b in blocks for t, v in _used(row[b], m, resource).items()})
            for m, row in zip(measurements, terms, strict=True)
            if all(block in row for block in blocks)
        ]
        found = fit(
            [row for _, row in chosen],
            [sum(m.blocks.get(b, {}).get(resource, 0) for b in blocks) for m, _ in chosen],
            weights=[1 / m.cells[resource] for m, _ in chosen],
            pull=AREA_PULL,
            prior=LUT_PRIOR if resource == "lut" else {},
        )
        for (block, term), coefficient in found.items():
            coefficients.setdefault(block, {})[term] = coefficient
    return dict(sorted(coefficients.items()))


def _groups(blocks: set[str]) -> list[tuple[str, ...]]:
    """Blocks that are fitted together."""
    return [DATA_PATH, *((block,) for block in sorted(blocks - set(DATA_PATH)))]


def _used(terms: Terms, m: Measurement, resource: str) -> Terms:
    """The terms that a resource depends on: on ECP5 a register takes no lookup table."""
    if m.family != "ecp5" or resource != "lut":
        return terms
    return {name: value for name, value in terms.items() if name not in REGISTERS}


def _fit_clock(
    measurements: Sequence[Measurement], area: Coefficients, family: Family
) -> dict[str, float]:
    prior = PERIOD_PRIOR_NS[family]
    rows, periods = [], []
    for m in measurements:
        if m.fmax_mhz is not None:
            board = find(m.board)
            lut = estimate(m.config, board, coefficients=area).lut
            terms = clock_terms(m.config, board, lut=lut)
            rows.append({name: terms[name] for name in prior})
            periods.append(NS_PER_US / m.fmax_mhz)
    if not rows:
        return dict(prior)
    weights = [1 / period for period in periods]
    return fit(rows, periods, weights=weights, pull=CLOCK_PULL, prior=prior)


def fit(
    rows: Sequence[Mapping[Term, float]],
    values: Sequence[float],
    *,
    weights: Sequence[float],
    pull: float,
    prior: Mapping[Term, float],
) -> dict[Term, float]:
    """Coefficients c >= 0, one a term, that minimize the weighted squares of ``terms @ c - value``.

    Added to them are ``pull`` times the squares of what the coefficients' distance from the prior
    makes of each term, so that a term's unit does not matter.

    Args:
        rows: the terms of each design.
        values: what was measured.
        weights: of each design's residual.
        pull: weight of the prior, relative to the designs.
        prior: by term; 0 for the others.
    """
    names = sorted({name for row in rows for name in row})
    scale = np.asarray(weights, dtype=np.float64)
    terms = np.array([[row.get(name, 0.0) for name in names] for row in rows], dtype=np.float64)
    weighted, target = terms * scale[:, None], np.asarray(values, dtype=np.float64) * scale
    hessian = weighted.T @ weighted
    ridge = pull * np.diag(hessian)
    center = np.array([prior.get(name, 0.0) for name in names], dtype=np.float64)
    solution = _non_negative(hessian + np.diag(ridge), weighted.T @ target + ridge * center)
    return {name: float(c) for name, c in zip(names, solution, strict=True)}


def _non_negative(hessian: Matrix, gradient: Matrix) -> Matrix:
    """The x >= 0 that minimizes ``x.H.x / 2 - g.x``, by the active set method of Lawson, Hanson."""
    x = np.zeros_like(gradient)
    free = np.zeros(len(x), dtype=bool)
    usable = np.diag(hessian) > 0
    # In units of each term's own size: the rise that freeing it promises.
    size = np.sqrt(np.where(usable, np.diag(hessian), 1.0))
    for _ in range(STEPS_A_TERM * len(x)):
        slope = np.where(free | ~usable, 0.0, (gradient - hessian @ x) / size)
        if slope.max(initial=0.0) <= FLAT:
            break
        free[slope.argmax()] = True
        while True:
            target = np.zeros_like(x)
            target[free] = np.linalg.solve(hessian[np.ix_(free, free)], gradient[free])
            below = free & (target <= 0)
            if not below.any():
                break
            step = (x[below] / (x[below] - target[below])).min()
            x = np.where(free, x + step * (target - x), 0.0)
            free &= x > FLAT * x.max(initial=1.0)
        x = target
    return x


def lut_error(m: Measurement, coefficients: Mapping[Family, Coefficients]) -> float:
    """Relative error of the estimated lookup tables; positive: more than measured."""
    board = find(m.board)
    found = estimate(m.config, board, coefficients=coefficients[m.family])
    return found.lut / m.cells["lut"] - 1


def fmax_error(m: Measurement, coefficients: Mapping[Family, Coefficients]) -> float | None:
    """Relative error of the estimated clock; None where it was not measured."""
    if m.fmax_mhz is None:
        return None
    board = find(m.board)
    found = estimate(m.config, board, coefficients=coefficients[m.family])
    return found.fmax_mhz / m.fmax_mhz - 1


def source(coefficients: Mapping[Family, Coefficients], measurements: Sequence[Measurement]) -> str:
    """The text of ``estimate_coefficients.py``."""
    values = {family: _rounded(asdict(c)) for family, c in coefficients.items()}
    worst = {
        family: max(abs(lut_error(m, coefficients)) for m in measurements if m.family == family)
        for family in coefficients
    }
    return (
        '"""Coefficients of the estimates, by family: written by "shiftwork bench estimates".\n\n'
        "Lookup tables and flip-flops for each block and term, nanoseconds of the clock's period "
        'for\neach term. docs/estimates.md explains them.\n"""\n\n'
        "from typing import Any\n\n"
        f"COEFFICIENTS: dict[str, dict[str, Any]] = {_literal(values)}\n"
        f"WORST_LUT_ERROR: dict[str, float] = {_literal(_rounded(worst))}\n"
        '"""Greatest relative error of the lookup tables over all designs that were measured."""\n'
    )


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _rounded(item) for name, item in value.items()}
    return float(f"{value:.4g}")


def _literal(value: Any, indent: int = 0) -> str:
    """A literal in the project's layout: an entry a line, with a comma behind it."""
    if not isinstance(value, Mapping):
        return repr(value)
    space = " " * 4 * (indent + 1)
    lines = [f"{space}{json.dumps(k)}: {_literal(v, indent + 1)},\n" for k, v in value.items()]
    return "{\n" + "".join(lines) + " " * 4 * indent + "}"
