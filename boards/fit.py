"""Which array a board gets, and whether a network fits it."""

import math
from dataclasses import dataclass

from shiftwork.boards.binding import further_bindings, shapes_for
from shiftwork.boards.board import Board
from shiftwork.errors import CapacityError
from shiftwork.hw.layouts import PROGRAM_WORD_BITS
from shiftwork.hw.schedule import Outline, Schedule
from shiftwork.quant.program import Conv, Product, Program

DEFAULT_ELEMENTS = 16
"""Processing elements of an array for no board in particular."""
MAX_ROWS = 8
NEARLY_AS_FAST = 1.05
"""A smaller array is preferred while it takes no more than this many times the cycles."""


@dataclass(frozen=True)
class Problem:
    """Why a network does not fit a board.

    Attributes:
        text: the memory that is too small, by how much, and the way out.
        missing: bytes.
    """

    text: str
    missing: int


class _Candidate:
    """An array of given rows and columns, with the ways to bind it to the board's memories.

    Attributes:
        rows, columns: of the array.
        outlines: of what seems to fit, best first.
        misfits: the problem of each of the others.
        refusal: why no such array can run the network; None if one can.
    """

    def __init__(self, program: Program, board: Board | None, rows: int, columns: int) -> None:
        self.board = board
        self.rows, self.columns = rows, columns
        self.outlines: list[Outline] = []
        self.misfits: list[Problem] = []
        refusals: list[CapacityError] = []
        for shape in shapes_for(board, program, rows=rows, columns=columns):
            try:
                outline = Outline(program, shape)
            except CapacityError as error:
                refusals.append(error)
                continue
            self._add(outline)
            for further in further_bindings(board, outline):
                self._add(Outline(program, further))
        self.refusal = refusals[0] if refusals and not (self.outlines or self.misfits) else None

    def _add(self, outline: Outline) -> None:
        misfit = problem(outline, self.board)
        if misfit:
            self.misfits.append(misfit)
        else:
            self.outlines.append(outline)

    @property
    def elements(self) -> int:
        """Number of processing elements."""
        return self.rows * self.columns

    @property
    def least_cycles(self) -> int:
        """What its cycles cannot fall below."""
        return min(outline.least_cycles for outline in self.outlines)

    def schedule(self) -> Schedule | None:
        """The schedule of the first binding that fits; None if in the end none does."""
        for outline in self.outlines:
            schedule = outline.schedule()
            misfit = problem(schedule, self.board)
            if misfit is None:
                return schedule
            self.misfits.append(misfit)
        return None


def choose(
    program: Program,
    board: Board | None,
    *,
    elements: int | None = None,
    latency_us: float | None = None,
) -> Schedule:
    """The fastest array of at most ``elements`` processing elements; the smaller of near equals.

    Args:
        program: the network.
        board: whose memory and multipliers count; None for no board in particular.
        elements: area target; what the board is known to hold if left out.
        latency_us: latency target: the smallest array that meets it at the board's clock.

    Raises:
        CapacityError: if a target makes no sense, if no array fits, saying why the one that comes
            closest does not, or if none that fits is fast enough.
    """
    limit = elements if elements is not None else board.max_elements if board else DEFAULT_ELEMENTS
    _check_targets(limit, latency_us, board)
    candidates = [
        _Candidate(program, board, rows, columns)
        for rows, columns in _shapes(program, limit, smaller=latency_us is not None)
    ]
    found = None
    if latency_us is not None:
        assert board is not None
        found = _smallest(candidates, latency_us * board.target_mhz)
    fastest = found or _fastest(candidates)
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


def _fastest(candidates: list[_Candidate]) -> Schedule | None:
    """The schedule of the fewest elements among the fastest; None if nothing fits.

    A candidate that cannot be among them is not planned.
    """
    found: list[Schedule] = []
    bound = math.inf
    fitting = [candidate for candidate in candidates if candidate.outlines]
    for candidate in sorted(fitting, key=lambda c: (c.least_cycles, c.rows, c.columns)):
        if candidate.least_cycles > bound:
            break
        schedule = candidate.schedule()
        if schedule is not None:
            found.append(schedule)
            bound = min(bound, schedule.cycles * NEARLY_AS_FAST)
    return min((s for s in found if s.cycles <= bound), key=_preference, default=None)


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
        best = schedule if best is None else min(best, schedule, key=_preference)
    return best


def _preference(schedule: Schedule) -> tuple[int, int, int]:
    shape = schedule.config.shape
    return shape.elements, schedule.cycles, shape.rows


def _refusal(candidates: list[_Candidate]) -> CapacityError:
    """Why the candidate that comes closest does not fit."""
    misfits = [misfit for candidate in candidates for misfit in candidate.misfits]
    if misfits:
        return CapacityError(min(misfits, key=lambda misfit: misfit.missing).text)
    refusals = [candidate.refusal for candidate in candidates if candidate.refusal]
    return refusals[0]


def bind(program: Program, board: Board | None, *, rows: int, columns: int) -> Schedule:
    """The schedule on ``rows`` x ``columns``, bound to the first memories that fit the board.

    Raises:
        CapacityError: if an array of these rows and columns does not fit, with the memory that is
            too small, or cannot run the network at all.
    """
    candidate = _Candidate(program, board, rows, columns)
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
    config = design.config
    weight_blocks = config.shape.columns * _blocks(config.weight_depth, 8, board)
    parameter_bits = config.shape.lanes * (config.accumulator_bits + config.shift_bits)
    other_blocks = _blocks(config.parameter_depth, parameter_bits, board)
    other_blocks += _blocks(config.program_depth, PROGRAM_WORD_BITS, board)
    if board.spram_bytes:
        room = board.spram_bytes
    else:
        room = max(board.bram - other_blocks, 0) * _byte_depth(board)
        banks = config.shape.word_bytes // config.shape.bank_bytes
        other_blocks += banks * _blocks(config.bank_depth, 8 * config.shape.bank_bytes, board)
    if design.activation_bytes > room:
        return _activation_problem(design, board, room)
    missing = weight_blocks + other_blocks - board.bram
    if missing <= 0:
        return None
    missing_bytes = missing * _byte_depth(board)
    room = max(board.bram - other_blocks, 0) * _byte_depth(board)
    return _weight_problem(design, board, missing_bytes, room)


def _blocks(depth: int, width: int, board: Board) -> int:
    """Block RAMs of a memory: columns of the block's native width, or of a byte for deep ones."""
    if width == 8:
        return -(-depth // _byte_depth(board))
    native = board.bram_word_bits
    return -(-width // native) * -(-depth // (board.bram_bits // native))


def _byte_depth(board: Board) -> int:
    """Bytes that a block RAM holds in byte-wide mode; parity bits lie idle."""
    return 1 << (board.bram_bits // 8).bit_length() - 1


def _weight_problem(design: Outline | Schedule, board: Board, missing: int, room: int) -> Problem:
    """Of block RAM: for the weights, or for one layer's at a time where they are copied."""
    config = design.config
    largest = _largest_layer(design.program)
    if largest is None:
        return _activation_problem(design, board, board.bram_bytes)
    columns = config.shape.columns
    need = (
        f"{config.weight_depth} bytes in each of {columns} columns"
        if columns > 1
        else f"{config.weight_depth} bytes in one column"
    )
    text = (
        f"{need} need {missing} bytes of block RAM more than the {room} there are (largest layer: "
        f"'{largest.name}', {_weight_bytes(largest)} bytes); use a smaller "
        f"{'layer' if config.copies_weights else 'network'}"
        f"{', fewer --columns that split the channels evenly,' if columns > 1 else ''}"
        " or a larger board"
    )
    if config.copies_weights:
        what = "the weights of a layer do not fit the block RAM of"
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
    products = [term for term in op.terms if isinstance(term, Product)]
    return op.weights.size + sum(term.weights.size for term in products)
