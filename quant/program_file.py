"""The file of an integer program: a header in JSON beside its arrays."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shiftwork.errors import DataError, OutputError, ProgramError
from shiftwork.quant.activation_table import Table
from shiftwork.quant.array_file import ArrayFileError, read_arrays, write_arrays
from shiftwork.quant.graph import Layout
from shiftwork.quant.program_ops import OPS, TERMS, Conv, Op, Tensor, Term, table_of
from shiftwork.quant.raw_input import RawInput
from shiftwork.quant.records import from_json
from shiftwork.quant.softmax import Softmax
from shiftwork.quant.source_checks import flat, one_line
from shiftwork.quant.whole_file import whole_file

if TYPE_CHECKING:
    from shiftwork.quant.program import Program

FORMAT_VERSION = 2
ENDS_VERSION = 3
"""Of files with a :class:`TopScore` or raw input, which readers of version 2 have to refuse."""
LATEST_VERSION = 4
"""Of files with tables, or with weights or feature maps of 16 bits: older readers refuse them."""
MAX_BYTES = 1 << 28
_MISFITS = (
    *(KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError),
    DataError,
)


def save(program: "Program", path: Path) -> None:
    """Writes a program to ``path`` (.npz), the same bytes for the same program.

    Raises:
        OutputError: if it cannot be written; nothing is left behind.
    """
    header, arrays = encode(program)
    text = np.frombuffer(json.dumps(header, sort_keys=True).encode(), dtype=np.uint8)
    try:
        with whole_file(path) as stream:
            write_arrays(stream, {"program": text, **arrays})
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


def load(kind: "type[Program]", path: Path) -> "Program":
    """Reads a program file as a ``kind``, which verifies what it is made of.

    Never unpickles, and unpacks 256 MiB at most.

    Raises:
        ProgramError: if the file is missing, damaged or of another format version.
    """
    header, arrays = _read(path)
    version = header.get("version") if isinstance(header, dict) else None
    if version not in (FORMAT_VERSION, ENDS_VERSION, LATEST_VERSION):
        raise ProgramError(
            f"{path} has the format version {version!r:.20}; this Shiftwork reads "
            f"{FORMAT_VERSION} to {LATEST_VERSION}"
        )
    try:
        return _decode(kind, header, arrays)
    except ProgramError as error:
        raise ProgramError(f"{path}: {flat(error)}") from error
    except _MISFITS as error:
        raise ProgramError(f"{path} is damaged: {one_line(error)}") from error


def _read(path: Path) -> tuple[Any, dict[str, NDArray]]:
    """The JSON value and the arrays of a program file."""
    try:
        arrays = read_arrays(path, limit=MAX_BYTES, single="x")
        return json.loads(arrays.pop("program").tobytes()), arrays
    except FileNotFoundError:
        raise ProgramError(f"{path}: no such file") from None
    except RecursionError:
        raise ProgramError(
            f"{path} is not a program file, or is damaged (its header is nested too deeply); "
            "'shiftwork quantize' makes one"
        ) from None
    except (ArrayFileError, OSError, ValueError, KeyError) as error:
        raise ProgramError(
            f"{path} is not a program file, or is damaged ({one_line(error)}); "
            "'shiftwork quantize' makes one"
        ) from error


def encode(program: "Program") -> tuple[dict[str, Any], dict[str, NDArray]]:
    """What a program's file holds: the header, and the arrays by name."""
    arrays: dict[str, NDArray] = {}
    ops = [
        _encode_record(op, f"op{index}", arrays) | _encode_table(op, program.tables)
        for index, op in enumerate(program.ops)
    ]
    for index, table in enumerate(program.tables):
        arrays[f"table{index}"] = table.outputs
    for label, layout in program.layouts.items():
        arrays[f"{label}_order"] = layout.order
    header = {
        "version": _version(program),
        "name": program.name,
        "tensors": [_encode_tensor(tensor) for tensor in program.tensors],
        "ops": ops,
        "input": program.input,
        "output": program.output,
        "layouts": {label: layout.shape for label, layout in program.layouts.items()},
        "dropped": program.dropped,
        "info": program.info,
    }
    if program.codebook is not None:
        header["codebook"] = program.codebook
    if program.raw_input is not None:
        header["raw_input"] = asdict(program.raw_input)
    if program.softmax is not None:
        header["softmax"] = asdict(program.softmax)
    return header, arrays


def _version(program: "Program") -> int:
    """The oldest format version whose readers understand the program."""
    wide = any(isinstance(op, Conv) and op.wide for op in program.ops)
    if program.tables or wide or program.wide or program.softmax:
        return LATEST_VERSION
    return ENDS_VERSION if program.top_score or program.raw_input else FORMAT_VERSION


def _encode_table(op: Op, tables: Sequence[Table]) -> dict[str, Any]:
    """An op's table: the number of its array, and what it means; nothing without one."""
    table = table_of(op)
    if table is None:
        return {}
    number = [other.key for other in tables].index(table.key)
    return {"table": {"number": number, "function": table.function, "step": table.step}}


def _encode_tensor(tensor: Tensor) -> dict[str, Any]:
    """The fields of a tensor; ``widths`` only where there are any, as files had none at first."""
    record = asdict(tensor)
    if tensor.widths is None:
        del record["widths"]
    return record


def _encode_record(item: Op | Term, prefix: str, arrays: dict[str, NDArray]) -> dict[str, Any]:
    """The fields of an op or a term; its arrays go to ``arrays``, named after ``prefix``."""
    record: dict[str, Any] = {"kind": type(item).__name__}
    for key, value in vars(item).items():
        if key == "table":
            continue
        if isinstance(value, np.ndarray):
            arrays[f"{prefix}_{key}"] = value
        elif key == "terms":
            record[key] = [
                _encode_record(term, f"{prefix}_term{number}", arrays)
                for number, term in enumerate(value)
            ]
        else:
            record[key] = value
    return record


def _decode(kind: "type[Program]", header: dict[str, Any], arrays: dict[str, NDArray]) -> "Program":
    layouts = {
        label: Layout(tuple(int(dim) for dim in shape), arrays[f"{label}_order"])
        for label, shape in header["layouts"].items()
    }
    own = {key: header[key] for key in ("name", "input", "output", "dropped", "info")}
    own |= {key: header[key] for key in ("codebook",) if key in header}
    raw, softmax = header.get("raw_input"), header.get("softmax")
    return from_json(
        kind,
        own,
        tensors=tuple(from_json(Tensor, record) for record in header["tensors"]),
        ops=tuple(
            _decode_record(record, f"op{index}_", arrays, OPS)
            for index, record in enumerate(header["ops"])
        ),
        input_layout=layouts["input"],
        output_layout=layouts["output"],
        raw_input=None if raw is None else from_json(RawInput, raw),
        softmax=None if softmax is None else from_json(Softmax, softmax),
    )


def _decode_table(record: dict[str, Any], arrays: dict[str, NDArray]) -> Table:
    number = record.pop("number")
    return from_json(Table, record, outputs=arrays[f"table{number}"])


def _decode_record(
    record: dict[str, Any], prefix: str, arrays: dict[str, NDArray], kinds: Mapping[str, Any]
) -> Any:
    """The op or term of a record, with the arrays that are named after ``prefix``."""
    values = {key: value for key, value in record.items() if key not in ("kind", "terms", "table")}
    names = {key.removeprefix(prefix): key for key in arrays if key.startswith(prefix)}
    own: dict[str, Any] = {
        name: arrays[key] for name, key in names.items() if not name.startswith("term")
    }
    if "terms" in record:
        own["terms"] = tuple(
            _decode_record(term, f"{prefix}term{number}_", arrays, TERMS)
            for number, term in enumerate(record["terms"])
        )
    if "table" in record:
        own["table"] = _decode_table(dict(record["table"]), arrays)
    kind = record["kind"]
    if isinstance(kind, str) and kind not in kinds:
        raise ProgramError(
            f"it has an op of the kind {kind!r:.40}, which this Shiftwork does not know; it knows "
            f"{', '.join(kinds)}"
        )
    return from_json(kinds[kind], values, **own)
