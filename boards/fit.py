"""Which array a board gets, and whether a network fits it."""

import math
from dataclasses import dataclass
from functools import cached_property

from shiftwork.boards import resources
from shiftwork.boards.binding import further_bindings, shapes_for, split_bindings
from shiftwork.boards.board import Board
from shiftwork.boards.estimate import estimate, least_lut
from shiftwork.boards.products import ProductChoice, products_of
from shiftwork.errors import CapacityError
from shiftwork.hw.config import ArrayConfig, ArrayShape, Family
from shiftwork.hw.schedule import Outline, Schedule
from shiftwork.quant.program import Program
from shiftwork.quant.program_ops import Conv

DEFAULT_ELEMENTS = 16
"""Processing elements of an array for no board in particular."""
MAX_ROWS = 8
SPLITS = 2
"""How many sizes of columns that seem to fit are enough; smaller ones take more passes."""
LINK_LUT = 420
"""Lookup tables of the link to the host and of reset: 417 logic cells on an iCEBreaker."""
FILLED = 0.92
"""Share of the lookup tables that a placer is trusted to fill. At 94 % nextpnr found places for one
whole design of an iCEBreaker, and none for another."""
NEARLY_AS_FAST = 1.05
"""A smaller array is preferred while it takes no more than this many times the time."""


@dataclass(frozen=True)
class Problem:
    """Why a network does not fit a board.

    Attributes:
        text: what the board has too little of, by how much, and the way out.
        missing: bytes of memory; lookup tables or multipliers, where the memory suffices.
    """

    text: str
    missing: int


class _Candidate:
    """An array of given rows and columns, with the ways to bind it to the board's memories.

    Attributes:
        rows, columns: of the array.
        outlines: of what seems to fit, best first.
        misfits: the problem of each of the others.
    """

    def __init__(
        self,
        program: Program,
        board: Board | None,
        rows: int,
        columns: int,
        *,
        beside: int = 0,
        products: ProductChoice = "auto",
        roomy: bool = False,
    ) -> None:
        self.board = board
        self.beside = beside
        self.roomy = roomy or beside > 0
        self.rows, self.columns = rows, columns
        self.outlines: list[Outline] = []
        self.misfits: list[Problem] = []
        self._refusals: list[CapacityError] = []
        for shape in shapes_for(board, program, rows=rows, columns=columns, products=products):
            outline = self._add(program, shape)
            if outline is not None:
                self._add_further(outline)

    def _add_further(self, outline: Outline) -> None:
        """The other bindings; passes only where nothing fits that holds whole layers."""
        for shape in further_bindings(self.board, outline):
            self._add(outline.program, shape)
        if self.outlines:
            return
        for shape in split_bindings(self.board, outline):
            self._add(outline.program, shape)
            if len({found.shape.column_bytes for found in self.outlines}) >= SPLITS:
                break

    def _add(self, program: Program, shape: ArrayShape) -> Outline | None:
        """Notes whether the shape fits; returns its outline, or None if it cannot run at all."""
        try:
            outline = Outline(program, shape)
        except CapacityError as error:
            self._refusals.append(error)
            return None
        misfit = self._problem(outline)
        if misfit:
            self.misfits.append(misfit)
        else:
            self.outlines.append(outline)
        return outline

    @property
    def refusal(self) -> CapacityError | None:
        """Why no such array can run the network; None if one can."""
        return None if self.outlines or self.misfits else next(iter(self._refusals), None)

    @property
    def elements(self) -> int:
        """Number of processing elements."""
        return self.rows * self.columns

    @property
    def least_cycles(self) -> int:
        """What its cycles cannot fall below."""
        return min(outline.least_cycles for outline in self.outlines)

    @cached_property
    def least_time(self) -> float:
        """What its time cannot fall below, as of :func:`_time`."""
        return min(_time(o.config, o.least_cycles, self.board) for o in self.outlines)

    def schedule(self) -> Schedule | None:
        """The schedule of the first binding that fits; None if in the end none does."""
        for outline in self.outlines:
            schedule = outline.schedule()
            misfit = self._problem(schedule)
            if misfit is None:
                return schedule
            self.misfits.append(misfit)
        return None

    def _problem(self, design: Outline | Schedule) -> Problem | None:
        """What the board has too little of; also of room for the placer, where that counts."""
        found = problem(design, self.board)
        if found is None and self.board is not None and self.roomy:
            found = crowding(design.config, self.board, self.beside)
        return found


def choose(
    program: Program,
    board: Board | None,
    *,
    elements: int | None = None,
    latency_us: float | None = None,
    beside: int = 0,
    products: ProductChoice = "auto",
) -> Schedule:
    """The fastest array of at most ``elements`` processing elements; the smaller of near equals.

    For a board the time counts, at the clock that is estimated for each array; else the cycles.

    Args:
        program: the network.
        board: whose memory and multipliers count; None for no board in particular.
        elements: area target; what the board is known to hold if left out.
        latency_us: latency target: the smallest array that meets it at the board's clock.
        beside: lookup tables of what stands beside the accelerator, such as ``LINK_LUT``; the array
            leaves them room, and the placer some more.
        products: whether elements multiply or shift.

    Raises:
        CapacityError: if a target makes no sense, if no array fits, saying why the one that comes
            closest does not, or if none that fits is fast enough.
    """
    limit = elements if elements is not None else _default_elements(program, board, products)
    shifts = _shifts(program, board, products, elements=limit)
    _check_targets(limit, latency_us, board)
    candidates = [
        _Candidate(program, board, rows, columns, beside=beside, products=products, roomy=shifts)
        for rows, columns in _shapes(program, limit, smaller=latency_us is not None or shifts)
    ]
    found = None
    if latency_us is not None:
        assert board is not None
        found = _smallest(candidates, latency_us * board.target_mhz)
    fastest = found or _fastest(candidates, board)
    if fastest is None:
        raise _refusal(candidates)
    if latency_us is not None and found is None:
        assert board is not None
        raise CapacityError(
            f"no array on {board.title} takes {latency_us:g} us: the fastest needs "
            f"{fastest.cycles} cycles, {fastest.cycles / board.target_mhz:.1f} us at "
            f"{board.target_mhz:g} MHz; allow more --elements, more time, or use a larger board"
        )
    return fastest


def _default_elements(program: Program, board: Board | None, products: ProductChoice) -> int:
    """Of an array for which no number is asked for."""
    if board is None:
        return DEFAULT_ELEMENTS
    most = board.shift_elements
    if most and _shifts(program, board, products, elements=most):
        return most
    return board.max_elements


def _shifts(
    program: Program, board: Board | None, products: ProductChoice, *, elements: int
) -> bool:
    """Whether some of so many elements shift. They are small: logic, not memory, bounds them."""
    family: Family = board.family if board else "generic"
    return products_of(products, family, program, elements=elements) != "multiply"


def _check_targets(elements: int, latency_us: float | None, board: Board | None) -> None:
    if elements < 1:
        raise CapacityError(f"elements must be at least 1, not {elements}")
    if latency_us is None:
        return
    if not latency_us > 0:
        raise CapacityError(f"the latency must be more than 0 us, not {latency_us:g}")
    if board is None:
        raise CapacityError("a latency target needs a board, whose clock it is measured with")
    if not board.target_mhz > 0:
        raise CapacityError(f"the clock must be more than 0 MHz, not {board.target_mhz:g}")


def _time(config: ArrayConfig, cycles: int, board: Board | None) -> float:
    """Microseconds of the cycles at the estimated clock; the cycles for no board in particular."""
    return float(cycles) if board is None else estimate(config, board).latency_us(cycles)


def _fastest(candidates: list[_Candidate], board: Board | None) -> Schedule | None:
    """The schedule of the fewest elements among the fastest; None if nothing fits.

    A candidate that cannot be among them is not planned.
    """
    found: list[tuple[float, Schedule]] = []
    bound = math.inf
    fitting = [candidate for candidate in candidates if candidate.outlines]
    for candidate in sorted(fitting, key=lambda c: (c.least_time, c.rows, c.columns)):
        if candidate.least_time > bound:
            break
        schedule = candidate.schedule()
        if schedule is not None:
            time = _time(schedule.config, schedule.cycles, board)
            found.append((time, schedule))
            bound = min(bound, time * NEARLY_AS_FAST)
    near = [(time, schedule) for time, schedule in found if time <= bound]
    return min(near, key=lambda pair: _preference(pair[1], pair[0]), default=(0.0, None))[1]


def _smallest(candidates: list[_Candidate], cycles: float) -> Schedule | None:
    """The schedule of the fewest elements that takes no more than ``cycles``; None without."""
    best: Schedule | None = None
    fitting = [c for c in candidates if c.outlines and c.least_cycles <= cycles]
    for candidate in sorted(fitting, key=lambda c: (c.elements, c.rows, c.columns)):
        if best is not None and candidate.elements > best.config.shape.elements:
            break
        schedule = candidate.schedule()
        if schedule is None or schedule.cycles > cycles:
            continue
        if best is None or _preference(schedule, schedule.cycles) < _preference(best, best.cycles):
            best = schedule
    return best


def _preference(schedule: Schedule, time: float) -> tuple[bool, int, float, int]:
    """The least is best. A codebook is there to keep the weights in the bitstream."""
    shape = schedule.config.shape
    loaded = schedule.program.codebook is not None and schedule.config.copies_weights
    return loaded, shape.elements, time, shape.rows


def _refusal(candidates: list[_Candidate]) -> CapacityError:
    """Why the candidate that comes closest does not fit."""
    misfits = [misfit for candidate in candidates for misfit in candidate.misfits]
    if misfits:
        return CapacityError(min(misfits, key=lambda misfit: misfit.missing).text)
    refusals = [candidate.refusal for candidate in candidates if candidate.refusal]
    return refusals[0]


def bind(
    program: Program,
    board: Board | None,
    *,
    rows: int,
    columns: int,
    products: ProductChoice = "auto",
) -> Schedule:
    """The schedule on ``rows`` x ``columns``, bound to the first memories that fit the board.

    Raises:
        CapacityError: if an array of these rows and columns does not fit, with the memory that is
            too small, or cannot run the network at all.
    """
    candidate = _Candidate(program, board, rows, columns, products=products)
    schedule = candidate.schedule()
    if schedule is None:
        raise _refusal([candidate])
    return schedule


def _shapes(program: Program, limit: int, *, smaller: bool) -> list[tuple[int, int]]:
    """Rows and columns worth trying: all rows, the columns that split some layer evenly.

    Arrays of less than half of ``limit`` count only where ``smaller`` ones are wanted.
    """
    channels = {len(op.weights) for op in program.ops if isinstance(op, Conv)}
    widths = {-(-c // groups) for c in channels for groups in range(1, c + 1)} | {1}
    return sorted(
        {
            (rows, columns)
            for rows in range(1, MAX_ROWS + 1)
            for columns in widths | {limit // rows}
            if 0 < rows * columns <= limit and (smaller or rows * columns > limit // 2)
        }
        | {(1, 1)}
    )


def problem(design: Outline | Schedule, board: Board | None) -> Problem | None:
    """What of a design is more than ``board`` has; None if it fits."""
    if board is None:
        return None
    return _memory_problem(design, board) or _logic_problem(design.config, board)


def _memory_problem(design: Outline | Schedule, board: Board) -> Problem | None:
    config = design.config
    other_blocks = resources.rom_blocks_beside_weights(config, board)
    if board.spram_bytes:
        room = board.spram_bytes
    else:
        room = max(board.bram - other_blocks, 0) * resources.byte_depth(board)
        other_blocks += resources.activation_blocks(config, board)
    if design.activation_bytes > room:
        return _activation_problem(design, board, room)
    missing = resources.weight_blocks(config, board) + other_blocks - board.bram
    if missing <= 0:
        return None
    missing_bytes = missing * resources.byte_depth(board)
    room = max(board.bram - other_blocks, 0) * resources.byte_depth(board)
    return _weight_problem(design, board, missing_bytes, room)


def _logic_problem(config: ArrayConfig, board: Board) -> Problem | None:
    """Of multipliers or of lookup tables; of these only beyond what the estimate may err."""
    array = f"{config.shape.rows} x {config.shape.columns} processing elements"
    way_out = "use fewer processing elements (--rows, --columns, --elements) or a larger board"
    estimated = estimate(config, board)
    if estimated.dsp > board.dsp:
        missing = estimated.dsp - board.dsp
        return Problem(
            f"the multipliers do not fit {board.title}: {array} need {estimated.dsp} multiplier "
            f"blocks, {missing} more than the {board.dsp} there are; {way_out}",
            missing,
        )
    least = least_lut(estimated, board)
    if least <= board.lut:
        return None
    largest = max(estimated.blocks, key=lambda block: estimated.blocks[block])
    return Problem(
        f"the logic does not fit {board.title}: {array} and what serves them need an estimated "
        f"{estimated.lut} lookup tables, {least} at the very least, {least - board.lut} more than "
        f"the {board.lut} there are (largest block: '{largest}', {estimated.blocks[largest]}); "
        f"{way_out}",
        least - board.lut,
    )


def crowding(config: ArrayConfig, board: Board, beside: int) -> Problem | None:
    """Of lookup tables that a placer is sure to fill, with what stands beside the accelerator."""
    estimated, room = estimate(config, board).lut, int(FILLED * board.lut)
    missing = estimated + beside - room
    if missing <= 0:
        return None
    where = " beside the link to the host" if beside else ""
    link = f", the link {beside}" if beside else ""
    return Problem(
        f"the logic does not fit {board.title}{where}: "
        f"{config.shape.rows} x {config.shape.columns} processing elements and what serves them "
        f"need an estimated {estimated} lookup tables{link}, {missing} more than the "
        f"{room} of {board.lut} that a placer is sure to fill; try an array of your own (--rows, "
        "--columns), or use a larger board",
        missing,
    )


def _weight_problem(design: Outline | Schedule, board: Board, missing: int, room: int) -> Problem:
    """Of block RAM: for the weights, or for one layer's at a time where they are copied."""
    config = design.config
    largest = _largest_layer(design.program)
    if largest is None:
        return _activation_problem(design, board, board.bram_bytes)
    columns = config.shape.columns
    unit = "weights of 4 bits" if config.codebook else "bytes"
    need = (
        f"{config.weight_depth} {unit} in each of {columns} columns"
        if columns > 1
        else f"{config.weight_depth} {unit} in one column"
    )
    text = (
        f"{need} need {missing} bytes of block RAM more than the {room} there are (largest layer: "
        f"'{largest.name}', {_weight_bytes(largest)} bytes); use a smaller "
        f"{'layer' if config.copies_weights else 'network'}"
        f"{', fewer --columns that split the channels evenly,' if columns > 1 else ''}"
        " or a larger board"
    )
    if config.copies_weights:
        part = "a channel group" if design.split else "a layer"
        what = f"the weights of {part} do not fit the block RAM of"
    else:
        what = "the weights do not fit"
    return Problem(f"{what} {board.title}: {text}", missing)


def _activation_problem(design: Outline | Schedule, board: Board, room: int) -> Problem:
    """Of activation memory: for the feature maps, or for them and all weights."""
    program, payload = design.program, design.config.payload_bytes
    missing = design.activation_bytes - room
    tensor = max(program.tensors, key=lambda t: t.bytes)
    what, largest = "the feature maps", f"largest: '{tensor.name}', {tensor.bytes} bytes"
    way_out = "use a smaller input or a larger board"
    layer = _largest_layer(program)
    if payload and layer is not None:
        what = f"the feature maps and the {payload} bytes of weights beside them"
        largest += f"; largest layer: '{layer.name}', {_weight_bytes(layer)} bytes"
        way_out = "use a smaller network, a smaller input, or a larger board"
    text = (
        f"{what} do not fit {board.title}: they need {design.activation_bytes} bytes, {missing} "
        f"more than the {room} there are ({largest}); {way_out}"
    )
    return Problem(text, missing)


def _largest_layer(program: Program) -> Conv | None:
    """The convolution with the most weights; None without any."""
    convs = [op for op in program.ops if isinstance(op, Conv)]
    return max(convs, key=_weight_bytes, default=None)


def _weight_bytes(op: Conv) -> int:
    """Bytes of a convolution's weights, those of its shortcuts included."""
    return sum(weights.nbytes for weights in op.products)
