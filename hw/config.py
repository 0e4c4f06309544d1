"""What an array is: its shape, and the widths that a network needs of it."""

from dataclasses import dataclass, replace
from typing import Literal

from shiftwork.errors import CapacityError

Family = Literal["generic", "ice40up", "ice40hx", "ecp5", "gowin"]
Products = Literal["multiply", "shift", "mixed"]
"""How the elements of an array make their products."""


@dataclass(frozen=True, kw_only=True)
class ArrayShape:
    """The choices that are free: everything else follows from the network.

    Attributes:
        rows: output pixels that are computed at once.
        columns: output channels that are computed at once.
        lanes: requantizers that drain a finished tile; divides ``columns`` and ``word_bytes``.
        word_bytes: bytes that the activation memory delivers a cycle; a power of two.
        stage_columns: columns that share a stage of the systolic pipeline: activations, addresses
            and tokens move on by as many a cycle.
        bank_bytes: bytes that each bank of it delivers; a whole word starts at a multiple of it.
        family: whose multipliers and memories are instantiated.
        single_port: whether the activation memory either reads or writes in a cycle.
        column_bytes: weights that a column holds, where they lie in activation memory and are
            copied to the columns layer by layer; a layer that has more takes several passes, each
            over some of its channel groups; 0 for ROMs that hold all layers.
        input_buffers: 2, or 1: then a frame streams in only while the one before is not needed.
        products: "multiply"; or "shift", where all weights are 0 or signed powers of two; or
            "mixed": the first elements multiply, as many as an UP5K has products for.
    """

    rows: int
    columns: int
    lanes: int = 1
    stage_columns: int = 1
    word_bytes: int = 4
    bank_bytes: int = 1
    family: Family = "generic"
    single_port: bool = False
    column_bytes: int = 0
    input_buffers: int = 2
    products: Products = "multiply"

    def __post_init__(self) -> None:
        for name in ("rows", "columns", "lanes", "stage_columns"):
            if getattr(self, name) < 1:
                raise CapacityError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.word_bytes < 2 or self.word_bytes & (self.word_bytes - 1):
            raise CapacityError(
                f"word_bytes must be a power of two, at least 2, not {self.word_bytes}"
            )
        if self.bank_bytes < 1 or self.word_bytes % (2 * self.bank_bytes):
            raise CapacityError(
                f"bank_bytes must divide half of word_bytes ({self.word_bytes}), "
                f"not be {self.bank_bytes}"
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
    def stages(self) -> int:
        """Stages of the systolic pipeline along the columns."""
        return -(-self.columns // self.stage_columns)

    @property
    def skew(self) -> int:
        """Cycles that the last row and column lag the first ones."""
        return self.rows + self.stages - 2

    def channel(self, column: int) -> int:
        """The channel of its group that a column works on."""
        lane, place = divmod(column, self.columns // self.lanes)
        return place * self.lanes + lane

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
        pooling: whether there is a pooling unit.
        depthwise: whether operands can come from a broadcast word.
        segments: inputs that a layer can have in one dot product.
        scaled: whether accumulators can be multiplied by 2**8 between two of them, as weights of
            16 bits need it.
        overtakes: whether a layer may begin while the idle cycles behind the last chunk of the one
            before still count.
        output_bits: of the widest values that are requantized: 8 or 16.
        address_bits: width of an activation byte address.
        x_bits, y_bits: widths of the signed position within a line, and of a line number.
        bank_depth: words of ``bank_bytes`` in each bank of activation memory.
        weight_depth: bytes of each column's weight memory.
        payload_bytes: bytes that the flash loader copies into activation memory; 0 without one.
        payload_base: address of the first of them.
        codebook: the values of the weights in the columns' ROMs, which then hold an index of 4 bits
            each; empty for ROMs of bytes, and for weights that are copied.
        identity: of the flash image that belongs to this build, in hexadecimal digits.
        parameter_depth: words of the parameter ROM; a word serves all lanes.
        fields: name, width and signedness of each field of a layer's descriptor.
        segment_fields: the same for the part that belongs to one segment; in ``fields`` their names
            end with the segment's number.
        header_fields: the same for the descriptor of the network's streams.
        program_depth: words of the program ROM.
        class_bytes, score_bytes: of the answer that a TopScore makes on the way out; 0 without one.
            The header then may have a threshold.
        tables: of 256 bytes, that each lane has behind its requantizer; 0 without any.
        exponents: of the weights that elements shift by, 0 up to, but not including, this number; 0
            where all of them multiply.
    """

    shape: ArrayShape
    accumulator_bits: int
    shift_base: int
    shift_bits: int
    pooling: bool
    depthwise: bool
    segments: int = 1
    scaled: bool = False
    overtakes: bool = False
    output_bits: int = 8
    address_bits: int
    x_bits: int
    y_bits: int
    bank_depth: int
    weight_depth: int
    parameter_depth: int
    fields: tuple[tuple[str, int, bool], ...]
    segment_fields: tuple[tuple[str, int, bool], ...]
    header_fields: tuple[tuple[str, int, bool], ...]
    program_depth: int
    payload_bytes: int = 0
    payload_base: int = 0
    identity: str = ""
    codebook: tuple[int, ...] = ()
    class_bytes: int = 0
    score_bytes: int = 0
    tables: int = 0
    exponents: int = 0

    @property
    def activation_bytes(self) -> int:
        """Bytes of activation memory, over all banks."""
        return self.bank_depth * self.shape.word_bytes

    @property
    def copies_weights(self) -> bool:
        """Whether the weights lie in activation memory, and in the columns only while needed."""
        return self.shape.column_bytes > 0

    @property
    def weight_blocks(self) -> int:
        """Blocks of ``word_bytes`` columns, each written by one word."""
        return -(-self.shape.columns // self.shape.word_bytes)

    @property
    def stage_widths(self) -> tuple[int, ...]:
        """Columns of each stage of the pipeline."""
        columns, most = self.shape.columns, self.shape.stage_columns
        return tuple(min(most, columns - first) for first in range(0, columns, most))

    def portable(self) -> "ArrayConfig":
        """The same configuration, with the same cycles, without a vendor's primitives."""
        return replace(self, shape=self.shape.portable())
