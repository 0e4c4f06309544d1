"""Placing and routing an engine, once; and the folder that holds the result."""

import hashlib
import json
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

from shiftwork.boards import tools
from shiftwork.boards.bitstream import BAUD
from shiftwork.boards.block_rams import BLOCK_RAMS
from shiftwork.boards.board_top import TOP, Sources
from shiftwork.boards.engine import Engine
from shiftwork.boards.engine_core import random_core
from shiftwork.boards.flow import FLOWS, ROUTED_DESIGN
from shiftwork.boards.pll import PllSetting, pll_setting
from shiftwork.boards.report import Resource
from shiftwork.boards.rom_places import Places, find_places, places_from_json, places_to_json
from shiftwork.boards.routing import resources
from shiftwork.boards.synthesis import check_arguments
from shiftwork.boards.tools import Toolchain
from shiftwork.boards.whole_design import Attempt, WholeDesign
from shiftwork.errors import DataError
from shiftwork.hw.config import ArrayConfig, ArrayShape
from shiftwork.workspace import (
    Progress,
    Workspace,
    code_digest,
    file_digest,
    silent,
    versions,
    write_text,
)

FORMAT = 1
RECORD = "engine.json"
ROUTED_ENGINE = "engine.txt"
PLACED = "placed.json"


@dataclass(frozen=True, kw_only=True)
class RoutedEngine:
    """An engine that is placed and routed, as its folder holds it.

    Attributes:
        board: name of the board.
        networks: names of those that it was made for.
        config: shape, widths and depths.
        setting: of the PLL.
        asked_mhz: the clock that was asked for; the PLL makes no more.
        seeds: greatest clock of the whole design in MHz, by seed of the placer.
        seed: whose design this is.
        baud: of the UART.
        resources: used and available, by name.
        design: SHA-256 of what was synthesized.
        code: SHA-256 of the Shiftwork that made it.
        routed: SHA-256 of the routed design.
        places: where the bits of the ROMs are in it.
        tools: versions of what made it.
    """

    board: str
    networks: tuple[str, ...]
    config: ArrayConfig
    setting: PllSetting
    asked_mhz: float
    seeds: dict[int, float]
    seed: int
    baud: int
    resources: dict[str, Resource]
    design: str
    code: str
    routed: str
    places: Places
    tools: dict[str, str]

    @cached_property
    def clock_mhz(self) -> float:
        """What the PLL makes."""
        return round(float(self.setting.mhz), 6)

    @property
    def fmax_mhz(self) -> float:
        """Of the routed design."""
        return self.seeds[self.seed]

    def as_dict(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return asdict(self) | {
            "format": FORMAT,
            "setting": {"mhz": str(self.setting.mhz), "parameters": self.setting.parameters},
            "places": places_to_json(self.places),
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> "RoutedEngine":
        """The inverse of :meth:`as_dict`, of what JSON makes of it."""
        given = {name: value for name, value in record.items() if name != "format"}
        setting = given["setting"]
        return cls(
            **given
            | {
                "networks": tuple(given["networks"]),
                "config": _config(given["config"]),
                "setting": PllSetting(
                    mhz=Fraction(setting["mhz"]), parameters=setting["parameters"]
                ),
                "seeds": {int(seed): mhz for seed, mhz in given["seeds"].items()},
                "resources": {
                    name: Resource(used=value["used"], available=value["available"])
                    for name, value in given["resources"].items()
                },
                "places": places_from_json(given["places"]),
            }
        )


def make_engine(
    engine: Engine,
    *,
    folder: str | Path,
    seeds: int | None = None,
    clock_mhz: float | None = None,
    fastest: bool = False,
    baud: int = BAUD,
    toolchain: Toolchain = "yowasp",
    progress: Progress = silent,
) -> RoutedEngine:
    """Places and routes an engine; writes ``engine.json`` and the routed design.

    Steps whose inputs are unchanged are taken from ``folder``.

    Args:
        engine: what to make.
        folder: for all files.
        seeds, clock_mhz, fastest, baud, toolchain, progress: as of
            :func:`shiftwork.boards.bitstream.make_bitstream`.

    Raises:
        BoardError, CapacityError, TimingError, ToolError, OutputError: as of ``make_bitstream``.
    """
    board = engine.board
    asked = board.bitstream_mhz or board.target_mhz if clock_mhz is None else clock_mhz
    core = random_core(engine.config)
    check_arguments(engine, board=board, seeds=seeds, target_mhz=asked)
    tools.check(FLOWS[board.family], toolchain)
    setting = pll_setting(board, asked)
    with Workspace(folder, progress=progress) as workspace:
        for name in (RECORD, ROUTED_ENGINE):
            (workspace.folder / name).unlink(missing_ok=True)
        design = WholeDesign(
            workspace,
            core,
            board,
            name=f"an engine for {', '.join(engine.networks)}",
            baud=baud,
            toolchain=toolchain,
            further=("--write", PLACED),
        )
        attempt = design.fast_enough(setting, seeds=seeds, fastest=fastest)
        best = attempt.routed[attempt.best]
        progress("finding the bits of the ROMs in the block RAMs")
        routed = (best.folder / ROUTED_DESIGN).read_text()
        places = find_places(
            core.roms,
            read_module(attempt.netlist)["cells"],
            read_module(best.folder / PLACED)["cells"],
            routed,
            BLOCK_RAMS[board.family],
        )
        record = _record(engine, design, attempt, places, asked_mhz=asked)

        def write(target: Path) -> None:
            write_text(target / ROUTED_ENGINE, routed)
            write_text(target / RECORD, json.dumps(record.as_dict()) + "\n")

        workspace.publish(write)
        return record


def _record(
    engine: Engine, design: WholeDesign, attempt: Attempt, places: Places, *, asked_mhz: float
) -> RoutedEngine:
    best, board = attempt.routed[attempt.best], engine.board
    return RoutedEngine(
        board=board.name,
        networks=engine.networks,
        config=engine.config,
        setting=attempt.setting,
        asked_mhz=asked_mhz,
        seeds=attempt.seeds,
        seed=attempt.best,
        baud=design.baud,
        resources=resources(best.record, board=board, flow=design.flow, cells=attempt.cells),
        design=design_digest(attempt.sources),
        code=code_digest(),
        routed=file_digest(best.folder / ROUTED_DESIGN),
        places=places,
        tools=versions() | tools.identity(design.flow, design.toolchain),
    )


def load_engine(folder: str | Path) -> tuple[RoutedEngine, str]:
    """The engine in a folder, and its routed design.

    Raises:
        DataError: if there is none, or if it was made by another version or has been changed.
    """
    folder = Path(folder)
    way_out = "make it with 'shiftwork engine'"
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        routed = (folder / ROUTED_ENGINE).read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"there is no engine in {folder}: {error.strerror}; {way_out}") from error
    except ValueError as error:
        raise DataError(f"{folder / RECORD} is damaged: {error}; {way_out} again") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise DataError(f"{folder / RECORD} is of another version of Shiftwork; {way_out} again")
    try:
        engine = RoutedEngine.from_dict(record)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{folder / RECORD} is damaged: {error}; {way_out} again") from error
    if engine.routed != hashlib.sha256(routed.encode()).hexdigest():
        raise DataError(
            f"{folder / ROUTED_ENGINE} is not the routed design that {RECORD} was written with; "
            f"{way_out} again"
        )
    return engine, routed


def design_digest(sources: Sources) -> str:
    """What tells whether a routed engine is what this version would make."""
    return hashlib.sha256(f"{sources.rtlil}\0{sources.constraints}".encode()).hexdigest()


def read_module(netlist: Path) -> dict[str, Any]:
    """The top module of a netlist as JSON; nextpnr, which writes no other, renames it."""
    modules: dict[str, dict[str, Any]] = json.loads(netlist.read_text(encoding="utf-8"))["modules"]
    return modules.get(TOP) or next(iter(modules.values()))


def _config(record: dict[str, Any]) -> ArrayConfig:
    def fields(name: str) -> tuple[tuple[str, int, bool], ...]:
        return tuple((str(field), int(width), bool(sign)) for field, width, sign in record[name])

    lists = ("fields", "segment_fields", "header_fields")
    return ArrayConfig(
        **record
        | {name: fields(name) for name in lists}
        | {"shape": ArrayShape(**record["shape"]), "codebook": tuple(record["codebook"])}
    )
