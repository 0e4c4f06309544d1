"""Looks up what a function makes of a byte, behind the requantizer."""

from collections.abc import Sequence
from typing import Any

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from shiftwork.hw import rom
from shiftwork.hw.config import Family
from shiftwork.hw.rom import Rom
from shiftwork.quant.activation_table import ENTRIES, Table
from shiftwork.quant.program import Program
from shiftwork.quant.program_ops import Op, table_of

LATENCY = rom.LATENCY
"""Enabled cycles from ``index`` to ``byte``."""
INDEX_BITS = 8


class ActivationTable(wiring.Component):
    """One lane: the byte at ``index`` in one of the tables, or ``index`` itself.

    As ``shiftwork.quant.activation_table.Table.lookup``, from and to bytes as they are stored.

    Latency: ``LATENCY`` enabled cycles, whether a table is used or not. Flow control: ``enable``
    holds the whole pipeline.

    Parameters:
        contents: the bytes of all tables, 256 each.
        family: of the block RAM that holds them.

    Members:
        enable: the pipeline moves on at the end of this cycle.
        used: a table is looked up in; constant while the bytes of a layer pass.
        number: of the table, as ``used``.
        index: the requantizer's byte.
        byte: the result.
    """

    def __init__(self, *, contents: Sequence[int], family: Family):
        self.contents = tuple(contents)
        self._rom = Rom(width=8, contents=self.contents, family=family)
        super().__init__(
            {
                "enable": In(1),
                "used": In(1),
                "number": In(max(1, len(self._rom.address) - INDEX_BITS)),
                "index": In(INDEX_BITS),
                "byte": Out(8),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.rom = self._rom
        passing = self.index
        for cycle in range(LATENCY):
            late = Signal(8, name=f"passing_{cycle}", reset_less=True)
            with m.If(self.enable):
                m.d.sync += late.eq(passing)
            passing = late
        m.d.comb += [
            self._rom.enable.eq(self.enable),
            self._rom.address.eq(Cat(self.index, self.number)),
            self.byte.eq(Mux(self.used, self._rom.data, passing)),
        ]
        return m


def table_images(program: Program) -> tuple[bytes, ...]:
    """The tables as memory holds them, without repetitions, in the order of their use."""
    return tuple(dict.fromkeys(filter(None, (table_image(program, op) for op in program.ops))))


def table_fields(program: Program, op: Op) -> dict[str, int]:
    """What a layer's descriptor says of its table; nothing in a network without tables."""
    images = table_images(program)
    if not images:
        return {}
    image = table_image(program, op)
    return {
        "table_used": int(image is not None),
        "table_number": images.index(image) if image is not None else 0,
    }


def table_record(program: Program) -> dict[str, list[dict[str, Any]]]:
    """What each lane's ROM of tables holds, for a manifest; nothing without tables."""
    images = table_images(program)
    rows = [
        {
            "address": table_bytes(number),
            "functions": sorted({table.function for _, table in _users(program, image)}),
            "ops": [op.name for op, _ in _users(program, image)],
        }
        for number, image in enumerate(images)
    ]
    return {"tables": rows} if rows else {}


def table_bytes(tables: int) -> int:
    """Bytes of so many tables."""
    return tables * ENTRIES


def table_image(program: Program, op: Op) -> bytes | None:
    """The table of an op as memory holds it; None without one."""
    table = table_of(op)
    return None if table is None else table.stored(program.tensor(op.output).stored_offset)


def _users(program: Program, image: bytes) -> list[tuple[Op, Table]]:
    """The ops whose table has those bytes, and what each takes it for."""
    return [
        (op, table)
        for op in program.ops
        if (table := table_of(op)) is not None and table_image(program, op) == image
    ]
