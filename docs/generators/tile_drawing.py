"""What happens in an array while it works on neighbouring tiles, from a recording."""

from collections.abc import Sequence

from generators.recording import Cycle, record
from generators.svg import FAINT, INK, PAPER, Canvas

from shiftwork.boards.accelerator import Accelerator
from shiftwork.hw.array import OPERAND_LATENCY
from shiftwork.hw.schedule import LayerPlan

COLOURS = ("#b2dfdb", "#ffccbc", "#c5cae9")
LEFT, TOP, CELL, LANE = 178.0, 60.0, 19.0, 34.0
SHOWN_CHUNKS = 2.4
UNSIGNED_FLIP = 0x80
"""Memory holds an unsigned byte with its top bit flipped."""
TILE = 21
"""The first tile that is shown: in the middle of the second line of the bundled network's image."""

Cell = tuple[int, int, str]
"""Cycle, tile, and what is written into the cell."""


def tile_drawing(accelerator: Accelerator) -> str:
    """The picture as SVG, for the first layer, a convolution of one input channel.

    The input is an image whose bytes are numbered, so that a number names a pixel.
    """
    plan = accelerator.schedule.layers[0]
    size = accelerator.program.tensor(accelerator.program.input).size
    length = int(SHOWN_CHUNKS * plan.chunk_cycles)
    cycles = record(
        accelerator, [k % 256 for k in range(size)], (TILE + 5) * plan.chunk_cycles + 50
    )
    lanes = _lanes(cycles, plan, accelerator)
    start = next(cycle for cycle, tile, _ in lanes[0][1] if tile == TILE)
    canvas = Canvas(
        LEFT + length * CELL + 20, TOP + len(lanes) * LANE + 52, "Cycles of three tiles"
    )
    canvas.text(
        LEFT,
        24,
        f"layer {plan.name} on {accelerator.config.shape.rows} x "
        f"{accelerator.config.shape.columns} elements: a tile every {plan.chunk_cycles} cycles, "
        f"{plan.chunk_pad} of them waiting for the drain",
        anchor="start",
        weight="bold",
    )
    _scale(canvas, length, len(lanes))
    for number, (name, cells) in enumerate(lanes):
        y = TOP + number * LANE
        canvas.text(LEFT - 12, y + 18, name, anchor="end", size=12)
        for cycle, tile, label in cells:
            if start <= cycle < start + length:
                x = LEFT + (cycle - start) * CELL
                colour = COLOURS[tile % len(COLOURS)]
                canvas.box(x, y, CELL, LANE - 8, fill=colour, stroke=PAPER, radius=2)
                canvas.text(x + CELL / 2, y + 17, label, size=9.5)
    y = TOP + len(lanes) * LANE + 30
    for number in range(3):
        x = LEFT + 190 * number
        colour = COLOURS[(TILE + number) % len(COLOURS)]
        canvas.box(x, y - 12, 16, 16, fill=colour, stroke=PAPER, radius=2)
        canvas.text(x + 24, y + 1, _pixels(TILE + number, accelerator), anchor="start", size=12)
    return canvas.render()


def _pixels(tile: int, accelerator: Accelerator) -> str:
    """The output pixels of a tile, for the legend."""
    width = accelerator.program.tensor(accelerator.schedule.layers[0].output).shape[1]
    rows = accelerator.config.shape.rows
    line, column = divmod(tile * rows, width)
    return f"line {line}, pixels {column} to {column + rows - 1}"


def _lanes(
    cycles: Sequence[Cycle], plan: LayerPlan, accelerator: Accelerator
) -> list[tuple[str, list[Cell]]]:
    """Name and cells of each lane; the n-th event of a kind belongs to tile n / events a tile."""
    shape = accelerator.config.shape
    (walk,) = plan.walks
    reads = sum(walk.read_pattern())
    steps = (shape.rows - 1) * shape.columns // shape.lanes + -(-plan.channels // shape.lanes)
    words = shape.rows * plan.channels // shape.word_bytes
    tokens = _cells(cycles, "token", walk.weight_bytes)
    addresses = [(at, tile, str(cycles[at].address)) for at, tile, _ in tokens]
    captures = [(at, tile, "\u2713") for at, tile, _ in _cells(cycles, "captured", 1)]
    return [
        ("memory read, of row", _cells(cycles, "reads", reads, count=shape.rows)),
        ("weight address", addresses),
        *((f"row {row}: pixel", _row(cycles, tokens, row)) for row in range(shape.rows)),
        ("sums to drain registers", captures),
        ("drain: sum number", _cells(cycles, "shifts", steps)),
        ("memory write, word", _cells(cycles, "writes", words)),
    ]


def _row(cycles: Sequence[Cycle], tokens: list[Cell], row: int) -> list[Cell]:
    """The activations that a row gets, as the bytes of the input that they are."""
    arrivals = [(at + OPERAND_LATENCY + row, tile) for at, tile, _ in tokens]
    return [
        (at, tile, str(cycles[at].rows[row] % 256 ^ UNSIGNED_FLIP))
        for at, tile in arrivals
        if at < len(cycles)
    ]


def _cells(
    cycles: Sequence[Cycle], event: str, per_tile: int, *, count: int | None = None
) -> list[Cell]:
    """A cell for each cycle with the event, numbered from 0 to ``count``, by default in a tile."""
    found = [at for at, cycle in enumerate(cycles) if getattr(cycle, event)]
    return [(at, n // per_tile, str(n % (count or per_tile))) for n, at in enumerate(found)]


def _scale(canvas: Canvas, length: int, lanes: int) -> None:
    """Cycles along the top, and a faint line every five."""
    for cycle in range(0, length, 5):
        x = LEFT + cycle * CELL
        canvas.line(((x, TOP - 6), (x, TOP + lanes * LANE)), stroke="#eceff1")
        canvas.text(x + CELL / 2, TOP - 10, str(cycle), size=10.5, fill=FAINT)
    canvas.text(LEFT - 12, TOP - 10, "cycle", anchor="end", size=10.5, fill=INK)
