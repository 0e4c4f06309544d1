"""Ends a program with the class in place of all scores."""

import math
from dataclasses import replace

import numpy as np

from shiftwork.errors import DataError, ModelError
from shiftwork.quant.graph import Layout
from shiftwork.quant.program import Program
from shiftwork.quant.program_ops import MAX_CLASSES, Conv, Tensor, TopScore, class_bytes, no_class


def with_top_score(program: Program, threshold: float | None = None) -> Program:
    """``program`` with a :class:`TopScore` at its end.

    Args:
        program: a classifier, one score a class.
        threshold: the least score that makes a class, in the real units of the network's output
            before a Softmax; rounded up to the next integer score. None: there is always a class.

    Raises:
        ModelError: if the output is no vector of scores that compare as the real numbers do.
        DataError: if the threshold makes no difference, or leaves no class.
    """
    scores = program.scores
    if program.top_score is not None:
        raise ModelError(f"the network '{program.name}' ends with a top score already")
    if program.softmax is not None:
        raise ModelError(
            f"a top score leaves out what the host needs for the softmax of '{program.name}', the "
            "outputs of the other classes; leave out one of the two"
        )
    if scores.shape[:2] != (1, 1):
        raise ModelError(
            f"a top score needs one score a class: the output '{scores.name}' of "
            f"'{program.name}' is a map of {scores.shape[0]} x {scores.shape[1]} pixels; end the "
            "network with a dense layer or a global pool, or leave out the top score"
        )
    if scores.size > MAX_CLASSES:
        raise ModelError(
            f"a top score takes at most {MAX_CLASSES} classes; '{program.name}' has {scores.size}"
        )
    if len(set(scores.scales.tolist())) > 1 or scores.zero_point:
        raise ModelError(
            f"the scores '{scores.name}' of '{program.name}' have different scales, or a zero "
            "point, so that their integers do not compare as the real numbers do; quantize the "
            "network with 'shiftwork quantize'"
        )
    order = program.output_layout.order
    if not np.array_equal(order, np.arange(len(order))):
        raise ModelError(
            f"the output of '{program.name}' is in another order than its classes; leave out the "
            "top score"
        )
    least = None if threshold is None else _least_score(program, scores, threshold)
    names = {tensor.name for tensor in program.tensors}
    name = next(
        name
        for name in (f"{scores.name}_top{'_' * number}" for number in range(len(names) + 1))
        if name not in names
    )
    return replace(
        program,
        tensors=(*program.tensors, answer_tensor(scores, name)),
        ops=(*program.ops, TopScore(name=name, input=scores.name, output=name, threshold=least)),
        output=name,
        output_layout=Layout.identity((2,)),
    )


def answer_tensor(scores: Tensor, name: str) -> Tensor:
    """What a :class:`TopScore` writes: class and score."""
    return Tensor(
        name=name,
        shape=(1, 1, 2),
        lo=min(scores.lo, 0),
        hi=max(scores.hi, no_class(scores.size)),
        signed=scores.signed,
        bits=32,
        channel_exponents=(0, (scores.channel_exponents or (scores.exponent,))[0]),
        channel_gains=(1.0, scores.gain * (scores.channel_gains or (1.0,))[0]),
        widths=(class_bytes(scores.size), scores.bits // 8),
    )


def _least_score(program: Program, scores: Tensor, threshold: float) -> int:
    """The least integer score that stands for ``threshold`` or more."""
    if not math.isfinite(threshold):
        raise DataError(f"the threshold must be a finite score, not {threshold}")
    scale = float(scores.scales[0])
    least = math.ceil(threshold / scale)
    low, high = _top_range(program, scores)
    reach = f"the greatest score is always in {low * scale:g}..{high * scale:g}"
    if least > high:
        raise DataError(
            f"the threshold {threshold:g} leaves no class: {reach}; give a lower one (it is a "
            "score before Softmax, no probability)"
        )
    if least <= low:
        raise DataError(
            f"the threshold {threshold:g} makes no difference: {reach}; give a higher one, or "
            "leave it out"
        )
    return least


def _top_range(program: Program, scores: Tensor) -> tuple[int, int]:
    """Bounds of the greatest score over all inputs: any class may be the one that has it."""
    writer = next((op for op in program.ops if op.output == scores.name), None)
    if isinstance(writer, Conv) and writer.accumulators:
        lows, highs = writer.accumulator_range(*program.sources(writer))
        return int(lows.max()), int(highs.max())
    return scores.lo, scores.hi
