"""The block diagram of a core, drawn from the elaborated design.

Where a block stands and how an arrow runs is decided here; which blocks and arrows there are, and
every number, comes from the design. A block or a link that has no place is an error, so that the
picture cannot leave out what the hardware has.
"""

import re
from collections import Counter
from dataclasses import dataclass

from generators.design import PORTS, Design
from generators.svg import FAINT, INK, PALETTE, PAPER, Canvas, Point

from shiftwork.boards.accelerator import Accelerator

WIDTH, HEIGHT = 980.0, 690.0


@dataclass(frozen=True)
class Place:
    """Where a block stands, and what it is called."""

    x: float
    y: float
    width: float
    height: float
    title: str
    role: str


@dataclass(frozen=True)
class Route:
    """How an arrow runs, and where its label begins."""

    points: tuple[Point, ...]
    label: Point
    anchor: str = "start"
    control: bool = False


PLACES = {
    "loader": Place(50, 52, 170, 66, "input loader", "stream"),
    "sender": Place(760, 52, 170, 66, "output sender", "stream"),
    "memory": Place(40, 190, 900, 72, "activation memory", "memory"),
    "fetch": Place(40, 340, 160, 112, "fetch", "compute"),
    "array": Place(310, 330, 370, 196, "systolic array", "compute"),
    "drain": Place(780, 340, 160, 112, "drain", "compute"),
    "pooling": Place(400, 560, 280, 46, "pooling", "compute"),
    "sequencer": Place(40, 634, 900, 44, "sequencer", "control"),
}
ROUTES = {
    (PORTS, "loader"): Route(((135, 14), (135, 52)), (143, 34)),
    ("sender", PORTS): Route(((845, 52), (845, 14)), (853, 34)),
    ("loader", "memory"): Route(((135, 118), (135, 190)), (143, 148)),
    ("sender", "memory"): Route(((800, 118), (800, 190)), (792, 148), "end"),
    ("memory", "sender"): Route(((890, 190), (890, 118)), (882, 170), "end"),
    ("memory", "fetch"): Route(((80, 262), (80, 340)), (88, 288)),
    ("fetch", "memory"): Route(((160, 340), (160, 262)), (168, 322)),
    ("fetch", "array"): Route(((200, 400), (310, 400)), (208, 362)),
    ("fetch", "pooling"): Route(((170, 452), (170, 583), (400, 583)), (214, 563)),
    ("array", "drain"): Route(((680, 400), (780, 400)), (688, 390)),
    ("pooling", "drain"): Route(((680, 583), (810, 583), (810, 452)), (692, 575)),
    ("drain", "memory"): Route(((860, 340), (860, 262)), (852, 288), "end"),
    ("sequencer", "loader"): Route(
        ((40, 656), (20, 656), (20, 85), (50, 85)), (28, 150), control=True
    ),
    ("sequencer", "sender"): Route(
        ((940, 656), (960, 656), (960, 85), (930, 85)), (952, 142), "end", control=True
    ),
    ("sequencer", "fetch"): Route(((66, 634), (66, 452)), (74, 500), control=True),
    ("sequencer", "array"): Route(((350, 634), (350, 526)), (342, 548), "end", control=True),
    ("sequencer", "pooling"): Route(((540, 634), (540, 606)), (548, 624), control=True),
    ("sequencer", "drain"): Route(((910, 634), (910, 452)), (902, 500), "end", control=True),
}
UNDRAWN = {
    (PORTS, "memory"): "the byte passes through the loader without a register",
    ("sequencer", PORTS): "trace ports and busy",
    ("drain", PORTS): "trace ports",
}
"""Links without an arrow, and why."""


def core_drawing(accelerator: Accelerator, design: Design) -> str:
    """The picture as SVG.

    Args:
        accelerator: a core with weight ROMs.
        design: the same core, elaborated.

    Raises:
        KeyError: if a block or a link of the design has no place here, or one here is not in it.
    """
    links = {
        pair: {port: bits for port, bits in ports.items() if bits > 1}
        for pair, ports in design.links.items()
        if pair not in UNDRAWN and max(ports.values()) > 1
    }
    _same("blocks", set(design.blocks), set(PLACES))
    _same("links", set(links), set(ROUTES))
    canvas = Canvas(WIDTH, HEIGHT, "The blocks of the accelerator core and what joins them")
    for name, place in PLACES.items():
        canvas.box(
            place.x, place.y, place.width, place.height, fill=PALETTE[place.role], stroke=INK
        )
        middle = place.x + place.width / 2
        canvas.text(middle, place.y + 20, place.title, weight="bold", size=14)
        for number, fact in enumerate(_facts(name, accelerator, design)):
            canvas.text(middle, place.y + 38 + 16 * number, fact, size=12)
    _elements(canvas, design)
    for pair, route in ROUTES.items():
        canvas.arrow(route.points, control=route.control)
        x, y = route.label
        for number, line in enumerate(_labels(links[pair])):
            canvas.text(
                x,
                y + 13 * number,
                line,
                size=11,
                anchor=route.anchor,
                fill=FAINT if route.control else INK,
            )
    canvas.text(
        490, 60, "solid: data; dashed: control; numbers at arrows: bits", size=12, fill=FAINT
    )
    canvas.text(118, 26, "i", weight="bold", size=15)
    canvas.text(828, 26, "o", weight="bold", size=15)
    return canvas.render()


def _same(what: str, found: set, drawn: set) -> None:
    if found != drawn:
        raise KeyError(
            f"{what} of the design without a place: {sorted(found - drawn)}; places without one "
            f"in the design: {sorted(drawn - found)}"
        )


def _labels(ports: dict[str, int]) -> list[str]:
    """The ports and their bits, equal ones together: ``a 2 x 8``."""
    names = Counter((re.sub(r"_*\d+$", "", port), bits) for port, bits in ports.items())
    return [
        f"{_plain(name)} {f'{count} x ' if count > 1 else ''}{bits}"
        for (name, bits), count in names.items()
    ]


def _plain(port: str) -> str:
    """A port's name without that of its stream."""
    return port.removeprefix("i__").removeprefix("o_").replace("_", " ")


def _facts(block: str, accelerator: Accelerator, design: Design) -> list[str]:
    """What a block is made of in this core."""
    config, shape = accelerator.config, accelerator.config.shape
    schedule, program = accelerator.schedule, accelerator.program
    banks = sum(name.startswith("bank_") for name in design.blocks["memory"])
    requantizers = sum(name.startswith("requantizer_") for name in design.blocks["drain"])
    facts = {
        "loader": [f"{shape.input_buffers} buffers of {program.tensor(program.input).bytes} bytes"],
        "sender": [f"2 buffers of {program.tensor(program.output).bytes} bytes"],
        "memory": [
            f"words of {shape.word_bytes} bytes at any address, in {banks} banks, "
            + ("one port" if shape.single_port else "two ports"),
            f"feature maps: {schedule.memory.size:,} bytes",
        ],
        "fetch": ["walks tiles, groups,", "kernel lines, words", f"{shape.rows} rows take turns"],
        "array": [],
        "drain": [
            f"requantizers: {requantizers}",
            "bias, shift, clip",
            f"{config.parameter_depth} parameters",
        ],
        "pooling": [f"maxima of {shape.word_bytes} channels a cycle"],
        "sequencer": [f"program ROM: {len(schedule.layers)} layers, {config.program_depth} words"],
    }
    return facts[block]


def _elements(canvas: Canvas, design: Design) -> None:
    """Weight memories and processing elements inside of the array's box."""
    place = PLACES["array"]
    inside = design.blocks["array"]
    elements = [tuple(map(int, name.split("_")[1:])) for name in inside if name.startswith("pe_")]
    stores = sum(name.startswith("weights_") for name in inside)
    rows, columns = (max(values) + 1 for values in zip(*elements, strict=True))
    pitch = (place.width - 40) / columns
    side = min(pitch - 10, 32)
    left, top = place.x + 20 + (pitch - side) / 2, place.y + 34
    for column in range(columns):
        x = left + column * pitch
        if column < stores:
            canvas.box(x, top, side, 26, fill=PALETTE["rom"], radius=2)
            canvas.text(x + side / 2, top + 17, "w", size=11)
        for row in range(rows):
            y = top + 46 + row * 42
            canvas.arrow(((x + side / 2, y - 20 + 4 * (row > 0)), (x + side / 2, y)))
            if column:
                canvas.line(((x - pitch + side, y + 12), (x, y + 12)), stroke=INK, width=1.2)
            canvas.box(x, y, side, 26, fill=PAPER, radius=2)
            canvas.text(x + side / 2, y + 17, f"{row},{column}", size=10)
    middle = place.x + place.width / 2
    canvas.text(
        middle,
        place.y + place.height - 12,
        f"{rows} x {columns} elements, {stores} weight memories",
        size=12,
    )
