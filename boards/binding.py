"""How a board builds an array of given rows and columns: lanes, words, and where weights lie."""

from collections.abc import Iterator
from dataclasses import replace

from shiftwork.boards import resources
from shiftwork.boards.board import Board
from shiftwork.boards.products import ProductChoice, products_of
from shiftwork.hw.activation_bank import SPRAM_BYTES, SPRAM_WORD_BYTES
from shiftwork.hw.config import ArrayShape, Family
from shiftwork.hw.schedule import Outline
from shiftwork.quant.program import Program
from shiftwork.quant.program_ops import AveragePool, Conv, Residual

MIN_WORD_BYTES = 4
MAX_WORD_BYTES = 32
STAGE_COLUMNS: dict[Family, int] = {
    "generic": 1,
    "ice40up": 8,
    "ice40hx": 8,
    "ecp5": 8,
    "gowin": 8,
}
"""Columns that share a stage of the pipeline: more shorten the layers' ends, fewer the wires."""
LANES: dict[Family, tuple[int, ...]] = {
    "generic": (1,),
    "ice40up": (1,),
    "ice40hx": (1,),
    "ecp5": (8, 4, 2, 1),
    "gowin": (2, 1),
}
"""Requantizers to try, most first: a shifter is dear in iCE40 logic and cheap in ECP5's."""


def shapes_for(
    board: Board | None,
    program: Program,
    *,
    rows: int,
    columns: int,
    products: ProductChoice = "auto",
) -> Iterator[ArrayShape]:
    """The ways in which ``board`` can build an array of ``rows`` x ``columns``, best first.

    Memory words that reach all columns of a depthwise layer come before narrower ones. Not every
    network runs on all of them: banks of several bytes need even numbers of channels.
    """
    family: Family = board.family if board else "generic"
    for word_bytes, bank_bytes in _words(board, program, rows=rows, columns=columns):
        yield ArrayShape(
            rows=rows,
            columns=columns,
            lanes=next(n for n in LANES[family] if columns % n == 0 and word_bytes % n == 0),
            stage_columns=min(STAGE_COLUMNS[family], columns),
            word_bytes=word_bytes,
            bank_bytes=bank_bytes,
            family=family,
            single_port=family == "ice40up",
            products=products_of(products, family, program, elements=rows * columns),
        )


def further_bindings(board: Board | None, outline: Outline) -> Iterator[ArrayShape]:
    """What else to try if ``outline``, with ROMs and two input buffers, does not fit; best first.

    One input buffer; then the weights in single-port RAM, if the board has it: a flash loader
    brings them there, and each layer's are copied to columns that hold just the largest of them, in
    whole block RAMs.
    """
    if board is None:
        return
    yield replace(outline.shape, input_buffers=1)
    if board.spram_bytes:
        blocks = _blocks(outline.column_need, board)
        yield from _copying(board, outline, column_blocks=blocks)


def split_bindings(board: Board | None, outline: Outline) -> Iterator[ArrayShape]:
    """What else to try if the columns cannot hold the weights of the largest layer; best first.

    They hold those of fewer of its channel groups, so that it takes more passes: from as many as
    the block RAM may hold down to one. None if the single-port RAM is too small for all weights.
    """
    if board is None or not board.spram_bytes or not _fits_single_port(board, outline):
        return
    others = resources.rom_blocks_beside_weights(outline.config, board)
    room = max(0, board.bram - others) // outline.shape.columns
    least = _blocks(outline.group_need, board)
    blocks = min(_blocks(outline.column_need, board) - 1, max(room, least))
    while blocks >= least:
        # No more than the largest pass takes: the number of passes stays the same.
        blocks = _blocks(outline.pass_need(blocks * _block_bytes(board)), board)
        yield from _copying(board, outline, column_blocks=blocks)
        blocks -= 1


def _copying(board: Board, outline: Outline, *, column_blocks: int) -> Iterator[ArrayShape]:
    """With columns of so many block RAMs, to which weights are copied."""
    size = column_blocks * _block_bytes(board)
    for input_buffers in (2, 1):
        yield replace(outline.shape, column_bytes=size, input_buffers=input_buffers)


def _fits_single_port(board: Board, outline: Outline) -> bool:
    """Whether the single-port RAM may hold all weights beside the feature maps.

    With one buffer for the input, as ``outline`` has two.
    """
    shape, program = outline.shape, outline.program
    words = outline.config.weight_depth * outline.config.weight_blocks
    saved = program.tensor(program.input).bytes
    return outline.memory.size - saved + words * shape.word_bytes <= board.spram_bytes


def _block_bytes(board: Board) -> int:
    """Bytes of a block RAM."""
    return board.bram_bits // 8


def _blocks(size: int, board: Board) -> int:
    """Block RAMs for ``size`` bytes of a column, at least one."""
    return max(1, -(-size // _block_bytes(board)))


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
