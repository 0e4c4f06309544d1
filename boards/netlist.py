"""Counts the cells of a flattened netlist by the block of the design that they come from.

Yosys flattens the design before it optimizes, so no block is left in the result. A cell's block is
found from the path that it keeps (instances), else from its source line (registers, carry chains;
every instance has a module of its own), else from its name (memories), else from the cells that
read its outputs (lookup tables).
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shiftwork.boards.flow import Flow

CORE = "core"
SOURCE = re.compile(r"([^|:]+):(\d+)\.\d+-(\d+)\.\d+")
PASSES = 8
INPUTS = ("input", "inout")


@dataclass(frozen=True)
class _Scope:
    """A module of the source: its lines, and the block that its instance belongs to."""

    file: str
    first: int
    last: int
    block: str


def count_blocks(netlist: Mapping[str, Any], flow: Flow, top: str) -> dict[str, dict[str, int]]:
    """Cells of each block, by resource.

    Args:
        netlist: of yosys' ``write_json``, after synthesis.
        flow: names the cells of the family.
        top: name of the top module, which holds the instance "core"; the blocks are the instances
            in it, and "core" what lies beside them.
    """
    module = netlist["modules"][top]
    cells = {name: cell for name, cell in module["cells"].items() if cell["type"][0] != "$"}
    blocks = _place(module, cells)
    counts: dict[str, dict[str, int]] = {}
    for name, cell in cells.items():
        if found := flow.resource(cell["type"]):
            resource, units = found
            entry = counts.setdefault(blocks[name], dict.fromkeys(flow.cells, 0))
            entry[resource] += units
    return dict(sorted(counts.items()))


def count_cells(netlist: Mapping[str, Any], flow: Flow, top: str) -> dict[str, int]:
    """Cells of the whole design, by resource; the arguments are those of :func:`count_blocks`."""
    counts = dict.fromkeys(flow.cells, 0)
    for cell in netlist["modules"][top]["cells"].values():
        if found := flow.resource(cell["type"]):
            resource, units = found
            counts[resource] += units
    return counts


def _place(module: Mapping[str, Any], cells: Mapping[str, Any]) -> dict[str, str]:
    """The block of every cell."""
    scopes = list(_scopes(module))
    known = {scope.block for scope in scopes}
    blocks = {}
    for name, cell in cells.items():
        attributes = cell["attributes"]
        block = (
            _block(attributes.get("hdlname", "").replace(" ", "."))
            or _block_of_source(attributes.get("src", ""), scopes)
            or _block(name)
        )
        # A dot in a name may also belong to a field of a structure.
        if block in known:
            blocks[name] = block
    readers = _readers(cells)
    rest = [name for name in cells if name not in blocks]
    for _ in range(PASSES):
        placed = {name: _vote(readers[name], blocks) for name in rest}
        blocks |= {name: block for name, block in placed.items() if block is not None}
        rest = [name for name in rest if name not in blocks]
    return dict.fromkeys(cells, CORE) | blocks


def _scopes(module: Mapping[str, Any]) -> Iterator[_Scope]:
    for name, cell in module["cells"].items():
        source = SOURCE.match(cell["attributes"].get("module_src", ""))
        if cell["type"] == "$scopeinfo" and source:
            file, first, last = source.groups()
            yield _Scope(file, int(first), int(last), _block(f"{name}.") or CORE)


def _block_of_source(source: str, scopes: list[_Scope]) -> str | None:
    for file, first, _ in SOURCE.findall(source):
        for scope in scopes:
            if scope.file == file and scope.first <= int(first) <= scope.last:
                return scope.block
    return None


def _block(path: str) -> str | None:
    """The instance below the core that a hierarchical name lies in; None if in none."""
    parts = path.split(".")
    return parts[1] if len(parts) > 2 and parts[0] == CORE else None


def _readers(cells: Mapping[str, Any]) -> dict[str, list[str]]:
    """For each cell, the cells that read one of its outputs."""
    readers_of_bit = defaultdict(list)
    for name, cell in cells.items():
        for bit in _bits(cell, outputs=False):
            readers_of_bit[bit].append(name)
    return {
        name: [reader for bit in _bits(cell, outputs=True) for reader in readers_of_bit[bit]]
        for name, cell in cells.items()
    }


def _bits(cell: Mapping[str, Any], *, outputs: bool) -> Iterator[int]:
    directions = cell.get("port_directions", {})
    for port, bits in cell["connections"].items():
        if (directions.get(port) not in INPUTS) == outputs:
            yield from (bit for bit in bits if isinstance(bit, int))


def _vote(readers: list[str], blocks: Mapping[str, str]) -> str | None:
    votes = Counter(blocks[reader] for reader in readers if reader in blocks)
    return min(votes, key=lambda block: (-votes[block], block)) if votes else None
