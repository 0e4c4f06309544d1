"""Brings a bitstream to a board with the tools that do that, where they are installed."""

import json
import os
import shlex
import shutil
from pathlib import Path

from shiftwork.boards.accelerator import FLASH_FILE
from shiftwork.boards.board import Board
from shiftwork.boards.registry import BoardError, find
from shiftwork.errors import DataError, ToolError
from shiftwork.hw.flash_loader import FLASH_ADDRESS
from shiftwork.sim import simulator_cache
from shiftwork.sim.processes import run_logged
from shiftwork.workspace import Progress, silent

OTHERS = {
    "iceprog": (
        "openFPGALoader -b ice40_generic {file}",
        f"openFPGALoader -b ice40_generic -f -o {FLASH_ADDRESS} {{file}}",
    ),
}
"""What loads a bitstream, and writes a flash image, where the board's own tool is not installed."""
INSTALL = {
    "iceprog": "Debian: apt install fpga-icestorm; macOS: brew install icestorm",
    "openFPGALoader": "Debian: apt install openfpgaloader; macOS: brew install openfpgaloader",
    "dfu-util": "Debian: apt install dfu-util; macOS: brew install dfu-util",
}
SUFFIXES = (".bin", ".bit", ".fs")
RECORD = "bitstream.json"
LIMIT_S = 600.0


def program_board(
    path: str | Path, *, board: str | Board, progress: Progress = silent
) -> list[list[str]]:
    """Writes the flash image, if there is one beside the bitstream, and loads the bitstream.

    Args:
        path: the bitstream, or the folder with it.
        board: that is connected.
        progress: is told what happens.

    Returns:
        The commands that were run.

    Raises:
        BoardError: if the board is unknown, or the bitstream was made for another one.
        DataError: if there is no bitstream, or more than one.
        ToolError: if no tool for the board is installed, or it fails.
    """
    board = find(board)
    bitstream, image = _files(Path(path), board)
    commands = _commands(board, bitstream, image)
    folder = simulator_cache.default_folder()
    simulator_cache.prepare(folder)
    for command in commands:
        progress(shlex.join(command))
        with simulator_cache.kept_log(folder, Path(command[0]).name) as log:
            run_logged(
                [command],
                cwd=bitstream.parent,
                env=os.environ,
                log=log,
                what=Path(command[0]).name,
                time_limit=LIMIT_S,
            )
    return commands


def _files(path: Path, board: Board) -> tuple[Path, Path | None]:
    """The bitstream and the flash image, as absolute paths."""
    path = path.absolute()
    if path.is_dir():
        path = _bitstream(path, board)
    if not path.is_file():
        raise DataError(f"there is no bitstream {path}; name it, or the folder that holds it")
    image = path.with_name(FLASH_FILE)
    return path, image if image.is_file() else None


def _bitstream(folder: Path, board: Board) -> Path:
    """The one that a folder's record names, or the only one there."""
    record_path = folder / RECORD
    if record_path.is_file():
        record = json.loads(record_path.read_text())
        if record["board"] != board.name:
            raise BoardError(
                f"the bitstream in {folder} was made for {record['board']}, not for {board.name}; "
                f"name that board, or make a bitstream for {board.name}"
            )
        return folder / str(record["file"])
    found = [
        file
        for file in sorted(folder.iterdir())
        if file.suffix in SUFFIXES and file.name != FLASH_FILE
    ]
    if len(found) != 1:
        names = ", ".join(file.name for file in found) or "none"
        raise DataError(
            f"a folder must hold one bitstream ({', '.join(SUFFIXES)}), but {folder} holds "
            f"{names}; name the file"
        )
    return found[0]


def _commands(board: Board, bitstream: Path, image: Path | None) -> list[list[str]]:
    """Flash image first: the design reads it as soon as it runs."""
    for load, load_flash in _ways(board):
        if path := shutil.which(load.split()[0]):
            pairs = [(load_flash, image), (load, bitstream)] if image else [(load, bitstream)]
            words = [template.format(file=shlex.quote(str(file))) for template, file in pairs]
            return [[path, *shlex.split(text)[1:]] for text in words]
    raise ToolError(_missing(board))


def _ways(board: Board) -> list[tuple[str, str]]:
    """The board's own commands for bitstream and flash image, then those of another tool."""
    other = OTHERS.get(board.load.split()[0])
    return [(board.load, board.load_flash), *([other] if other else [])]


def _missing(board: Board) -> str:
    tools = [load.split()[0] for load, _ in _ways(board)]
    install = " or ".join(f"{tool} ({INSTALL[tool]})" for tool in tools)
    if len(tools) == 1:
        return (
            f"{tools[0]} is not on PATH, which loads bitstreams into {board.name}; "
            f"install {install}"
        )
    return (
        f"neither {' nor '.join(tools)} is on PATH; one of them loads bitstreams into "
        f"{board.name}: install {install}"
    )
