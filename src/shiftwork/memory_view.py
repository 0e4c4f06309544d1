"""The activation memory on a page: what lies at which address while each layer runs."""

import html
from collections.abc import Sequence

from shiftwork.hw.memory_use import Region, Use
from shiftwork.page_parts import reproduce, table
from shiftwork.strips import Piece, Strip, strips

FILLS = {
    Use.READ: "#1f5fa8",
    Use.WRITTEN: "#d98a1f",
    Use.KEPT: "#86b8e6",
    Use.STREAM: "#d5d9de",
    Use.WEIGHTS: "#c9b8e3",
    Use.COPIED: "#7552a8",
}


def memory_section(
    regions: Sequence[Region],
    layers: Sequence[str],
    *,
    size: int,
    places: dict[str, str],
    command: str,
) -> str:
    """The drawing and the table, as HTML.

    Args:
        regions: of the memory, by address.
        layers: names of the ops that the regions' uses count.
        size: bytes in use.
        places: what lies in which memory of the FPGA, and why.
        command: gives the same addresses.
    """
    used = {use for region in regions for use in region.uses}
    return "\n".join(
        [
            "<h2>Memory map</h2>",
            f"<p>Feature maps lie in activation memory ({html.escape(places['activations'])}), "
            f"{size:,} bytes of it. A feature map takes its bytes from the layer that writes it to "
            "the last one that reads it; then others may lie there. Weights lie in "
            f"{html.escape(places['weights'])}: {html.escape(places['reason'])}."
            f"{_tables(places)}</p>",
            strips(
                "Addresses in use, layer after layer",
                [_line(regions, index, name) for index, name in enumerate(layers)],
                total=size,
                legend={str(use): FILLS[use] for use in Use if use in used},
                axis=("address 0", f"{size:,} bytes"),
            ),
            table(
                ["what", "address", "bytes", "in use"],
                [_row(region, layers) for region in regions],
            ),
            reproduce(command),
        ]
    )


def _tables(places: dict[str, str]) -> str:
    if "tables" not in places:
        return ""
    return f" Tables of activation functions lie in {html.escape(places['tables'])}."


def _line(regions: Sequence[Region], index: int, name: str) -> Strip:
    pieces, taken = [], 0
    for region in regions:
        use = region.uses[index]
        if use is None:
            continue
        taken += region.bytes
        title = f"{region.name}: {use}, {region.bytes:,} bytes at {region.address:,}"
        pieces.append(
            Piece(start=region.address, length=region.bytes, fill=FILLS[use], title=title)
        )
    return Strip(label=name, text=f"{taken:,} bytes", pieces=pieces)


def _row(region: Region, layers: Sequence[str]) -> list[str]:
    """In use: from the first to the last layer, or always."""
    indices = [index for index, use in enumerate(region.uses) if use is not None]
    if len(indices) == len(layers):
        span = "always"
    elif len(indices) == 1:
        span = layers[indices[0]]
    else:
        span = f"{layers[indices[0]]} to {layers[indices[-1]]}"
    return [region.name, f"{region.address:,}", f"{region.bytes:,}", span]
