"""A bitstream of a network on an engine that is routed already: other contents of block RAMs."""

import json
from pathlib import Path

from shiftwork.boards.bitstream import RECORD, Bitstream, remove_results
from shiftwork.boards.block_rams import BLOCK_RAMS
from shiftwork.boards.board import Board
from shiftwork.boards.board_top import make_sources
from shiftwork.boards.engine_core import EngineCore, network_core, random_core
from shiftwork.boards.link_protocol import PROTOCOL_VERSION, Identity, Status, short_digest
from shiftwork.boards.registry import find
from shiftwork.boards.rom_places import exchange as exchange_contents
from shiftwork.boards.routed_engine import RoutedEngine, design_digest, load_engine
from shiftwork.boards.tools import Toolchain
from shiftwork.boards.whole_design import pack
from shiftwork.errors import DataError
from shiftwork.hw.schedule import Schedule, make_schedule
from shiftwork.quant.program import Program
from shiftwork.workspace import (
    Progress,
    Workspace,
    code_digest,
    file_digest,
    silent,
    versions,
    write_text,
)


def exchange(
    program: Program,
    *,
    engine: str | Path,
    folder: str | Path,
    toolchain: Toolchain = "yowasp",
    progress: Progress = silent,
) -> Bitstream:
    """Writes the bitstream of a network on an engine, and ``bitstream.json``.

    Nothing is synthesized, placed or routed.

    Args:
        program: the network.
        engine: folder of the engine, from :func:`shiftwork.boards.routed_engine.make_engine`.
        folder: for the results.
        toolchain: "native" for the user's own packer.
        progress: is told what happens.

    Raises:
        DataError: if there is no engine, or if this version of Shiftwork makes another one.
        ProgramError, CapacityError: if the network does not run on it; nothing is written.
        ToolError: if the packer is missing, fails or takes too long.
        OutputError: if the folder cannot be written.
    """
    found, routed = load_engine(engine)
    board = find(found.board)
    progress(f"planning '{program.name}' on the engine for {', '.join(found.networks)}")
    schedule = make_schedule(program, found.config.shape, found.config)
    _check_design(found, board, Path(engine))
    core = exchanged_core(found, schedule)
    progress("exchanging the contents of the block RAMs")
    text = exchange_contents(routed, core.roms, found.places, BLOCK_RAMS[board.family])
    with Workspace(folder, progress=progress) as workspace:
        remove_results(workspace.folder)
        results: list[Bitstream] = []

        def write(target: Path) -> None:
            packed = pack(text, target, board=board, toolchain=toolchain, workspace=workspace)
            record = _record(found, schedule, board, packed, workspace.folder)
            results.append(record)
            write_text(target / RECORD, json.dumps(record.as_dict(), indent=2) + "\n")

        workspace.publish(write)
        return results[0]


def exchanged_core(engine: RoutedEngine, schedule: Schedule) -> EngineCore:
    """The engine's hardware with a network's contents."""
    program = schedule.program
    identity = Identity(
        version=PROTOCOL_VERSION,
        state=Status.OK,
        clock_hz=engine.setting.hertz,
        cycles=schedule.cycles,
        input_bytes=program.tensor(program.input).bytes,
        output_bytes=program.tensor(program.output).bytes,
        digest=short_digest(program),
    )
    return network_core(engine.config, schedule.images, identity)


def _check_design(engine: RoutedEngine, board: Board, folder: Path) -> None:
    """That the hardware is what today's contents are for.

    If Shiftwork or a tool has changed, the engine's design is made anew, up to its text.
    """
    if engine.code == code_digest() and versions().items() <= engine.tools.items():
        return
    sources = make_sources(
        random_core(engine.config), board=board, setting=engine.setting, baud=engine.baud
    )
    if design_digest(sources) != engine.design:
        raise DataError(
            f"the engine in {folder} was made by another version of Shiftwork or Amaranth, whose "
            "hardware differs; make it again with 'shiftwork engine'"
        )


def _record(
    engine: RoutedEngine, schedule: Schedule, board: Board, packed: Path, target: Path
) -> Bitstream:
    shape = engine.config.shape
    return Bitstream(
        board=board.name,
        title=board.title,
        network=schedule.program.name,
        digest=schedule.program.digest,
        rows=shape.rows,
        columns=shape.columns,
        cycles=schedule.cycles,
        clock_mhz=engine.clock_mhz,
        asked_mhz=engine.asked_mhz,
        seeds=engine.seeds,
        seed=engine.seed,
        baud=engine.baud,
        resources=engine.resources,
        file=packed.name,
        sha256=file_digest(packed),
        flash=None,
        commands=(board.load.format(file=target / packed.name),),
        note=board.note,
        tools=engine.tools | versions(),
    )
