"""The boards that Shiftwork supports."""

import difflib

from shiftwork.boards.board import Board
from shiftwork.boards.icebreaker import ICEBREAKER
from shiftwork.boards.ulx3s_85f import ULX3S_85F
from shiftwork.errors import ShiftworkError

BOARDS = (ICEBREAKER, ULX3S_85F)


class BoardError(ShiftworkError):
    """A board is unknown, or does not suit the accelerator."""


def find(name: str | Board) -> Board:
    """The board of that name; a :class:`Board` is returned as it is.

    Raises:
        BoardError: if there is none, listing those that there are.
    """
    if isinstance(name, Board):
        return name
    boards = {board.name: board for board in BOARDS}
    if name in boards:
        return boards[name]
    close = difflib.get_close_matches(name.lower(), boards, n=1)
    hint = f"did you mean '{close[0]}'? " if close else ""
    raise BoardError(f"unknown board '{name}'; {hint}supported boards: {', '.join(boards)}")
