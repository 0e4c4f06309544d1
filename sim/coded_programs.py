"""Programs with a codebook, made of those with any weights."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from shiftwork.quant.codebook import INT4, LARGEST_POWER, MAX_VALUES
from shiftwork.quant.levels import POWERS, Levels
from shiftwork.quant.program import Program
from shiftwork.quant.program_ops import Conv, Op, Product, WeightArray


def coded(program: Program, codebook: Sequence[int]) -> Program:
    """``program`` with each weight replaced by the value of ``codebook`` next to it."""
    levels = Levels(tuple(codebook))
    ops = tuple(_coded_op(op, levels) for op in program.ops)
    return replace(program, ops=ops, codebook=levels.codebook)


def random_codebook(rng: Generator) -> tuple[int, ...]:
    """-8 to 7, powers of two, or any values with those that averages and residuals need."""
    if rng.integers(4) == 0:
        return INT4 if rng.integers(2) else POWERS
    needed = {0, 1, 1 << int(rng.integers(LARGEST_POWER + 1))}
    others = rng.integers(-128, 128, int(rng.integers(MAX_VALUES - len(needed) + 1)))
    return tuple(sorted(needed | set(others.tolist())))


def _coded_op(op: Op, levels: Levels) -> Op:
    if not isinstance(op, Conv):
        return op
    terms = tuple(
        replace(term, weights=_nearest(term.weights, levels)) if isinstance(term, Product) else term
        for term in op.terms
    )
    return replace(op, weights=_nearest(op.weights, levels), terms=terms)


def _nearest(weights: WeightArray, levels: Levels) -> NDArray[np.int8]:
    return levels.nearest(weights).astype(np.int8)
