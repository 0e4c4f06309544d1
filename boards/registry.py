"""The boards that Shiftwork supports."""

import difflib

from shiftwork.boards.board import Board
from shiftwork.boards.colorlight_i5 import COLORLIGHT_I5
from shiftwork.boards.ice40_hx8k import ICE40_HX8K
from shiftwork.boards.icebreaker import ICEBREAKER
from shiftwork.boards.orangecrab import ORANGECRAB
from shiftwork.boards.tang_nano_9k import TANG_NANO_9K
from shiftwork.boards.tang_nano_20k import TANG_NANO_20K
from shiftwork.boards.ulx3s_25f import ULX3S_25F
from shiftwork.boards.ulx3s_85f import ULX3S_85F
from shiftwork.boards.upduino3 import UPDUINO3
from shiftwork.errors import ShiftworkError

BOARDS = (
    ICEBREAKER,
    UPDUINO3,
    ICE40_HX8K,
    ULX3S_25F,
    ULX3S_85F,
    ORANGECRAB,
    COLORLIGHT_I5,
    TANG_NANO_9K,
    TANG_NANO_20K,
)


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
