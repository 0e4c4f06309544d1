"""Which array a board gets, and whether a network fits it."""

from shiftwork.boards.binding import shapes_for
from shiftwork.boards.board import Board
from shiftwork.errors import CapacityError
from shiftwork.hw.layouts import PROGRAM_WORD_BITS
from shiftwork.hw.schedule import Schedule, make_schedule
from shiftwork.quant.program import Conv, Program

DEFAULT_ELEMENTS = 16
"""Processing elements of an array for no board in particular."""
MAX_ROWS = 8
NEARLY_AS_FAST = 1.05
"""A smaller array is preferred while it takes no more than this many times the cycles."""


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
        CapacityError: if no array fits, saying why the best one does not, or if none that fits is
            fast enough.
    """
    limit = elements or (board.max_elements if board else DEFAULT_ELEMENTS)
    found = [
        schedule
        for rows, columns in _shapes(program, limit, smaller=latency_us is not None)
        if (schedule := _fitting(program, board, rows=rows, columns=columns)) is not None
    ]
    if not found:
        check(bind(program, board, rows=1, columns=1), board)
    if latency_us is not None:
        return _smallest(found, board, latency_us)
    fastest = min(schedule.cycles for schedule in found)
    near = [s for s in found if s.cycles <= fastest * NEARLY_AS_FAST]
    return min(near, key=lambda s: (s.config.shape.elements, s.cycles))


def _smallest(found: list[Schedule], board: Board | None, latency_us: float) -> Schedule:
    """The schedule of the fewest elements that takes no longer than ``latency_us``."""
    if board is None:
        raise CapacityError("a latency target needs a board, whose clock it is measured with")
    fast = [s for s in found if s.cycles <= latency_us * board.target_mhz]
    if not fast:
        best = min(found, key=lambda s: s.cycles)
        raise CapacityError(
            f"no array on {board.title} takes {latency_us:g} us: the fastest needs {best.cycles} "
            f"cycles, {best.cycles / board.target_mhz:.1f} us at {board.target_mhz:g} MHz; allow "
            "more --elements, more time, or use a larger board"
        )
    return min(fast, key=lambda s: (s.config.shape.elements, s.cycles))


def bind(program: Program, board: Board | None, *, rows: int, columns: int) -> Schedule:
    """The schedule on ``rows`` x ``columns``, bound to the first memories that fit the board.

    Where nothing fits it is the last one tried.

    Raises:
        CapacityError: if an array of these rows and columns cannot run the network at all.
    """
    refused: CapacityError | None = None
    schedule = None
    for shape in shapes_for(board, program, rows=rows, columns=columns):
        try:
            schedule = make_schedule(program, shape)
        except CapacityError as error:
            refused = refused or error
            continue
        if not problems(schedule, board):
            return schedule
    if schedule is None:
        assert refused is not None
        raise refused
    return schedule


def _fitting(program: Program, board: Board | None, *, rows: int, columns: int) -> Schedule | None:
    """The schedule on ``rows`` x ``columns`` if it fits the board."""
    try:
        schedule = bind(program, board, rows=rows, columns=columns)
    except CapacityError:
        return None
    return None if problems(schedule, board) else schedule


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
        banks = config.shape.word_bytes // config.shape.bank_bytes
        other_blocks += banks * _blocks(config.bank_depth, 8 * config.shape.bank_bytes, board)
    if schedule.activation_bytes > room:
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
    payload = schedule.config.payload_bytes
    weights = f" and {payload} bytes of weights" if payload else ""
    return (
        f"the feature maps{weights} do not fit {board.title}: they need "
        f"{schedule.activation_bytes} bytes, "
        f"there are {room} (largest: '{tensor.name}', {tensor.bytes} bytes); "
        "use a smaller input or a larger board"
    )
