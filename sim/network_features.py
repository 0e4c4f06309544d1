"""Which corners of the numeric contract a case reaches, by kind of op: the coverage table."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from shiftwork.quant.digits import DIGIT_BITS
from shiftwork.quant.program import Program
from shiftwork.quant.program_ops import (
    WIDE_RANGE,
    AveragePool,
    Conv,
    MaxPool,
    Op,
    Product,
    Residual,
    Tensor,
    TopScore,
    signed_bits,
    table_of,
)
from shiftwork.sim import golden
from shiftwork.sim.network_case import Case
from shiftwork.sim.program_builder import byte_range

DOTS = ("Conv", "Dense", "Depthwise")
COMPUTING = (*DOTS, "Product", "Residual", "MaxPool", "AveragePool")
MOVING = (*COMPUTING, "Reshape")
KINDS = (*MOVING, "TopScore")
MOVING_WITHOUT_DEPTHWISE = tuple(kind for kind in MOVING if kind != "Depthwise")
WINDOWS = ("Conv", "Depthwise", "Product", "MaxPool", "AveragePool")
BORDERS = ("Conv", "Depthwise", "Product", "AveragePool")
SHIFTED = (*DOTS, "AveragePool")
COMPUTING_NOW = (*SHIFTED, "MaxPool")
SUMMING = (*DOTS, "Product", "Residual", "AveragePool")

TABLE: dict[str, Mapping[str, Sequence[str]]] = {
    "window": {
        "kernel 1 x 1": WINDOWS,
        "stride": WINDOWS,
        "unequal strides": WINDOWS,
        "padding": WINDOWS,
        "unequal padding": WINDOWS,
        "dilation": ("Conv", "Depthwise", "Product"),
        "kernel larger than the map": WINDOWS,
        "window wholly in the border": BORDERS,
        "border not 0": BORDERS,
    },
    "tensors": {
        "odd channels": MOVING,
        "one channel": MOVING_WITHOUT_DEPTHWISE,
        "more than 8 channels": MOVING,
        "output of 1 x 1 pixel": MOVING,
        "one output": MOVING_WITHOUT_DEPTHWISE,
        "signed input": KINDS,
        "unsigned input": KINDS,
        "signed output": MOVING,
        "unsigned output": MOVING,
        "16-bit input": (*DOTS, "Product", "Residual", "AveragePool", "Reshape"),
        "16-bit output": (*DOTS, "Product", "Residual", "AveragePool", "Reshape"),
        "input is not the last output": MOVING,
        "output that nothing reads": MOVING,
        "input of the network": MOVING,
        "output of the network": MOVING,
    },
    "numbers": {
        "shift 0": (*SHIFTED, "Residual"),
        "shift over 15": SHIFTED,
        "shift over 6": ("Residual",),
        "unequal shifts": (*DOTS, "Residual"),
        "narrow clip": SHIFTED,
        "clip to one value": SHIFTED,
        "clipped below": SHIFTED,
        "clipped above": SHIFTED,
        "accumulators returned": (*DOTS, "Product", "Residual"),
        "accumulator over 24 bits": DOTS,
        "accumulator at its bound": DOTS,
        "weights of 16 bits": (*DOTS, "Product"),
        "beside weights of 16 bits": ("Product", "Residual"),
        "before weights' second digits": ("Residual",),
        "one term": DOTS,
        "several terms": DOTS,
    },
    "tables": {
        "table": SHIFTED,
        "signed index": SHIFTED,
        "unsigned index": SHIFTED,
        "signed values": SHIFTED,
        "unsigned values": SHIFTED,
        "table that another op has too": SHIFTED,
        "several tables": COMPUTING_NOW,
        "no table beside others": COMPUTING_NOW,
    },
    "answers": {
        "one class": ("TopScore",),
        "equal scores": ("TopScore",),
        "scores of 32 bits": ("TopScore",),
        "threshold": ("TopScore",),
        "no class": ("TopScore",),
        "score at the threshold": ("TopScore",),
        "first class": ("TopScore",),
        "last class": ("TopScore",),
    },
    "array": {
        "one row": COMPUTING,
        "several rows": COMPUTING,
        "more rows than pixels": COMPUTING,
        "more columns than channels": COMPUTING,
        "several groups of channels": COMPUTING,
        "several lanes": COMPUTING,
        "columns share stages": COMPUTING,
        "words of 2 bytes": COMPUTING,
        "words of 4 bytes": COMPUTING,
        "words of 8 bytes": COMPUTING,
        "words of 16 bytes": COMPUTING,
        "banks of 2 bytes or more": COMPUTING,
        "single port": COMPUTING,
        "weights copied from flash": COMPUTING,
        "weights copied in several passes": (*DOTS, "Product", "Residual", "AveragePool"),
        "one input buffer": COMPUTING,
        "shifts in place of multiplying": SUMMING,
        "shifts beside multipliers": SUMMING,
    },
    "inputs": {
        "all at the least": KINDS,
        "all at the greatest": KINDS,
        "all zero": KINDS,
        "others": KINDS,
        "no stalls": KINDS,
        "many stalls": KINDS,
    },
}
"""Groups of attributes, and for each attribute the kinds of op that can have it."""

Feature = tuple[str, str]


def features(case: Case) -> frozenset[Feature]:
    """Kinds of op and attributes that the case has together, of those in :data:`TABLE`."""
    allowed = {
        (kind, attribute)
        for group in TABLE.values()
        for attribute, kinds in group.items()
        for kind in kinds
    }
    found = set()
    whole = {*_array(case), *_inputs(case)}
    trace = golden.trace(case.program, case.q)
    for op in case.program.ops:
        kind = _kind(case, op)
        own = {*whole, *_tensors(case, op, op.input), *_outputs(case, op)}
        own |= {*_window(op, case.program.tensor(op.input), case.program.tensor(op.output))}
        own |= {*_tables(case.program, op)}
        if isinstance(op, TopScore):
            own |= {*_answers(case.program, op, trace)}
        found |= {(kind, name) for name in {*own, *_numbers(case, op, trace)}}
        if isinstance(op, Conv):
            found |= _terms(case, op, {*whole, *_outputs(case, op)})
    return frozenset(found & allowed)


def table_text(counts: Mapping[Feature, int]) -> str:
    """The table in Markdown: how many networks have an attribute with a kind of op."""
    lines = [f"| | {' | '.join(KINDS)} |", f"|---|{'---:|' * len(KINDS)}"]
    for group, attributes in TABLE.items():
        lines.append(f"| **{group}** |{' |' * len(KINDS)}")
        for attribute, kinds in attributes.items():
            cells = [
                str(counts.get((kind, attribute), 0)) if kind in kinds else "-" for kind in KINDS
            ]
            lines.append(f"| {attribute} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def empty_cells(counts: Mapping[Feature, int]) -> list[Feature]:
    """Kinds of op and attributes that are possible together, but did not occur."""
    return [
        (kind, attribute)
        for group in TABLE.values()
        for attribute, kinds in group.items()
        for kind in kinds
        if not counts.get((kind, attribute))
    ]


def _kind(case: Case, op: Op) -> str:
    if not isinstance(op, Conv):
        return type(op).__name__
    if op.groups > 1:
        return "Depthwise"
    return "Dense" if case.program.tensor(op.input).shape[:2] == (1, 1) else "Conv"


def _terms(case: Case, op: Conv, outputs: set[str]) -> set[Feature]:
    found = set()
    target = case.program.tensor(op.output)
    for term in op.terms:
        own = {*outputs, *_tensors(case, op, term.input)}
        if op.accumulators:
            own.add("accumulators returned")
        if op.wide:
            own.add("beside weights of 16 bits")
        if isinstance(term, Residual):
            own |= {*_shifts(term.shift, large=6)}
            if op.wide and term.shift.min() >= DIGIT_BITS:
                own.add("before weights' second digits")
        else:
            own |= {*_window(term, case.program.tensor(term.input), target)}
            if term.weights.dtype == np.int16:
                own.add("weights of 16 bits")
        found |= {(type(term).__name__, name) for name in own}
    return found


def _window(op: Op | Product, source: Tensor, target: Tensor) -> Iterator[str]:
    if not isinstance(op, Conv | Product | MaxPool | AveragePool):
        return
    dilation = op.dilation if isinstance(op, Conv | Product) else (1, 1)
    pad_value = 0 if isinstance(op, MaxPool) else op.pad_value
    spans = [step * (size - 1) + 1 for step, size in zip(dilation, op.kernel, strict=True)]
    checks = {
        "kernel 1 x 1": op.kernel == (1, 1),
        "stride": max(op.stride) > 1,
        "unequal strides": op.stride[0] != op.stride[1],
        "padding": any(op.padding),
        "unequal padding": len(set(op.padding)) > 1,
        "dilation": any(d > 1 and size > 1 for d, size in zip(dilation, op.kernel, strict=True)),
        "kernel larger than the map": any(map(int.__gt__, spans, source.shape[:2])),
        "window wholly in the border": any(
            spans[axis] <= op.padding[axis]
            or (target.shape[axis] - 1) * op.stride[axis] - op.padding[axis] >= source.shape[axis]
            for axis in range(2)
        ),
        "border not 0": any(op.padding) and pad_value != 0,
    }
    yield from (name for name, true in checks.items() if true)


def _tensors(case: Case, op: Op, name: str) -> Iterator[str]:
    """What is read."""
    program = case.program
    index = program.ops.index(op)
    last = program.ops[index - 1].output if index else program.input
    yield "signed input" if program.tensor(name).signed else "unsigned input"
    if program.tensor(name).wide:
        yield "16-bit input"
    if name != last:
        yield "input is not the last output"
    if name == program.input:
        yield "input of the network"


def _outputs(case: Case, op: Op) -> Iterator[str]:
    program, shape = case.program, case.shape
    target = program.tensor(op.output)
    height, width, channels = target.shape
    read = {name for other in program.ops for name in other.inputs}
    columns = shape.word_bytes if isinstance(op, MaxPool) else shape.columns
    passes = sum(layer.name == op.name for layer in case.schedule.layers)
    checks = {
        "odd channels": channels % 2 == 1,
        "one channel": channels == 1,
        "more than 8 channels": channels > 8,
        "output of 1 x 1 pixel": height == width == 1,
        "one output": target.size == 1,
        "signed output": target.signed,
        "unsigned output": not target.signed,
        "16-bit output": target.wide,
        "output that nothing reads": target.name not in read and target.name != program.output,
        "output of the network": target.name == program.scores.name,
        "more rows than pixels": shape.rows > height * width,
        "more columns than channels": columns > channels,
        "several groups of channels": columns < channels,
        "weights copied in several passes": passes > 1,
    }
    yield from (name for name, true in checks.items() if true)


def _numbers(case: Case, op: Op, trace: Mapping[str, NDArray[np.int32]]) -> Iterator[str]:
    if not isinstance(op, Conv | AveragePool):
        return
    if isinstance(op, Conv):
        yield from _accumulators(case, op, trace)
    if isinstance(op, Conv) and op.accumulators:
        return
    # Of an op with a table, what the index is.
    inputs = (trace[name] for name in op.inputs)
    values = golden.apply(case.program, replace(op, table=None), *inputs)
    signed = case.program.tensor(op.output).signed if op.table is None else op.hi < 128
    yield from _shifts(np.atleast_1d(np.asarray(op.shift)), large=15)
    wide = case.program.tensor(op.output).wide
    if (op.lo, op.hi) != (WIDE_RANGE if wide else byte_range(signed=signed)):
        yield "narrow clip"
    if op.lo == op.hi:
        yield "clip to one value"
    if op.lo < op.hi and (values == op.lo).any():
        yield "clipped below"
    if op.lo < op.hi and (values == op.hi).any():
        yield "clipped above"


def _tables(program: Program, op: Op) -> Iterator[str]:
    """Of the tables behind the requantizer: the op's own, and those of the others."""
    own = table_of(op)
    users = [other for other in program.ops if own is not None and table_of(other) is not None]
    checks = {
        "table": own is not None,
        "several tables": len(program.tables) > 1,
        "no table beside others": own is None and len(program.tables) > 0,
        "table that another op has too": len(users) > len(program.tables),
    }
    if own is not None and isinstance(op, Conv | AveragePool):
        target = program.tensor(op.output)
        checks |= {
            "signed index": op.lo < 0,
            "unsigned index": op.hi > 127,
            "signed values": target.signed,
            "unsigned values": not target.signed,
        }
    yield from (name for name, true in checks.items() if true)


def _accumulators(case: Case, op: Conv, trace: Mapping[str, NDArray[np.int32]]) -> Iterator[str]:
    sources = case.program.sources(op)
    least, greatest = op.accumulator_range(*sources)
    acc = golden.accumulate(op, sources, [trace[name] for name in op.inputs])
    checks = {
        "accumulators returned": op.accumulators,
        "weights of 16 bits": op.weights.dtype == np.int16,
        "accumulator over 24 bits": signed_bits(int(least.min()), int(greatest.max())) > 24,
        "accumulator at its bound": bool(
            (((acc == least) | (acc == greatest)) & (least < greatest)).any()
        ),
        "one term": len(op.terms) == 1,
        "several terms": len(op.terms) > 1,
    }
    yield from (name for name, true in checks.items() if true)


def _answers(
    program: Program, op: TopScore, trace: Mapping[str, NDArray[np.int32]]
) -> Iterator[str]:
    scores = trace[op.input].reshape(len(trace[op.input]), -1)
    greatest = scores.max(axis=1)
    equal = (scores == greatest[:, None]).sum(axis=1) > 1
    classes = program.classes(trace[op.output])
    checks = {
        "one class": scores.shape[1] == 1,
        "equal scores": equal.any(),
        "scores of 32 bits": program.scores.bits == 32,
        "threshold": op.threshold is not None,
        "no class": (classes < 0).any(),
        "score at the threshold": op.threshold is not None and (greatest == op.threshold).any(),
        "first class": (classes == 0).any(),
        "last class": (classes == scores.shape[1] - 1).any(),
    }
    yield from (name for name, true in checks.items() if true)


def _shifts(shift: NDArray[np.int64], *, large: int) -> Iterator[str]:
    if (shift == 0).any():
        yield "shift 0"
    if (shift > large).any():
        yield f"shift over {large}"
    if len(set(shift.tolist())) > 1:
        yield "unequal shifts"


def _array(case: Case) -> Iterator[str]:
    shape = case.shape
    checks = {
        "one row": shape.rows == 1,
        "several rows": shape.rows > 1,
        "several lanes": shape.lanes > 1,
        "columns share stages": shape.stage_columns > 1,
        f"words of {shape.word_bytes} bytes": True,
        "banks of 2 bytes or more": shape.bank_bytes > 1,
        "single port": shape.single_port,
        "weights copied from flash": bool(case.schedule.payload),
        "one input buffer": shape.input_buffers == 1,
        "shifts in place of multiplying": shape.products == "shift",
        "shifts beside multipliers": shape.products == "mixed",
    }
    yield from (name for name, true in checks.items() if true)


def _inputs(case: Case) -> Iterator[str]:
    tensor = case.program.tensor(case.program.input)
    constants = {
        "all at the least": tensor.lo,
        "all at the greatest": tensor.hi,
        "all zero": tensor.zero_point,
    }
    for frame in case.q:
        names = [name for name, value in constants.items() if (frame == value).all()]
        yield from names or ["others"]
    if case.stall_probability == 0:
        yield "no stalls"
    if case.stall_probability > 0.5:
        yield "many stalls"
