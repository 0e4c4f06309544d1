"""The points of an exploration: a network's quantization on an array of a board at a clock.

What a design takes is computed by :func:`evaluate`, a function of plain values alone: it runs the
same in this process, in another one, and on another machine.
"""

import math
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from shiftwork.boards import resources
from shiftwork.boards.accelerator import memory_binding
from shiftwork.boards.board import Board
from shiftwork.boards.estimate import Estimate, estimate
from shiftwork.boards.fit import bind
from shiftwork.errors import CapacityError, ProgramError, ToolError
from shiftwork.hw.activation_bank import SPRAM_BYTES, SPRAM_WORD_BYTES
from shiftwork.hw.schedule import Schedule
from shiftwork.quant.program import Program
from shiftwork.workspace import code_digest

Clock = float | Literal["board", "max"]
"""Megahertz, the board's own clock, or as fast as the design is estimated to run."""
DEFAULT_ROWS = (1, 2, 4, 8)
DEFAULT_COLUMNS = (2, 4, 8, 16, 32, 64)
PROGRAMS = 4
"""Networks that a process keeps unpacked."""

PRODUCT_LUT = 80
"""Lookup tables of a product of two bytes that is made of them."""
LOGIC_GAP = 14.0
"""How much more energy logic takes in an FPGA's lookup tables than in hard cells."""
PRODUCT_PJ, RAM_PJ, RAM_BITS, RAM_BYTES = 0.2, 10.0, 64, 8192
"""Picojoules of a hard product of two bytes, and of ``RAM_BITS`` read from ``RAM_BYTES`` of RAM."""
LUT_PJ = PRODUCT_PJ * LOGIC_GAP / PRODUCT_LUT


@dataclass(frozen=True, kw_only=True)
class Task:
    """An array of a size, to be estimated on several boards.

    Attributes:
        boards: on which.
        rows, columns: of the array.
        code: digest of the source files that must do it.
    """

    boards: tuple[Board, ...]
    rows: int
    columns: int
    code: str


@dataclass(frozen=True, kw_only=True)
class Design:
    """What is known of an accelerator before synthesis, at whatever clock.

    Attributes:
        problem: why it does not fit the board; empty if it does, and only then the rest counts.
        cycles: of an inference.
        utilization: useful multiply-accumulates as a share of what the array could do.
        lut, ff, fmax_mhz: estimated.
        lut_percent: of the board's lookup tables.
        bram, dsp, spram: block RAMs, multiplier blocks and single-port RAMs.
        weights_in: which memory holds the weights.
        energy: proxy of an inference's energy, as of :func:`energy_proxy`.
    """

    problem: str = ""
    cycles: int = 0
    utilization: float = 0.0
    lut: int = 0
    lut_percent: float = 0.0
    ff: int = 0
    bram: int = 0
    dsp: int = 0
    spram: int = 0
    weights_in: str = ""
    fmax_mhz: float = 0.0
    energy: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Point:
    """A design at a clock.

    Attributes:
        quantization, board: their names.
        rows, columns: of the array.
        clock_mhz: asked for; None: as fast as it is estimated to run.
        design: what is known of it.
    """

    quantization: str
    board: str
    rows: int
    columns: int
    clock_mhz: float | None
    design: Design

    @property
    def fits(self) -> bool:
        """Whether the board can hold the design."""
        return not self.design.problem

    @property
    def runs_at_mhz(self) -> float:
        """The clock, or what the design is estimated to reach if that is less."""
        fmax_mhz = self.design.fmax_mhz
        return fmax_mhz if self.clock_mhz is None else min(self.clock_mhz, fmax_mhz)

    @property
    def meets_clock(self) -> bool:
        """Whether the design is estimated to reach the clock."""
        return self.clock_mhz is None or self.clock_mhz <= self.design.fmax_mhz

    @property
    def latency_us(self) -> float:
        """Microseconds of an inference; infinite if it does not fit."""
        return round(self.design.cycles / self.runs_at_mhz, 3) if self.fits else math.inf


def evaluate(program: bytes, task: Task) -> list[Design]:
    """What an array takes on each board of the task.

    Args:
        program: content of a program file.

    Raises:
        ToolError: if this is another Shiftwork than the one that made the task.
    """
    if task.code != _code():
        raise ToolError(
            "a worker runs another version of Shiftwork than this command; install the same one on "
            "all machines"
        )
    network = unpacked(program)
    return [_design(network, board, task.rows, task.columns) for board in task.boards]


@lru_cache(maxsize=1)
def _code() -> str:
    return code_digest()


@lru_cache(maxsize=PROGRAMS)
def unpacked(content: bytes) -> Program:
    """The program of a program file's content."""
    with tempfile.TemporaryDirectory(prefix="shiftwork-") as folder:
        path = Path(folder) / "net.npz"
        path.write_bytes(content)
        return Program.load(path)


def _design(program: Program, board: Board, rows: int, columns: int) -> Design:
    try:
        schedule = bind(program, board, rows=rows, columns=columns)
    except (CapacityError, ProgramError) as error:
        return Design(problem=str(error))
    config = schedule.config
    contents = resources.Contents.of(schedule.images, config)
    found = estimate(config, board, contents=contents)
    return Design(
        cycles=schedule.cycles,
        utilization=round(schedule.utilization, 4),
        lut=found.lut,
        lut_percent=round(100.0 * found.lut / board.lut, 2),
        ff=found.ff,
        bram=found.bram,
        dsp=found.dsp,
        spram=found.spram,
        weights_in=memory_binding(schedule)["weights"],
        fmax_mhz=round(found.fmax_mhz, 3),
        energy=energy_proxy(schedule, found, board),
    )


def energy_proxy(schedule: Schedule, found: Estimate, board: Board) -> float:
    """A measure of the energy that an inference takes, to compare designs; not joules.

    Every cycle all lookup tables, hard multipliers and RAMs of the design are active. Each counts
    with its share of a lookup table's energy; ``docs/explore.md`` derives these. What does not
    depend on the design is left out: leakage, pins, and what else is on the board.

    Returns:
        Millions of lookup tables active for a cycle.
    """
    products = schedule.config.shape.elements - resources.soft_products(schedule.config)
    active = (
        found.lut
        + products * PRODUCT_PJ / LUT_PJ
        + found.bram * ram_weight(board.bram_bits // 8, bits=8)
        + found.spram * ram_weight(SPRAM_BYTES, bits=8 * SPRAM_WORD_BYTES)
    )
    return round(schedule.cycles * active / 1e6, 3)


def ram_weight(size: int, *, bits: int) -> float:
    """How many lookup tables take the energy of an access to a RAM.

    A RAM of four times the size takes twice the energy for a bit.

    Args:
        size: bytes of the RAM.
        bits: of the access.
    """
    return RAM_PJ * bits / RAM_BITS * math.sqrt(size / RAM_BYTES) / LUT_PJ


def sizes(
    boards: Iterable[Board], rows: Sequence[int] | None, columns: Sequence[int] | None
) -> dict[tuple[int, int], tuple[Board, ...]]:
    """The arrays to try, by rows and columns in ascending order, each with its boards.

    Args:
        boards: which.
        rows, columns: all combinations are tried on every board; powers of two if one is left
            out. If both are, a board gets no more processing elements than it has multipliers
            for, or is known to hold.
    """
    by_default = rows is None and columns is None
    tried = {
        (r, c): tuple(b for b in boards if not by_default or r * c <= _most_elements(b))
        for r in sorted(set(DEFAULT_ROWS if rows is None else rows))
        for c in sorted(set(DEFAULT_COLUMNS if columns is None else columns))
    }
    return {size: chosen for size, chosen in tried.items() if chosen}


def _most_elements(board: Board) -> int:
    return max(board.max_elements, board.products)


def clocks_of(board: Board, clocks: Iterable[Clock]) -> list[float | None]:
    """The clocks in MHz in ascending order, each once; None, as fast as possible, comes last."""
    named = {"board": board.target_mhz, "max": None}
    chosen = {named[clock] if isinstance(clock, str) else clock for clock in clocks}
    fixed = sorted(mhz for mhz in chosen if mhz is not None)
    return [*fixed, *([None] if None in chosen else [])]
