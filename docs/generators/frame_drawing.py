"""A frame on a time line: each layer's cycles, and how busy it keeps the array."""

from generators.svg import FAINT, PAPER, Canvas

from shiftwork.hw.schedule import Schedule

LEFT, TOP, LANE, SCALE_WIDTH = 150.0, 64.0, 46.0, 640.0
WIDTH = LEFT + SCALE_WIDTH + 190
BUSY, IDLE = "#00897b", "#b2dfdb"


def frame_drawing(schedule: Schedule) -> str:
    """The picture as SVG.

    Args:
        schedule: one line is drawn for each op, passes together.
    """
    ops, elements = schedule.ops, schedule.config.shape.elements
    canvas = Canvas(WIDTH, TOP + len(ops) * LANE + 56, "The layers of a frame on a time line")
    shape = schedule.config.shape
    canvas.text(
        LEFT,
        24,
        f"{schedule.program.name}: {schedule.cycles:,} cycles on {shape.rows} x {shape.columns} "
        f"elements, busy {schedule.utilization:.0%}",
        anchor="start",
        weight="bold",
    )
    scale = SCALE_WIDTH / schedule.cycles
    _axis(canvas, schedule.cycles, scale, len(ops))
    begin = 0
    for number, op in enumerate(ops):
        y = TOP + number * LANE
        x, width = LEFT + begin * scale, op.cycles * scale
        busy = op.macs / (op.cycles * elements)
        height = LANE - 16
        canvas.text(LEFT - 12, y + 16, op.name, anchor="end", weight="bold")
        canvas.text(LEFT - 12, y + 30, op.kind, anchor="end", size=11, fill=FAINT)
        canvas.box(x, y, width, height, fill=IDLE, stroke=PAPER, radius=2)
        if busy:
            canvas.box(
                x, y + height * (1 - busy), width, height * busy, fill=BUSY, stroke=PAPER, radius=2
            )
        note = f"{op.cycles:,} cycles" + (f", {busy:.0%} busy" if busy else "")
        canvas.text(x + width + 8, y + 20, note, anchor="start", size=12)
        begin += op.cycles
    y = TOP + len(ops) * LANE + 36
    for x, colour, text in (
        (LEFT, BUSY, "multiply-accumulates that count, as a share of all elements"),
        (LEFT + 390, IDLE, "the rest: pads, borders, load, end, maxima"),
    ):
        canvas.box(x, y - 12, 16, 16, fill=colour, stroke=PAPER, radius=2)
        canvas.text(x + 24, y + 1, text, anchor="start", size=12)
    return canvas.render()


def _axis(canvas: Canvas, cycles: int, scale: float, lanes: int) -> None:
    step = 10 ** (len(str(cycles)) - 1) // 2 or 1
    for cycle in range(0, cycles + 1, step):
        x = LEFT + cycle * scale
        canvas.line(((x, TOP - 8), (x, TOP + lanes * LANE - 8)), stroke="#cfd8dc")
        canvas.text(x, TOP - 14, f"{cycle:,}", size=10.5, fill=FAINT)
