"""A case as Python code: to paste, and to keep as a regression vector that a test replays."""

import runpy
import textwrap
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from shiftwork.errors import DataError
from shiftwork.hw.config import ArrayShape
from shiftwork.quant.activation_table import SIGNED_INDEX
from shiftwork.quant.program import Program
from shiftwork.quant.program_ops import (
    WIDE_RANGE,
    AveragePool,
    Conv,
    MaxPool,
    Op,
    Product,
    Reshape,
    Residual,
    Tensor,
    Term,
    TopScore,
)
from shiftwork.sim.network_case import Case
from shiftwork.sim.program_builder import byte_range

LINE = 100
IMPORTS = """\
import numpy as np

from shiftwork.hw.config import ArrayShape
from shiftwork.sim.network_case import Case
from shiftwork.sim.program_builder import ProgramBuilder
"""
CASE_IMPORT = "from shiftwork.sim.network_case import Case\n"
CODED_IMPORT = "from shiftwork.sim.coded_programs import coded\n"


def to_python(case: Case, *, title: str) -> str:
    """A module that builds ``case``; ``title`` says where it comes from.

    The network must be one of ``ProgramBuilder``: exponents, gains and layouts are its choice.
    """
    parts = [_docstring(title), "# fmt: off", "", IMPORTS]
    if case.program.codebook is not None:
        parts[-1] = IMPORTS.replace(CASE_IMPORT, CODED_IMPORT + CASE_IMPORT)
    parts += [_builder(case.program)]
    last = case.program.input
    for op in case.program.ops:
        if op.input != last:
            parts.append(_call("builder.at", op.input))
        parts += _op(case.program, op)
        last = op.output
    parts.append(_case(case, last))
    return "\n".join(parts) + "\n"


def load(path: Path) -> Case:
    """The case of a module that :func:`to_python` wrote.

    Raises:
        DataError: if the module has no case.
    """
    case = runpy.run_path(str(path)).get("case")
    if not isinstance(case, Case):
        raise DataError(f"{path} defines no 'case'")
    return case


def _docstring(title: str) -> str:
    line = f'"""{title}"""'
    if len(line) <= LINE and "\n" not in title:
        return line
    return textwrap.fill(line[:-3], LINE, break_long_words=False) + '\n"""'


def _builder(program: Program) -> str:
    tensor = program.tensor(program.input)
    settings: dict[str, Any] = {"signed": tensor.signed} | _given(zero_point=tensor.zero_point)
    if (tensor.lo, tensor.hi) != byte_range(signed=tensor.signed):
        settings["bounds"] = (tensor.lo, tensor.hi)
    return _call("builder = ProgramBuilder", program.name, tuple(tensor.shape), **settings)


def _op(program: Program, op: Op) -> list[str]:
    source, target = program.sources(op)[0], program.tensor(op.output)
    match op:
        case Conv():
            terms = [_term(program, term) for term in op.terms]
            return [_conv(op, source, target), *terms, *_table(op, target)]
        case MaxPool():
            settings = _given(padding=op.padding) | {"name": op.name}
            return [_call("builder.max_pool", op.kernel, op.stride, **settings)]
        case AveragePool():
            unsigned = _unsigned(op, target)
            settings = _given(padding=op.padding, shift=op.shift, unsigned=unsigned)
            settings |= {"shift": op.shift, "unsigned": unsigned}
            settings |= {"wide_output": True} if target.wide else {}
            settings |= {"bounds": (op.lo, op.hi)} | _pad_value(op.pad_value, source)
            call = _call("builder.average_pool", op.kernel, op.stride, **settings, name=op.name)
            return [call, *_table(op, target)]
        case Reshape():
            return [_call("builder.reshape", tuple(target.shape), name=op.name)]
        case TopScore():
            return [_call("builder.top_score", op.threshold, name=op.name)]
        case _:
            raise TypeError(f"no code for {type(op).__name__}")


def _conv(op: Conv, source: Tensor, target: Tensor) -> str:
    settings = _window(op) | {
        "weights": op.weights.ravel().tolist(),
        "bias": op.bias.tolist(),
        "shift": op.shift.tolist(),
    }
    settings |= _wide(op) | _pad_value(op.pad_value, source)
    if op.accumulators:
        settings["accumulators"] = True
    elif _unsigned(op, target):
        settings["unsigned"] = True
    elif target.wide:
        settings["wide_output"] = True
    whole = WIDE_RANGE if target.wide else byte_range(signed=not _unsigned(op, target))
    if (op.lo, op.hi) != whole:
        settings["bounds"] = (op.lo, op.hi)
    settings["name"] = op.name
    if op.groups > 1:
        return _call("builder.depthwise", op.kernel, **settings)
    return _call("builder.conv", len(op.weights), op.kernel, **settings)


def _unsigned(op: Conv | AveragePool, target: Tensor) -> bool:
    """Whether what the requantizer makes is 0..255; of a table's index the bounds tell."""
    return not target.signed if op.table is None else op.hi > SIGNED_INDEX[1]


def _table(op: Conv | AveragePool, target: Tensor) -> list[str]:
    if op.table is None:
        return []
    settings = _given(unsigned=not target.signed)
    return [_call("builder.table", op.table.outputs.tolist(), **settings)]


def _term(program: Program, term: Term) -> str:
    if isinstance(term, Residual):
        return _call("builder.residual", term.input, term.shift.tolist())
    settings = _window(term) | {"weights": term.weights.ravel().tolist()}
    settings |= _wide(term) | _pad_value(term.pad_value, program.tensor(term.input))
    return _call("builder.shortcut", term.input, term.kernel, **settings)


def _wide(op: Conv | Product) -> dict[str, Any]:
    return {"wide": True} if op.weights.dtype == np.int16 else {}


def _window(op: Conv | Product) -> dict[str, Any]:
    settings: dict[str, Any] = {} if op.stride == (1, 1) else {"stride": op.stride}
    settings |= _given(padding=op.padding)
    return settings | ({} if op.dilation == (1, 1) else {"dilation": op.dilation})


def _given(**settings: Any) -> dict[str, Any]:
    """Those that are not zero."""
    return {name: value for name, value in settings.items() if np.any(value)}


def _pad_value(value: int, source: Tensor) -> dict[str, Any]:
    return {} if value == source.zero_point else {"pad_value": value}


def _case(case: Case, last: str) -> str:
    build = "builder.build()"
    if case.program.output != last:
        build = f"builder.build({_quoted(case.program.output)})"
    if case.program.codebook is not None:
        build = f"coded({build}, {case.program.codebook})"
    defaults = {field.name: field.default for field in fields(ArrayShape)}
    shape = {name: value for name, value in vars(case.shape).items() if value != defaults[name]}
    lines = [
        "case = Case(",
        f"    program={build},",
        textwrap.indent(_call("shape=ArrayShape", **shape), "    ") + ",",
        f"    q={_array(case.q)},",
        f"    seed={case.seed},",
        f"    stall_probability={case.stall_probability},",
        ")",
    ]
    return "\n".join(lines)


def _array(values: np.ndarray) -> str:
    numbers = _filled(values.ravel().tolist(), indent=8)
    return f"np.array(\n        {numbers},\n        np.int32,\n    ).reshape({values.shape})"


def _call(function: str, *values: Any, **settings: Any) -> str:
    """A call on one line, or with an argument a line if it is long."""
    arguments = [_quoted(value) for value in values]
    arguments += [f"{name}={_quoted(value)}" for name, value in settings.items()]
    line = f"{function}({', '.join(arguments)})"
    if len(line) <= LINE - 5:
        return line
    prefixes = [""] * len(values) + [f"{name}=" for name in settings]
    parts = zip(prefixes, (*values, *settings.values()), strict=True)
    lines = [f"    {prefix}{_filled(value, indent=4)}," for prefix, value in parts]
    return "\n".join([f"{function}(", *lines, ")"])


def _quoted(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _filled(value: Any, *, indent: int) -> str:
    """A value, with a list that is long on lines of its own."""
    text = _quoted(value)
    if not isinstance(value, list) or len(text) + indent + 16 <= LINE:
        return text
    margin = " " * (indent + 4)
    wrapped = textwrap.fill(text[1:-1] + ",", LINE, initial_indent=margin, subsequent_indent=margin)
    return f"[\n{wrapped}\n{' ' * indent}]"
