"""What an array is: its shape, and the widths that a network needs of it."""

from dataclasses import dataclass, replace
from typing import Literal

from shiftwork.errors import CapacityError

Family = Literal["generic", "ice40up", "ecp5"]


@dataclass(frozen=True, kw_only=True)
class ArrayShape:
    """The choices that are free: everything else follows from the network.

    Attributes:
        rows: output pixels that are computed at once.
        columns: output channels that are computed at once.
        lanes: requantizers that drain a finished tile; divides ``columns`` and ``word_bytes``.
        word_bytes: bytes that the activation memory delivers a cycle; a power of two.
        family: whose multipliers and memories are instantiated.
        single_port: whether the activation memory either reads or writes in a cycle.
    """

    rows: int
    columns: int
    lanes: int = 1
    word_bytes: int = 4
    family: Family = "generic"
    single_port: bool = False

    def __post_init__(self) -> None:
        for name in ("rows", "columns", "lanes"):
            if getattr(self, name) < 1:
                raise CapacityError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.word_bytes < 2 or self.word_bytes & (self.word_bytes - 1):
            raise CapacityError(
                f"word_bytes must be a power of two, at least 2, not {self.word_bytes}"
            )
        for name in ("columns", "word_bytes"):
            if getattr(self, name) % self.lanes:
                raise CapacityError(
                    f"lanes must divide {name} ({getattr(self, name)}), not be {self.lanes}"
                )

    @property
    def elements(self) -> int:
        """Number of processing elements."""
        return self.rows * self.columns

    @property
    def full_word_cycles(self) -> int:
        """Cycles that a whole word keeps the rows busy: they take turns to fetch theirs."""
        return max(self.rows, self.word_bytes)

    def portable(self) -> "ArrayShape":
        """The same shape, with the same cycles, without a vendor's primitives."""
        return replace(self, family="generic")


@dataclass(frozen=True, kw_only=True)
class ArrayConfig:
    """A shape with the widths and depths of one network, or of several that share an engine.

    Attributes:
        shape: the array's shape.
        accumulator_bits: width of the accumulators, proven from the weights.
        shift_base: the least shift of the network; constant wiring in the requantizer.
        shift_bits: width of the runtime part of the shift, on top of ``shift_base``.
        pool_bits: width of a pooling lane's sum; 0 leaves the pooling unit out.
        address_bits: width of an activation byte address.
        x_bits, y_bits: widths of the signed position within a line, and of a line number.
        bank_depth: bytes in each of the ``word_bytes`` banks of activation memory.
        weight_depth: bytes of each column's weight ROM.
        parameter_depth: words of the parameter ROM; a word serves all lanes.
        fields: name, width and signedness of each field of a layer's descriptor.
        header_fields: the same for the descriptor of the network's streams.
        program_depth: words of the program ROM.
    """

    shape: ArrayShape
    accumulator_bits: int
    shift_base: int
    shift_bits: int
    pool_bits: int
    address_bits: int
    x_bits: int
    y_bits: int
    bank_depth: int
    weight_depth: int
    parameter_depth: int
    fields: tuple[tuple[str, int, bool], ...]
    header_fields: tuple[tuple[str, int, bool], ...]
    program_depth: int

    @property
    def activation_bytes(self) -> int:
        """Bytes of activation memory, over all banks."""
        return self.bank_depth * self.shape.word_bytes

    def portable(self) -> "ArrayConfig":
        """The same configuration, with the same cycles, without a vendor's primitives."""
        return replace(self, shape=self.shape.portable())
