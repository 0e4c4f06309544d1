"""What happens in an array while it works on neighbouring tiles, from a recording."""

from collections.abc import Callable, Sequence

from shiftwork.boards.accelerator import Accelerator
from shiftwork.hw.array import OPERAND_LATENCY
from shiftwork.hw.schedule import LayerPlan

from generators.recording import Cycle, record
from generators.svg import FAINT, INK, PAPER, Canvas

COLOURS = ("#b2dfdb", "#ffccbc", "#c5cae9")
LEFT, TOP, CELL, LANE = 178.0, 60.0, 19.0, 34.0
SHOWN_CHUNKS = 2.4
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
    canvas = Canvas(LEFT + length * CELL + 20, TOP + len(lanes) * LANE + 52, "Cycles of three tiles")
    canvas.text(
        LEFT,
        24,
        f"layer {plan.name} on {accelerator.config.shape.rows} × "
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
    tokens = _cells(cycles, lambda c: c.token, walk.weight_bytes, lambda c, n: str(c.address))
    rows = [
        (
            f"row {row}: pixel",
            [
                (at, tile, str(cycles[at].rows[row] % 256 ^ 128))
                for at, tile in (
                    (cycle + OPERAND_LATENCY + row, tile) for cycle, tile, _ in tokens
                )
                if at < len(cycles)
            ],
        )
        for row in range(shape.rows)
    ]
    return [
        (
            "memory read, of row",
            _cells(cycles, lambda c: c.reads, reads, lambda c, n: str(n % shape.rows)),
        ),
        ("weight address", tokens),
        *rows,
        ("sums to drain registers", _cells(cycles, lambda c: c.captured, 1, lambda c, n: "✓")),
        (
            "drain: sum number",
            _cells(cycles, lambda c: c.shifts, steps, lambda c, n: str(n % steps)),
        ),
        ("memory write, word", _cells(cycles, lambda c: c.writes, words, lambda c, n: str(n % words))),
    ]


def _cells(
    cycles: Sequence[Cycle],
    happens: Callable[[Cycle], bool],
    per_tile: int,
    label: Callable[[Cycle, int], str],
) -> list[Cell]:
    events = [(at, cycle) for at, cycle in enumerate(cycles) if happens(cycle)]
    return [(at, n // per_tile, label(cycle, n)) for n, (at, cycle) in enumerate(events)]


def _scale(canvas: Canvas, length: int, lanes: int) -> None:
    """Cycles along the top, and a faint line every five."""
    for cycle in range(0, length, 5):
        x = LEFT + cycle * CELL
        canvas.line(((x, TOP - 6), (x, TOP + lanes * LANE)), stroke="#eceff1")
        canvas.text(x + CELL / 2, TOP - 10, str(cycle), size=10.5, fill=FAINT)
    canvas.text(LEFT - 12, TOP - 10, "cycle", anchor="end", size=10.5, fill=INK)
