"""Which array a board gets, and whether a network fits it."""

from shiftwork.boards.board import Board
from shiftwork.errors import CapacityError
from shiftwork.hw.activation_bank import SPRAM_BYTES
from shiftwork.hw.config import ArrayShape
from shiftwork.hw.layouts import PROGRAM_WORD_BITS
from shiftwork.hw.schedule import Schedule, make_schedule
from shiftwork.quant.program import Conv, Program

DEFAULT_ELEMENTS = 16
"""Processing elements of an array for no board in particular."""
MIN_WORD_BYTES = 4
MAX_ROWS = 8
NEARLY_AS_FAST = 1.05
"""A smaller array is preferred while it takes no more than this many times the cycles."""
LANES = {"generic": (1,), "ice40up": (1,), "ecp5": (4, 2, 1)}
"""Requantizers to try, most first: a shifter is dear in iCE40 logic and cheap in ECP5's."""


def shape_for(board: Board | None, *, rows: int, columns: int) -> ArrayShape:
    """The array of ``rows`` x ``columns`` as ``board`` builds it."""
    family = board.family if board else "generic"
    lanes = next(n for n in LANES[family] if columns % n == 0)
    return ArrayShape(
        rows=rows,
        columns=columns,
        lanes=lanes,
        word_bytes=_word_bytes(board, rows),
        family=family,
        single_port=family == "ice40up",
    )


def _word_bytes(board: Board | None, rows: int) -> int:
    """One byte a row, so that the rows' turns fill a word; as many as there are SPRAMs at most."""
    if board and board.spram_bytes:
        return board.spram_bytes // SPRAM_BYTES
    return max(MIN_WORD_BYTES, 1 << (rows - 1).bit_length())


def choose(program: Program, board: Board | None) -> Schedule:
    """The fastest array within the board's number of elements; the smaller one of near equals.

    Raises:
        CapacityError: if no array fits, saying why the best one does not.
    """
    limit = board.max_elements if board else DEFAULT_ELEMENTS
    candidates = [
        make_schedule(program, shape_for(board, rows=rows, columns=columns))
        for rows, columns in _shapes(program, limit)
    ]
    fitting = [schedule for schedule in candidates if not problems(schedule, board)]
    if not fitting:
        best = min(
            candidates, key=lambda schedule: (len(problems(schedule, board)), _size(schedule))
        )
        check(best, board)
    fastest = min(schedule.cycles for schedule in fitting)
    near = [s for s in fitting if s.cycles <= fastest * NEARLY_AS_FAST]
    return min(near, key=lambda s: (s.config.shape.elements, s.cycles))


def _shapes(program: Program, limit: int) -> list[tuple[int, int]]:
    """Rows and columns worth trying: all rows, the columns that split some layer evenly."""
    channels = {len(op.weights) for op in program.ops if isinstance(op, Conv)}
    widths = {-(-c // groups) for c in channels for groups in range(1, c + 1)} | {1}
    return sorted(
        {
            (rows, columns)
            for rows in range(1, MAX_ROWS + 1)
            for columns in widths | {limit // rows}
            if 0 < rows * columns <= limit and rows * columns > limit // 2
        }
        | {(1, 1)}
    )


def _size(schedule: Schedule) -> int:
    return schedule.config.shape.elements


def check(schedule: Schedule, board: Board | None) -> None:
    """Refuses what cannot fit before anything is synthesized.

    Raises:
        CapacityError: with the memory or multipliers that are missing and the way out.
    """
    found = problems(schedule, board)
    if found:
        raise CapacityError("; ".join(found))


def problems(schedule: Schedule, board: Board | None) -> list[str]:
    """What of ``schedule`` is more than ``board`` has, in words; empty if it fits."""
    if board is None:
        return []
    config = schedule.config
    found = []
    weight_blocks = config.shape.columns * _blocks(config.weight_depth, 8, board)
    parameter_bits = config.shape.lanes * (config.accumulator_bits + config.shift_bits)
    other_blocks = _blocks(config.parameter_depth, parameter_bits, board)
    other_blocks += _blocks(config.program_depth, PROGRAM_WORD_BITS, board)
    if board.spram_bytes:
        room = board.spram_bytes
    else:
        room = max(board.bram - other_blocks, 0) * _byte_depth(board)
        other_blocks += config.shape.word_bytes * _blocks(config.bank_depth, 8, board)
    if config.activation_bytes > room:
        return [_activation_problem(schedule, board, room)]
    missing = weight_blocks + other_blocks - board.bram
    if missing > 0:
        found.append(_weight_problem(schedule, board, missing, other_blocks))
    return found


def _blocks(depth: int, width: int, board: Board) -> int:
    """Block RAMs of a memory: columns of the block's native width, or of a byte for deep ones."""
    if width == 8:
        return -(-depth // _byte_depth(board))
    native = board.bram_word_bits
    return -(-width // native) * -(-depth // (board.bram_bits // native))


def _byte_depth(board: Board) -> int:
    """Bytes that a block RAM holds in byte-wide mode; parity bits lie idle."""
    return 1 << (board.bram_bits // 8).bit_length() - 1


def _weight_problem(schedule: Schedule, board: Board, missing: int, others: int) -> str:
    config = schedule.config
    convs = [op for op in schedule.program.ops if isinstance(op, Conv)]
    largest = max(convs, key=lambda op: op.weights.size, default=None)
    if largest is None:
        return _activation_problem(schedule, board, board.bram_bytes)
    room = max(board.bram - others, 0) * _byte_depth(board)
    return (
        f"the weights do not fit {board.title}: {config.shape.columns} columns of "
        f"{config.weight_depth} bytes need {missing * _byte_depth(board)} bytes of block RAM more "
        f"than the {room} there are (largest layer: '{largest.name}', {largest.weights.size} "
        "bytes); use a smaller network, fewer --columns that split the channels evenly, "
        "or a larger board"
    )


def _activation_problem(schedule: Schedule, board: Board, room: int) -> str:
    tensor = max(schedule.program.tensors, key=lambda t: t.bytes)
    return (
        f"the feature maps do not fit {board.title}: they need {schedule.memory.size} bytes, "
        f"there are {room} (largest: '{tensor.name}', {tensor.bytes} bytes); "
        "use a smaller input or a larger board"
    )
