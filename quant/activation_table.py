"""Tables behind the requantizer: any function of one variable, at 256 places."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shiftwork.errors import ProgramError

ENTRIES = 256
SIGNED_INDEX, UNSIGNED_INDEX = (-128, 127), (0, 255)
MAX_TEXT = 200


@dataclass(frozen=True, eq=False, kw_only=True)
class Table:
    """What an op writes for each integer that its requantizer makes, the *index*.

    Two tables are the same where their :attr:`key` is.

    Attributes:
        outputs: int16 ``[256]``, of the output tensor's domain; that of index ``i`` is at
            ``i mod 256``, so that negative indices stand at the end.
        function: what it was made of, in words; for reports alone.
        step: real units of a step of the index; for reports alone.
    """

    outputs: NDArray[np.int16]
    function: str = ""
    step: float = 1.0

    @property
    def key(self) -> tuple[bytes, str, float]:
        """What tells tables apart."""
        return self.outputs.astype("<i2").tobytes(), self.function, self.step

    def lookup(self, index: NDArray) -> NDArray[np.int32]:
        """The outputs for indices of any shape, integers of -128..127 or of 0..255."""
        return self.outputs[np.asarray(index) & (ENTRIES - 1)].astype(np.int32)

    def stored(self, stored_offset: int) -> bytes:
        """The 256 bytes that memory holds, in the order of the index byte.

        Args:
            stored_offset: of the output tensor: unsigned values are stored less 128.
        """
        return ((self.outputs.astype(np.int64) - stored_offset) & 0xFF).astype(np.uint8).tobytes()


def verify_table(name: str, table: Table, lo: int, hi: int, least: int, greatest: int) -> None:
    """Refuses a table that is none, or does not fit its op.

    Args:
        name: of the op.
        table: the op's.
        lo, hi: the op's bounds, which are those of the index.
        least, greatest: range of the output tensor.

    Raises:
        ProgramError: naming the op, the rule and the value.
    """
    outputs = table.outputs
    if outputs.shape != (ENTRIES,) or outputs.dtype != np.int16:
        raise ProgramError(
            f"op '{name}': a table must be int16 of shape ({ENTRIES},), not {outputs.dtype} "
            f"{outputs.shape}"
        )
    if not lo <= hi or not any(a <= lo and hi <= b for a, b in (SIGNED_INDEX, UNSIGNED_INDEX)):
        raise ProgramError(
            f"op '{name}' clips the index of its table to {lo}..{hi}; it must be a range in "
            "-128..127 or in 0..255"
        )
    if outputs.min() < least or outputs.max() > greatest:
        raise ProgramError(
            f"op '{name}' has a table of {outputs.min()}..{outputs.max()}, outside of its output's "
            f"range {least}..{greatest}"
        )
    if not 0.0 < table.step < np.inf:
        raise ProgramError(
            f"op '{name}': a step of its table's index must be positive and finite, not "
            f"{table.step:g}"
        )
    if len(table.function) > MAX_TEXT or not table.function.isprintable():
        raise ProgramError(
            f"op '{name}': the function of its table must be named in at most {MAX_TEXT} printable "
            f"characters, not {table.function[:40]!r}"
        )


def distinct_tables(tables: Iterable[Table | None]) -> tuple[Table, ...]:
    """The tables without repetitions, in the order of their first use."""
    found = dict[tuple[bytes, str, float], Table]()
    for table in tables:
        if table is not None:
            found.setdefault(table.key, table)
    return tuple(found.values())
