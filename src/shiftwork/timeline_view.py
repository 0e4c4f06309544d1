"""The timeline of a frame on a page: where the array is busy, filling, waiting and draining."""

from collections.abc import Sequence
from itertools import groupby

from shiftwork.hw.timeline import PHASES, LayerPhases
from shiftwork.page_parts import reproduce, table
from shiftwork.strips import Piece, Strip, strips

USEFUL, IDLE = "useful work", "idle elements"
POOLING = "pooling"
FILLS = {
    USEFUL: "#1f5fa8",
    IDLE: "#d3e2f2",
    POOLING: "#b77bb3",
    "waiting": "#e0a52e",
    "filling": "#86b8e6",
    "draining": "#3f8f7f",
    "loading": "#8b949e",
    "copying": "#7552a8",
}
GUIDE = (
    "Every layer runs through the same phases. Loading: its line of the program is read. Copying: "
    "its weights move to the columns. Filling: the first bytes are on their way to the array. Then "
    "the first element gets a byte in every cycle; how many of all elements do useful work is the "
    "height of the dark part, for at the edges of a feature map or of the channels some have none. "
    "Waiting: a tile has to leave the drain before the next one may end. Draining: the last sums "
    "pass the array, are rounded and written. The numbers are those of the schedule, and the "
    "simulated hardware takes exactly as many cycles."
)


def timeline_section(layers: Sequence[LayerPhases], *, fmax_mhz: float, command: str) -> str:
    """The drawings and the table, as HTML.

    Args:
        layers: of a frame, in order.
        fmax_mhz: the clock that turns cycles into time.
        command: gives the same numbers.
    """
    cycles = sum(layer.cycles for layer in layers)
    end = f"{cycles:,} cycles, {cycles / fmax_mhz:,.0f} µs at {fmax_mhz:.1f} MHz"
    ops = [list(parts) for _, parts in groupby(layers, lambda layer: layer.name)]
    legend = {name: fill for name, fill in FILLS.items() if _amount(layers, name)}
    return "\n".join(
        [
            f"<h2>Timeline of one inference</h2>\n<p>{GUIDE}</p>",
            strips(
                "Where the cycles go",
                [_total(layers, name, cycles) for name in legend],
                total=cycles,
                axis=("0", end),
            ),
            strips(
                "Layer after layer",
                [_in_place(parts) for parts in ops],
                total=cycles,
                legend=legend,
                axis=("0", end),
            ),
            strips(
                "Each layer by itself",
                [_by_itself(parts) for parts in ops],
                total=1,
                legend=legend,
                axis=("begins", "ends"),
            ),
            _table(ops),
            reproduce(command),
        ]
    )


def _amount(layers: Sequence[LayerPhases], name: str) -> float:
    """Cycles of a kind; those with useful work are counted as if all elements had it."""
    if name == USEFUL:
        return sum(layer.macs / layer.elements for layer in layers)
    if name == IDLE:
        busy = [layer for layer in layers if not layer.pooling]
        return sum(layer.fetching - layer.macs / layer.elements for layer in busy)
    if name == POOLING:
        return sum(layer.fetching for layer in layers if layer.pooling)
    return float(sum(getattr(layer, name) for layer in layers))


def _total(layers: Sequence[LayerPhases], name: str, cycles: int) -> Strip:
    amount = _amount(layers, name)
    text = f"{amount:,.0f} cycles, {100 * amount / cycles:.1f} %"
    return Strip(
        label=name,
        text=text,
        pieces=[Piece(start=0, length=amount, fill=FILLS[name], title=f"{name}: {text}")],
    )


def _in_place(parts: Sequence[LayerPhases]) -> Strip:
    cycles = sum(part.cycles for part in parts)
    return Strip(
        label=parts[0].name,
        text=f"{cycles:,} cycles",
        pieces=[piece for part in parts for piece in pieces(part)],
    )


def _by_itself(parts: Sequence[LayerPhases]) -> Strip:
    """From its begin to its end, whatever it takes."""
    begin, cycles = parts[0].begin, sum(part.cycles for part in parts)
    busy = sum(part.macs for part in parts) / (cycles * parts[0].elements)
    return Strip(
        label=parts[0].name,
        text=POOLING if parts[0].pooling else f"{100 * busy:.1f} % busy",
        pieces=[piece for part in parts for piece in pieces(part, origin=begin)],
        total=cycles,
    )


def pieces(layer: LayerPhases, *, origin: int = 0) -> list[Piece]:
    """The phases of a layer as rectangles: along lies the time, upwards the share of elements.

    Waiting is spread over the layer, so it takes a share of the height.
    """
    found, at = list[Piece](), layer.begin - origin
    for name in ("loading", "copying", "filling"):
        length = getattr(layer, name)
        found += [_piece(name, at, length)] if length else []
        at += length
    waiting = layer.waiting / layer.walking
    if layer.pooling:
        found.append(_piece(POOLING, at, layer.walking, high=1.0 - waiting))
    else:
        useful = layer.macs / (layer.walking * layer.elements)
        found.append(_piece(USEFUL, at, layer.walking, high=useful))
        if useful < 1.0 - waiting:
            found.append(_piece(IDLE, at, layer.walking, low=useful, high=1.0 - waiting))
    if layer.waiting:
        found.append(_piece("waiting", at, layer.walking, low=1.0 - waiting))
    found.append(_piece("draining", at + layer.walking, layer.draining))
    return found


def _piece(name: str, start: int, length: int, *, low: float = 0.0, high: float = 1.0) -> Piece:
    share = "" if (low, high) == (0.0, 1.0) else f"{100 * (high - low):.1f} % of "
    title = f"{name}: {share}{length:,} cycles from {start:,}"
    return Piece(start=start, length=length, fill=FILLS[name], title=title, low=low, high=high)


def _table(ops: Sequence[Sequence[LayerPhases]]) -> str:
    layers = [part for parts in ops for part in parts]
    shown = [name for name in PHASES if any(getattr(layer, name) for layer in layers)]
    rows = [_row(parts[0].name, parts, shown) for parts in ops]
    rows.append(_row("all", layers, shown))
    return table(["cycles of", *shown, "together", "busy"], rows)


def _row(label: str, parts: Sequence[LayerPhases], shown: Sequence[str]) -> list[str]:
    cycles, macs = (sum(getattr(part, name) for part in parts) for name in ("cycles", "macs"))
    counts = [sum(getattr(part, name) for part in parts) for name in shown]
    busy = f"{100 * macs / (cycles * parts[0].elements):.1f} %" if macs else "-"
    return [label, *(f"{count:,}" for count in counts), f"{cycles:,}", busy]
