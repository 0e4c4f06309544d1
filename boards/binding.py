"""How a board builds an array of given rows and columns: lanes, words, and where weights lie."""

from collections.abc import Iterator
from dataclasses import replace

from shiftwork.boards.board import Board
from shiftwork.hw.activation_bank import SPRAM_BYTES, SPRAM_WORD_BYTES
from shiftwork.hw.config import ArrayShape, Family
from shiftwork.quant.program import AveragePool, Conv, Program, Residual

MIN_WORD_BYTES = 4
MAX_WORD_BYTES = 32
STAGE_COLUMNS: dict[Family, int] = {"generic": 1, "ice40up": 8, "ecp5": 8}
"""Columns that share a stage of the pipeline: more shorten the layers' ends, fewer the wires."""
LANES: dict[Family, tuple[int, ...]] = {"generic": (1,), "ice40up": (1,), "ecp5": (8, 4, 2, 1)}
"""Requantizers to try, most first: a shifter is dear in iCE40 logic and cheap in ECP5's."""


def shapes_for(
    board: Board | None, program: Program, *, rows: int, columns: int
) -> Iterator[ArrayShape]:
    """The ways in which ``board`` can build an array of ``rows`` x ``columns``, best first.

    Weights in ROMs come before weights that a flash loader brings into the activation memory, two
    input buffers before one, and memory words that reach all columns of a depthwise layer before
    narrower ones.
    """
    family: Family = board.family if board else "generic"
    stage_columns = min(STAGE_COLUMNS[family], columns)
    for word_bytes, bank_bytes in _words(board, program, rows=rows, columns=columns):
        lanes = next(n for n in LANES[family] if columns % n == 0 and word_bytes % n == 0)
        shape = ArrayShape(
            rows=rows,
            columns=columns,
            lanes=lanes,
            stage_columns=stage_columns,
            word_bytes=word_bytes,
            bank_bytes=bank_bytes,
            family=family,
            single_port=family == "ice40up",
        )
        yield shape
        if board and board.spram_bytes:
            for input_buffers in (2, 1):
                for column_bytes in _column_bytes(board, columns):
                    yield replace(shape, column_bytes=column_bytes, input_buffers=input_buffers)


def _words(
    board: Board | None, program: Program, *, rows: int, columns: int
) -> list[tuple[int, int]]:
    """Bytes of a memory word and of a bank."""
    if board and board.spram_bytes:
        banks = board.spram_bytes // SPRAM_BYTES
        return [(SPRAM_WORD_BYTES * banks, SPRAM_WORD_BYTES), (banks, 1)]
    least = max(MIN_WORD_BYTES, 1 << (rows - 1).bit_length())
    if not _uses_channels(program):
        return [(least, 1)]
    most = min(MAX_WORD_BYTES, 1 << (columns - 1).bit_length())
    return [(max(least, most), 1)]


def _uses_channels(program: Program) -> bool:
    """Whether a layer takes a word of channels at a time: depthwise, averages, residuals."""
    return any(
        isinstance(op, AveragePool)
        or (
            isinstance(op, Conv)
            and (op.groups > 1 or any(isinstance(term, Residual) for term in op.terms))
        )
        for op in program.ops
    )


def _column_bytes(board: Board, columns: int) -> list[int]:
    """Sizes of the columns' weight memories, in whole block RAMs, that leave some for the rest."""
    block = board.bram_bits // 8
    most = board.bram // columns
    return [block * count for count in range(1, most + 1)]
