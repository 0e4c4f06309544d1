"""All files of the documentation that are generated and kept in the repository."""

import tempfile
from pathlib import Path

from generators import bundled
from generators.board_pages import board_page
from generators.core_drawing import core_drawing
from generators.design import read_design
from generators.frame_drawing import frame_drawing
from generators.tile_drawing import tile_drawing

from shiftwork.boards.registry import BOARDS


def generated() -> dict[str, str]:
    """The text of each file by its path in ``docs``."""
    return drawings() | pages()


def pages() -> dict[str, str]:
    """The guides of the boards."""
    return {f"boards/{board.name}.md": board_page(board) for board in BOARDS}


def drawings() -> dict[str, str]:
    """The drawings, of the bundled network's accelerator."""
    accelerator = bundled.accelerator()
    with tempfile.TemporaryDirectory(prefix="shiftwork-docs-") as folder:
        design = read_design(accelerator.core(), Path(folder))
    return {
        "drawings/core.svg": core_drawing(accelerator, design),
        "drawings/frame.svg": frame_drawing(accelerator.schedule),
        "drawings/tile.svg": tile_drawing(accelerator),
    }
