"""An engine for a board: the array and the memories that several networks share.

It is placed and routed once; then a network that fits it is an exchange of the contents of block
RAMs (``docs/exchange.md``).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from shiftwork.boards import fit, resources
from shiftwork.boards.binding import shapes_for
from shiftwork.boards.block_rams import BLOCK_RAMS
from shiftwork.boards.board import Board
from shiftwork.boards.registry import BoardError, find
from shiftwork.errors import CapacityError
from shiftwork.hw.activation_bank import SPRAM_BYTES
from shiftwork.hw.config import ArrayConfig, ArrayShape
from shiftwork.hw.engine import (
    check_tables,
    common_ground,
    greatest_depth,
    merged,
    with_room,
)
from shiftwork.hw.rom import BLOCK_FORMS
from shiftwork.hw.schedule import Outline, Schedule, make_schedule
from shiftwork.quant.program import Program

LINK_BLOCKS = 1
"""Block RAMs for what the host is told."""
AMPLE = 2
"""Program, parameters and feature maps get up to so many times what the networks given need."""
SPRAM_ROOM = 4
"""The same for feature maps in single-port RAM, which is there anyhow; addresses are not free."""


class Engine:
    """What networks share on a board: shape, widths and depths.

    Of everything it has the most that one of ``programs`` needs. With ``room`` fields are wider,
    and the board's spare block RAMs hold more weights, parameters and layers, for networks that
    come later. Weights are bytes in ROMs, those of a codebook too.

    Parameters:
        programs: the networks that have to fit.
        board: a board or its name.
        rows, columns: of the array, both or neither; by default what suits the first network.
        room: whether there is head room.

    Attributes:
        board: the board.
        networks: names of the programs.
        config: shape, widths and depths.

    Raises:
        BoardError: if the board's block RAMs cannot be exchanged.
        CapacityError: if there is no program, or if they do not fit the board together.
    """

    def __init__(
        self,
        programs: Sequence[Program],
        *,
        board: str | Board,
        rows: int | None = None,
        columns: int | None = None,
        room: bool = True,
    ) -> None:
        self.board = find(board)
        check_family(self.board)
        if not programs:
            raise CapacityError("an engine needs at least one network, whose needs it is made for")
        for program in programs:
            check_tables(program)
        if (rows is None) != (columns is None):
            raise CapacityError("rows and columns must be given together, or neither")
        if rows is None or columns is None:
            shape = fit.choose(
                programs[0], self.board, beside=fit.LINK_LUT, products="multiply"
            ).config.shape
            rows, columns = shape.rows, shape.columns
        self.networks = tuple(program.name for program in programs)
        least = _least(programs, self.board, rows, columns)
        self.config = _with_capacity(least, self.board, room=room)

    def schedule(self, program: Program) -> Schedule:
        """The schedule of a network on the engine.

        Raises:
            ProgramError, CapacityError: if it does not run there; naming what it needs and what
                the engine has.
        """
        return make_schedule(program, self.config.shape, self.config)


def check_family(board: Board) -> None:
    """That contents can be exchanged in the board's family.

    Raises:
        BoardError: if not.
    """
    if board.family not in BLOCK_RAMS:
        raise BoardError(
            f"{board.name} is of the family '{board.family}', whose block RAMs cannot be exchanged "
            f"in a routed design; engines are for {', '.join(sorted(BLOCK_RAMS))}: make a "
            "bitstream of the network's own"
        )


def _least(programs: Sequence[Program], board: Board, rows: int, columns: int) -> ArrayConfig:
    """The least configuration for all programs, of the first shape that all of them fit."""
    errors = []
    for shape in _shapes(programs, board, rows, columns):
        try:
            own = [Outline(program, shape).config for program in programs]
            ground = common_ground(own)
            needs = [Outline(program, shape, ground).config for program in programs]
            return _checked(merged(needs), board)
        except CapacityError as error:
            errors.append(error)
    raise errors[0]


def _shapes(
    programs: Sequence[Program], board: Board, rows: int, columns: int
) -> Iterator[ArrayShape]:
    """Ways to build the array; those that most networks can run on come first."""
    shapes = dict.fromkeys(
        shape
        for program in programs
        for shape in shapes_for(board, program, rows=rows, columns=columns, products="multiply")
    )
    general = sorted(shapes, key=lambda shape: (shape.bank_bytes, -shape.word_bytes))
    for input_buffers in (2, 1):
        for shape in general:
            yield replace(shape, input_buffers=input_buffers)


def _blocks(config: ArrayConfig, board: Board) -> int:
    """Block RAMs of the engine, whose ROMs have no bits that are always the same."""
    return resources.block_rams(config, board) + LINK_BLOCKS


def _checked(config: ArrayConfig, board: Board) -> ArrayConfig:
    """The configuration with ROMs of whole block RAMs.

    Raises:
        CapacityError: if the board has too little of some memory.
    """
    run = BLOCK_FORMS[board.family][-1][0]
    config = replace(
        config,
        weight_depth=_up(config.weight_depth, resources.byte_depth(board)),
        parameter_depth=_up(config.parameter_depth, run),
        program_depth=_up(config.program_depth, run),
    )
    if board.spram_bytes and config.activation_bytes > board.spram_bytes:
        raise CapacityError(
            f"the feature maps do not fit {board.title}: an engine for all networks needs "
            f"{config.activation_bytes:,} bytes, the board has {board.spram_bytes:,}; leave out "
            "the largest network"
        )
    missing = _blocks(config, board) - board.bram
    if missing > 0:
        raise CapacityError(
            f"the memories do not fit {board.title}: an engine for all networks needs "
            f"{_blocks(config, board)} block RAMs ({config.weight_depth:,} bytes of weights in "
            f"each of {config.shape.columns} columns), {missing} more than there are; weights of "
            "an engine are in block RAM alone: leave out the largest network, use fewer --columns "
            "that split the channels evenly, or a larger board"
        )
    return config


def _with_capacity(config: ArrayConfig, board: Board, *, room: bool) -> ArrayConfig:
    """The configuration with head room and the board's spare block RAMs, as far as they go."""
    if not room:
        return config
    try:
        wide = _checked(with_room(config, bank_depth=_roomy_banks(config, board)), board)
    except CapacityError:
        return config
    need = config
    for name in ("program_depth", "parameter_depth"):
        depth = _up(AMPLE * getattr(need, name), BLOCK_FORMS[board.family][-1][0])
        if name == "parameter_depth":
            depth = min(depth, greatest_depth(wide, "parameter_base"))
        wide = _if_it_fits(wide, board, **{name: max(depth, getattr(wide, name))})
    most = greatest_depth(wide, "weight_base")
    while True:
        depth = wide.weight_depth + resources.byte_depth(board)
        more = _if_it_fits(wide, board, weight_depth=min(depth, max(most, wide.weight_depth)))
        if more == wide:
            return wide
        wide = more


def _roomy_banks(config: ArrayConfig, board: Board) -> int:
    """Words of each bank of activation memory."""
    if board.spram_bytes:
        ample = SPRAM_ROOM << (config.bank_depth - 1).bit_length()
        return min(ample, SPRAM_BYTES // config.shape.bank_bytes)
    return _up(config.bank_depth, resources.byte_depth(board))


def _if_it_fits(config: ArrayConfig, board: Board, **depths: Any) -> ArrayConfig:
    larger = replace(config, **depths)
    return larger if _blocks(larger, board) <= board.bram else config


def _up(number: int, unit: int) -> int:
    return -(-number // unit) * unit
