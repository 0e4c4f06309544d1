"""The two grids of a table: what its index stands for, and what it holds.

Both are chosen together, so that the calibration samples' outputs have the least squared error. A
function that levels off needs no index beyond the place where it does.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import ROUND_FLOOR, Context, Decimal, localcontext
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from shiftwork.errors import ModelError
from shiftwork.quant.activation_table import ENTRIES, MAX_TEXT, SIGNED_INDEX, UNSIGNED_INDEX, Table
from shiftwork.quant.graph import Shape
from shiftwork.quant.program_ops import Tensor
from shiftwork.quant.scales import SATURATING_STEPS, FloatArray, half_up, largest_exponent
from shiftwork.quant.unary_functions import DIGITS, Function, affine

FINER_STEPS = 12
"""How much finer than one that holds all samples an index may be."""
OFFSETS = (0, -32, 32, -64, 64, -96, 96)
"""Steps by which the index may be off from the accumulator: a bias, which costs nothing."""
MAX_SAMPLES = 1 << 16
MARGIN = 1e-9
"""A grid must be better by this share to be preferred to one before: sums differ in their last bits
from machine to machine."""
LARGEST = 1e30
"""Stands for infinity in sums."""


@dataclass(frozen=True, kw_only=True)
class TableGrid:
    """How a function becomes a table.

    Attributes:
        exponent: of the index.
        gain: real factor beside that power of two.
        offset: real number that is added before the function's argument becomes the index.
        signed: whether the index is -128..127 or 0..255.
        output_exponent, output_signed: of the outputs.
    """

    exponent: int
    gain: float
    offset: float
    signed: bool
    output_exponent: int
    output_signed: bool

    @property
    def bounds(self) -> tuple[int, int]:
        """Least and greatest index."""
        return SIGNED_INDEX if self.signed else UNSIGNED_INDEX

    @property
    def step(self) -> float:
        """Real units of a step of the index."""
        return float(np.ldexp(self.gain, -self.exponent))

    def index(self, real: NDArray) -> FloatArray:
        """The index of each of the function's arguments, as if nothing before were rounded."""
        return np.clip(half_up((real + self.offset) / self.step), *self.bounds)


def choose_grid(
    function: Function,
    real: NDArray,
    *,
    name: str,
    exponents: Iterable[int],
    offsets: Iterable[int] = OFFSETS,
    gain: float = 1.0,
    signed: bool = True,
    outputs: Literal["unsigned", "signed"] = "unsigned",
    headroom: float = 1.0,
) -> TableGrid:
    """The grids with the least squared error of the outputs.

    Args:
        function: what the table stands for.
        real: its arguments for the calibration samples, of any shape.
        name: of the node, for errors.
        exponents: that the index may have.
        offsets: that it may have, in its steps.
        gain, signed: of the index.
        outputs: ``unsigned`` stores outputs that are never negative as 0..255.
        headroom: how much larger the arguments are taken to be.

    Raises:
        ModelError: if the function is infinite for a sample.
    """
    arguments = _thinned(np.asarray(real, np.float64).reshape(-1)) * headroom
    values = function.real(arguments)
    if not np.isfinite(values).all():
        worst = float(arguments[~np.isfinite(values)][0])
        raise ModelError(
            f"node '{name}' computes {function}, which is not finite at {worst:g}, reached by the "
            "calibration samples; limit its input by a Clip"
        )
    best, least = None, np.inf
    for exponent in exponents:
        for offset in offsets:
            grid = TableGrid(
                exponent=exponent,
                gain=gain,
                offset=float(np.ldexp(gain * offset, -exponent)),
                signed=signed,
                output_exponent=0,
                output_signed=True,
            )
            for candidate, error in _with_outputs(grid, function, arguments, values, outputs):
                if best is None or error < least * (1.0 - MARGIN):
                    best, least = candidate, error
    assert best is not None
    return best


def index_exponents(real: NDArray, headroom: float, most: float = np.inf) -> range:
    """The exponents worth trying for the index of the arguments ``real``, none above ``most``."""
    first = largest_exponent(np.asarray(real, np.float64) * headroom, *SIGNED_INDEX)
    first = int(min(first - 1, most))
    return range(first, int(min(first + 1 + FINER_STEPS, most)) + 1)


def _with_outputs(
    grid: TableGrid,
    function: Function,
    arguments: FloatArray,
    values: FloatArray,
    outputs: Literal["unsigned", "signed"],
) -> Iterator[tuple[TableGrid, float]]:
    """An index on ``grid`` with each output exponent worth trying, and the squared error."""
    places = grid.index(arguments).astype(np.int64) & (ENTRIES - 1)
    made = np.nan_to_num(
        function.real(_indices(grid) * grid.step - grid.offset), posinf=LARGEST, neginf=-LARGEST
    )
    signed = outputs == "signed" or bool(made.min() < 0)
    lo, hi = SIGNED_INDEX if signed else UNSIGNED_INDEX
    first = largest_exponent(values, lo, hi)
    for exponent in range(first, first + SATURATING_STEPS + 1):
        restored = np.ldexp(np.clip(half_up(np.ldexp(made, exponent)), lo, hi), -exponent)
        error = float(np.square(restored[places] - values).sum())
        yield replace(grid, output_exponent=exponent, output_signed=signed), error


def make_table(
    function: Function, grid: TableGrid, name: str, shape: Shape
) -> tuple[Table, Tensor]:
    """The table of ``function``, and the tensor of its outputs.

    Every output is rounded half up from 50 decimal digits, so that it is the same everywhere.
    """
    lo, hi = SIGNED_INDEX if grid.output_signed else UNSIGNED_INDEX
    exact = function.of(affine(1.0, -grid.offset)) if grid.offset else function
    outputs = np.empty(ENTRIES, np.int16)
    with localcontext(Context(prec=DIGITS)):
        scale, step = Decimal(2) ** grid.output_exponent, Decimal(grid.step)
        for index in _indices(grid).astype(int).tolist():
            rounded = _half_up(exact.exact(index * step) * scale, lo, hi)
            outputs[index & (ENTRIES - 1)] = rounded
    table = Table(outputs=outputs, function=str(exact)[:MAX_TEXT], step=grid.step)
    tensor = Tensor(
        name=name,
        shape=shape,
        lo=int(outputs.min()),
        hi=int(outputs.max()),
        signed=grid.output_signed,
        exponent=grid.output_exponent,
    )
    return table, tensor


def _half_up(value: Decimal, lo: int, hi: int) -> int:
    limited = max(min(value, Decimal(hi)), Decimal(lo))
    return int((limited + Decimal("0.5")).to_integral_value(rounding=ROUND_FLOOR))


def _indices(grid: TableGrid) -> FloatArray:
    """All indices, in the order of the table."""
    places = np.arange(ENTRIES)
    return np.where(places > grid.bounds[1], places - ENTRIES, places).astype(np.float64)


def _thinned(values: FloatArray) -> FloatArray:
    """At most about 65,000 of the values, and both extremes."""
    step = -(-values.size // MAX_SAMPLES)
    return values if step <= 1 else np.concatenate([values[::step], [values.min(), values.max()]])
