"""What of a program the array runs in one go: an op, or a pass over some of its channels."""

from dataclasses import dataclass, replace

from shiftwork.errors import CapacityError
from shiftwork.hw.config import ArrayShape
from shiftwork.hw.images import least_conv_shift
from shiftwork.hw.segments import Kind, Walk, check, segments
from shiftwork.quant.program import Program
from shiftwork.quant.program_ops import Op, Reshape, TopScore

MAX_LAYERS = 256


@dataclass(frozen=True)
class Work:
    """An op as the array runs it, or a pass over some of its channel groups.

    Attributes:
        op: of the program.
        walks: one for each segment.
        groups: of output channels.
        first_channel, channels: what of the output it computes.
        final: nothing more of the op follows.
        rows, columns: output pixels and channels of a tile and group.
        line_tiles, tile_lines: tiles of a line of tiles, and how many such lines there are.
        last_rows: output pixels of the last tile of a line.
        wide: its output has 16 bits.
    """

    op: Op
    walks: tuple[Walk, ...]
    groups: int
    first_channel: int
    channels: int
    final: bool
    rows: int
    columns: int
    line_tiles: int
    tile_lines: int
    last_rows: int
    wide: bool

    @property
    def pool(self) -> bool:
        """Whether the pooling unit does it."""
        return self.walks[0].segment.kind is Kind.POOL

    @property
    def tiles(self) -> int:
        """Tiles of the whole output."""
        return self.line_tiles * self.tile_lines

    @property
    def cycles(self) -> int:
        """Cycles of a chunk without padding."""
        return sum(walk.cycles for walk in self.walks)

    @property
    def last_token(self) -> int:
        """Cycle of a chunk's last byte in row 0, counted from its first turn."""
        return self.cycles - self.walks[-1].cycles + self.walks[-1].last_token

    @property
    def group_bytes(self) -> int:
        """Bytes of a column's weights for one group."""
        return sum(walk.weight_bytes for walk in self.walks)

    @property
    def weight_bytes(self) -> int:
        """Bytes of a column's weights, all groups."""
        return self.groups * self.group_bytes

    @property
    def last_channels(self) -> int:
        """Output channels of the last group."""
        return self.channels - (self.groups - 1) * self.columns

    def copy_words(self, shape: ArrayShape) -> int:
        """Words of weights that are copied to the columns before the op."""
        return self.weight_bytes * -(-shape.columns // shape.word_bytes)

    def parameters(self, shape: ArrayShape) -> int:
        """Words of the parameter ROM."""
        return 1 if self.pool else self.groups * (shape.columns // shape.lanes)

    def read_pattern(self) -> list[bool]:
        """For each cycle of a chunk without padding: does the fetch unit take a turn?"""
        return [turn for walk in self.walks for turn in walk.read_pattern()]


def hardware_ops(program: Program) -> list[Op]:
    """The ops that compute: a reshape is a matter of addresses, a TopScore of the output stream."""
    return [op for op in program.ops if not isinstance(op, Reshape | TopScore)]


def check_count(works: list[Work], ops: int) -> None:
    """Refuses more layers and passes than the engine counts."""
    if ops > MAX_LAYERS:
        raise CapacityError(f"the network has {ops} layers; the engine runs {MAX_LAYERS}")
    if len(works) > MAX_LAYERS:
        raise CapacityError(
            f"the network has {ops} layers, which take {len(works)} passes since their weights "
            f"are more than the columns hold; the engine runs {MAX_LAYERS}; use more --columns, a "
            "smaller network, or a board with more block RAM"
        )


def make_works(program: Program, ops: list[Op], shape: ArrayShape) -> list[Work]:
    """Each op as the array runs it, before it is cut into passes."""
    least = least_conv_shift(ops)
    return [_work(program, op, shape, least) for op in ops]


def _work(program: Program, op: Op, shape: ArrayShape, least_shift: int) -> Work:
    parts = segments(program, op, least_shift=least_shift)
    height, width, channels = program.tensor(op.output).shape
    pool = parts[0].kind is Kind.POOL
    rows, columns = (1, shape.word_bytes) if pool else (shape.rows, shape.columns)
    by_line = rows > 1 and any(part.kind is Kind.CHANNELS for part in parts)
    line = width if by_line else height * width
    walks = tuple(
        Walk(segment=part, shape=shape, by_line=by_line, out_width=width) for part in parts
    )
    check(op, walks, program.tensor(op.output))
    return Work(
        op=op,
        walks=walks,
        groups=-(-channels // columns),
        first_channel=0,
        channels=channels,
        final=True,
        rows=rows,
        columns=columns,
        line_tiles=-(-line // rows),
        tile_lines=height if by_line else 1,
        last_rows=(line - 1) % rows + 1,
        wide=program.tensor(op.output).wide,
    )


def passes(work: Work, shape: ArrayShape) -> list[Work]:
    """The op as it is, or in passes of as many channel groups as the columns hold weights for.

    Raises:
        CapacityError: naming the op, the bytes and the way out, if they hold not even one's.
    """
    if not 0 < shape.column_bytes < work.weight_bytes:
        return [work]
    if shape.column_bytes < work.group_bytes:
        raise CapacityError(
            f"op '{work.op.name}' has {work.group_bytes} bytes of weights for a single channel "
            f"group in each of {shape.columns} columns, which hold {shape.column_bytes}; use a "
            "layer of fewer input channels or a smaller kernel, or a board with more block RAM"
        )
    size = groups_of_a_pass(work, shape.column_bytes)
    return [_part(work, first, size) for first in range(0, work.groups, size)]


def groups_of_a_pass(work: Work, column_bytes: int) -> int:
    """Channel groups of a pass: the fewest passes, evenly filled; all groups where they fit."""
    if work.weight_bytes <= column_bytes:
        return work.groups
    passes = -(-work.groups // (column_bytes // work.group_bytes))
    return -(-work.groups // passes)


def _part(work: Work, first_group: int, most: int) -> Work:
    """The pass over ``most`` of the groups from ``first_group`` on, or over those that are left."""
    groups = min(most, work.groups - first_group)
    first = first_group * work.columns
    channels = min(groups * work.columns, work.channels - first)
    walks = tuple(replace(walk, segment=walk.segment.part(first, channels)) for walk in work.walks)
    return replace(
        work,
        walks=walks,
        groups=groups,
        first_channel=first,
        channels=channels,
        final=first + channels == work.channels,
    )
